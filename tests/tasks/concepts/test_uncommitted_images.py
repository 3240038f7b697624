"""Images that no commit holds may be trained on, and what comes of them says so."""

import pytest
import yaml

from tasks.dvc.folder_hash import folder_digest, folder_files
from tests.data_project import commit, git, photo
from tests.tasks.stages.test_stages import nothing_made


@pytest.fixture
def committed(project):
    """The project in git, with its images on record with DVC and in the commit."""
    git(project.root, "init", "--quiet")
    folder = project.concepts_dir / "turtle"
    digest = folder_digest(folder_files(folder / "images"))
    (folder / "images.dvc").write_text(yaml.safe_dump({"outs": [{"md5": digest, "path": "images"}]}))
    (folder / ".gitignore").write_text("/images\n")
    commit(project.root)
    return project


@pytest.mark.parametrize(
    ("name", "state", "dirty"), [("", "committed", False), ("00.png", "changed", True), ("05.png", "changed", True)]
)
def test_a_manifest_says_whether_its_commit_holds_the_images(committed, name, state, dirty):
    if name:
        photo(99, 48, 48).save(committed.concepts_dir / "turtle" / "images" / name)
    made = nothing_made(committed)
    assert made.run("prepare")[0]["made"]
    manifest = made.manifests["prepare"]
    assert manifest.git == {"commit": git(committed.root, "rev-parse", "HEAD").strip(), "dirty": dirty}
    assert manifest.labels["image_set_state"] == state
