"""What tells decoded data from other data: a hash of a split."""

from __future__ import annotations

import hashlib

import numpy as np

from sftbench.contracts.dataset import Examples


def fingerprint(examples: Examples) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 over inputs and targets."""
    hasher = hashlib.sha256()
    inputs = examples.inputs
    if isinstance(inputs, np.ndarray):
        hasher.update(f"{inputs.dtype}{inputs.shape}".encode())
        for start in range(0, len(inputs), 4096):
            hasher.update(np.ascontiguousarray(inputs[start : start + 4096]).data)
    else:
        for item in inputs:
            hasher.update(repr(item).encode())
    hasher.update(np.ascontiguousarray(examples.targets).data)
    return hasher.hexdigest()[:16]
