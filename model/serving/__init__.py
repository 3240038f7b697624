"""What a served model lets its clients ask, and how it learns that one of them has gone. May know drawing (its options)
and methods (their limits). Start at requests.py.
"""
