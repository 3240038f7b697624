"""The one training loop and all it steps through: objective, learners, checkpoints, several processes. May know
diffusion, weights, bases, families, methods, runtime and reading. Start at train.py.
"""
