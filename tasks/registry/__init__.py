"""Concept models in MLflow: how versions are named, tagged and found, how a finished training becomes one (package,
run, card), and what the store remembers of registries. May know jobs, tracking, figures (its words), concepts, store
and signing. Start at reference.py, then registration.py.
"""
