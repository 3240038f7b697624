"""What a concept model keeps beside the base: its word, changed parameters, LoRAs, and the file they lie in. May know
bases. Start at concept.py.
"""
