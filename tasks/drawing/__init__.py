"""Pictures of a registered version in new scenes: what is asked for is checked before anything is loaded; each picture
is marked, signed where a key is set, and written as soon as it is there; the store keeps a record of what was drawn.
May know registry, execution (its reporter), concepts (fingerprints), store and signing. Start at generate.py.
"""
