"""How a version comes to serve and stops: the policy, new versions held against champions, the gates, the steps that
can each be done again, rollback, revocation, and the smoke test in a fresh process. May know verification, adoption,
lineage, production, registry, tracking, concepts, figures, store and signing. Start at promotion.py.
"""
