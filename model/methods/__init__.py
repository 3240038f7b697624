"""Methods as data: stages with their limits, and the presets that there are; no torch. Knows errors alone. Start at
method.py, then presets.py.
"""
