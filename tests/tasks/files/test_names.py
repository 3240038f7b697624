"""Names that others wrote: which are names, and that none leads out of the folder that it is meant for."""

import os
from pathlib import Path

import pytest

from model.errors import InputError
from tasks.files.names import ImproperName, path_inside, proper_md5, proper_name, proper_sha256

HOSTILE = [
    "../x",
    "a/../../x",
    "..",
    ".",
    "",
    "/etc/passwd",
    "//x",
    "a//b",
    "a/",
    "./a",
    "a/./b",
    "a\0b",
    "a\nb",
    "a\x1b[2Jb",
    "a\u2028b",
    "a\udc80b",
    "a" * 300,
    "a/" * 600 + "b",
    None,
    7,
    ["a"],
    {"a": 1},
]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_what_is_no_name_is_refused_before_anything_is_opened(name, tmp_path):
    with pytest.raises(ImproperName) as caught:
        path_inside(tmp_path, name)
    assert isinstance(caught.value, InputError)  # told in words, exit code 2
    assert isinstance(caught.value, ValueError)  # and a wrong value to whoever reads a document
    said = str(caught.value)
    assert said.isprintable()
    assert len(said) < 250


@pytest.mark.parametrize(
    "name", ["a", "a/b.png", "Foto ä.jpg", "..a", "a..b/c", "e\u0301", "\u65e5\u672c/\u8a9e.png", "a\\b"]
)
def test_names_that_people_use_lead_to_their_file(name, tmp_path):
    assert proper_name(name) == name
    assert path_inside(tmp_path, name) == tmp_path / name


def test_no_link_leads_out_and_what_is_only_removed_may_be_one(tmp_path):
    folder, outside = tmp_path / "folder", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (outside / "file").write_text("kept")
    (folder / "out").symlink_to(outside)
    (folder / "link").symlink_to(outside / "file")
    (folder / "dangling").symlink_to(tmp_path / "new")
    (folder / "inside").symlink_to("other")
    (folder / "loop").symlink_to("loop")
    for name in ("out/file", "out", "link", "dangling"):
        with pytest.raises(ImproperName, match="leads out of"):
            path_inside(folder, name)
    assert path_inside(folder, "link", follow=False) == folder / "link"
    with pytest.raises(ImproperName, match="leads out of"):
        path_inside(folder, "out/file", follow=False)
    assert path_inside(folder, "inside/file") == folder / "inside" / "file"
    assert path_inside(folder, "loop").is_symlink()


def test_the_folder_itself_may_be_reached_by_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert path_inside(tmp_path / "link", "a") == tmp_path / "link" / "a"
    assert path_inside(Path(os.sep), "etc/hostname") == Path("/etc/hostname")


@pytest.mark.parametrize("digest", ["", "A" * 64, "a" * 63, "../" * 21 + "a", "a" * 64 + "\n", None, 0, "/" + "a" * 63])
def test_what_is_no_digest_calls_no_content(digest):
    with pytest.raises(ImproperName):
        proper_sha256(digest)
    with pytest.raises(ImproperName):
        proper_md5(digest)


def test_digests_are_what_dvc_and_the_store_write():
    assert proper_sha256("a" * 64) == "a" * 64
    assert [proper_md5(md5) for md5 in ("b" * 32, "b" * 32 + ".dir")] == ["b" * 32, "b" * 32 + ".dir"]
