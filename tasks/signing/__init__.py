"""Keys: what signs, what checks a signature, and which key is trusted with what. May know project. Start at keys.py."""
