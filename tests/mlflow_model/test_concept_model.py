import ast
import base64
import importlib.util
import io
import json
import os
import py_compile
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import packages_distributions
from pathlib import Path

import mlflow.pyfunc
import pytest
import torch
from huggingface_hub import ModelCard
from mlflow.exceptions import MlflowException
from PIL import Image

from model.bases.base import load_base
from model.bases.parameters import parameters_of
from model.bases.prompt import ConceptPrompt
from model.drawing.sample import generate
from model.drawing.sampling_options import Sampling
from model.marks.content_credentials import read_credentials
from model.weights.concept import ConceptWeights
from tasks.registry.package import NEEDED, write_package
from tasks.registry.package_listing import write_listing
from tasks.registry.training_facts import TrainingFacts
from tasks.store.store import open_store
from tests.certificates import write_key_and_certificates
from tests.model.tiny import MAX_TOKENS, write_tiny_base
from tests.tasks.finished_training import concept, project, training

SOURCE = Path(__file__).resolve().parents[2] / "mlflow" / "concept_model.py"
PROMPT = "a photo of a {} on the beach"


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """A project whose base is tiny and real."""
    settings = project(tmp_path_factory.mktemp("project"))
    shutil.rmtree(settings.root / "base")
    write_tiny_base(settings.root / "base")
    return settings


@pytest.fixture(scope="module")
def weights(settings) -> ConceptWeights:
    """Weights of UNet and text encoder that draw something else than the base does."""
    base = load_base(str(settings.root / "base"))
    width = base.text_encoders[0].width
    changed = {
        next((name, parameter.detach() + 0.5) for name, parameter in parameters_of(base).items() if name.endswith(end))
        for end in ("attn2.to_k.weight", "mlp.fc1.weight")
    }
    return ConceptWeights.of(ConceptPrompt("<turtle>", "turtle"), [torch.linspace(-1, 1, width)[None]], dict(changed))


@pytest.fixture(scope="module")
def manifests(settings, weights, tmp_path_factory):
    file = tmp_path_factory.mktemp("weights") / "concept.safetensors"
    weights.save(file)
    return training(settings, weights=file.read_bytes())


@pytest.fixture(scope="module")
def loaded(settings, manifests, tmp_path_factory):
    record = TrainingFacts.read(open_store(settings), concept(settings), manifests)
    folder = tmp_path_factory.mktemp("package")
    package = write_package(folder, settings, open_store(settings), record, run_id="0" * 32, model_id="m-0")
    return mlflow.pyfunc.load_model(str(package))


def png(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text, validate=True)))


def drawn_directly(settings, weights, *, seed: int, count: int) -> list[bytes]:
    base = load_base(str(settings.root / "base"))
    sampling = Sampling(guidance_scale=3.0, num_inference_steps=4, seed=seed)
    (pictures,) = generate(base, weights, [weights.prompt.fill(PROMPT)], count, sampling)
    return [picture.tobytes() for picture in pictures]


def test_the_version_holds_the_difference_and_not_the_base(settings, manifests, tmp_path):
    record = TrainingFacts.read(open_store(settings), concept(settings), manifests)
    package = write_package(tmp_path, settings, open_store(settings), record, run_id="0" * 32, model_id="m-0")
    files = {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()}
    assert {file for file in files if file.endswith(".safetensors")} == {"artifacts/concept.safetensors"}
    assert not any(file.endswith((".pkl", ".bin", ".pt", ".pyc")) for file in files)
    facts = json.loads((package / "artifacts" / "concept.json").read_text())
    assert facts["base"]["folder"] == str(settings.root / "base")
    assert "unet/diffusion_pytorch_model.safetensors" in facts["base"]["files"]
    card = ModelCard.load(package / "README.md")
    assert card.data.to_dict()["library_name"] == "mlflow"
    assert record.key in card.text
    requirements = (package / "requirements.txt").read_text().splitlines()
    assert f"torch=={torch.__version__.partition('+')[0]}" in requirements


def test_the_requirements_are_what_the_code_in_the_version_imports():
    imported = set()
    for file in (SOURCE, *(SOURCE.parents[1] / "model").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(str(node.module).partition(".")[0])
    trains, takes_in, extra = {"peft"}, {"pillow_heif"}, {"c2pa", "cryptography"}  # what a served version never does
    foreign = imported - sys.stdlib_module_names - {"model"} - trains - takes_in - extra
    distributions = packages_distributions()
    providers = {name: {provider.lower() for provider in distributions[name]} for name in foreign}
    assert [name for name, provided in providers.items() if provided.isdisjoint(NEEDED)] == []
    assert set(NEEDED) <= set.union(*providers.values())


def test_the_signature_is_what_predict_does(loaded):
    assert [column.name for column in loaded.metadata.get_input_schema()] == ["prompt", "n", "seed"]
    assert loaded.metadata.get_input_schema().required_input_names() == ["prompt"]
    defaults = {param.name: param.default for param in loaded.metadata.get_params_schema()}
    assert defaults == {"guidance_scale": 3.0, "num_inference_steps": 4, "word_norm": 0.0, "word_turn": 0.0}
    table = loaded.predict([{"prompt": PROMPT}])
    assert list(table.columns) == [column.name for column in loaded.metadata.get_output_schema()]
    assert len(table) == 1


def test_a_seed_is_a_picture(settings, weights, loaded):
    rows = [{"prompt": PROMPT, "n": 2, "seed": 3}, {"prompt": PROMPT, "n": 1, "seed": 4}]
    table = loaded.predict(rows)
    assert list(table["seed"]) == [3, 3, 4]
    pictures = [png(image).tobytes() for image in table["image"]]
    assert pictures[:2] == drawn_directly(settings, weights, seed=3, count=2)
    assert len(set(pictures)) == 3
    fewer_steps = loaded.predict([{"prompt": PROMPT, "seed": 3}], params={"num_inference_steps": 2})
    assert png(fewer_steps["image"][0]).tobytes() != pictures[0]


def test_a_row_without_a_number_takes_the_default_beside_rows_that_have_it(loaded):
    table = loaded.predict([{"prompt": PROMPT, "n": 2, "seed": 3}, {"prompt": PROMPT}])
    assert list(table["seed"]) == [3, 3, 0]
    assert table["image"][2] == loaded.predict([{"prompt": PROMPT}])["image"][0]


def test_requests_at_the_same_time_get_the_pictures_that_they_would_get_alone(loaded):
    asked = [
        [{"prompt": f"a photo of a {{}} {where}", "seed": seed}] for where in ("", "on the beach") for seed in (0, 1)
    ]
    alone = [loaded.predict(rows).to_dict() for rows in asked]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda rows: loaded.predict(rows).to_dict(), asked * 6)) == alone * 6


def test_a_request_is_bounded_as_a_whole(loaded):
    for rows, params, said in (
        ([{"prompt": PROMPT, "n": 64}] * 200, {}, "200 rows"),
        ([{"prompt": PROMPT, "n": 40}] * 2, {}, "80 pictures: a request may ask for 64"),
        ([{"prompt": PROMPT, "n": 4}], {"num_inference_steps": 1000}, "4,000 steps together"),
        ([{"prompt": PROMPT + "x" * 10_000_000}], {}, "10,000,028 letters"),
    ):
        with pytest.raises(MlflowException, match=said):
            loaded.predict(rows, params=params)


def test_as_many_are_drawn_side_by_side_as_in_the_evaluation_and_too_little_memory_is_said(package, monkeypatch):
    drawn = []

    def runs_out(_, arguments):
        drawn.append(len(arguments[0]))
        raise torch.OutOfMemoryError  # no device that can really run out is at hand

    for variable, size in ((None, 3), ("2", 2)):
        if variable:
            monkeypatch.setenv("CONCEPTBOOTH_SERVE_BATCH_SIZE", variable)
        loaded = mlflow.pyfunc.load_model(str(package))
        loaded.unwrap_python_model()._base.denoiser.register_forward_pre_hook(runs_out)
        with pytest.raises(MlflowException, match=f"CONCEPTBOOTH_SERVE_BATCH_SIZE below {size} needs less") as caught:
            loaded.predict([{"prompt": PROMPT, "n": 8}])
        assert caught.value.get_http_status_code() == 429
        assert drawn.pop() == 2 * size, "with guidance each goes through the denoiser twice"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": "a photo of a turtle"}, "no {} where the concept should stand"),
        ({"prompt": "a {} and a {}"}, "2 times {}"),
        ({"prompt": "a {} " + "in the snow " * 10}, "in the snow"),
        ({"prompt": PROMPT, "n": 0}, "n = 0: 1 to 64 pictures"),
        ({"prompt": PROMPT, "n": 1000}, "n = 1000"),
        ({"prompt": PROMPT, "seed": -1}, "seed"),
        ({"prompt": PROMPT, "seed": 7.5}, "seed = 7.5: a whole number"),
    ],
)
def test_what_cannot_be_drawn_is_the_callers_error(loaded, row, said):
    with pytest.raises(MlflowException) as caught:
        loaded.predict([row])
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"
    assert said in caught.value.message


def test_a_prompt_may_be_as_long_as_the_base_reads_with_the_concept_as_one_word(loaded, weights):
    room = MAX_TOKENS - 2  # start and end
    words = ["a", "{}", *["snow"] * (room - 3)]  # {} is two: the placeholder and its category
    assert len(loaded.predict([{"prompt": " ".join(words)}])) == 1
    with pytest.raises(MlflowException, match="snow"):
        loaded.predict([{"prompt": PROMPT}, {"prompt": " ".join([*words, "snow"])}])


def test_another_base_is_refused_when_the_version_is_loaded(settings, loaded, tmp_path, monkeypatch):
    other = tmp_path / "other"
    shutil.copytree(settings.root / "base", other)
    unet = other / "unet" / "diffusion_pytorch_model.safetensors"
    content = bytearray(unet.read_bytes())
    content[-1] ^= 1
    unet.write_bytes(content)
    monkeypatch.setenv("CONCEPTBOOTH_BASE", str(other))
    package = Path(loaded._model_impl.context.artifacts["facts"]).parents[1]
    with pytest.raises(MlflowException, match=r"not the one of this training, 1 of .*unet/diffusion_pytorch_model"):
        mlflow.pyfunc.load_model(str(package))
    unet.write_bytes((settings.root / "base" / "unet" / unet.name).read_bytes())
    assert len(mlflow.pyfunc.load_model(str(package)).predict([{"prompt": PROMPT}])) == 1


def test_executing_the_file_needs_neither_torch_nor_the_model_code():
    code = f"""
import runpy, sys
import mlflow.pyfunc
runpy.run_path({str(SOURCE)!r})
assert "torch" not in sys.modules and "model.bases.base" not in sys.modules
"""
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


def test_a_key_that_cannot_sign_is_refused_when_the_version_is_loaded(loaded, monkeypatch):
    monkeypatch.setenv("CONCEPTBOOTH_C2PA_KEY", "key.pem")
    with pytest.raises(MlflowException, match="CONCEPTBOOTH_C2PA_CERTIFICATES is not set"):
        mlflow.pyfunc.load_model(str(Path(loaded._model_impl.context.artifacts["facts"]).parents[1]))


def test_where_a_key_is_named_every_picture_is_signed(loaded, tmp_path, monkeypatch):
    pytest.importorskip("c2pa", reason="c2pa-python, an extra of the project, is not installed")
    for name, file in zip(("KEY", "CERTIFICATES"), write_key_and_certificates(tmp_path), strict=True):
        monkeypatch.setenv(f"CONCEPTBOOTH_C2PA_{name}", str(file))
    model = mlflow.pyfunc.load_model(str(Path(loaded._model_impl.context.artifacts["facts"]).parents[1]))
    for image in model.predict([{"prompt": PROMPT, "n": 2}])["image"]:
        found = read_credentials(base64.b64decode(image))
        assert found
        assert (found.state, found.signed_by) == ("Valid", "a booth, a booth")


@pytest.fixture
def package(loaded, tmp_path) -> Path:
    """A copy of the version's package, to be changed."""
    return Path(shutil.copytree(Path(loaded._model_impl.context.artifacts["facts"]).parents[1], tmp_path / "package"))


SPY = "import pathlib; pathlib.Path({ran!r}).touch()\n"
"""Code that shows by a file that it was run."""


def bytecode_of(source: Path, code: str) -> None:
    """What Python would take for the compiled form of a source file that has not changed."""
    compiled = Path(importlib.util.cache_from_source(str(source)))
    compiled.parent.mkdir(exist_ok=True)
    facts, original = source.stat(), source.read_bytes()
    source.write_text(code)
    py_compile.compile(str(source), cfile=str(compiled), invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP)
    content = bytearray(compiled.read_bytes())
    content[8:16] = int(facts.st_mtime).to_bytes(4, "little") + len(original).to_bytes(4, "little")
    compiled.write_bytes(content)
    source.write_bytes(original)
    os.utime(source, ns=(facts.st_atime_ns, facts.st_mtime_ns))


@pytest.mark.parametrize("harm", ["changed", "bytecode", "beside", "shadow", "link", "missing", "no list", "weights"])
def test_nothing_is_run_that_is_not_listed(package, tmp_path, harm):
    """In a process that knows nothing but MLflow, and that would take its modules from the folder of the code."""
    ran, drawing = tmp_path / "ran", package / "code" / "model" / "drawing" / "sample.py"
    spy = SPY.format(ran=str(ran))
    if harm == "changed":
        drawing.write_text(spy + drawing.read_text())
    elif harm == "bytecode":
        bytecode_of(drawing, spy + drawing.read_text())
    elif harm == "beside":
        (package / "code" / "model" / "drawing" / "more.py").write_text(spy)
    elif harm == "shadow":
        (package / "code" / "diffusers.py").write_text(spy)
    elif harm == "link":
        (tmp_path / "code.py").write_text(spy)
        (package / "code" / "safetensors.py").symlink_to(tmp_path / "code.py")
    elif harm == "missing":
        drawing.unlink()
    elif harm == "no list":
        (package / "sha256.json").unlink()
    else:
        weights = package / "artifacts" / "concept.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    code = f"import mlflow; mlflow.pyfunc.load_model({str(package)!r})"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, env=outside(), check=False
    )
    assert done.returncode != 0
    assert ("cannot be checked" if harm == "no list" else "so none of them was run") in done.stderr, done.stderr[-2000:]
    assert not ran.exists()


def outside() -> dict[str, str]:
    """The environment of somebody who has no checkout."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def test_the_code_of_each_version_is_its_own_and_loading_leaves_nothing_behind(package, tmp_path):
    """Two versions in one process, the second with other code: neither stands in for the other."""
    before = files_of(package)
    other = Path(shutil.copytree(package, tmp_path / "other"))
    source = other / "code" / "model" / "marks" / "marking.py"
    source.write_text(source.read_text() + "\n\ndef marked_png(picture, mark):\n    return b'of the other'\n")
    write_listing(other)
    code = f"""
import base64, sys, mlflow
one, two = (mlflow.pyfunc.load_model(each) for each in {[str(package), str(other)]!r})
pictures = [base64.b64decode(model.predict([{{"prompt": {PROMPT!r}}}])["image"][0]) for model in (one, two, one)]
assert [picture[:4] == b"\\x89PNG" for picture in pictures] == [True, False, True], pictures
assert pictures[1] == b"of the other"
assert "model" not in sys.modules and not [entry for entry in sys.path if entry.endswith("/code")]
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, env=outside(), check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert files_of(package) == before


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
