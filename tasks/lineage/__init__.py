"""Where a model comes from: the chain from an evaluation back to the images, found by registry, record or manifests;
which models saw an image; what differs between two versions. Reads only. May know plan's records, production,
registry, jobs, figures, concepts and store. Start at chain.py.
"""
