"""Proof that everything is as it was: chain, images, registered package, ledger and releases, each hashed again; what
cannot be checked is said and never counted as good. May know lineage, adoption, plan (its records), production,
registry, jobs, concepts, dvc, figures, tracking, store and signing. Start at chain.py.
"""
