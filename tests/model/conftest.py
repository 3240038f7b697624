import numpy as np
import pytest
import torch
from PIL import Image

from model.bases.base import Base, load_base
from model.bases.prompt import ConceptPrompt
from model.methods.method import Stage
from tests.model.tiny import write_tiny_base, write_tiny_clip, write_tiny_xl_base
from tests.model.tiny_joint import JOINT


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """At these sizes a second thread only waits for the first."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def base_folders(tmp_path_factory):
    """Like Stable Diffusion 1.x (noise, padded with the end token), 2.x (velocity, padded with another), and XL."""
    folder = tmp_path_factory.mktemp("bases")
    return {
        "sd1": write_tiny_base(folder / "sd1", prediction_type="epsilon"),
        "sd2": write_tiny_base(folder / "sd2", prediction_type="v_prediction", pad_token="!"),
        "xl": write_tiny_xl_base(folder / "xl"),
    }


@pytest.fixture(scope="session")
def bases(base_folders) -> dict[str, Base]:
    return {name: load_base(str(folder)) for name, folder in base_folders.items()}


@pytest.fixture(scope="session")
def base(bases) -> Base:
    return bases["sd2"]


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory):
    return write_tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="session")
def images() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    sizes = [(16, 16), (24, 18), (40, 64)]
    return [Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)) for width, height in sizes]


@pytest.fixture(scope="session")
def prompt() -> ConceptPrompt:
    return ConceptPrompt("<v>", "turtle")


@pytest.fixture(scope="session")
def make_stage():
    """A short stage; every setting can be replaced."""

    def make(trains: str, **settings) -> Stage:
        plain = {
            "name": trains,
            "starts_from": "super_category" if trains == "embedding" else "previous_stage",
            "learning_rate": 1e-3,
            "max_train_steps": 3,
            "batch_size": 2,
            "attention_mean_weight": 0.1,
            "attention_variance_weight": 0.5,
            "augmented_views": 4,
        }
        return Stage(trains=trains, **(plain | settings))

    return make


@pytest.fixture(scope="session", params=JOINT)
def joint_folder(tmp_path_factory, request):
    """A base of each family with joint attention; it draws 64 pixels."""
    return JOINT[request.param](tmp_path_factory.mktemp("joint") / request.param)


@pytest.fixture(scope="session")
def joint_base(joint_folder) -> Base:
    return load_base(str(joint_folder))
