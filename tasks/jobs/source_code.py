"""One module's source code as definitions: what each says, however it is written, and which names it mentions."""

import ast
import functools
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

DottedName = tuple[str, ...]
"""A name as it is mentioned, with the attributes after it: ("curve", "point")."""
ROOTS = ("model", "tasks")
"""Packages whose source code is looked into; of others the version counts."""

STAR = "*"
"""Before the name of a module whose names are all imported, which names nobody can tell."""

_LOOKED_UP = frozenset({"exec", "eval", "globals", "__import__", "import_module"})
"""Calls by which code finds names that it does not mention."""
_MAY_LOOK_UP = re.compile(
    rb"\b(exec|eval|globals|global|__import__|import_module|__getattr__|__init_subclass__)\b|import \*|from \."
)
"""Without any of these words in its text a module looks nothing up; asking the text is quicker."""
_MAKING = frozenset(("dict", "float", "frozenset", "int", "len", "list", "range", "set", "sorted", "str", "tuple"))
_DEFINING = frozenset(
    (
        *("abstractmethod", "cache", "cached_property", "classmethod", "compile", "contextmanager", "ContextVar"),
        *("dataclass", "field", "getLogger", "inference_mode", "lru_cache", "namedtuple", "no_grad", "overload"),
        *("partial", "Path", "property", "staticmethod", "total_ordering", "TypeVar", "wraps"),
    )
)
"""Calls and decorators that leave nothing behind but their result: whoever does not use that has nothing of them."""
_ORCHESTRATION = frozenset({"prefect.task", "prefect.flow"})
"""Decorators that say when and how often something runs, and not what it does."""


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A function, a class, a constant; or what a module does when it is imported."""

    digest: str
    """Of what it says: comments, formatting, docstrings, words of errors, annotations and import lines left out."""
    mentions: frozenset[DottedName]
    imports: Mapping[str, str] = field(default_factory=dict)
    """Its own import lines: by local name the dotted path that it stands for."""
    texts: tuple[str, ...] = ()
    """Its texts that may name a module, as in `python -m model.training.several_processes`; not in the digest."""


@dataclass(frozen=True, kw_only=True)
class SourceModule:
    """A module."""

    definitions: Mapping[str, Definition]
    effects: Definition | None
    """What it does when it is imported, beside defining."""
    imports: Mapping[str, str]
    """By local name the dotted path that it stands for."""
    loads: frozenset[str]
    """Dotted paths that are imported when it is: those under TYPE_CHECKING are not."""
    opaque: bool
    """Whether it looks up names at run time, so that nobody can tell which of it is used."""


@functools.cache
def parsed(path: Path, _changed: int) -> SourceModule:
    """The module in a file that was changed at that time: kinds of stages share most modules, and parsing is slow."""
    content = path.read_bytes()
    tree = ast.parse(content)
    runtime, names, loads = dict[str, str](), dict[str, str](), set[str]()
    groups: dict[str, list[ast.stmt]] = {}
    acting: list[ast.stmt] = []
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            runtime |= _bound(node)
            loads |= set(_loaded(node))
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for part in node.body:
                names |= _bound(part)
        elif not _is_bare_text(node):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                node.decorator_list = [each for each in node.decorator_list if not _orchestrates(each, runtime)]
            for name in _defined(node):
                groups.setdefault(name, []).append(node)
            if _acts(node):
                acting.append(node)
    definitions = {name: _definition(nodes) for name, nodes in groups.items()}
    effects = _definition(acting)
    mentioned = {chain[0] for one in (*definitions.values(), effects) for chain in one.mentions}
    # What is imported and not mentioned is imported for what that does.
    foreign = {name: at for name, at in runtime.items() if at.split(".")[0] not in ROOTS and at not in _ORCHESTRATION}
    unused = sorted(at for name, at in foreign.items() if name not in mentioned)
    if unused:
        effects = replace(effects, digest=short(repr((effects.digest, unused)).encode()))
    return SourceModule(
        definitions=definitions,
        effects=effects if acting or unused else None,
        imports=runtime | names,
        loads=frozenset(loads | set(effects.imports.values())),
        opaque=_MAY_LOOK_UP.search(content) is not None and _is_opaque(tree),
    )


def short(content: bytes) -> str:
    """A digest of 64 bits, in hex."""
    return hashlib.sha256(content).hexdigest()[:16]


def _bound(node: ast.stmt) -> dict[str, str]:
    """What an import line binds."""
    if isinstance(node, ast.Import):
        return {a.asname or a.name.split(".")[0]: a.name if a.asname else a.name.split(".")[0] for a in node.names}
    if isinstance(node, ast.ImportFrom):
        names = {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        return names if "*" not in names else {f"{STAR}{node.module}": str(node.module)}
    return {}


def _loaded(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    for alias in node.names:
        yield alias.name if isinstance(node, ast.Import) else f"{node.module}.{alias.name}"


def _is_bare_text(node: ast.AST) -> bool:
    """A docstring, of a module, class, function or attribute: text that nothing is done with."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _defined(node: ast.stmt) -> Iterator[str]:
    """Names that a statement of a module gives a meaning."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
        return
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store | ast.Del):
            yield part.id
        elif isinstance(part, ast.Import | ast.ImportFrom):
            yield from _bound(part)
        elif isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield part.name


def _acts(node: ast.stmt) -> bool:
    """Whether a statement does something, or may do, beside giving names a meaning."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return not all(_only_defines(decorator) for decorator in node.decorator_list)
    if isinstance(node, ast.ClassDef):
        bodies = (part for part in node.body if not isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef))
        inner = any(_acts(part) for part in node.body if not isinstance(part, ast.Pass) and not _is_bare_text(part))
        marks = not all(_only_defines(decorator) for decorator in node.decorator_list)
        return (
            marks or inner or any(_calls(part) for part in bodies) or any(k.arg == "metaclass" for k in node.keywords)
        )
    if isinstance(node, ast.Assign):
        return _calls(node.value) or not all(_only_names(target) for target in node.targets)
    if isinstance(node, ast.AnnAssign):
        return (node.value is not None and _calls(node.value)) or not isinstance(node.target, ast.Name)
    return True


def _orchestrates(decorator: ast.expr, imports: Mapping[str, str]) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(called, ast.Name) and imports.get(called.id) in _ORCHESTRATION


def _only_names(target: ast.expr) -> bool:
    return all(not isinstance(part, ast.Attribute | ast.Subscript) for part in ast.walk(target))


def _calls(node: ast.AST) -> bool:
    """Whether evaluating it calls what may leave something behind; what a lambda calls is called later."""
    if isinstance(node, ast.Lambda):
        return False
    if isinstance(node, ast.Call) and not _only_defines(node.func):
        return True
    return any(_calls(child) for child in ast.iter_child_nodes(node))


def _only_defines(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        return _only_defines(node.func) and not any(_calls(part) for part in (*node.args, *node.keywords))
    if isinstance(node, ast.Subscript):
        return _only_defines(node.value)
    if isinstance(node, ast.Attribute):
        return node.attr in _DEFINING or node.attr == "setter"
    return isinstance(node, ast.Name) and node.id in _DEFINING | _MAKING


def _is_opaque(tree: ast.Module) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, ast.Global) or (
            isinstance(node, ast.ImportFrom) and (node.level or node.names[0].name == "*")
        ):
            return True
        called = node.func if isinstance(node, ast.Call) else None
        if isinstance(called, ast.Name | ast.Attribute):
            name = called.id if isinstance(called, ast.Name) else called.attr
            method = isinstance(called, ast.Attribute) and name in ("eval", "exec")  # a module in torch has eval()
            if name in _LOOKED_UP and not method:
                return True
        if isinstance(node, ast.FunctionDef) and node.name in ("__getattr__", "__init_subclass__"):
            return node in tree.body or node.name == "__init_subclass__"
    return False


def _definition(nodes: Iterable[ast.stmt]) -> Definition:
    reader = _Reader()
    for node in nodes:
        reader.read(node)
    return Definition(
        digest=short("\0".join(reader.said).encode()),
        mentions=frozenset(reader.mentions),
        imports=reader.imports,
        texts=tuple(reader.texts),
    )


class _Reader:
    """Reads a syntax tree out: what it says, the names it mentions, what it imports."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.mentions: set[DottedName] = set()
        self.imports: dict[str, str] = {}
        self.texts: list[str] = []

    def read(self, node: Any, *, in_class: bool = False, error: bool = False) -> None:
        """`error`: inside what is raised, whose texts do not count."""
        if isinstance(node, list):
            self.said.append("[")
            for part in node:
                if not _is_bare_text(part):
                    self.read(part, in_class=in_class, error=error)
            self.said.append("]")
        elif not isinstance(node, ast.AST):
            self.said.append(f"{type(node).__name__} {node}")
        elif isinstance(node, ast.Import | ast.ImportFrom):
            self.imports |= _bound(node)
        elif isinstance(node, ast.Name | ast.Attribute):
            self._read_name(node, error)
        elif isinstance(node, ast.Constant):
            self._read_constant(node, error)
        elif isinstance(node, ast.JoinedStr) and error:
            self.said.append("text")
        else:
            self._read_fields(node, in_class=in_class, error=error or isinstance(node, ast.Raise))

    def _read_fields(self, node: ast.AST, *, in_class: bool, error: bool) -> None:
        self.said.append(f"({type(node).__name__}")
        in_class = isinstance(node, ast.ClassDef) or (in_class and not isinstance(node, ast.FunctionDef))
        for name in node._fields:
            value: Any = getattr(node, name, None)
            if name in ("ctx", "type_comment", "kind"):
                continue
            if name == "returns" or (name == "annotation" and not (in_class and isinstance(node, ast.AnnAssign))):
                self._mention_annotation(value)
            else:
                self.read(value, in_class=in_class and name == "body", error=error)
        self.said.append(")")

    def _read_name(self, node: ast.expr, error: bool) -> None:
        attributes: list[str] = []
        while isinstance(node, ast.Attribute):
            attributes.append(node.attr)
            node = node.value
        if isinstance(node, ast.Name):
            chain = (node.id, *reversed(attributes))
            self.mentions.add(chain)
            self.said.append(".".join(chain))
        else:
            self.read(node, error=error)
            self.said.append(".".join(("", *reversed(attributes))))

    def _read_constant(self, node: ast.Constant, error: bool) -> None:
        value = node.value
        if error and isinstance(value, str):
            self.said.append("text")
        elif isinstance(value, str) and value.startswith(tuple(f"{root}." for root in ROOTS)):
            self.said.append(f"text {len(self.texts)}")
            self.texts.append(value)
        else:
            self.said.append(f"{type(value).__name__} {value!r}")

    def _mention_annotation(self, node: ast.AST | None) -> None:
        """Annotations change nothing, but what is handed over may be of a class that only they name."""
        if node is None:
            return
        other = _Reader()
        other.read(node)
        self.mentions |= other.mentions
        for part in ast.walk(node):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                with suppress(SyntaxError):  # a text of Literal or Annotated
                    other.read(ast.parse(part.value, mode="eval").body)
        self.mentions |= other.mentions
