"""The process around the engine: device, threads, allocator, determinism, precision."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import re
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager

import torch

from sftbench.errors import RequestError
from sftbench.names import shown
from sftbench.protocol import Precision

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_CUDA = re.compile(r"cuda(?::([0-9]{1,4}))?")


def resolve_devices(name: str) -> tuple[str, ...]:
    """Return the devices that the user's word names; `auto` and `cuda` take every CUDA device.

    Raises:
        RequestError: No such device here.
    """
    num_cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    every = tuple(f"cuda:{index}" for index in range(num_cuda))
    if name == "auto":
        return every or ("cpu",)
    if name == "cpu":
        return ("cpu",)
    if found := _CUDA.fullmatch(name):
        index = found[1]
        if not every:
            raise RequestError(
                f"device {shown(name)}: torch {torch.__version__} sees no CUDA device; "
                "use --device cpu"
            )
        if index and int(index) >= num_cuda:
            raise RequestError(f"device {shown(name)}: there are {num_cuda}, counted from 0")
        return (f"cuda:{int(index)}",) if index else every
    if name == "mps" and torch.backends.mps.is_available():
        return ("mps",)
    raise RequestError(f"device {shown(name)}: use auto, cpu, cuda or cuda:N (mps on a Mac)")


def usual_precision(device: str) -> Precision:
    """Return what `default` means, by a rule of thumb: bf16 on CUDA, fp32 elsewhere."""
    return "bf16" if device.startswith("cuda") else "fp32"


def prepare_process(device: str, *, threads: int | None, deterministic: bool) -> None:
    """Set what holds for every cell of this process; called once, before the first one.

    Denormal numbers are flushed to zero (they slow CPUs down tenfold and carry nothing), and
    glibc keeps freed memory instead of giving it back between batches.
    """
    if threads is not None:
        torch.set_num_threads(max(1, threads))
    torch.set_flush_denormal(True)
    if device == "cpu" and sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            libc = ctypes.CDLL("libc.so.6")
            libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
            libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
    if device.startswith("cuda"):
        _set_products("ieee", "ieee")
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(deterministic)


def release_memory(device: torch.device) -> None:
    """Give freed memory back to the system: from a process that now waits for others."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)


@contextlib.contextmanager
def seeded(device: torch.device, seed: int) -> Iterator[None]:
    """Run what is inside under a seed of its own, and give torch's generators back as they were."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Return the context of mixed precision: bf16 where the protocol says so."""
    if precision == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


@contextlib.contextmanager
def products_in(device: torch.device, precision: Precision) -> Iterator[None]:
    """Let CUDA round the factors of fp32 products to TF32 inside, where the protocol says `tf32`.

    In every other precision fp32 means fp32: torch would let cuDNN round convolutions to TF32.
    """
    if device.type != "cuda":
        yield
        return
    before = _products()
    wanted = "tf32" if precision == "tf32" else "ieee"
    _set_products(wanted, wanted)
    try:
        yield
    finally:
        _set_products(*before)


def _products() -> tuple[str, str]:
    """Return how CUDA multiplies fp32 in convolutions and in matrix products."""
    conv = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    return conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision


def _set_products(conv: str, matmul: str) -> None:
    torch.backends.cudnn.conv.fp32_precision = conv  # type: ignore[attr-defined]
    torch.backends.cuda.matmul.fp32_precision = matmul


@contextlib.contextmanager
def settings_restored() -> Iterator[None]:
    """Leave the settings of torch as the caller had them, who runs a cell in his own process."""
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    benchmark = torch.backends.cudnn.benchmark
    products = _products()
    try:
        yield
    finally:
        _set_products(*products)
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)
        torch.backends.cudnn.benchmark = benchmark
