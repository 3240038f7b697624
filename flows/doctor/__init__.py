"""The command `doctor`: what is configured, what answers, what is missing; a diagnosis for each thing, without
loading any model. May know server and output. Start at doctor.py.
"""
