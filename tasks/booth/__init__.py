"""The pages of the booth, as far as they are no server: what they show of all concepts and of one, the words at hand,
what visitors brought and had drawn, the program that draws for them, and the pages themselves. May know drawing,
lineage, plan, production, registry, figures, concepts, pictures and store. Start at overview.py.
"""
