"""Base models: the families that there are, their files told without torch, loading, tokens, the words around a
concept, and a recorded base found again. May know runtime and reading. Start at families.py.
"""
