"""Which source code a stage runs, as digests that comments, docstrings, formatting and errors' words do not change."""

import ast
import functools
import hashlib
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]

# Code without a say in what a stage leaves: it stores, checks, describes or reports, or its values are in the key.
WITHOUT_SAY = frozenset(
    {
        "model.bases.base_files",
        "model.drawing.sampling_options",
        "model.errors",
        "model.methods.limits",
        "model.methods.method",
        "model.runtime.device",
        "model.runtime.disk",
        "model.runtime.memory",
        "model.runtime.quiet",
        "model.training.checkpoint",
        "model.training.checkpoint_files",
        "model.training.checkpoint_interval",
        "tasks.concepts.concepts",
        "tasks.concepts.image_copies",
        "tasks.concepts.image_sets",
        "tasks.dvc.storage",
        "tasks.execution.caching",
        "tasks.execution.kept_pictures",
        "tasks.execution.reporting",
        "tasks.execution.stage_context",
        "tasks.execution.stage_task",
        "tasks.execution.work_folders",
        "tasks.files.hashing",
        "tasks.files.locks",
        "tasks.files.s3_url",
        "tasks.files.spool",
        "tasks.files.yaml_files",
        "tasks.jobs.jobs",
        "tasks.jobs.keys",
        "tasks.jobs.kinds",
        "tasks.project.git",
        "tasks.project.params",
        "tasks.project.settings",
        "tasks.signing.keys",
        "tasks.store.blobs",
        "tasks.store.content_cache",
        "tasks.store.folder_blobs",
        "tasks.store.manifest",
        "tasks.store.s3",
        "tasks.store.s3_blobs",
        "tasks.store.s3_lease",
        "tasks.store.sealed",
        "tasks.store.store",
    }
)


@functools.cache
def code_digests(*entries: str) -> dict[str, str]:
    """Digest of each module of this project that the modules `entries` run, themselves included, by module name.

    Follows imports, also those inside functions. A folder `templates` beside a module of tasks/ is part of the modules
    that load it by `PackageLoader`.
    """
    found: dict[str, str] = {}
    waiting = list(entries)
    while waiting:
        module = waiting.pop()
        if module in found or module in WITHOUT_SAY:
            continue
        source = _source(module)
        found[module], imports, has_templates = _parsed(source, source.stat().st_mtime_ns)
        waiting += [name for name in imports if _source(name).is_file()]
        if has_templates:
            for path in sorted((source.parent / "templates").rglob("*")):
                if path.is_file():
                    found[path.relative_to(PROJECT).as_posix()] = _short(path.read_bytes())
    return dict(sorted(found.items()))


def _source(module: str) -> Path:
    path = PROJECT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@functools.cache
def _parsed(source: Path, _changed: int) -> tuple[str, frozenset[str], bool]:
    """A module's digest, what it imports of model/ and tasks/, and whether it loads templates.

    Kinds of stages share most modules, and parsing is the slow part.
    """
    tree = ast.parse(source.read_bytes())
    imported, loads_templates = set(), False
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            imported |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Name) and node.id == "PackageLoader":
            loads_templates = True
    ours = frozenset(name for name in imported if name.split(".")[0] in ("model", "tasks"))
    return _digest(tree), ours, loads_templates


def _digest(tree: ast.AST) -> str:
    """Of the syntax tree, which knows no comments and no formatting, without docstrings and the words of errors."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [part for part in body if not _is_bare_text(part)]  # type: ignore[attr-defined]
        if isinstance(node, ast.Raise) and node.exc:
            _drop_words(node.exc)
    return _short(ast.dump(tree).encode())


def _drop_words(error: ast.expr) -> None:
    """Take the texts out of what is raised: who catches it looks at its class."""
    for node in ast.walk(error):
        if isinstance(node, ast.JoinedStr):
            node.values = []
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""


def _is_bare_text(node: ast.AST) -> bool:
    """A docstring, of a module, class, function or attribute: text that nothing is done with."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
