"""One base at work: prompts encoded, views and latents, a forward pass, and its cross-attention recorded. May know
families, bases and methods. Start at predict.py.
"""
