"""Reading YAML that people write: `2e-6` is a number, and a name given twice is an error, not a silent overwrite."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from model.errors import InputError


class _Loader(yaml.CSafeLoader):
    """PyYAML's loader with the numbers of YAML 1.2 and without duplicate names."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for name_node, _ in node.value:
            name = self.construct_object(name_node, deep=True)
            if name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{name!r} stands here twice", name_node.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


# YAML 1.1, which PyYAML reads, wants a dot in 2.0e-6 and takes 2e-6 for text.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+\Z"), list("-+0123456789")
)


def read_yaml(path: Path) -> dict[str, Any]:
    """The content of a YAML file that holds `name: value` lines.

    Raises:
        InputError: no such file, not YAML, a name given twice, or not `name: value`.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise InputError(f"{path}: holds no `name: value` lines")
    return content
