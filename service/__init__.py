"""Muster: a Redis-backed, horizontally scalable session service for device fleets."""

__version__ = "0.1.0"
