"""The commands that begin: init, a project of its own for a base, and samples, things to try it with. May know
output. Start at init.py.
"""
