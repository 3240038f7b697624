"""The Prefect tasks, one a module, and nothing else: each is one call into model/ around which execution puts cache
and store. May know execution, jobs, registry (to register), figures, concepts, tracking's failures and store; only
flows/training may know them. Start at train.py.
"""
