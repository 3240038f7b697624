"""One Prefect task a module, and the plain modules they stand on: store, keys, concepts, registry."""
