"""How files are touched, whoever owns them: digests of values and folders, YAML that people write, locks, half-written
files and whose they are, names and addresses that somebody else wrote. Knows no setting and no concept; every room may
know it. Start at hashing.py.
"""
