"""A few of the evaluation's pictures beside an export, marked as every picture is."""

from pathlib import Path

from model.marks.content_credentials import open_signer
from model.marks.marking import Mark, marked_png
from model.weights.file import read_prompt
from tasks.project.settings import Settings
from tasks.registry.training_facts import TrainingFacts
from tasks.registry.versions import WEIGHTS_FILE, ResolvedVersion
from tasks.store.artefacts import GENERATIONS
from tasks.store.pictures import picture
from tasks.store.store import Store

FOLDER = "samples"
MOST = 4


def write_samples(
    settings: Settings, store: Store, version: ResolvedVersion, record: TrainingFacts, folder: Path
) -> dict[str, str]:
    """Write the first picture of each of the first prompts; the prompts by the files' names.

    Raises InputError for a key that does not sign, Damaged and StoreFailed as `tasks.store.pictures.picture`.
    """
    signer = open_signer(settings.c2pa_key, settings.c2pa_certificates)
    prompt, seed = read_prompt(version.folder / WEIGHTS_FILE), record.evaluation.seed
    assert seed is not None  # what draws has one
    (folder / FOLDER).mkdir()
    written: dict[str, str] = {}
    for number, text in enumerate(record.evaluation.parameters["prompts"][:MOST]):
        mark = Mark(
            concept=version.concept,
            content=record.key,
            version=version.version,
            prompt=text,
            text=prompt.fill(text),
            seed=seed,
            index=0,
        )
        png = marked_png(picture(store, record.evaluation, f"{GENERATIONS}/{number:02}/00.png"), mark)
        name = f"{FOLDER}/{number + 1}.png"
        (folder / name).write_bytes(signer.signed(png, mark) if signer else png)
        written[name] = text
    return written
