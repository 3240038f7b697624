"""The way to MLflow: what its address means, a client that is bounded in time, its failures sorted into bad input,
outages and the rest, and its server or database proved by use. What is written there is said by registry, production,
comparison and plan. Knows project and files alone. Start at client.py.
"""
