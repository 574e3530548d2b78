"""Mutants: small faults put into scripts and rules one at a time, each of which a test must notice."""
