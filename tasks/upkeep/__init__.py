"""Store and registries kept in order: clearing up what nobody needs, rebuilding a lost registry, deleting a version,
and whether registries say what the ledgers say. May know promotion, production, plan, registry, execution (its work
folders), jobs, concepts, tracking and store. Start at gc.py.
"""
