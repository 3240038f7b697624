"""Base models: their files told without torch, loading, tokens, the words around a concept, and a recorded base found
again. May know families, runtime and reading. Start at base.py.
"""
