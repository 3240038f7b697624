"""A project whose one concept came in through `add` and was trained and registered twice: real DVC, store, MLflow."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from tasks.concepts.add import NewConcept, add_concept
from tasks.jobs.jobs import plan_jobs
from tasks.plan.last_training import last_training_of, write_last_training
from tasks.project.base_limits import BaseLimits
from tasks.project.settings import Settings, apply_environment, load_settings
from tasks.registry.registration import RegisteredVersion, register
from tests.data_project import REPOSITORY, commit, git, photo
from tests.made_stages import MadeStages
from tests.training_project import make_training_project, write_params

CONCEPT = "owl"


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What became of it."""

    settings: Settings
    first: MadeStages
    """Of version 1."""
    last: MadeStages
    """Of version 2, whose last stage learnt at another rate."""
    version: RegisteredVersion
    """Version 2."""
    originals: tuple[Path, ...]
    """The files that were brought, with EXIF in them."""


def make_lineage_project(root: Path, base_folder: Path, evaluator_folder: Path) -> Trained:
    """Bring three photographs, train on them twice with tiny models, and register what came out."""
    settings = make_training_project(root, base_folder, evaluator_folder)
    under_version_control(root)
    apply_environment(settings)
    originals = tuple(_photograph(root.parent / "brought", number) for number in range(3))
    brought = NewConcept(
        name=CONCEPT,
        images=originals,
        category="turtle",
        licence="CC-BY-4.0",
        source="own photographs",
        consent="the owner",
    )
    add_concept(settings, brought, BaseLimits(min_pixels=32))
    commit(root)
    first = train(settings)
    register(settings, first.job.concept, first.manifests)
    write_params(root, unet={"learning_rate": 0.05})
    last = train(settings)
    version = register(settings, last.job.concept, last.manifests)
    remember(last, version.version)
    return Trained(settings=settings, first=first, last=last, version=version, originals=originals)


def under_version_control(root: Path) -> None:
    """Make a project one of git and DVC; nothing is committed yet."""
    (root / ".dvc").mkdir()
    for name in (".dvc/config", ".dvc/.gitignore", ".dvcignore", "data/concepts/.gitignore"):
        shutil.copyfile(REPOSITORY / name, root / name)
    git(root, "init", "--quiet")


def copy_of(settings: Settings, root: Path) -> Settings:
    """A copy of such a project, to be changed; MLflow's packages stay where they are, and are only read."""
    shutil.copytree(settings.root, root, symlinks=True)
    (root / "conceptbooth.toml").write_text(f'mlflow_artifact_root = "{settings.mlflow_artifact_root}"\n')
    return load_settings(root)


def train(settings: Settings, concept: str = CONCEPT) -> MadeStages:
    """Every stage of a concept, without Prefect."""
    (job,) = plan_jobs(settings, [concept])
    made = MadeStages(job)
    made.run()
    return made


def remember(made: MadeStages, version: int | None) -> None:
    """The store's own record of the training, as the flow writes it at its end."""
    scores = json.loads(made.store.file(made.manifests["evaluate"], "scores.json").read_bytes())
    write_last_training(made.store, made.job.settings, last_training_of(made.job, made.manifests, version, scores))


def _photograph(folder: Path, number: int) -> Path:
    folder.mkdir(exist_ok=True)
    exif = Image.Exif()
    exif[0x010F] = "A camera"  # its maker
    path = folder / f"IMG_{number}.jpg"
    photo(40 + number, 64, 48).save(path, exif=exif, quality=95)
    return path
