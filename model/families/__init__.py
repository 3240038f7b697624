"""What differs between families of base models, one description each, and what such a description has to say. May know
runtime. Start at family.py.
"""
