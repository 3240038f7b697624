"""Records of the store as JSON, read back strictly: what is not as one of ours is written is refused with a reason."""

from collections.abc import Callable, Collection
from typing import Any, TypeVar

from model.reading.documents import parse_json

T = TypeVar("T")


def read_document(content: bytes | str, what: str, schema: int, build: Callable[[dict[str, Any]], T]) -> T:
    """What `build` makes of the values of a JSON object whose `schema` is this one; `what` names it in messages.

    Raises ValueError where it is no JSON, of another schema, or nothing that `build` can use.
    """
    return read_values(parse_json(content, "it"), what, [schema], build)


def read_values(values: Any, what: str, schemas: Collection[int], build: Callable[[dict[str, Any]], T]) -> T:
    """`read_document` of what was parsed, and unsealed, already; the newest of the schemas comes first."""
    try:
        if values["schema"] not in schemas:
            raise ValueError(f"schema {values['schema']!r}, this version reads {next(iter(schemas))}")
        return build(values)
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"is no {what}: {error!r}") from error
