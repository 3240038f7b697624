"""Read the YAML files that people write, and say what is wrong with them in their own words."""

import difflib
import re
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from model.errors import InputError
from model.methods.limits import as_written
from model.reading.documents import DEEPEST
from model.reading.files import decoded, read_file

COMMIT = r"^[0-9a-f]{40}$"
MOST_BYTES = 8 * 2**20
"""Of a YAML file: the record of twenty thousand images has five."""
_MOST_DIGITS = 100
"""Of a number, with everything that belongs to it."""
_MOST_REPEATED = 10_000
"""Entries that aliases stand for, all aliases together."""
_NUMBERS = {f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "timestamp")}
# What cannot be nested deep is not looked at twice: each level opens a bracket, or stands further to the right.
_SURELY_FLAT = 30
_ANCHORS = re.compile(r"[&*]")
_OPENS = re.compile(r"[\[{]")
_INDENTED = re.compile(rf"^[ \t?:-]{{{_SURELY_FLAT},}}", re.MULTILINE)

# libyaml's parser where PyYAML was built with it: seven times as fast
_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _StrictLoader(_Loader):  # type: ignore[misc, valid-type]
    """Refuses a key that stands twice, of which plain YAML would silently drop the first; takes 2e-6 for a number."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        number = isinstance(node, yaml.ScalarNode) and node.tag in _NUMBERS
        if number and len(node.value) > _MOST_DIGITS:
            said = f"a number of {len(node.value):,} characters; put it in quotes if it is a text"
            raise yaml.constructor.ConstructorError(None, None, said, node.start_mark)
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, KeyError, IndexError, AttributeError, TypeError, OverflowError) as error:
            # PyYAML lets whatever its conversions meet go through: the date 2026-02-30, `!!int x`
            said = f"{str(node.value)[:40]!r} is no {node.tag.rpartition(':')[2]} ({error})"
            raise yaml.constructor.ConstructorError(None, None, said, node.start_mark) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue  # `<<: *usual`, no key of its own
            key = self.construct_object(key_node, deep=deep)
            if not isinstance(key, Hashable):
                continue  # refused below
            if key in seen:
                said = f"the key {key!r} stands twice"
                raise yaml.constructor.ConstructorError(None, None, said, key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


# YAML 1.1, which PyYAML reads, wants the dot of 2.0e-6 and takes 2e-6 for text.
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+\Z"), list("-+0123456789")
)


def read_yaml(path: Path, label: str) -> Any:
    """The content of a YAML file; `label` is how messages call the file.

    Raises:
        InputError: the file is not there, is no regular file or too large, is not UTF-8, is not YAML, or is nested or
            multiplied by anchors beyond bounds.
    """
    return parse_yaml(read_file(path, label, MOST_BYTES), label)


def parse_yaml(content: bytes, label: str) -> Any:
    """What a YAML document says. InputError, which begins with `label`, as `read_yaml` raises it."""
    text = decoded(content, label)
    try:
        if _ANCHORS.search(text) or len(_OPENS.findall(text)) > _SURELY_FLAT or _INDENTED.search(text):
            _check_shape(text)
        return yaml.load(text, Loader=_StrictLoader)
    except yaml.YAMLError as error:
        raise InputError(f"{label}: {_yaml_words(error)}") from error


def _check_shape(text: str) -> None:
    """Raise a YAMLError for what is nested too deep or grows by its anchors, before anything is built of it.

    libyaml builds what is nested by recursion on the C stack, which ends the process; and a list of ten aliases of a
    list of ten aliases, nine times over, is a thousand million things to whoever looks at each.
    """
    depth = nodes = grown = 0
    open_anchors: list[tuple[str | None, int]] = []
    sizes: dict[str, int] = {}  # of what an anchor stands for
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            nodes += 1
            open_anchors.append((event.anchor, nodes))
            if depth > DEEPEST:
                raise _refused(f"nested more than {DEEPEST} levels deep", event)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
            anchor, before = open_anchors.pop()
            if anchor is not None:
                sizes[anchor] = nodes - before + 1
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor in (anchor for anchor, _ in open_anchors):
                raise _refused(f"*{event.anchor} stands inside what it stands for", event)
            size = sizes.get(event.anchor or "", 1)
            nodes += size
            grown += size
            if grown > _MOST_REPEATED:
                raise _refused(f"*{event.anchor}: the anchors repeat more than {_MOST_REPEATED:,} entries", event)
        elif isinstance(event, yaml.ScalarEvent):
            nodes += 1


def _refused(said: str, event: yaml.Event) -> yaml.YAMLError:
    mark: Any = event.start_mark  # of either parser
    return yaml.constructor.ConstructorError(None, None, said, mark)


def write_yaml(path: Path, content: Any, comment: str) -> None:
    """Write `content` under one line of comment, keys in the given order."""
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
    path.write_text(f"# {comment}\n{text}", encoding="utf-8")


def schema_problems(error: ValidationError, label: str, known: Iterable[str]) -> list[str]:
    """One sentence for each thing that a pydantic schema found wrong in the file that messages call `label`."""
    return [f"{label}: {_schema_words(dict(problem), list(known))}" for problem in error.errors()]


def _schema_words(problem: dict[str, Any], known: list[str]) -> str:
    name = ".".join(map(str, problem["loc"]))
    value, bounds = as_written(problem["input"]), problem.get("ctx", {})
    match problem["type"]:
        case "missing":
            return f"{name} is missing"
        case "extra_forbidden":
            names = [*known, *(section for section, dot, _ in (other.partition(".") for other in known) if dot)]
            near = difflib.get_close_matches(str(problem["loc"][-1]), names, n=1)
            near = near or difflib.get_close_matches(name, names, n=1)
            return f"{name} is unknown; " + (f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}")
        case "string_type":
            return f"{name} = {value}: a text is needed, put it in quotes"
        case "model_type":
            return f"{name + ' = ' if name else ''}{value}: lines such as `{known[0]}: ...` are needed"
        case "string_too_short":
            return f"{name} is empty"
        case "int_type" | "int_from_float":
            return f"{name} = {value}: a whole number is needed"
        case "float_type":
            return f"{name} = {value}: a number is needed"
        case "bool_type":
            return f"{name} = {value}: true or false is needed"
        case "dict_type" | "mapping_type":
            return f"{name} = {value}: lines such as `name: value` are needed"
        case "list_type" | "tuple_type":
            return f"{name} = {value}: a list such as [one, another] is needed"
        case "greater_than_equal":
            return f"{name} = {value}: at least {bounds['ge']:,.12g} is needed"
        case "less_than_equal":
            return f"{name} = {value}: at most {bounds['le']:,.12g} is allowed"
        case "less_than":
            return f"{name} = {value}: less than {bounds['lt']:,.12g} is needed"
        case "literal_error":
            return f"{name} = {value}: {bounds['expected']} is needed"
        case "string_pattern_mismatch" if COMMIT in bounds["pattern"]:
            return f"{name} = {value}: a whole commit is needed, 40 digits of 0-9 and a-f"
        case _:
            return f"{name} = {value}: {problem['msg'].removeprefix('Value error, ')}"


def _yaml_words(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    said = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"line {mark.line + 1}, column {mark.column + 1}: {said}" if mark else f"not readable as YAML: {said}"
