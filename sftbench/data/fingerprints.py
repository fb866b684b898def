"""What tells decoded data from other data: a hash of a split."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from sftbench.contracts.dataset import Examples


def fingerprint(examples: Examples) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 over inputs, targets and truth."""
    hasher = hashlib.sha256()
    inputs = examples.inputs
    if isinstance(inputs, np.ndarray):
        hasher.update(f"{inputs.dtype}{inputs.shape}".encode())
        for start in range(0, len(inputs), 4096):
            hasher.update(np.ascontiguousarray(inputs[start : start + 4096]).data)
    else:
        for item in inputs:
            if isinstance(item, np.ndarray):  # whose repr leaves things out
                _add(hasher, item)
            else:
                hasher.update(repr(item).encode())
    hasher.update(np.ascontiguousarray(examples.targets).data)
    for more in (examples.truth, examples.class_counts):
        if more is not None:
            _add(hasher, more)
    return hasher.hexdigest()[:16]


def _add(hasher: hashlib._Hash, value: object) -> None:
    """Add a value of arrays, sequences and mappings, with its structure."""
    if isinstance(value, np.ndarray):
        hasher.update(f"{value.dtype}{value.shape}".encode())
        hasher.update(np.ascontiguousarray(value).data)
    elif isinstance(value, Mapping):
        hasher.update(f"{{{len(value)}".encode())
        for key in sorted(value, key=str):
            hasher.update(f"{key!r}:".encode())
            _add(hasher, value[key])
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        hasher.update(f"[{len(value)}".encode())
        for item in value:
            _add(hasher, item)
    else:
        hasher.update(f"{value!r},".encode())
