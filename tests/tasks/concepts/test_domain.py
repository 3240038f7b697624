"""A base with a small world of its own, and images that are none of it."""

import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from model.bases.domain import DOMAIN_FILE, base_domain
from model.errors import InputError
from tasks.concepts.domain import foreign_images
from tasks.project.settings import Settings
from tests.data_project import REPOSITORY
from toyworld.samples import write


@pytest.fixture
def settings(tmp_path: Path, base_folder: Path) -> Settings:
    shutil.copytree(base_folder, tmp_path / "toyworld" / "base")
    shutil.copyfile(REPOSITORY / "toyworld/base" / DOMAIN_FILE, tmp_path / "toyworld/base" / DOMAIN_FILE)
    shutil.copyfile(REPOSITORY / "params.yaml", tmp_path / "params.yaml")
    return Settings(root=tmp_path)


def photographs(folder: Path) -> list[Path]:
    folder.mkdir()
    files = [folder / f"{number}.jpg" for number in range(3)]
    for file in files:
        Image.new("RGB", (800, 600), "white").save(file)  # of a product on white, as smooth as the toy world's own
    return files


def test_photographs_on_the_embedded_base_are_told_in_one_sentence_with_the_way_out(settings, tmp_path):
    said = foreign_images(settings, photographs(tmp_path / "photos"), "conceptbooth")
    assert said is not None and "\n" not in said
    assert said.startswith("3 of these 3 images are none of the toy world, which is all that base model toyworld/base")
    assert "`conceptbooth init ../photographs --base sd21`" in said
    assert foreign_images(settings, [tmp_path / "photos", tmp_path / "absent.png"], "conceptbooth") is None


def test_pictures_of_its_world_are_not_told(settings, tmp_path):
    assert foreign_images(settings, write("jade-teapot", tmp_path / "drawn"), "conceptbooth") is None


def test_a_base_without_a_domain_draws_anything(settings, tmp_path):
    (settings.root / "toyworld/base" / DOMAIN_FILE).unlink()
    assert foreign_images(settings, photographs(tmp_path / "photos"), "conceptbooth") is None
    hub = re.sub("^base: .*$", "base: some/base", (settings.root / "params.yaml").read_text(), flags=re.MULTILINE)
    (settings.root / "params.yaml").write_text(hub.replace("base_revision: null", f"base_revision: {'a' * 40}"))
    assert foreign_images(settings, photographs(tmp_path / "others"), "conceptbooth") is None


@pytest.mark.parametrize("text", ['name = "a world"', 'name = "a"\npicture_side = "b"', "name = 1\npicture_side = 1"])
def test_a_domain_that_says_something_else_is_refused(tmp_path, text):
    (tmp_path / DOMAIN_FILE).write_text(text)
    with pytest.raises(InputError, match="exactly `name`"):
        base_domain(tmp_path)
