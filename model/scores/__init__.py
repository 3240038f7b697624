"""How good pictures are: CLIP, DINO, retrieval, identity, and how far a mean can be trusted. May know bases, runtime
and reading. Start at metrics.py.
"""
