"""The command line: a module for each panel of the help. Options are read here, and the work is imported inside each
command, so that `conceptbooth` answers at once. May know every room below; none knows it. Start at app.py.
"""
