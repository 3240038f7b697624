"""Commands of whoever owns concepts: add, import, list, generate, export. May know output. Start at add.py."""
