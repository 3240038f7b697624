"""Prefect's server side: an API for as long as one command needs it, how work is handed to a flow, the server that
workers share, GPU slots, results, runs that were lost, and the pages of `ui`. May know output. Start at
command_flows.py.
"""
