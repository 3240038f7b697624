"""The way to MLflow: what its address means, a client that is bounded in time, and its failures sorted into bad
input, outages and the rest. What is written there is said by registry, production and comparison. May know project
and files. Start at client.py.
"""
