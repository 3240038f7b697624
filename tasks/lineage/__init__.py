"""Where a model comes from: the chain from an evaluation back to the images, found by registry, record or manifests;
which models saw an image; what differs between two versions; each as a document, a page or a sheet. Reads only, but for
attestations, which it writes. May know plan (its records), production (its ledger), execution (what manifests state),
registry, jobs, figures, concepts, signing and store. Start at chain.py.
"""
