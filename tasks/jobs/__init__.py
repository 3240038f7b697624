"""What is to be made, decided before anything runs and without torch: the recipe of a training, its stages with their
keys, the code that has a say in them, and the one table of the kinds of stages. May know concepts, tracking (its
address) and store (its manifest). Start at jobs.py, then keys.py.
"""
