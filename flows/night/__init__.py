"""The Prefect flow of the night: what it chooses, who trains it (this process or workers), how it is summed up and
where the summary goes; the commands `plan` and `nightly`. May know training, workers, server and output. Start at
nightly.py.
"""
