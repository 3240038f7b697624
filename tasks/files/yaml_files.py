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

COMMIT = r"^[0-9a-f]{40}$"

# libyaml's parser where PyYAML was built with it: seven times as fast
_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _StrictLoader(_Loader):  # type: ignore[misc, valid-type]
    """Refuses a key that stands twice, of which plain YAML would silently drop the first; takes 2e-6 for a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
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
        InputError: the file is not there, is not UTF-8, or is not YAML.
    """
    try:
        return yaml.load(path.read_bytes(), Loader=_StrictLoader)
    except FileNotFoundError:
        raise InputError(f"{label}: there is no such file") from None
    except OSError as error:
        raise InputError(f"{label}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeError) as error:
        raise InputError(f"{label}: {_yaml_words(error)}") from error


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
        case "string_pattern_mismatch" if bounds["pattern"] == COMMIT:
            return f"{name} = {value}: a whole commit is needed, 40 digits of 0-9 and a-f"
        case _:
            return f"{name} = {value}: {problem['msg'].removeprefix('Value error, ')}"


def _yaml_words(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    said = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"line {mark.line + 1}, column {mark.column + 1}: {said}" if mark else f"not readable as YAML: {said}"
