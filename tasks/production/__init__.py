"""What serves: the ledger that only grows, production's store and registry, releases as folders that need nothing but
themselves, and the signatures over both. Decides nothing. May know registry, tracking, concepts, store and signing.
Start at ledger.py.
"""
