"""What has a say in a key: what names mean in the end, and as little as can be defended; whatever is unclear counts."""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tasks.jobs import code_digest
from tasks.jobs.code_digest import ALL, code_digests
from tasks.jobs.has_say import has_say
from tasks.jobs.libraries import COUNTED, counted_versions

ENTRY = "tasks.stage"
FILES = {
    "tasks/__init__.py": "",
    "tasks/stage.py": "from model.maths import twice as f\n\ndef work(x: int) -> int:\n    return f(x) + 1\n",
    "model/__init__.py": "",
    "model/maths.py": """
import numpy as np
from model.more import FACTOR, unused

OTHER = 7

def twice(x):
    return np.add(x, x) * FACTOR

def thrice(x):
    return 3 * x

def _never(x):
    return x
""",
    "model/more.py": "FACTOR = 1\n\ndef unused():\n    return OTHER\n",
}


@pytest.fixture
def digest(tmp_path, monkeypatch) -> Callable[..., str]:
    """Writes files and tells the digest of what the entry runs; None for a file takes it away."""
    monkeypatch.setattr(code_digest, "PROJECT", tmp_path)
    files: dict[str, str | None] = {}
    stamp = iter(range(1_000_000_000, 2_000_000_000))

    def digest(changes: Mapping[str, str | None] | None = None, entry: str = ENTRY, part: str = ALL) -> str:
        files.update(FILES if not files else {})
        files.update(changes or {})
        shutil.rmtree(tmp_path, ignore_errors=True)
        for name, text in files.items():
            if text is not None:
                path = tmp_path / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
                os.utime(path, (1, next(stamp)))
        code_digests.cache_clear()
        return code_digests(entry)[part]

    yield digest
    code_digests.cache_clear()


def edit(file: str, old: str, new: str) -> dict[str, str]:
    assert old in FILES[file]
    return {file: FILES[file].replace(old, new)}


NOTHING = {
    "a constant that nobody uses": edit("model/maths.py", "OTHER = 7", "OTHER = 8"),
    "a function that nobody uses": edit("model/maths.py", "return 3 * x", "return 4 * x"),
    "a function in a module that is only imported": edit("model/more.py", "return OTHER", "return 5"),
    "a comment": edit("model/maths.py", "def twice(x):", "def twice(x):  # doubles"),
    "a docstring": edit("model/maths.py", "def twice(x):", 'def twice(x):\n    """Doubles."""'),
    "an annotation": edit("model/maths.py", "def twice(x):", "def twice(x: float) -> float:"),
    "an import line that nobody uses": edit("tasks/stage.py", "from", "from model.more import unused\nfrom"),
    "how often Prefect tries it": {
        "tasks/stage.py": FILES["tasks/stage.py"].replace(
            "def work", "from prefect import task\n@task(retries=3)\ndef work"
        )
    },
    "the module moves": {
        "model/maths.py": None,
        "model/sums/__init__.py": '"""Sums."""\n',
        "model/sums/maths.py": FILES["model/maths.py"],
        "tasks/stage.py": FILES["tasks/stage.py"].replace("model.maths", "model.sums.maths"),
    },
    "the function moves to another module": {
        "model/maths.py": "OTHER = 7\n",
        "model/doubling.py": "import numpy as np\nfrom model.more import FACTOR\n"
        "\ndef twice(x):\n    return np.add(x, x) * FACTOR\n",
        "tasks/stage.py": FILES["tasks/stage.py"].replace("model.maths", "model.doubling"),
    },
    "the import moves into the function": {
        "tasks/stage.py": "def work(x):\n    from model.maths import twice as f\n    return f(x) + 1\n"
    },
}
SOMETHING = {
    "the function": edit("model/maths.py", "np.add(x, x)", "np.add(x, 2)"),
    "a constant that it uses, two modules away": edit("model/more.py", "FACTOR = 1", "FACTOR = 2"),
    "another function under the same name": edit("tasks/stage.py", "twice as f", "thrice as f"),
    "a foreign function under the same name": edit(
        "tasks/stage.py", "from model.maths import twice as", "from math import sqrt as"
    ),
    "another foreign module under the same name": edit("model/maths.py", "import numpy as np", "import torch as np"),
    "what a module does when it is imported": edit("model/more.py", "FACTOR = 1", "FACTOR = 1\nprint(1)"),
    "a call in an assignment": edit("model/more.py", "FACTOR = 1", "FACTOR = 1\n_ = configure(1)"),
    "a setting of another module": edit("model/more.py", "FACTOR = 1", "import torch\nFACTOR = 1\ntorch.x = 2"),
    "a method that is called like a builtin": edit("model/more.py", "FACTOR = 1", "FACTOR = 1\n_ = CONFIG.set(1)"),
    "a decorator that is called like Prefect's": edit("model/maths.py", "def thrice", "@task\ndef thrice"),
    "a decorator that may do anything": edit("model/maths.py", "def thrice", "@register\ndef thrice"),
    "a foreign module that is imported for what it does": edit("model/more.py", "FACTOR = 1", "import odd\nFACTOR = 1"),
    "a condition around what is used": edit(
        "model/more.py", "FACTOR = 1", "if X:\n    FACTOR = 1\nelse:\n    FACTOR = 2"
    ),
}


@pytest.mark.parametrize("change", NOTHING)
def test_what_changes_nothing(digest, change):
    assert digest(NOTHING[change]) == digest(FILES | {name: None for name in NOTHING[change] if name not in FILES})


@pytest.mark.parametrize("change", SOMETHING)
def test_what_changes_the_digest(digest, change):
    assert digest() != digest(SOMETHING[change])


def test_two_names_that_change_places_are_seen(digest):
    one = digest(
        {"tasks/stage.py": "from model.maths import twice as a, thrice as b\ndef work(x):\n    return a(b(x))\n"}
    )
    other = {"tasks/stage.py": "from model.maths import twice as b, thrice as a\ndef work(x):\n    return a(b(x))\n"}
    assert digest(other) != one


@pytest.mark.parametrize(
    "stage",
    [
        "from model import maths\ndef work(x):\n    return getattr(maths, x)\n",
        "from model.maths import *\ndef work(x):\n    return twice(x)\n",
        "import model.maths\ndef work(x):\n    return look(model.maths)\n",
        "def work(x):\n    return run('model.maths')\n",
    ],
)
def test_a_module_of_which_nobody_can_tell_what_is_used_counts_whole(digest, stage):
    before = digest({"tasks/stage.py": stage})
    assert digest(edit("model/maths.py", "OTHER = 7", "OTHER = 8")) != before


def test_a_module_that_looks_its_own_names_up_counts_whole(digest):
    looks = FILES["model/maths.py"] + "\ndef __getattr__(name):\n    return globals()[name]\n"
    before = digest({"model/maths.py": looks})
    assert digest({"model/maths.py": looks.replace("OTHER = 7", "OTHER = 8")}) != before


def test_of_a_module_that_is_named_only_what_is_used_counts(digest):
    stage = "from model import maths\ndef work(x):\n    return maths.twice(x)\n"
    before = digest({"tasks/stage.py": stage})
    assert digest(edit("model/maths.py", "OTHER = 7", "OTHER = 8")) == before
    assert digest(edit("model/more.py", "FACTOR = 1", "FACTOR = 2")) != before


def test_a_class_that_only_an_annotation_names_counts(digest):
    """What is handed over is of that class, and its methods run."""
    stage = "from model.maths import Sum\ndef work(x: 'Sum'):\n    return x.total()\n"
    maths = FILES["model/maths.py"] + "\nclass Sum:\n    def total(self):\n        return 1\n"
    before = digest({"tasks/stage.py": stage, "model/maths.py": maths})
    assert digest({"model/maths.py": maths.replace("return 1", "return 2")}) != before


def test_functions_that_call_each_other(digest):
    maths = (
        FILES["model/maths.py"] + "\ndef even(x):\n    return odd(x)\n\ndef odd(x):\n    return even(x) or twice(x)\n"
    )
    stage = "from model.maths import even\ndef work(x):\n    return even(x)\n"
    before = digest({"tasks/stage.py": stage, "model/maths.py": maths})
    assert digest({"model/maths.py": maths.replace("np.add(x, x)", "np.add(x, 2)")}) != before
    assert digest({"model/maths.py": maths.replace("OTHER = 7", "OTHER = 8")}) == before


def test_the_files_say_where_a_change_is_and_nothing_else(digest):
    def by_file() -> dict[str, str]:
        return code_digests(ENTRY)

    digest()
    before = by_file()
    digest(SOMETHING["a constant that it uses, two modules away"])
    now = by_file()
    assert {name for name in now if now[name] != before[name]} == {ALL, "model/more.py"}


def test_the_entry_itself_may_move(digest):
    before = digest()
    assert digest({"tasks/stage.py": None, "tasks/room/work.py": FILES["tasks/stage.py"]}, "tasks.room.work") == before


def test_rooms_say_once_that_they_have_no_say():
    assert not has_say("tasks.files.hashing") and not has_say("tasks.store.store")
    assert has_say("tasks.store.artefacts") and has_say("model.training.train")
    assert not has_say("model.training.checkpoint")


def test_of_a_version_counts_what_can_change_a_number(monkeypatch):
    installed = {"torch": "2.13.0+cpu", "pillow": "12.1.1", "numpy": "2.5.0rc1", "jinja2": "3.1"}
    monkeypatch.setattr("importlib.metadata.version", installed.__getitem__)
    expected = {"torch": "2.13.0", "pillow": "12.1", "numpy": "2.5.0rc1", "jinja2": "3.1"}
    assert counted_versions(installed) == expected
    assert all(why for _, why in COUNTED.values())


def test_modules_without_say_are_there():
    """A table that names what is gone protects nothing."""
    from tasks.jobs.has_say import WITH_SAY, WITHOUT_SAY

    root = Path(__file__).parents[3]
    for name in (*WITHOUT_SAY, *WITH_SAY):
        place = name.replace(".", "/")
        assert [*root.glob(f"{place}/"), *root.glob(f"{place}.py")], name
