"""The Prefect flow of a comparison, and the commands `compare` and `tune`: what runs, what is printed, and the page
that is written. May know training, server and output. Start at flow.py.
"""
