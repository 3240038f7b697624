"""Which code has no say in what a stage leaves, and why not: by room where a whole room has none, else by module.

The longest name that fits decides, and a `*` fits any word. What is not here has a say.
"""

from fnmatch import fnmatchcase

NUMBERS_ARE_IN_THE_KEY = "its values are in the key"
DESCRIBES = "it describes, checks or reports"

WITHOUT_SAY: dict[str, str] = {
    # whole rooms
    "model.errors": DESCRIBES,
    "model.methods": NUMBERS_ARE_IN_THE_KEY,
    "tasks.files": "it moves bytes, whose hashes are compared",
    "tasks.project": NUMBERS_ARE_IN_THE_KEY,
    "tasks.signing": "it says who made a thing",
    "tasks.store": "it keeps bytes, whose hashes are compared",
    "tasks.tracking": DESCRIBES,
    "tasks.dvc": "it brings bytes, whose hashes are compared",
    "tasks.jobs": NUMBERS_ARE_IN_THE_KEY,
    "tasks.registry": DESCRIBES,
    "tasks.execution": "it decides whether a stage runs, and keeps what it leaves",
    # rooms in which both live
    "model.bases.base_files": NUMBERS_ARE_IN_THE_KEY,
    "model.bases.near_words": DESCRIBES,
    "model.families.config_values": DESCRIBES,
    "model.families.*_configs": DESCRIBES,
    "model.drawing.sampling_options": NUMBERS_ARE_IN_THE_KEY,
    "model.drawing.training_pictures": "it draws beside the training (tests/model/training/test_training_pictures.py)",
    "model.training.picture_steps": "it says when a picture is due",
    "model.runtime.device": NUMBERS_ARE_IN_THE_KEY,
    "model.runtime.disk": "it moves bytes",
    "model.runtime.memory": DESCRIBES,
    "model.runtime.quiet": DESCRIBES,
    "model.training.checkpoint": "it puts back what was there, bit for bit (tests/model/training/test_checkpoints.py)",
    "model.training.checkpoint_files": "it moves bytes, whose hashes are compared",
    "model.training.checkpoint_interval": "it says when a checkpoint is due",
    "tasks.concepts.concepts": NUMBERS_ARE_IN_THE_KEY,
    "tasks.concepts.image_copies": "it moves bytes, whose hashes are compared",
    "tasks.concepts.image_sets": NUMBERS_ARE_IN_THE_KEY,
}

WITH_SAY: dict[str, str] = {
    "tasks.store.artefacts": "names of files in an artefact",
    "tasks.store.pictures": "it decodes pictures, and decides their order",
    "tasks.store.scores": "it decodes scores",
    "tasks.execution.loaded_base": "it loads the base",
    "tasks.execution.loaded_evaluator": "it loads what measures",
}
"""Modules that have a say in rooms that have none."""


def has_say(module: str) -> bool:
    """Whether the code of a module, by its dotted name, counts."""
    parts = module.split(".")
    for count in range(len(parts), 0, -1):
        name = ".".join(parts[:count])
        for listed, says in ((WITH_SAY, True), (WITHOUT_SAY, False)):
            if any(fnmatchcase(name, pattern) for pattern in listed):
                return says
    return True
