"""Concept models in MLflow: how versions are called and tagged, how a finished training becomes one (package, run,
card), and what the store remembers of registries. May know jobs, tracking, figures' words, store, concepts, project
and files. Start at registration.py.
"""
