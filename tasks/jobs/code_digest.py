"""Which source code a stage runs, as digests: definition by definition, and found by what names mean, not by paths.

A definition counts if the entry can reach it: by the names it mentions, through import lines, to what they stand for in
the end. So an import line is as good as what its name means: a module that moves or is renamed changes nothing, and
another thing under the same name does. Where that cannot be told, more counts and never less: all of a module that is
used as a value, that looks names up at run time, or that is imported by a star; whatever a module does when it is
imported, of every module that is; whatever an annotation names.

Comments, docstrings, formatting, annotations and the words of errors change nothing.
"""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from tasks.jobs.has_say import has_say
from tasks.jobs.source_code import ROOTS, STAR, Definition, DottedName, SourceModule, parsed, short
from tasks.store.manifest import WHOLE_CODE

PROJECT = Path(__file__).resolve().parents[2]
ALL = WHOLE_CODE
"""The digest over everything that counts, which is the one that stands in keys: it knows no path."""

_ENTRY, _EFFECTS, _WHOLE, _TEMPLATES = "its definitions", "on import", "all of it", "templates/"
Item = tuple[str, str]
"""A definition by module and name."""


@functools.cache
def code_digests(*entries: str) -> dict[str, str]:
    """Digests of what the modules `entries` run of this project: over all of it (`ALL`), and by source file.

    The files say where a change is; they stand in no key. A folder `templates` counts for what names its package.
    """
    _path.cache_clear()  # files may have come or gone since the last question
    _source.cache_clear()
    graph = _Graph()
    roots = [(module, _ENTRY) for module in entries]
    graph.follow(roots)
    together = graph.digests()
    whole = short(repr(([together[root] for root in roots], graph.effects(together))).encode())
    return {ALL: whole, **graph.by_file()}


class _Graph:
    """Definitions that count, and what their names mean."""

    def __init__(self) -> None:
        self._own: dict[Item, str] = {}
        """What each says by itself."""
        self._means: dict[Item, list[tuple[str, Item]]] = {}
        """What its names stand for, as far as that is ours."""
        self._loaded: set[str] = set()

    def follow(self, roots: Iterable[Item]) -> None:
        """Take in everything that can be reached."""
        waiting = list(roots)
        while waiting:
            item = waiting.pop()
            if item in self._own:
                continue
            module, name = item
            if name == _TEMPLATES:
                self._own[item], self._means[item] = short(repr(sorted(_templates(module).values())).encode()), []
                continue
            source = _source(module)
            assert source is not None  # an item is found in a source
            definition = _definition(source, name)
            self._add(item, definition, source)
            waiting += (meaning for _, meaning in self._means[item])
            for loaded in (module, *definition.imports.values()):
                waiting += self._load(loaded)

    def digests(self) -> dict[Item, str]:
        """By item a digest of all that it says and that its names stand for, to the end; of no name of a module."""
        found: dict[Item, str] = {}
        for group in _groups(self._means):  # a group comes after all that it mentions
            inside = {item: self._own[item] for item in group}
            for _ in group:  # those that mention each other: as often as it takes to go round
                inside = {
                    item: short(
                        repr(
                            (self._own[item], [(said, found.get(at) or inside[at]) for said, at in self._means[item]])
                        ).encode()
                    )
                    for item in group
                }
            found |= inside
        return found

    def effects(self, together: Mapping[Item, str]) -> list[str]:
        """Digests of what modules do when they are imported."""
        return sorted(digest for (_, name), digest in together.items() if name == _EFFECTS)

    def by_file(self) -> dict[str, str]:
        """By source file a digest of what counts of it."""
        said: dict[str, list[str]] = {}
        for (module, name), digest in self._own.items():
            if name == _TEMPLATES:
                said |= {path: [content] for path, content in _templates(module).items()}
            elif name not in (_ENTRY, _WHOLE):
                said.setdefault(_path(module).relative_to(PROJECT).as_posix(), []).append(digest)
        return {file: short(repr(sorted(digests)).encode()) for file, digests in sorted(said.items())}

    def _add(self, item: Item, definition: Definition, source: SourceModule) -> None:
        ours: list[tuple[str, Item]] = []
        foreign: list[tuple[str, str]] = []
        for chain in sorted(definition.mentions):
            for meaning in _meanings(item[0], source, definition, chain):
                if isinstance(meaning, str):
                    foreign.append((chain[0], meaning))
                else:
                    ours.append((".".join(chain), meaning))
        for name, path in {**source.imports, **definition.imports}.items():
            if name.startswith(STAR):
                ours += [(STAR, meaning) for meaning in _at(path, []) if not isinstance(meaning, str)]
        for number, text in enumerate(definition.texts):
            if _path(text).is_file():
                ours.append((f"text {number}", (text, _WHOLE)))
                ours += [(f"text {number}", (text, _TEMPLATES))] if _templates(text) else []
            else:
                foreign.append((f"text {number}", text))
        self._own[item] = short(repr((definition.digest, sorted(set(foreign)))).encode())
        self._means[item] = ours

    def _load(self, path: str) -> Iterator[Item]:
        """What importing it does, and all that it imports."""
        parts = path.split(".")
        if parts[0] not in ROOTS:
            return
        for count in range(1, len(parts) + 1):
            module = ".".join(parts[:count])
            if module in self._loaded or not has_say(module) or (source := _source(module)) is None:
                continue
            self._loaded.add(module)
            if source.effects is not None:
                yield module, _EFFECTS
            for loaded in source.loads:
                yield from self._load(loaded)


def _definition(source: SourceModule, name: str) -> Definition:
    if name == _EFFECTS:
        assert source.effects is not None  # else it is no item
        return source.effects
    if name in (_ENTRY, _WHOLE):  # whoever has the module has its imports by name too
        names = source.definitions if name == _ENTRY else (*source.definitions, *source.imports)
        return Definition(digest="", mentions=frozenset((each,) for each in names))
    return source.definitions[name]


def _meanings(module: str, source: SourceModule, definition: Definition, chain: DottedName) -> Iterator[Item | str]:
    """What a name stands for: an item, or the dotted path of what is not ours. Local names stand for nothing."""
    name, *attributes = chain
    if name in definition.imports:
        yield from _at(definition.imports[name], attributes)
    if name in source.definitions:
        yield module, name
    elif name in source.imports:
        yield from _at(source.imports[name], attributes)


def _at(path: str, attributes: Sequence[str]) -> Iterator[Item | str]:
    """What a dotted path stands for, and attributes of that."""
    parts = path.split(".")
    if parts[0] not in ROOTS:
        yield path
        return
    parts += attributes
    for count in range(len(parts), 0, -1):
        module = ".".join(parts[:count])
        source = _source(module)
        if source is None:
            continue
        if not has_say(module):
            return
        if count == len(parts) or source.opaque:
            yield module, _WHOLE
        elif (name := parts[count]) in source.definitions:
            yield module, name
        elif name in source.imports:
            yield from _at(source.imports[name], parts[count + 1 :])
        else:
            yield module, _WHOLE
        return


@functools.cache
def _path(module: str) -> Path:
    path = PROJECT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@functools.cache
def _source(module: str) -> SourceModule | None:
    """None where there is no such module, as where the last part of a path is something in one."""
    path = _path(module)
    try:
        return parsed(path, path.stat().st_mtime_ns)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _templates(module: str) -> dict[str, str]:
    """Digests of the files in the folder `templates` of a package, by path."""
    paths = sorted((_path(module).parent / "templates").rglob("*")) if _path(module).name == "__init__.py" else []
    return {path.relative_to(PROJECT).as_posix(): short(path.read_bytes()) for path in paths if path.is_file()}


def _groups(means: Mapping[Item, Sequence[tuple[str, Item]]]) -> Iterator[list[Item]]:
    """The items in groups of those that mention each other, each after all that it mentions (Tarjan 1972)."""
    number: dict[Item, int] = {}
    lowest: dict[Item, int] = {}
    path: list[Item] = []
    on_path: set[Item] = set()
    for start in means:
        if start in number:
            continue
        calls = [(start, iter(means[start]))]
        number[start] = lowest[start] = len(number)
        path.append(start)
        on_path.add(start)
        while calls:
            item, ahead = calls[-1]
            following = next((at for _, at in ahead if at not in number or at in on_path), None)
            if following is None:
                calls.pop()
                if calls:
                    before = calls[-1][0]
                    lowest[before] = min(lowest[before], lowest[item])
                if lowest[item] == number[item]:
                    group = path[path.index(item) :]
                    del path[path.index(item) :]
                    on_path.difference_update(group)
                    yield group
            elif following in number:
                lowest[item] = min(lowest[item], number[following])
            else:
                number[following] = lowest[following] = len(number)
                path.append(following)
                on_path.add(following)
                calls.append((following, iter(means[following])))
