"""Where a model comes from: the chain from an evaluation back to the images, found by registry, record or manifests;
which models saw an image, or one that looks like it; which version drew a picture; what differs between two versions;
each as a document, a page or a sheet. Reads only, but for attestations and pictures that are taken in. May know plan
(its records), drawing (its records), production (its ledger), execution (what manifests state), registry, jobs,
figures, concepts, signing and store. Start at chain.py.
"""
