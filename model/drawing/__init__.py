"""Pictures from prompts, and where words looked while they were drawn. May know diffusion, weights, bases and
runtime. Start at sample.py.
"""
