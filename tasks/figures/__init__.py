"""Figures for people: scores in words, paper that pictures and words are put on, pages that hold everything inside
themselves, and the gallery of one training as both. Draws what it is given and reads no store; knows only what the
store calls files. Start at gallery.py.
"""
