"""Commands that keep store and registry in order: gc, upgrade, registry rebuild and registry delete. May know output.
Start at gc.py.
"""
