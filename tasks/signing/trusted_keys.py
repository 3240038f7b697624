"""Which key is trusted with what: a list that the project keeps in git, so that a change of it is reviewed.

    # trusted_keys.yaml
    release desk:
      public_key: keys/release-desk.pem      # or the PEM text itself
      trusted_with: [releases]
    gpu a:
      public_key: keys/gpu-a.pem
      trusted_with: [trainings]

Without the file the keys of this machine are trusted, each with what it is set for.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from model.errors import InputError
from tasks.files.yaml_files import read_yaml, schema_problems
from tasks.project.settings import Settings, shown_path
from tasks.signing.keys import ROLES, SETTING, Role, check_public_key, is_signed_by, key_id, public_key_of


class _Entry(BaseModel):
    """One entry of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    public_key: str
    trusted_with: tuple[Role, ...]


@dataclass(frozen=True, kw_only=True)
class TrustedKey:
    """A public key and what its signature counts for."""

    name: str
    public_key: bytes
    """PEM."""
    id: str
    trusted_with: tuple[Role, ...]

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"


@dataclass(frozen=True, kw_only=True)
class TrustedKeys:
    """All keys that are trusted with something."""

    keys: tuple[TrustedKey, ...] = ()

    def asks_for(self, role: Role) -> bool:
        """Whether signatures of this role are asked for: somebody could have made them."""
        return any(role in key.trusted_with for key in self.keys)

    def who_signed(self, role: Role, kind: str, text: bytes, signature: Mapping[str, str] | None) -> TrustedKey | str:
        """The key that signed a document and is trusted with that, or why there is none, in words."""
        if signature is None:
            return "is not signed"
        named = str(signature.get("key"))
        key = next((key for key in self.keys if key.id == named), None)
        if key is None:
            return f"is signed by key {named}, which nobody here trusts"
        if not is_signed_by(key.public_key, kind, text, signature):
            return f"its signature does not hold: key {key} did not sign this"
        if role not in key.trusted_with:
            return f"is signed by {key}, which is not trusted with {role}"
        return key


def load_trusted_keys(settings: Settings) -> TrustedKeys:
    """The project's list; without one, the keys of this machine. InputError, with all problems, where it is wrong."""
    file = settings.trusted_keys
    if not file.is_file():
        return _own_keys(settings)
    label, content = shown_path(settings, file), read_yaml(file, shown_path(settings, file))
    try:
        entries = TypeAdapter(dict[str, _Entry]).validate_python({} if content is None else content)
    except ValidationError as error:
        raise InputError(*schema_problems(error, label, _Entry.model_fields)) from error
    keys, problems = [], []
    for name, entry in entries.items():
        try:
            pem = _pem(settings, entry.public_key)
            check_public_key(pem)
            keys.append(TrustedKey(name=name, public_key=pem, id=key_id(pem), trusted_with=entry.trusted_with))
        except OSError as error:
            problems.append(f"{label}: {name}: public_key {entry.public_key}: {error.strerror}")
        except ValueError as error:
            problems.append(f"{label}: {name}: public_key: no public key of an elliptic curve in PEM ({error})")
    ids = [key.id for key in keys]
    problems += [f"{label}: {key.name}: its key stands twice" for key in keys if ids.count(key.id) > 1]
    if problems:
        raise InputError(*problems)
    return TrustedKeys(keys=tuple(keys))


def _own_keys(settings: Settings) -> TrustedKeys:
    keys: dict[bytes, list[Role]] = {}
    for role in ROLES:
        if getattr(settings, SETTING[role]) is not None:
            try:
                keys.setdefault(public_key_of(settings, role), []).append(role)
            except (OSError, ValueError, TypeError):
                continue  # `key_problems` says so where it is used
    return TrustedKeys(
        keys=tuple(
            TrustedKey(name=SETTING[roles[0]], public_key=pem, id=key_id(pem), trusted_with=tuple(roles))
            for pem, roles in keys.items()
        )
    )


def _pem(settings: Settings, named: str) -> bytes:
    return named.encode() if named.lstrip().startswith("-----") else (settings.root / named).read_bytes()
