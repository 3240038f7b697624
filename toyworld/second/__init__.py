"""The second edition of the small closed world: named instances, prompts with parts, 128-pixel pictures."""
