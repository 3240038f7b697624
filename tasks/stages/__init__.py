"""The Prefect tasks, one a module, and nothing else: prepare, class_images, train, evaluate, gallery, maps, register.
Each is one call into model/ around which tasks/execution puts cache and store. Only flows/training may know them.
Start at train.py.
"""
