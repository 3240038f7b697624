"""A registered version in the forms that other programs load: diffusers, LoRA, A1111, ComfyUI, each with its card and
with what it loses. May know lineage, registry, jobs, concepts and store. Start at export.py.
"""
