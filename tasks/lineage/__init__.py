"""Where a model comes from: the chain from an evaluation back to the images, found by registry, record or manifests;
which models saw an image; what differs between two versions; each as a document, a page or a sheet. Reads only. May
know plan (its records), production (its ledger), registry, jobs, figures, concepts and store. Start at chain.py.
"""
