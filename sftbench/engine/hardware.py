"""What a device is called, and which precisions and compilers it has."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import sysconfig
from pathlib import Path

import torch

from sftbench.names import one_line
from sftbench.protocol import Precision
from sftbench.provenance import hardware

# The first compute capability with bf16 and TF32 in its tensor cores.
_AMPERE = (8, 0)
_X86 = {"x86_64", "amd64"}


def device_name(device: str) -> str:
    """Return the name of the processor or accelerator that `device` is."""
    found = hardware(device)
    return str(found.get("accelerator") or found["processor"])


def precision_problem(device: str, precision: Precision) -> str | None:
    """Say why a precision has no hardware of its own on a device, or None."""
    if device.startswith("cuda"):
        capability = torch.cuda.get_device_capability(device)
        if precision in {"bf16", "tf32"} and capability < _AMPERE:
            have = ".".join(map(str, capability))
            return f"needs a GPU of compute capability 8.0; {device_name(device)} has {have}"
        return None
    if precision == "tf32":
        return f"TF32 is a format of CUDA GPUs; the device is {device}"
    if precision == "bf16":
        return _bf16_problem(device)
    return None


def _bf16_problem(device: str) -> str | None:
    if device != "cpu":
        return f"not measured on {device}"
    if platform.machine().lower() in _X86:
        cpu = torch.cpu
        names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        # Without one of them oneDNN computes in fp32 and rounds: slower than fp32.
        has = any(bool(getattr(cpu, name, lambda: False)()) for name in names)
        return None if has else "this processor has neither avx512_bf16 nor AMX"
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    return None if supported() else "this processor has no bf16 that torch knows of"


def compile_problem(device: str) -> str | None:
    """Say what `torch.compile` lacks to make kernels for a device, or None."""
    if device.startswith("cuda"):
        if importlib.util.find_spec("triton") is None:
            return "torch.compile needs triton: pip install triton"
        given, compilers = os.environ.get("CC"), ["gcc", "clang"]
    elif device == "cpu":
        given, compilers = os.environ.get("CXX"), ["clang++" if sys.platform == "darwin" else "g++"]
    else:
        return f"torch.compile is not used on {device}"
    wanted = [given.split()[0]] if given and given.split() else compilers
    if not any(shutil.which(name) for name in wanted):
        return f"torch.compile needs a compiler here: {' or '.join(map(one_line, wanted))}"
    headers = Path(sysconfig.get_path("include"), "Python.h")
    if not headers.exists():
        return f"torch.compile needs Python's headers here: {headers}"
    return None
