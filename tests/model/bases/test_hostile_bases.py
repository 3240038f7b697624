"""A base's folder is data: nothing of it runs, nothing of it decides how much memory is asked for."""

import resource
import shutil

import pytest
import torch

from model.bases.base import load_base
from model.drawing.sample import generate
from model.drawing.sampling_options import Sampling
from model.errors import InputError
from tests.hostile_bases import RUN, Case, cases

CASES = cases()


@pytest.fixture(scope="module")
def drawn(base_folders):
    """What the sound base draws."""
    return pixels(base_folders["sd2"])


def pixels(folder) -> bytes:
    base = load_base(str(folder))
    [[picture]] = generate(base, None, ["a turtle"], 1, Sampling(num_inference_steps=2))
    return picture.tobytes()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("case", CASES, ids=[case.called for case in CASES])
def test_what_becomes_of_it(base_folders, drawn, tmp_path, case: Case):
    folder = shutil.copytree(base_folders["sd2"], tmp_path / "base")
    case.change(folder)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if case.says:
        with pytest.raises(InputError) as caught:
            load_base(str(folder))
        assert case.says in str(caught.value)
        assert str(folder) in str(caught.value)
        assert all(len(problem) < 500 for problem in caught.value.problems)
    else:
        assert pixels(folder) == drawn
    assert not (folder / RUN).exists()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 300_000, "kilobytes"


def test_as_many_as_are_promised():
    assert len(CASES) >= 12


def test_what_the_weights_hold_is_asked_before_memory_is(base_folders, tmp_path):
    """A size that no table of ours knows."""
    from tests.hostile_bases import _edit

    folder = shutil.copytree(base_folders["sd2"], tmp_path / "base")
    _edit("unet/config.json", time_embedding_dim=9_000_000)(folder)
    with pytest.raises(InputError, match=r"unet/ config\.json asks for [\d,]+ numbers, and its weights hold [\d,]+"):
        load_base(str(folder))


def test_half_precision_alone_is_told_apart(base_folders, tmp_path):
    folder = shutil.copytree(base_folders["sd2"], tmp_path / "base")
    whole = folder / "unet/diffusion_pytorch_model.safetensors"
    whole.rename(whole.with_name("diffusion_pytorch_model.fp16.safetensors"))
    with pytest.raises(InputError, match=r'only diffusion_pytorch_model\.fp16\.safetensors.* variant="fp16"'):
        load_base(str(folder))


def test_weights_in_several_files_are_read(base_folders, bases, tmp_path):
    folder = shutil.copytree(base_folders["sd2"], tmp_path / "base")
    shutil.rmtree(folder / "unet")
    bases["sd2"].denoiser.save_pretrained(folder / "unet", max_shard_size="20KB")
    assert len(list((folder / "unet").glob("*-of-*.safetensors"))) > 1
    again = load_base(str(folder)).denoiser.state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in bases["sd2"].denoiser.state_dict().items())
