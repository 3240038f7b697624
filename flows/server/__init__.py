"""Prefect's server side: an API for as long as one command needs it, the server that workers share, GPU slots,
results, runs that were lost, and the pages of `ui`. May know output. Start at local_api.py.
"""
