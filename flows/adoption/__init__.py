"""The command `adopt`: choose, train anew, compare, put on record, take back. May know training and output. Start at
command.py.
"""
