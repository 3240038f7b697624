"""Pictures of a registered version in new scenes: what is asked for is checked before anything is loaded; each picture
is marked, signed where a key is set, and written as soon as it is there. May know registry and execution (its
reporter). Start at generate.py.
"""
