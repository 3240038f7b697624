"""A concept model in other programs' forms: diffusers pipelines, original names, low rank. May know weights, bases and
runtime. Start at diffusers_pipeline.py.
"""
