"""Commands that look back: lineage as a tree, sightings of an image, whence, diff; the page and the sheet are made
below. May know output. Start at lineage.py.
"""
