"""Figures for people: scores in words, and paper that pictures and words are put on; the gallery of one training as a
sheet and as a page. Draws what it is given and reads no store. Start at gallery.py.
"""
