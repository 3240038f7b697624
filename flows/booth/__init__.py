"""The command `booth`: a server of pages on this machine, who may ask it what, the process that draws for its visitors
and the processes that train. May know training, server, concepts and output. Start at command.py.
"""
