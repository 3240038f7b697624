"""A registered version in the forms that other programs load: diffusers, LoRA, kohya, A1111, ComfyUI, each with its
card, samples and what it loses. May know lineage, registry, execution, jobs, concepts and store. Start at export.py.
"""
