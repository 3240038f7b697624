"""A concept and its images: concept.yaml, which images a set has and where they lie, how one image is read and
checked, how concepts come in (add, import), and which images must never come back. May know dvc, store, tracking,
signing and pictures. Start at concepts.py.
"""
