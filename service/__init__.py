"""Muster: a Redis-backed, horizontally scalable session service for device fleets."""
