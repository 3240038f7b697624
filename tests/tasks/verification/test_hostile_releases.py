"""A production store that somebody else wrote: `verify-release` reads it, says what is wrong, and writes nothing.

Each store is whole but for one thing, and its ledger and its hashes fit each other.
"""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.lineage.check_results import Verification
from tasks.production.ledger import Promotion, record_path
from tasks.production.release import Release, read_release, unfit
from tasks.store.folder_blobs import FolderBlobs
from tasks.store.manifest import FileRecord
from tasks.verification.contents import read_contents
from tasks.verification.page import write_place_page
from tasks.verification.releases import check_place
from tests.tasks.verification.test_releases import write_key

HOSTILE_NAMES = [
    "../../../../planted",
    "model/../../../../../planted",
    "/planted",
    "model//x",
    "model/./x",
    "model/x/",
    "model/a\x1b[2Jb",
    "model/" + "x" * 300,
    "",
]
FILES = {"model/MLmodel": b"flavors: {}", "provenance.json": b'{"subject": []}', "lineage/prepare.json": b"{}"}


@pytest.fixture(scope="module")
def key(tmp_path_factory) -> Path:
    return write_key(tmp_path_factory.mktemp("key") / "key.pem")


@pytest.fixture
def public(key: Path) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    private = load_pem_private_key(key.read_bytes(), None)
    return private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def store_with(root: Path, document: bytes, files: dict[str, bytes]) -> Path:
    """A store whose only release has this release.json, and its folder."""
    identity = hashlib.sha256(document).hexdigest()
    folder = root / "store" / "releases" / "owl" / identity[:16]
    for name, content in {**files, "release.json": document}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    record = Promotion(
        concept="owl",
        seq=1,
        action="promote",
        version=1,
        content="c" * 64,
        release=identity,
        model="concept.owl",
        production_version=1,
        by="somebody",
        at="2026-01-01T00:00:00+00:00",
        previous=None,
    )
    ledger = root / "store" / record_path("owl", 1)
    ledger.parent.mkdir(parents=True)
    ledger.write_bytes(record.to_json())
    return folder


def document(files: object, concept: object = "owl") -> bytes:
    facts = {"schema": 1, "concept": concept, "content": "c" * 64, "files": files}
    return (json.dumps(facts, sort_keys=True, indent=1) + "\n").encode()


def listed(files: dict[str, bytes]) -> dict[str, list[object]]:
    return {name: [hashlib.sha256(content).hexdigest(), len(content)] for name, content in files.items()}


def checked(root: Path, public: bytes) -> Verification:
    """What is said of the store, from which nothing was written anywhere."""
    before = {path: path.lstat().st_mtime_ns for path in root.rglob("*")}
    place = FolderBlobs(root / "store")
    verification, contents = check_place(place, public), read_contents(place, public)
    assert {path: path.lstat().st_mtime_ns for path in root.rglob("*")} == before
    assert not Path("/planted").exists()
    write_place_page(page := root / "page.html", "<store>", "0" * 16, verification, contents)
    assert "<store>" not in page.read_text(), "what a stranger wrote is text"
    page.unlink()
    assert all(check.what.isprintable() and check.said.isprintable() for check in verification.of("fault"))
    return verification


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=ascii)
def test_a_name_that_leads_out_is_refused_before_anything_is_looked_at(name, tmp_path, public):
    content = b"planted"
    record = [hashlib.sha256(content).hexdigest(), len(content)]
    (tmp_path / "planted").write_bytes(content)  # what the name would find
    store_with(tmp_path, document({**listed(FILES), name: record}), FILES)
    faults = checked(tmp_path, public).of("fault")
    assert [fault.said for fault in faults if "release.json: is none: the name" in fault.said], faults


DOCUMENTS = {
    "not JSON": b"{",
    "nested a hundred thousand deep": b'{"files": ' + b"[" * 100_000,
    "a list": b"[]",
    "no files": document(None),
    "a hash that is a path": document({"model/MLmodel": ["../../../../etc/passwd", 3]}),
    "a size below nothing": document({"model/MLmodel": ["a" * 64, -1]}),
    "a size that is no number": document({"model/MLmodel": ["a" * 64, "3"]}),
    "too many facts": document({"model/MLmodel": ["a" * 64, 3, 3]}),
    "another concept": document(listed(FILES), "../../owl"),
    "another form": document(listed(FILES)).replace(b"\n", b"\r\n"),
}


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_a_document_that_is_none_is_told_in_words(kind, tmp_path, public):
    store_with(tmp_path, DOCUMENTS[kind], FILES)
    faults = checked(tmp_path, public).of("fault")
    assert any(f"release owl/{hashlib.sha256(DOCUMENTS[kind]).hexdigest()[:16]}" == fault.what for fault in faults)


def test_without_its_lineage_a_release_is_told_to_lack_it(tmp_path, public):
    files = {name: content for name, content in FILES.items() if not name.startswith("lineage/")}
    store_with(tmp_path, document(listed(files)), files)
    said = {fault.what.rpartition(": ")[2]: fault.said for fault in checked(tmp_path, public).of("fault")}
    assert said["lineage"] == "it has no folder lineage/: what it was made from cannot be told"


LINEAGES = {
    "is no manifest": ("lineage/prepare.json", b"{}"),
    "is nested deep": ("lineage/prepare.json", b"[" * 100_000),
    "is no text": ("lineage/prepare.json", b"\xff\xfe"),
    "holds a statement of nothing": ("provenance.json", b"[]"),
    "holds a statement that is none": ("provenance.json", b"{"),
}


@pytest.mark.parametrize("kind", LINEAGES)
def test_lineage_that_is_none_is_a_fault_and_not_an_error(kind, tmp_path, public):
    name, content = LINEAGES[kind]
    files = {**FILES, name: content}
    store_with(tmp_path, document(listed(files)), files)
    named = "provenance" if name == "provenance.json" else name
    assert any(fault.what.endswith(f": {named}") for fault in checked(tmp_path, public).of("fault"))


def out(folder: Path, name: str, make: Callable[[Path], None]) -> None:
    (folder / name).unlink()
    make(folder / name)


@pytest.mark.parametrize("name", ["model/MLmodel", "release.json", "provenance.json", "model.sig"])
def test_a_link_out_of_the_store_is_not_followed(name, tmp_path, public):
    folder = store_with(tmp_path, document(listed(FILES)), {**FILES, "model.sig": b"{}"})
    (tmp_path / "secret").write_bytes((folder / name).read_bytes())
    out(folder, name, lambda path: path.symlink_to(tmp_path / "secret"))
    assert any("a link that leads out of" in fault.said for fault in checked(tmp_path, public).of("fault"))


LINKS: dict[str, Callable[[Path, Path], None]] = {
    "model/code/numpy": lambda path, elsewhere: path.symlink_to(elsewhere),
    "model/code/numpy.py": lambda path, elsewhere: path.symlink_to(elsewhere / "__init__.py"),
    "model/code": lambda path, elsewhere: path.symlink_to(elsewhere),
    "model/code/pipe.py": lambda path, _: os.mkfifo(path),
    "lineage": lambda path, _: (path.rename(path.with_name("other")), path.symlink_to("other")),
}


@pytest.mark.parametrize("name", LINKS)
def test_a_link_to_code_elsewhere_is_a_fault(name, tmp_path, public):
    """Whoever loads the folder follows it: what runs would be what nobody signed."""
    folder = store_with(tmp_path, document(listed(FILES)), FILES)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "__init__.py").write_text("planted = True")
    (folder / name).parent.mkdir(exist_ok=True)
    LINKS[name](folder / name, elsewhere)
    faults = {fault.what: fault.said for fault in checked(tmp_path, public).of("fault")}
    assert [said for what, said in faults.items() if what.endswith(f": {name}")], faults
    release = read_release(FolderBlobs(tmp_path / "store"), "owl", hashlib.sha256(document(listed(FILES))).hexdigest())
    assert unfit(FolderBlobs(tmp_path / "store"), release)  # nor does it serve


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["model/MLmodel", "release.json", "model.sig"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(name, tmp_path, public):
    folder = store_with(tmp_path, document(listed(FILES)), {**FILES, "model.sig": b"{}"})
    out(folder, name, os.mkfifo)
    assert any("is no file" in fault.said for fault in checked(tmp_path, public).of("fault"))


@pytest.mark.parametrize("signature", [b"", b"{}", b"[" * 100_000, b"\xff", b'{"mediaType": 7}', b"null"], ids=range(6))
def test_a_signature_that_is_none_is_a_fault(signature, tmp_path, public):
    store_with(tmp_path, document(listed(FILES)), {**FILES, "model.sig": signature})
    assert any(fault.what.endswith(": signature") for fault in checked(tmp_path, public).of("fault"))


def test_a_record_s_identity_is_a_hash(tmp_path, public):
    store_with(tmp_path, document(listed(FILES)), FILES)
    path = tmp_path / "store" / record_path("owl", 1)
    record = Promotion.from_json(path.read_bytes())
    facts = {name: getattr(record, name) for name in record.__dataclass_fields__} | {"release": "../../../../planted"}
    path.write_bytes(Promotion(**facts).to_json())
    assert any("is no sha256" in fault.said for fault in checked(tmp_path, public).of("fault"))


def test_what_is_listed_is_what_a_release_says():
    files = {"model/a": FileRecord(sha256="a" * 64, size=1), "model/b/c": FileRecord(sha256="b" * 64, size=1)}
    release = Release(concept="owl", content="c", files=files)
    assert list(release.below("model")) == ["a", "b/c"]
    assert release.hashes == {"release.json": release.id, "model/a": "a" * 64, "model/b/c": "b" * 64}
