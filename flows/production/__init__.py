"""The commands of production: promote, rollback, takedown, releases, verify-release, and who is told of a change. May
know lineage (its tables) and output. Start at promote.py.
"""
