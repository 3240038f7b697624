import subprocess
import sys

import pytest

from model.drawing.sampling_options import Sampling
from model.errors import InputError
from model.runtime import device


def test_plain_modules_import_no_heavy_library():
    code = (
        "import sys, model.errors, model.methods.method, model.bases.prompt, model.runtime.device;"
        "import model.drawing.sampling_options, model.bases.base_files;"
        "print({m.split('.')[0] for m in sys.modules} & "
        "{'torch', 'diffusers', 'transformers', 'numpy', 'PIL', 'prefect', 'mlflow', 'dvc'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("capability", "dtype", "policy"),
    [
        (None, "auto", ("cpu", "none")),
        (None, "bfloat16", ("cpu", "bfloat16")),
        ((7, 5), "auto", ("cuda", "none")),
        ((8, 0), "auto", ("cuda", "bfloat16")),
        ((9, 0), "float32", ("cuda", "none")),
    ],
)
def test_policy_follows_the_device(monkeypatch, capability, dtype, policy):
    monkeypatch.setattr(device, "_cuda_capability", lambda: capability)
    monkeypatch.setattr(device, "_torch_has_cuda", lambda: True)
    monkeypatch.setattr(device.sys, "platform", "linux")
    found = device.numeric_policy("auto", dtype)
    assert (found["device"], found["autocast"]) == policy
    assert found["weights"] == "float32"


@pytest.mark.parametrize(("dtype", "autocast"), [("bfloat16", "bfloat16"), ("float32", "none")])
def test_a_machine_without_a_gpu_plans_what_one_with_a_gpu_does(monkeypatch, dtype, autocast):
    policies = []
    for capability in (None, (7, 5), (9, 0)):
        monkeypatch.setattr(device, "_cuda_capability", lambda capability=capability: capability)
        policies.append(device.numeric_policy("cuda", dtype))
    assert policies == [{"device": "cuda", "weights": "float32", "autocast": autocast}] * 3
    assert device.left_to_the_machine("cuda", dtype) == []


def test_a_gpu_that_is_elsewhere_cannot_be_asked_for_its_types(monkeypatch):
    monkeypatch.setattr(device, "_cuda_capability", lambda: None)
    with pytest.raises(InputError, match=r"dtype 'auto' on device 'cuda': no GPU .* bfloat16 or float32"):
        device.numeric_policy("cuda", "auto")


@pytest.mark.parametrize(
    ("requested", "left"),
    [(("auto", "float32"), "device 'auto'"), (("cuda", "auto"), "dtype 'auto'"), (("cpu", "auto"), None)],
)
def test_what_machines_would_decide_for_themselves_is_told(requested, left):
    found = device.left_to_the_machine(*requested)
    assert [problem.split(":")[0] for problem in found] == ([left] if left else [])


def test_a_torch_without_cuda_never_chooses_it(monkeypatch):
    monkeypatch.setattr(device, "_cuda_capability", lambda: (9, 0))
    monkeypatch.setattr(device.importlib.metadata, "version", lambda name: "2.13.0+cpu")
    monkeypatch.setattr(device.sys, "platform", "linux")
    assert device.device_type("auto") == "cpu"


def test_hidden_gpus_are_not_seen(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert device._cuda_capability() is None


def test_a_gpu_that_is_not_here_is_named(monkeypatch):
    monkeypatch.setattr(device, "_torch_has_cuda", lambda: False)
    assert "GPU 0" in device.missing_gpu("0") and "without CUDA" in device.missing_gpu("0")
    monkeypatch.setattr(device, "_torch_has_cuda", lambda: True)
    assert "GPU 97" in device.missing_gpu("97") and "nvidia-smi" in device.missing_gpu("97")


class OneGpu:
    """The driver's library on a machine with one GPU of compute capability 9.0."""

    UUID = b"GPU-0123"

    def nvmlInit_v2(self):
        return 0

    def nvmlShutdown(self):
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index, _handle):
        return 0 if index.value == 0 else 6

    def nvmlDeviceGetHandleByUUID(self, uuid, _handle):
        return 0 if uuid.value == self.UUID else 6

    def nvmlDeviceGetCudaComputeCapability(self, _handle, major, minor):
        major._obj.value, minor._obj.value = 9, 0
        return 0


def test_a_gpu_goes_by_its_number_or_its_uuid(monkeypatch):
    monkeypatch.setattr(device, "_torch_has_cuda", lambda: True)
    monkeypatch.setattr(device.ctypes, "CDLL", lambda _: OneGpu())
    names = ("0", "1", "GPU-0123", "GPU-4567")
    assert [name for name in names if not device.missing_gpu(name)] == ["0", "GPU-0123"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-0123,GPU-4567")
    assert device._cuda_capability() == (9, 0)


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match=r"device 'tpu'.*auto, cuda, mps, cpu"):
        device.device_type("tpu")
    with pytest.raises(InputError, match=r"dtype 'float16'.*bfloat16"):
        device.numeric_policy("cpu", "float16")


def test_a_device_that_is_not_there_is_said():
    import torch

    missing = "cuda" if not torch.cuda.is_available() else "mps"
    with pytest.raises(InputError, match=f"no {missing} device"):
        device.open_device(missing)
    assert device.open_device("cpu") == torch.device("cpu")


def test_sampling_limits():
    assert Sampling().problems() == []
    wrong = Sampling(guidance_scale=0.5, num_inference_steps=0, seed=-1, batch_size=0).problems()
    assert [problem.split(" ")[0] for problem in wrong] == [
        "sampling.guidance_scale",
        "sampling.num_inference_steps",
        "sampling.seed",
        "sampling.batch_size",
    ]
