"""Concepts: names that fit everywhere, and a concept.yaml whose problems are all named at once."""

import re
from pathlib import Path

import pytest

from model.errors import InputError
from tasks.concepts.concepts import check_name, concept_names, load_concept
from tasks.project.params import load_params
from tasks.project.settings import Settings
from tests.data_project import REPOSITORY
from toyworld import samples

GOOD = "super_category: teapot\nlicence: MIT\nsource: the kitchen\nconsent: its owner\n"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "params.yaml").touch()
    return Settings(root=tmp_path)


def write_concept(settings: Settings, name: str, content: str = GOOD) -> Path:
    folder = settings.concepts_dir / name
    folder.mkdir(parents=True)
    (folder / "concept.yaml").write_text(content)
    return folder


@pytest.mark.parametrize("name", ["ab", "red-teapot", "grey_sloth_plushie", "r2d2", "a" * 64])
def test_good_names(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a",
        "a/b",
        "..",
        "../b",
        "a b",
        "Teapot",
        "9lives",
        "-a",
        "_a",
        "a.b",
        "a:b",
        "a\n",
        "té",
        "🦊",
        "a🦊",
        "a" * 65,
    ],
)
def test_bad_names_are_refused_with_one_sentence(name: str) -> None:
    with pytest.raises(InputError) as caught:
        check_name(name)
    (problem,) = caught.value.problems
    assert repr(name)[:40] in problem
    assert "starting with a letter" in problem


@pytest.mark.parametrize(
    ("name", "near"), [("My Dog", "my-dog"), ("a/b", "a-b"), ("Fox 🦊", "fox"), ("🦊", "red-teapot")]
)
def test_a_bad_name_comes_with_a_good_one_near_it(name: str, near: str) -> None:
    with pytest.raises(InputError, match=f"such as '{near}'$"):
        check_name(name)


def test_a_very_long_name_is_not_repeated_whole() -> None:
    with pytest.raises(InputError) as caught:
        check_name("x" * 200)
    assert "(200 characters)" in str(caught.value)
    assert "x" * 41 not in str(caught.value)


def test_what_a_concept_says(settings: Settings) -> None:
    folder = write_concept(settings, "my_red-teapot", GOOD + "instance_prompt: a picture of a {}\n")
    concept = load_concept(settings, "my_red-teapot")
    assert concept.folder == folder
    assert concept.images == folder / "images"
    assert concept.super_category == "teapot"
    assert concept.instance_prompt == "a picture of a {}"
    assert concept.description is None
    assert concept.placeholder_token == "<my_red-teapot>"
    assert re.fullmatch("[a-z0-9-]+", concept.artifact_key)


def test_all_problems_of_a_concept_are_reported_together(settings: Settings) -> None:
    write_concept(settings, "pot", "super_category: 12\nlicence: ' '\nsorce: x\nconsent: yes\nname: other\n")
    with pytest.raises(InputError) as caught:
        load_concept(settings, "pot")
    label = "data/concepts/pot/concept.yaml: "
    assert sorted(problem.removeprefix(label) for problem in caught.value.problems) == [
        "consent = true: a text is needed, put it in quotes",
        "licence is empty",
        "name does not belong here; the folder says it",
        "sorce is unknown; did you mean source?",
        "source is missing",
        "super_category = 12: a text is needed, put it in quotes",
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "lines such as `super_category: teapot` are needed"),
        ("- super_category", "lines such as `super_category: teapot` are needed"),
        ("a: [", "line 2, column 1"),
        (GOOD + "licence: CC0\n", "line 5, column 1: the key 'licence' stands twice"),
        (GOOD.replace("teapot", "tea {} pot"), "super-category 'tea {} pot': plain words"),
        (GOOD + "instance_prompt: a photo\n", 'prompt "a photo": no {}'),
        (GOOD + "instance_prompt: '{} and {}'\n", "2 times {}"),
    ],
)
def test_a_wrong_concept_file(settings: Settings, content: str, said: str) -> None:
    write_concept(settings, "pot", content)
    with pytest.raises(InputError) as caught:
        load_concept(settings, "pot")
    (problem,) = caught.value.problems
    assert problem.startswith("data/concepts/pot/concept.yaml: ")
    assert said in problem


def test_an_unknown_concept_is_answered_with_those_that_exist(settings: Settings) -> None:
    with pytest.raises(InputError, match="no concepts yet: `conceptbooth add"):
        load_concept(settings, "teapot")
    write_concept(settings, "teapots")
    write_concept(settings, "dog")
    with pytest.raises(InputError, match="there is none; did you mean 'teapots'\\? there are: dog, teapots"):
        load_concept(settings, "teapot")


def test_a_folder_without_a_concept_file(settings: Settings) -> None:
    (settings.concepts_dir / "pot").mkdir(parents=True)
    with pytest.raises(InputError, match=r"concept 'pot': data/concepts/pot/concept.yaml is missing; write it with"):
        load_concept(settings, "pot")


def test_each_concept_that_cannot_be_read_says_why(settings: Settings) -> None:
    write_concept(settings, "good")
    write_concept(settings, "broken", "licence: MIT")
    (settings.concepts_dir / ".adding-x").mkdir()
    assert concept_names(settings) == ["broken", "good"]
    load_concept(settings, "good")
    for name, said in (
        ("missing", "'missing': there is none"),
        ("Wrong Name", "'Wrong Name'"),
        ("broken", "broken/concept.yaml: super_category is missing"),
    ):
        with pytest.raises(InputError, match=re.escape(said)):
            load_concept(settings, name)


def test_the_bundled_samples_say_what_the_embedded_world_knows_of_them() -> None:
    params = load_params(REPOSITORY / "params.yaml")
    assert params.demo in params.samples
    for name in params.samples:
        concept, sample = load_concept(Settings(root=REPOSITORY), name), samples.concept(name)
        assert concept.super_category == sample.super_category
        assert (concept.licence, concept.source, concept.consent) == (sample.licence, sample.source, sample.consent)
