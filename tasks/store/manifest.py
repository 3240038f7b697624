"""The manifest of an artefact: which files a stage left, from what, by what. Put last, it makes the artefact exist."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from tasks.files.hashing import digest_of
from tasks.files.names import proper_name, proper_sha256
from tasks.signing.keys import Signer
from tasks.store.manifest_shape import check_manifest
from tasks.store.sealed import json_text, unsealed

SCHEMA = 1
KIND = "manifest"
"""What its signature is over."""
MODELS = ("base", "evaluator", "identity_model")
"""Kinds of inputs that are pretrained models."""
WHOLE_CODE = "*"
"""Among the digests of source code: that over all of it (tasks/jobs/code_digest.py)."""


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    """One file of an artefact; its content lies in the store under its hash."""

    sha256: str
    size: int  # bytes

    @classmethod
    def parse(cls, sha256: object, size: object) -> Self:
        """As a document says it. ValueError unless they are a hash, by which a content may be called, and a size."""
        if type(size) is not int or size < 0:
            raise ValueError(f"a size of {size!r} bytes")
        return cls(sha256=proper_sha256(sha256), size=size)


@dataclass(frozen=True, kw_only=True)
class Input:
    """Something that a stage read: `key` says what was asked for, `digest` what was there."""

    kind: str  # an earlier stage ("prepare", "train-1-embedding"), "image_set", "base", "evaluator", "prompts"
    key: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a stage says about its work; with the files it becomes the manifest."""

    stage: str
    key: str
    inputs: tuple[Input, ...]
    parameters: Mapping[str, Any]
    code: Mapping[str, str]  # "*", which is all of it, and each source file: digest
    packages: Mapping[str, str]  # distribution: what counts of its version
    seed: int | None
    numeric_policy: Mapping[str, Any]
    device: str  # the machine's, in words
    wall_seconds: float
    metrics: Mapping[str, Any] = field(default_factory=dict)  # numbers; a list has one for each point of a curve
    base: Mapping[str, Any] | None = None  # reference, revision, digest, digests of its files, licence
    evaluator: Mapping[str, Any] | None = None  # the same of the model that gives the scores
    identity_model: Mapping[str, Any] | None = None  # the same of the model that gives DINO scores, if one was asked
    git: Mapping[str, Any] | None = None  # commit, dirty: of the project and its images, in git
    labels: Mapping[str, str] = field(default_factory=dict)  # display names: concept, method, preset
    stated: Mapping[str, Any] = field(default_factory=dict)  # by the owner: licence, source, consent, originals
    images: tuple[Mapping[str, Any], ...] = ()  # of prepared images: what each was made from
    installed: Mapping[str, str] = field(default_factory=dict)  # distribution: its whole version
    made_by: Mapping[str, Any] | None = None  # code and packages that made it again, where others are in its key

    @property
    def models(self) -> dict[str, Mapping[str, Any]]:
        """The pretrained models that it describes, by the kind of input that they are."""
        described = {kind: getattr(self, kind) for kind in MODELS}
        return {kind: model for kind, model in described.items() if model is not None}

    @property
    def code_digest(self) -> str:
        """One digest over all source code that ran."""
        return self.code.get(WHOLE_CODE) or digest_of(dict(self.code))


@dataclass(frozen=True, kw_only=True)
class Manifest(Facts):
    """An artefact that exists."""

    files: Mapping[str, FileRecord]  # path inside the artefact, with "/": record
    created: str  # UTC, ISO 8601
    schema: int = SCHEMA
    signature: Mapping[str, str] | None = field(default=None, compare=False)  # of who made it, where a key was set
    sealed: bool = field(default=True, compare=False)  # whether its text says what its bytes have to be

    @property
    def signed_text(self) -> bytes:
        """What the signature is over: all that it says."""
        content = asdict(self)
        del content["sealed"], content["signature"]
        return json_text(content)

    def signed_by(self, signer: Signer | None) -> Self:
        """The same with the signature of who made it, where there is a key."""
        return replace(self, signature=signer.sign(KIND, self.signed_text)) if signer else self

    def to_json(self) -> str:
        """Stable text: sorted keys, so that equal manifests are equal bytes, and a seal over all of it."""
        content = asdict(self)
        del content["sealed"]
        if self.signature is None:  # as before there were any
            del content["signature"]
        return json_text({**content, "seal": hashlib.sha256(json_text(content)).hexdigest()}).decode()

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read `to_json`'s text. Raises ValueError where it is none of this schema, or not as it was sealed."""
        try:
            content, seal = unsealed(text.encode())
            if content["schema"] != SCHEMA:
                raise ValueError(f"manifest schema {content['schema']!r}, this version reads {SCHEMA}")
            check_manifest(cls, content)
            files = {proper_name(path): FileRecord.parse(**record) for path, record in content.pop("files").items()}
            inputs = tuple(Input(**record) for record in content.pop("inputs"))
            images = tuple(content.pop("images", ()))
            signature, is_sealed = seal.signature if seal else content.pop("signature", None), seal is not None
            return cls(files=files, inputs=inputs, images=images, signature=signature, sealed=is_sealed, **content)
        except (TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(f"not a manifest: {error!r}") from error

    def digest(self) -> str:
        """One hash over all files: what a later stage records as having read."""
        return digest_of({path: record.sha256 for path, record in self.files.items()})
