"""Which device and which number formats: decided without torch, because cache keys need the answer before any work."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import sys
from typing import TYPE_CHECKING, Literal

from model.errors import InputError

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cuda", "mps", "cpu")
DTYPES = ("auto", "float32", "bfloat16")
DeviceType = Literal["cuda", "mps", "cpu"]
_FIRST_WITH_BFLOAT16 = (8, 0)  # Ampere


def device_type(requested: str = "auto") -> DeviceType:
    """The kind of device that `requested` means on this machine. Raises InputError for an unknown name."""
    if requested not in DEVICES:
        raise InputError(f"device '{requested}': unknown; there are {', '.join(DEVICES)}")
    if requested != "auto":
        return requested  # type: ignore[return-value]
    if _torch_has_cuda() and _cuda_capability() is not None:
        return "cuda"
    return "mps" if sys.platform == "darwin" and platform.machine() == "arm64" else "cpu"


def numeric_policy(requested_device: str = "auto", requested_dtype: str = "auto") -> dict[str, str]:
    """Device type, master weights and autocast format, as plain text. Raises InputError for what does not exist.

    Weights are float32 everywhere: at rate 2e-6 a bfloat16 weight would lose its updates to rounding.
    """
    device = device_type(requested_device)
    if requested_dtype not in DTYPES:
        raise InputError(f"dtype '{requested_dtype}': unknown; there are {', '.join(DTYPES)}")
    autocast = "bfloat16" if requested_dtype == "bfloat16" else "none"
    if requested_dtype == "auto" and device == "cuda":
        capability = _cuda_capability()
        if capability is None:
            raise InputError(
                "dtype 'auto' on device 'cuda': no GPU is visible here, so it cannot be told which type the GPU that "
                "will do the work would choose; set dtype to bfloat16 or float32"
            )
        autocast = "bfloat16" if capability >= _FIRST_WITH_BFLOAT16 else "none"
    return {"device": device, "weights": "float32", "autocast": autocast}


def left_to_the_machine(requested_device: str, requested_dtype: str) -> list[str]:
    """What two machines could answer differently, so that they would never agree on a key; empty if nothing.

    Each is one sentence that names the value and what to set instead.
    """
    if requested_device == "auto":
        return ["device 'auto': every machine would choose its own; set device to cuda, mps or cpu"]
    if requested_device == "cuda" and requested_dtype == "auto":
        return ["dtype 'auto': a GPU with bfloat16 chooses it, another float32; set dtype to bfloat16 or float32"]
    return []


def missing_gpu(name: str) -> str | None:
    """What is wrong with a GPU's number or UUID on this machine; None if it is there and torch can use GPUs."""
    if not _torch_has_cuda():
        return f"GPU {name}: the torch that is installed here was built without CUDA"
    if _cuda_capability(name) is None:
        return f"GPU {name}: the driver of this machine knows none of that name; `nvidia-smi -L` lists those it knows"
    return None


def open_device(requested: str = "auto") -> torch.device:
    """The torch device that `requested` means. Raises InputError if torch cannot use it on this machine."""
    kind = device_type(requested)
    fix_cublas_workspace()

    import torch

    usable = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if not usable[kind]:
        raise InputError(
            f"device '{requested}': torch {torch.__version__} finds no {kind} device here; "
            "choose device cpu, or install a driver and a torch build that fit"
        )
    return torch.device(kind)


def fix_cublas_workspace() -> None:
    """Give cuBLAS a workspace of fixed size, unless the environment says which: without it sums differ in last bits.

    It is read once, when cuBLAS starts, so this comes before the first work on the device.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def _torch_has_cuda() -> bool:
    try:
        return not importlib.metadata.version("torch").endswith("+cpu")
    except importlib.metadata.PackageNotFoundError:
        return False


def _cuda_capability(visible: str | None = None) -> tuple[int, int] | None:
    """Compute capability of the NVIDIA GPU of that number or UUID, else of the first visible one; None without it.

    Asked of the driver's management library: unlike the CUDA runtime it starts in milliseconds and survives a fork.
    """
    visible = visible or os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    if visible in ("", "-1"):
        return None
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return None
    if nvml.nvmlInit_v2() != 0:
        return None
    try:
        handle, major, minor = ctypes.c_void_p(), ctypes.c_int(), ctypes.c_int()
        if visible.isdecimal():
            found = nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(int(visible)), ctypes.byref(handle))
        else:
            found = nvml.nvmlDeviceGetHandleByUUID(ctypes.c_char_p(visible.encode()), ctypes.byref(handle))
        if found != 0:
            return None
        if nvml.nvmlDeviceGetCudaComputeCapability(handle, ctypes.byref(major), ctypes.byref(minor)) != 0:
            return None
        return major.value, minor.value
    finally:
        nvml.nvmlShutdown()


def device_words(kind: str) -> str:
    """The device in words: a GPU's name, or the processor's kind and number of cores."""
    if kind == "cuda":
        import torch

        return f"cuda, {torch.cuda.get_device_name()}"
    return f"{kind}, {platform.machine()}, {os.cpu_count()} cores"
