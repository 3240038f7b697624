"""Store and registries kept in order: clearing up what nobody needs, mending damaged records, bringing a site of
before up to date, rebuilding a lost registry, deleting a version, and whether registries say what the ledgers say.
May know promotion, verification, lineage, production, plan, registry, execution (its work folders), jobs, concepts,
tracking, store and signing. Start at gc.py.
"""
