"""The one training loop and all it steps through: objective, learners, checkpoints, several processes. May know
diffusion, weights, bases, methods and runtime. Start at train.py.
"""
