"""Sessions: what they are made of, and the store that keeps them in Redis."""
