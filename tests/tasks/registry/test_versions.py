import json
from pathlib import Path

import pytest

from model.errors import InputError
from tasks.project.settings import Settings
from tasks.registry.package_listing import LISTING, listing_text, write_listing
from tasks.registry.reference import CANDIDATE, VersionReference
from tasks.registry.registration import register
from tasks.registry.versions import PACKAGE_TAG, resolve
from tasks.tracking.client import connect
from tests.tasks.finished_training import concept, project, training


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> Settings:
    """Two versions of a turtle (the first is also `favourite`) and one of a teapot."""
    settings = project(tmp_path_factory.mktemp("project"))
    for seed in (0, 1):
        register(settings, concept(settings), training(settings, seed))
    register(settings, concept(settings, "teapot"), training(settings, 2))
    connect(settings).set_registered_model_alias("concept.turtle", "favourite", "1")
    (settings.concepts_dir / "zebra").mkdir(parents=True)
    return settings


@pytest.mark.parametrize(
    ("reference", "version"),
    [("turtle", 2), ("turtle@candidate", 2), ("turtle@favourite", 1), ("turtle/1", 1), ("turtle/2", 2), ("teapot", 1)],
)
def test_names_aliases_and_numbers_lead_to_their_version(settings, reference, version):
    resolved = resolve(settings, VersionReference.parse(reference))
    assert resolved.version == version
    assert resolved.name == f"concept.{resolved.concept}" == f"concept.{reference.split('@')[0].split('/')[0]}"
    facts = json.loads((resolved.folder / "concept.json").read_text())
    assert facts["key"] == resolved.tags["conceptbooth.key"]
    assert (resolved.folder / "concept.safetensors").stat().st_size == int(resolved.tags["conceptbooth.weights_size"])


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("turtle/3", ["no version 3", "versions: 1, 2", "@candidate (version 2)", "@favourite (version 1)"]),
        ("turtle@champion", ["no alias 'champion'", "@favourite (version 1)"]),
        ("turtel", ["'turtel' has no registered version", "did you mean 'turtle'"]),
        ("giraffe", ["concept 'giraffe': there is none", "there are: zebra", "registered: teapot, turtle"]),
        ("zebra", ["'zebra' has no registered version", "`conceptbooth train zebra` makes one"]),
        ("turtle@", ["NAME@alias"]),
        ("turtle/latest", ["NAME/version"]),
        ("turtle/0", ["NAME/version"]),
        ("turtle/1/2", ["NAME/version"]),
        ("", ["NAME"]),
        ("it's", ['concept name "it\'s"']),
        ("Turtle", ["concept name 'Turtle'", "such as 'turtle'"]),
    ],
)
def test_what_there_is_not_is_answered_with_what_there_is(settings, reference, said):
    with pytest.raises(InputError) as caught:
        resolve(settings, VersionReference.parse(reference))
    for words in said:
        assert words in str(caught.value)


def test_a_question_before_the_first_training_makes_no_database(tmp_path):
    (tmp_path / "data/concepts/zebra").mkdir(parents=True)
    settings = Settings(root=tmp_path)
    for concept_name, said in (("zebra", "`conceptbooth train zebra` makes one"), ("giraffe", "there are: zebra")):
        with pytest.raises(InputError, match=said):
            resolve(settings, VersionReference.parse(concept_name))
    assert not settings.home.exists()


def test_without_the_alias_a_name_means_the_newest(tmp_path):
    settings = project(tmp_path)
    for seed in (0, 1):
        register(settings, concept(settings), training(settings, seed))
    connect(settings).delete_registered_model_alias("concept.turtle", CANDIDATE)
    assert resolve(settings, VersionReference.parse("turtle")).version == 2


@pytest.mark.parametrize("harm", ["flipped", "gone"])
def test_weights_that_are_not_what_was_registered_are_never_used(tmp_path, harm):
    settings = project(tmp_path)
    register(settings, concept(settings), training(settings))
    weights = resolve(settings, VersionReference.parse("turtle")).folder / "concept.safetensors"
    content = weights.read_bytes()
    weights.unlink()
    if harm == "flipped":
        weights.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(
        InputError, match=r"concept.turtle version 1: concept.safetensors .*`conceptbooth train turtle`"
    ):
        resolve(settings, VersionReference.parse("turtle"))


HARMS = {
    "changed": "code/model/drawing/sample.py its sha256 is not the one",
    "missing": "code/model/drawing/sample.py missing in its package",
    "added": "code/diffusers.py is no part of the package",
    "link": "code/diffusers.py is a link or a device",
    "folder": "code/album is a link or a device",
    "list gone": "it has no list of them",
    "list changed": "it is not the list that was written",
    "list of names that lead out": "it is not the list that was written",
    "list written anew": "is not the one that was registered",
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_package_is_what_was_registered_or_nothing_is_made_of_it(tmp_path, harm):
    """What `generate`, `export` and `promote` begin with. The next training puts the package right."""
    settings = project(tmp_path)
    register(settings, concept(settings), training(settings))
    package = resolve(settings, VersionReference.parse("turtle")).folder.parent
    before = {path.relative_to(package) for path in package.rglob("*")}
    harm_package(package, harm, tmp_path)
    with pytest.raises(InputError, match=rf"(?s){HARMS[harm]}.*`conceptbooth train turtle` puts it right"):
        resolve(settings, VersionReference.parse("turtle"))
    registered = register(settings, concept(settings), training(settings))
    assert (registered.version, registered.created) == (1, False)
    assert registered.repaired
    assert {path.relative_to(package) for path in package.rglob("*")} == before
    assert resolve(settings, VersionReference.parse("turtle")).folder.parent == package
    assert not register(settings, concept(settings), training(settings)).repaired


def harm_package(package: Path, harm: str, elsewhere: Path) -> None:
    drawing, listing = package / "code" / "model" / "drawing" / "sample.py", package / LISTING
    if harm == "changed":
        drawing.write_text("import os\n" + drawing.read_text())
    elif harm == "missing":
        drawing.unlink()
    elif harm == "added":
        (package / "code" / "diffusers.py").write_text("import os")
    elif harm in ("link", "folder"):
        (package / "code" / {"link": "diffusers.py", "folder": "album"}[harm]).symlink_to(elsewhere)
    elif harm == "list gone":
        listing.unlink()
    elif harm == "list changed":
        listing.write_text(listing.read_text() + " ")
    elif harm == "list of names that lead out":
        listing.write_text(listing_text(json.loads(listing.read_text()) | {"../../x": "a" * 64}))
    else:
        drawing.write_text("import os\n" + drawing.read_text())
        write_listing(package)


def test_what_loading_leaves_in_a_package_is_not_taken_for_a_part_of_it(tmp_path):
    """Nobody here runs bytecode out of a package or copies it; a version from before it was kept out has some."""
    settings = project(tmp_path)
    register(settings, concept(settings), training(settings))
    package = resolve(settings, VersionReference.parse("turtle")).folder.parent
    (package / "code" / "model" / "__pycache__").mkdir()
    (package / "code" / "model" / "__pycache__" / "x.cpython-311.pyc").write_bytes(b"code")
    (package / "registered_model_meta").write_text("model_name: concept.turtle\nmodel_version: '1'\n")
    assert resolve(settings, VersionReference.parse("turtle")).version == 1
    (package / "registered_model_meta").write_text("import os")
    with pytest.raises(InputError, match="registered_model_meta is no part of the package"):
        resolve(settings, VersionReference.parse("turtle"))


def test_a_version_from_before_its_list_was_registered_is_known_by_the_list_in_it(tmp_path):
    settings = project(tmp_path)
    register(settings, concept(settings), training(settings))
    connect(settings).delete_model_version_tag("concept.turtle", "1", PACKAGE_TAG)
    package = resolve(settings, VersionReference.parse("turtle")).folder.parent
    harm_package(package, "changed", tmp_path)
    with pytest.raises(InputError, match=r"sample.py its sha256 is not"):
        resolve(settings, VersionReference.parse("turtle"))
