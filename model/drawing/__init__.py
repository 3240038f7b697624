"""Pictures from prompts, and where words looked while they were drawn. May know diffusion, weights, bases, families,
methods (limits of options) and runtime. Start at sample.py.
"""
