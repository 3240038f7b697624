"""Records of the store as JSON, read back strictly: what is not as one of ours is written is refused with a reason."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def read_document(content: bytes | str, what: str, schema: int, build: Callable[[dict[str, Any]], T]) -> T:
    """What `build` makes of the values of a JSON object whose `schema` is this one; `what` names it in messages.

    Raises ValueError where it is no JSON, of another schema, or nothing that `build` can use.
    """
    try:
        values = json.loads(content)
        if values["schema"] != schema:
            raise ValueError(f"schema {values['schema']!r}, this version reads {schema}")
        return build(values)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"is no {what}: {error!r}") from error
