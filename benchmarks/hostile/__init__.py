"""Hostile and damaged input, replayed: `python -m benchmarks.hostile [PART ...]`; each part is a module here."""
