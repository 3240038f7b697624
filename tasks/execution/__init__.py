"""How a stage runs, whichever it is: checked before, taken from the store if it is there, else made in a work folder
that survives a kill, published and described, with models loaded once a process. May know jobs, concepts, dvc, store,
tracking and signing. Start at stage_task.py, then caching.py.
"""
