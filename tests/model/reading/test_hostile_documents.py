"""Documents that would hang, fell or fool whoever reads them: refused at once, by name and line."""

import resource
from pathlib import Path

import pytest

from model.errors import InputError
from model.reading.documents import read_json, read_toml
from tasks.files.yaml_files import read_yaml
from tests.hostile_documents import Case, cases

CASES = cases()
READERS = {"yaml": read_yaml, "json": read_json, "toml": read_toml}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("case", CASES, ids=[case.called for case in CASES])
def test_what_becomes_of_it(tmp_path: Path, case: Case) -> None:
    path = tmp_path / f"a.{case.kind}"
    case.write(path)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if case.says:
        with pytest.raises(InputError) as caught:
            READERS[case.kind](path, "the file")
        (problem,) = caught.value.problems
        assert problem.startswith("the file")
        assert case.says in problem
        assert len(problem) < 300, "nobody reads five thousand digits"
    else:
        assert READERS[case.kind](path, "the file") == {"seed": 7}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 200_000, "kilobytes"


def test_as_many_as_are_promised() -> None:
    assert len({case.called for case in CASES}) >= 30


def test_what_people_write_with_anchors_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("usual: &usual {steps: 25}\none: {<<: *usual, seed: 1}\ntwo: {<<: *usual, seed: 2e-6}\n")
    assert read_yaml(path, "it")["two"] == {"steps": 25, "seed": 2e-6}


def test_a_deep_document_of_usual_kind_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("".join(f"{' ' * n}a:\n" for n in range(60)) + " " * 60 + "b: 1\n")
    found = read_yaml(path, "it")
    for _ in range(60):
        found = found["a"]
    assert found == {"b": 1}
