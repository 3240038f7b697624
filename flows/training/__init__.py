"""The Prefect flow of one concept and what became of it; the commands `train` and `demo`, and what a scheduler and a
worker agree on. The only room that runs the Prefect tasks of tasks/stages. May know server and output. Start at
train_concept.py.
"""
