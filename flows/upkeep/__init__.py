"""Commands that keep store and registry in order: gc, registry rebuild and registry delete. May know output. Start at
gc.py.
"""
