"""The commands of production: promote, rollback, takedown, releases, verify-release, and the notice that another
version serves. May know lineage (its tables), server and output. Start at promote.py.
"""
