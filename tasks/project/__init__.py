"""The project and this machine as people write them down: settings, params.yaml, prompt sets, what the named base
asks of them, and what git says of the checkout. May know files; every other room may know it. Start at settings.py.
"""
