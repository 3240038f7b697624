"""A concept model as the registry keeps it: MLflow executes this file when it loads a version, on any machine.

The version holds what differs from the base model (one embedding, the changed weights) and the code that draws with
them, in code/model. MLflow runs this one file by itself; the rest is hashed here and compared with the list of the
version's files before any of it is run or read, and what is not listed is refused.

The base is found where the training found it, or where the environment variable CONCEPTBOOTH_BASE says (a folder).
Where there is another one by now, a store has it: that of the training, or one that CONCEPTBOOTH_STORE or
CONCEPTBOOTH_PRODUCTION_STORE names. It must be the base of the training, byte for byte.

    model = mlflow.pyfunc.load_model("models:/concept.turtle@candidate")
    table = model.predict([{"prompt": "a watercolor of a {} in the snow", "n": 4, "seed": 7}])
    png = base64.b64decode(table.image[0])

Every picture says that an AI made it, and from what (`model/marks/marking.py`); where CONCEPTBOOTH_C2PA_KEY and
CONCEPTBOOTH_C2PA_CERTIFICATES name a key and its certificates, that is signed.
"""

import base64
import builtins
import hashlib
import json
import os
import sys
import threading
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import RESOURCE_EXHAUSTED
from mlflow.pyfunc import PythonModel, PythonModelContext

SERVER = "mlflow.pyfunc.scoring_server.app"
"""The module that is being imported where `mlflow models serve` loads a model."""
STORES = ("CONCEPTBOOTH_STORE", "CONCEPTBOOTH_PRODUCTION_STORE")
"""Environment variables that may name stores which have the base."""
_LISTING, _CODE, _ROOT = "sha256.json", "code", "model"
_SHOWN = 5  # names in a message


class ConceptModel(PythonModel):
    """Draws a concept in new scenes."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the base and the concept's weights.

        Raises:
            MlflowException: the version's files are not those of its list; the base is not to be found, or is another
                one than that of the training, or too large for the device's memory; a key is named that does not sign
                pictures; a bound of requests is none.
        """
        # torch and the model's code are imported here: registering a version executes this file and needs neither.
        artifacts = [Path(context.artifacts[name]) for name in ("facts", "weights")]
        self._code = code = _Code(*_verified(Path(__file__).resolve().parent, artifacts))
        load_base = code.load("model.bases.base").load_base
        recorded_base = code.load("model.bases.recorded_base")
        errors = code.load("model.errors")
        content_credentials = code.load("model.marks.content_credentials")
        open_device = code.load("model.runtime.device").open_device
        ConceptWeights = code.load("model.weights.concept").ConceptWeights

        facts = json.loads(Path(context.artifacts["facts"]).read_text(encoding="utf-8"))
        self._autocast = facts["autocast"]
        self._made_by = {"concept": facts["concept"], "content": facts["key"], "version": None}
        try:
            self._bounds = code.load("model.serving.requests").Bounds.of(os.environ, batch_size=facts["batch_size"])
            key, certificates = content_credentials.KEY_VARIABLE, content_credentials.CERTIFICATES_VARIABLE
            self._signer = content_credentials.open_signer(_file_in(key), _file_in(certificates))
            device = open_device(os.environ.get("CONCEPTBOOTH_DEVICE", "auto"))
            base = facts["base"]
            with TemporaryDirectory() as scratch:  # for one that a store keeps: its files are read when it is loaded
                kept = partial(_kept_base, base, Path(scratch), recorded_base.assembled_base)
                reference, revision = recorded_base.find_recorded_base(base, Path(base["folder"]), kept)
                self._base = load_base(reference, revision, device=device)
            weights = ConceptWeights.load(Path(context.artifacts["weights"]))
            # This base serves this concept alone: it stays changed, instead of anew for every picture.
            weights.put_into(self._base)
        except errors.InputError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error
        except errors.WorkFailed as error:  # the device's memory does not suffice
            raise MlflowException(str(error), error_code=RESOURCE_EXHAUSTED) from error
        self._concept = weights.alone
        if SERVER in sys.modules:
            code.load("model.serving.clients").watch_clients(self._bounds.bytes)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Pictures for each row.

        Columns: `prompt` holds one {} where the concept stands; `n` pictures, 1 where a row says nothing; `seed`, 0
        where a row says nothing: the same seed draws the same pictures. `params`: guidance_scale, num_inference_steps,
        word_norm, word_turn; those of the training's evaluation by default. Returns one row a picture: prompt as the
        model read it, seed, index, image (PNG, base64).

        Raises:
            MlflowException: a prompt without {}, with two or longer than the base reads; numbers out of range; more
                than the bounds of a request (docs/serving.md); too little memory on the device; the client has gone.
        """
        code = self._code
        tokenize = code.load("model.bases.tokens").tokenize
        generate = code.load("model.drawing.sample").generate
        errors = code.load("model.errors")
        marking = code.load("model.marks.marking")
        clients = code.load("model.serving.clients")
        requests_module = code.load("model.serving.requests")

        rows = []
        try:
            requests = requests_module.read_requests(model_input.to_dict("records"), params, self._bounds)
            texts = [self._concept.prompt.fill(request.prompt) for request in requests]
            for text in texts:  # all are looked at before the first is drawn
                tokenize(self._base.tokenizers, text, self._concept.prompt)
            for text, request in zip(texts, requests, strict=True):
                (pictures,) = generate(
                    self._base,
                    self._concept,
                    [text],
                    request.count,
                    request.sampling,
                    autocast=self._autocast,
                    before_step=clients.check_client,
                    batch_setting=requests_module.BATCH_SETTING,
                )
                seed = request.sampling.seed
                for index, picture in enumerate(pictures):
                    mark = marking.Mark(**self._made_by, prompt=request.prompt, text=text, seed=seed, index=index)
                    png = marking.marked_png(picture, mark)
                    signed = self._signer.signed(png, mark) if self._signer else png
                    rows.append((text, seed, index, base64.b64encode(signed).decode("ascii")))
        except errors.InputError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error
        except errors.WorkFailed as error:  # the device's memory does not suffice: it says which setting needs less
            raise MlflowException(str(error), error_code=RESOURCE_EXHAUSTED) from error
        except clients.ClientGone as error:
            raise MlflowException("nobody waits for these pictures any more, so they were not drawn") from error
        return pd.DataFrame(rows, columns=["prompt", "seed", "index", "image"])


def _kept_base(base: Mapping[str, Any], scratch: Path, assemble: Callable[..., Path | None]) -> Path | None:
    """The base as a store keeps it, put together in a folder; None where no store that can be asked has all of it."""
    stores = dict.fromkeys([os.environ.get(name) for name in STORES] + [base.get("store")])
    for number, store in enumerate(filter(None, stores)):
        folder, fetched = scratch / str(number), scratch / f"{number}-fetched"
        folder.mkdir()
        if whole := assemble(base["files"], partial(_content, store, fetched), folder):
            return whole
    return None


def _content(store: str, fetched: Path, sha256: str) -> Path | None:
    """The content of that name in a store, cas/sha256/ab/<sha256>; fetched first where that is a bucket."""
    name = f"cas/sha256/{sha256[:2]}/{sha256}"
    if "://" not in store:
        return Path(store).expanduser() / name
    from mlflow.artifacts import download_artifacts

    try:
        fetched.mkdir(exist_ok=True)
        return Path(download_artifacts(artifact_uri=f"{store.rstrip('/')}/{name}", dst_path=str(fetched)))
    except Exception:  # noqa: BLE001 - of whatever library reads that kind of address: then it is not to be had there
        return None


def _file_in(variable: str) -> Path | None:
    return Path(os.environ[variable]).expanduser() if os.environ.get(variable) else None


class _Code:
    """The package `model` of a version, out of bytes that were hashed in this process.

    Its modules have names of their own, so that neither another version's code in this process nor an installed
    `model` stands in for them; nothing is looked up on sys.path, and bytecode is neither read nor left.
    """

    def __init__(self, package: Path, sources: Mapping[str, bytes]) -> None:
        self._package, self._sources = package, sources
        self._called = f"conceptbooth_{uuid.uuid4().hex}"
        self._modules: dict[str, ModuleType] = {}
        self._alone = threading.RLock()
        self._builtins = vars(builtins) | {"__import__": self._import}

    def load(self, name: str) -> ModuleType:
        """A module by the name that the code calls it by: `model.bases.base`."""
        with self._alone:
            if name in self._modules:
                return self._modules[name]
            parent, _, last = name.rpartition(".")
            above = self.load(parent) if parent else None
            place = f"{_CODE}/{name.replace('.', '/')}"
            file = next((f for f in (f"{place}/__init__.py", f"{place}.py") if f in self._sources), None)
            if file is None:
                raise ModuleNotFoundError(f"No module named {name!r} in this version", name=name)
            module = ModuleType(f"{self._called}.{name}")
            module.__file__, vars(module)["__builtins__"] = str(self._package / file), self._builtins
            self._modules[name] = sys.modules[module.__name__] = module
            try:
                exec(compile(self._sources[file], module.__file__, "exec", dont_inherit=True), vars(module))
            except BaseException:
                del self._modules[name], sys.modules[module.__name__]
                raise
            if above is not None:
                setattr(above, last, module)
            return module

    def _import(
        self, name: str, variables: Any = None, own: Any = None, wanted: Any = (), level: int = 0
    ) -> ModuleType:
        """What `import` means in that code: everything but `model` comes from where it always does."""
        if level or name.partition(".")[0] != _ROOT:
            return builtins.__import__(name, variables, own, wanted, level)
        module = self.load(name)
        for each in wanted or ():
            if not hasattr(module, each):
                with suppress(ModuleNotFoundError):  # it is no module either: the import says so itself
                    self.load(f"{name}.{each}")
        return module if wanted else self.load(_ROOT)


def _verified(package: Path, artifacts: list[Path]) -> tuple[Path, dict[str, bytes]]:
    """The folder of a version, and its code as it was hashed, by path; MlflowException unless it is as it is listed."""
    code = package / _CODE
    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry) != str(code)]  # nothing comes from there
    try:
        listed: dict[str, str] = json.loads((package / _LISTING).read_bytes())
        there = {path.relative_to(package).as_posix(): path for path in code.rglob("*") if not _is_folder(path)}
        contents = {name: path.read_bytes() for name, path in there.items() if name in listed and path.is_file()}
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
        for path in artifacts:
            with path.open("rb") as file:
                hashes[path.resolve().relative_to(package).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
        differing = {name for name, digest in hashes.items() if listed.get(name) != digest}
        differing |= there.keys() ^ {name for name in listed if name.startswith(f"{_CODE}/")}
    except (OSError, ValueError, AttributeError) as error:
        raise MlflowException.invalid_parameter_value(f"{package}: its files cannot be checked: {error}") from error
    if differing:
        named = ", ".join(map(ascii, sorted(differing)[:_SHOWN])) + (", ..." if len(differing) > _SHOWN else "")
        raise MlflowException.invalid_parameter_value(
            f"{package}: {len(differing)} files are not as {_LISTING} says, so none of them was run: changed, missing, "
            f"or put there by somebody: {named}"
        )
    return package, contents


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _leave_no_bytecode() -> None:
    """Remove what Python has compiled this file to: in a version lies what is listed, and nothing else."""
    compiled = globals().get("__cached__")
    if compiled and Path(__file__).with_name(_LISTING).is_file():
        with suppress(OSError):  # a folder that cannot be written has none
            Path(compiled).unlink()
            Path(compiled).parent.rmdir()


_leave_no_bytecode()
set_model(ConceptModel())
