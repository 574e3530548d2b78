"""Sessions: their data model, and the store that keeps them in Redis."""
