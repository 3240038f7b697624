"""Commands that look back: lineage as tree, document and page, sightings of an image, whence, diff. May know output.
Start at lineage.py.
"""
