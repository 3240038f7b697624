"""Base models: the families that there are, their files told without torch, loading, tokens, and the words around a
concept. May know methods, runtime and errors. Start at families.py.
"""
