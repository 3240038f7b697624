"""The rooms: the import contract notices whatever leaves its place, and what is written about the rooms is true."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
HALLS = ("flows", "tasks", "model")
ROOMS = sorted(
    f"{hall}/{path.parent.name}" for hall in HALLS for path in (ROOT / hall).glob("*/__init__.py") if path.is_file()
)
KNOWN_TO_ALL = {"files", "project", "errors"}
"""Need no mention in a docstring: every room may know them."""
FAULTS = {
    "tasks/stray.py": ("", "stray"),
    "flows/stray.py": ("", "stray"),
    "model/cellar/__init__.py": ("", "cellar"),
    "model/upward.py": ("import tasks.files.locks\n", "model.upward -> tasks.files.locks"),
    "tasks/files/upward.py": ("import tasks.registry.versions\n", "tasks.files.upward -> tasks.registry.versions"),
    "flows/output/upward.py": (
        "def call():\n    import flows.night.plan\n",
        "flows.output.upward -> flows.night.plan",
    ),
    "tasks/plan/neighbour.py": ("import tasks.comparison.cells\n", "tasks.plan.neighbour -> tasks.comparison.cells"),
    "flows/night/stage.py": ("import tasks.stages.train\n", "flows.night.stage -> tasks.stages.train"),
    "tasks/plan/orchestrated.py": ("import prefect\n", "tasks.plan.orchestrated -> prefect"),
    "flows/lineage/orchestrated.py": ("import prefect\n", "flows.lineage.orchestrated -> prefect"),
    "flows/concepts/shrunk.py": ("import model.reading.pictures\n", "flows.concepts.shrunk -> model.reading.pictures"),
    "tasks/store/printed.py": ("import rich.table\n", "tasks.store.printed -> rich"),
    "flows/upkeep/options.py": ("import typer\n", "flows.upkeep.options -> typer"),
    "tasks/figures/tracked.py": ("import mlflow\n", "tasks.figures.tracked -> mlflow"),
    "tasks/dvc/bucket.py": ("import boto3\n", "tasks.dvc.bucket -> boto3"),
    "tasks/concepts/versioned.py": ("import dvc.repo\n", "tasks.concepts.versioned -> dvc"),
    "flows/concepts/drawn.py": ("import model.drawing.sample\n", "flows.concepts.drawn -> model.drawing.sample"),
    "tasks/files/one.py": ("import tasks.files.other\n", "No cycles are allowed in tasks.files."),
    "tasks/files/other.py": ("import tasks.files.one\n", "No cycles are allowed in tasks.files."),
}
"""What may not be, and what the contract says of it."""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The tree as far as the contract looks at it."""
    shutil.copyfile(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    for package in (*HALLS, "toyworld"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=lambda folder, names: _no_code(Path(folder), names))
    return tmp_path


def _no_code(folder: Path, names: list[str]) -> list[str]:
    return [name for name in names if (folder / name).is_file() and not name.endswith(".py")]


def lint(root: Path) -> tuple[int, str]:
    program = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(
        program, cwd=root, env={"PYTHONPATH": str(root), "COLUMNS": "200"}, capture_output=True, text=True
    )
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def test_the_contract_breaks_for_each_thing_that_leaves_its_place(copy):
    code, said = lint(copy)
    assert code == 0, said
    for name, (text, _) in FAULTS.items():
        path = copy / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    code, said = lint(copy)
    assert code == 1
    unseen = [name for name, (_, words) in FAULTS.items() if words not in said]
    assert not unseen, said


@pytest.mark.parametrize("fault", ["tasks/stray.py", "tasks/files/upward.py"])
def test_one_of_them_is_enough(copy, fault):
    (copy / fault).write_text(FAULTS[fault][0])
    code, said = lint(copy)
    assert code == 1 and FAULTS[fault][1] in said


@pytest.mark.parametrize("room", [*HALLS, "toyworld", *ROOMS])
def test_a_package_is_introduced_by_a_docstring_and_holds_nothing_else(room):
    """Nothing is re-exported: whoever imports a module names it."""
    tree = ast.parse((ROOT / room / "__init__.py").read_text(encoding="utf-8"))
    docstring = ast.get_docstring(tree)
    assert docstring and len(tree.body) == 1
    if "/" not in room:
        return
    assert "\n\n" not in docstring, "one paragraph"
    begin = re.search(r"Start at (\w+\.py)", " ".join(docstring.split()))
    assert begin, "it says where to start reading"
    assert (ROOT / room / begin[1]).is_file()
    unsaid = [other for other in imported_rooms(room) if not re.search(rf"\b{other}\b", docstring)]
    assert room == "flows/cli" or not unsaid, f"{room}/__init__.py does not say that it may know {unsaid}"


def imported_rooms(room: str) -> list[str]:
    """Rooms of the same hall that its modules import."""
    hall, name = room.split("/")
    found = set()
    for file in (ROOT / room).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            found |= {module.split(".")[1] for module in modules if module.startswith(f"{hall}.")}
    return sorted(found - {name} - KNOWN_TO_ALL)


def test_the_readme_lists_exactly_the_rooms():
    layout = (ROOT / "README.md").read_text(encoding="utf-8").split("## Layout")[1].split("\n## ")[0]
    listed, hall = [], ""
    for line in layout.splitlines():
        if found := re.match(r"(\w+)/\s", line):
            hall = found[1]
        elif hall in HALLS and (found := re.match(r"  (\w+)/\s+\S", line)):
            listed.append(f"{hall}/{found[1]}")
    assert sorted(listed) == ROOMS


def table() -> list[list[str]]:
    """The rows of CONTRIBUTING's table: change, rooms, tests."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return [row for row in rows[2:] if len(row) == 3]


def test_every_room_has_tests_of_its_name_or_it_is_said_where_they_are():
    named = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    without = [room for room in ROOMS if not (ROOT / "tests" / room).is_dir() and f"`{room}/` is tested" not in named]
    assert not without
    strange = [
        path.relative_to(ROOT).as_posix()
        for hall in HALLS
        for path in (ROOT / "tests" / hall).iterdir()
        if path.is_dir() and path.name != "__pycache__" and f"{hall}/{path.name}" not in ROOMS
    ]
    assert not strange, "folders of tests are called as the rooms"


def test_the_table_of_changes_names_files_that_are_there():
    rows = table()
    assert len(rows) >= 15
    for change, rooms, tests in rows:
        assert change
        for cell in (rooms, tests):
            names = re.findall(r"`([\w./-]+(?:/|\.\w+))`", cell)
            assert names, (change, cell)
            missing = [name for name in names if not (ROOT / name).exists()]
            assert not missing, (change, missing)


def test_what_the_package_needs_is_pinned_to_the_set_that_was_run_together():
    """An installation from a wheel has no constraints.txt to go by."""
    needs = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = [line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if "==" in line]
    together = {canonicalize_name(pin.name): pin.specifier for pin in map(Requirement, pins)}
    for need in map(Requirement, [*needs["dependencies"], *needs["optional-dependencies"]["c2pa"]]):
        assert need.specifier == together[canonicalize_name(need.name)], need


def test_flows_are_imported_without_the_heavy_libraries():
    """The command line answers at once, and a scheduler plans a night without a GPU's libraries."""
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in sorted((ROOT / "flows").rglob("*.py"))
        if path.name != "__init__.py"
    ]
    program = (
        f"import importlib, sys\nfor name in {modules}: importlib.import_module(name)\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'mlflow', 'dvc', 'boto3', 'matplotlib'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
