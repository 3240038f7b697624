"""How what comes from outside is read: files of a bearable size, JSON and TOML within bounds, pictures by the formats
that are named. Knows errors alone. Start at files.py.
"""
