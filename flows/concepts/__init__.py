"""Commands of whoever owns concepts: add, import, list, generate, export; they read what was asked for and say what
was done. May know output. Start at add.py.
"""
