"""Broken and hostile files of weights for `fuzz_inputs.py`."""

from __future__ import annotations

import functools
import io
import os
import pickle
import random
import struct
from pathlib import Path
from typing import Any

from fuzz_words import Case, any_word


def weights_files(rng: random.Random, box: Path) -> Case:
    """A file that is read as weights and fitted to a small network; code in it must not run."""
    marker = box / "ran"
    path = box / f"weights{rng.choice(['.pt', '.pth', '.safetensors', '.bin', '.ckpt'])}"
    data = bytearray(_content(rng, marker))
    for _ in range(rng.choice([0, 1, 3])):
        at = rng.randint(0, len(data))
        data[at : at + rng.randint(0, 9)] = rng.choice([b"", b"\0", b"9" * 30, rng.randbytes(4)])
    path.write_bytes(data[: rng.randint(0, len(data))] if rng.random() < 0.2 else data)
    return Case([], call=lambda: _read(path, marker))


class _Code:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.marker),)


def _content(rng: random.Random, marker: Path) -> bytes:
    import torch
    from safetensors.torch import save

    tensors: dict[str, Any] = {
        f"{rng.choice(['', 'model.', 'module.'])}{name}": tensor[: rng.choice([None, 2])]
        for name, tensor in _network().model.state_dict().items()
        if tensor.ndim and rng.random() < 0.95
    }
    name = any_word(rng).encode(errors="replace").decode()
    tensors[name] = torch.zeros(rng.choice([0, 1, 3]), rng.choice([1, 4]))
    kind = rng.choice(["safetensors", "torch", "nested", "code", "pickle", "header", "noise"])
    if kind == "safetensors":
        return bytes(save({name: tensor.contiguous().clone() for name, tensor in tensors.items()}))
    if kind == "header":
        text = rng.choice([b"{}", b"[]", b'{"a":1}', b"{", b'{"__metadata__":{"a":1}}'])
        return struct.pack("<Q", rng.choice([len(text), 0, 2**63, 5])) + text
    if kind == "noise":
        return rng.randbytes(rng.choice([0, 1, 100]))
    if kind == "pickle":
        return pickle.dumps(rng.choice([[1], {"a": 1}, _Code(marker), {"a": _Code(marker)}]))
    stream = io.BytesIO()
    values: Any = {"nested": {"state_dict": tensors}, "code": {**tensors, "x": _Code(marker)}}
    torch.save(values.get(kind, tensors), stream)
    return stream.getvalue()


@functools.cache
def _network() -> Any:
    import torch
    from torch import nn

    from sftbench.models.blocks import BlockBackbone

    layers = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    return BlockBackbone(layers, torch.zeros(1, 3, 8, 8))


def _read(path: Path, marker: Path) -> object:
    from sftbench.models.weight_files import fit, read_tensors

    try:
        return fit(read_tensors(path)[0], _network(), str(path))
    finally:
        if marker.exists():
            raise AssertionError(f"{path} ran its code")
