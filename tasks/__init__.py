"""What a flow's steps do, a package an idea: store, concepts, jobs, stages, registry, lineage, production and more.

`tasks/stages` holds the Prefect tasks. Every package says in its docstring what it holds, what it may know, and where
to start reading; the import contract in pyproject.toml holds them to it.
"""
