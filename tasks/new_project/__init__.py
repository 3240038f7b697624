"""A new project, made from the installed package alone: parameters, prompts, gates, git and DVC that fit a base. May
know concepts, for the sample that it begins with. Start at new_project.py.
"""
