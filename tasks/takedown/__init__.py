"""An image taken down: what holds it and who saw it, the steps, and where its bytes still are. May know promotion,
production, lineage, concepts, dvc, store and signing. Start at plan.py.
"""
