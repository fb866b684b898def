"""A split's fingerprint sees every value that training sees."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sftbench.api import Examples
from sftbench.data.fingerprints import fingerprint

BASE = Examples(
    np.zeros((3, 2, 2, 1), np.uint8),
    np.arange(3, dtype=np.int64),
    truth=[{"boxes": np.zeros((1, 4)), "crowd": [0]}, {"boxes": np.ones((2, 4))}, {}],
    class_counts=np.eye(3, dtype=np.int64),
)


def large(value: int) -> np.ndarray:
    """Return an array whose repr leaves its middle out."""
    return np.concatenate([np.zeros(3000), [value], np.zeros(3000)])


@pytest.mark.parametrize(
    "changes",
    [
        {"truth": None},
        {"truth": [{"boxes": np.zeros((1, 4)), "crowd": [1]}, {"boxes": np.ones((2, 4))}, {}]},
        {"truth": [{"boxes": np.zeros((4, 1)), "crowd": [0]}, {"boxes": np.ones((2, 4))}, {}]},
        {"class_counts": 2 * np.eye(3, dtype=np.int64)},
        {"targets": np.array([0, 1, 1])},
        {"inputs": np.ones((3, 2, 2, 1), np.uint8)},
    ],
)
def test_what_is_changed_is_seen(changes: dict[str, Any]) -> None:
    assert fingerprint(replace(BASE, **changes)) != fingerprint(BASE)


def test_the_middle_of_a_long_array_counts_wherever_it_stands() -> None:
    for place in ("inputs", "truth"):
        one, other = (fingerprint(replace(BASE, **{place: [large(value)] * 3})) for value in (0, 1))
        assert one != other


def test_equal_content_has_one_fingerprint() -> None:
    again = replace(BASE, truth=[dict(reversed(item.items())) for item in BASE.truth or []])
    assert fingerprint(again) == fingerprint(BASE)
