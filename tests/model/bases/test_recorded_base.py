import shutil
from pathlib import Path

import pytest

from model.bases.recorded_base import assembled_base, find_recorded_base
from model.errors import InputError
from model.runtime.disk import file_sha256

HUB = {"reference": "owner/base", "revision": "a" * 40}


@pytest.fixture
def folder(tmp_path) -> Path:
    """What a base looks like to this module: any files."""
    folder = tmp_path / "base"
    (folder / "unet").mkdir(parents=True)
    (folder / "unet" / "weights.safetensors").write_bytes(b"weights")
    (folder / "model_index.json").write_text("{}")
    (folder / "notes.md").write_text("not recorded")
    return folder


@pytest.fixture
def recorded(folder) -> dict:
    names = ("unet/weights.safetensors", "model_index.json")
    files = {name: file_sha256(folder / name) for name in names}
    return {"reference": "toyworld/base", "revision": None, "files": files}


def test_the_base_is_where_it_was_if_it_is_the_same(folder, recorded):
    (folder / "notes.md").write_text("changed, and of no matter")
    assert find_recorded_base(recorded, folder) == (str(folder), None)


def test_a_base_elsewhere_is_named_by_the_environment(folder, recorded, monkeypatch):
    gone = folder.parent / "gone"
    with pytest.raises(
        InputError, match=r"gone: no such folder; put it back, or set CONCEPTBOOTH_BASE .*toyworld/base"
    ):
        find_recorded_base(recorded, gone)
    monkeypatch.setenv("CONCEPTBOOTH_BASE", str(folder))
    assert find_recorded_base(recorded, gone) == (str(folder), None)
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.setenv("CONCEPTBOOTH_BASE", "~/base")
    assert find_recorded_base(recorded, gone) == (str(folder), None)


def test_another_base_is_refused_by_the_names_of_what_differs(folder, recorded):
    (folder / "unet" / "weights.safetensors").write_bytes(b"weighty")
    (folder / "model_index.json").unlink()
    with pytest.raises(InputError, match=r"2 of 2 files differ .*unet/weights.safetensors, model_index.json"):
        find_recorded_base(recorded, folder)


def test_a_hub_base_is_trusted_by_its_commit_and_a_folder_in_its_place_is_compared(folder, recorded, monkeypatch):
    hub = HUB | {"files": recorded["files"]}
    assert find_recorded_base(hub, Path("/nowhere")) == ("owner/base", "a" * 40)
    monkeypatch.setenv("CONCEPTBOOTH_BASE", str(folder))
    assert find_recorded_base(hub, Path("/nowhere")) == (str(folder), None)
    with pytest.raises(InputError, match="recorded no digests"):
        find_recorded_base(HUB | {"files": {}}, Path("/nowhere"))


def test_where_the_folder_holds_something_else_a_kept_copy_stands_in(folder, recorded, tmp_path, monkeypatch):
    contents = {sha256: tmp_path / sha256 for sha256 in recorded["files"].values()}
    for name, sha256 in recorded["files"].items():
        shutil.copyfile(folder / name, contents[sha256])
    copy = tmp_path / "copy"
    copy.mkdir()

    def kept() -> Path | None:
        return assembled_base(recorded["files"], contents.get, copy)

    assert find_recorded_base(recorded, folder, kept) == (str(folder), None)
    assert list(copy.iterdir()) == []  # nobody asked
    (folder / "unet" / "weights.safetensors").write_bytes(b"weighty")
    assert find_recorded_base(recorded, folder, kept) == (str(copy), None)
    assert (copy / "unet" / "weights.safetensors").read_bytes() == b"weights"
    monkeypatch.setenv("CONCEPTBOOTH_BASE", str(folder))
    with pytest.raises(InputError, match="1 of 2 files differ"):  # what a person names is what is meant
        find_recorded_base(recorded, folder, kept)


def test_no_content_becomes_a_part_of_a_base_unless_its_bytes_are_those_of_its_name(recorded, tmp_path):
    (tmp_path / "damaged").write_bytes(b"weighty")
    (tmp_path / "copy").mkdir()
    assert assembled_base(recorded["files"], lambda _: tmp_path / "damaged", tmp_path / "copy") is None
    assert assembled_base(recorded["files"], lambda _: None, tmp_path / "copy") is None
    sha256 = file_sha256(tmp_path / "damaged")
    for name in ("../escaped", "/escaped", "unet/../../escaped"):
        with pytest.raises(ValueError, match="no name of a file"):
            assembled_base({name: sha256}, lambda _: tmp_path / "damaged", tmp_path / "copy")
