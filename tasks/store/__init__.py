"""The artefact store, the truth above all caches: contents under their hash, a manifest for each finished stage, small
records beside them, sealed and numbered where that counts; in a folder or in S3. What stages call their files stands
here too. Knows no stage, no concept and no MLflow; may know signing. Start at store.py.
"""
