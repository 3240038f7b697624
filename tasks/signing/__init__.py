"""Keys: what signs, what checks a signature, and which key is trusted with what. Knows project and files alone. Start
at keys.py.
"""
