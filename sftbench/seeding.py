"""Seeds by purpose: one seed index of a plan becomes many independent, named streams.

Strategies with the same seed index share the split, the subset, the head's first weights and the
order of examples, because none of those purposes knows the strategy. So comparisons are paired.
"""

from __future__ import annotations

import hashlib

import numpy as np


def derive(purpose: str, seed: int, dataset: str, *more: str | int) -> int:
    """Return a 63-bit seed that depends on every argument (SHA-256 of their joined text)."""
    text = "\x1f".join(str(part) for part in (purpose, seed, dataset, *more))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_generator(purpose: str, seed: int, dataset: str, *more: str | int) -> np.random.Generator:
    """Return a PCG64 generator of its own for this purpose."""
    return np.random.Generator(np.random.PCG64(derive(purpose, seed, dataset, *more)))
