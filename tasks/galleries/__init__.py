"""Galleries where people look: each version's, with what only registration knows put around it, and a page of all
concepts. May know registry, store and project; draws by figures. Start at versions.py.
"""
