"""What is measured: real bytes, medians, and words for them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from compress_tiny import model_of
from sftbench_compress.measuring import Measured, compared, median_seconds, saved_bytes
from torch import Tensor, nn

from sftbench.testing.tiny import TinyBackbone


def test_bytes_are_those_of_a_file(tmp_path: Path) -> None:
    model = model_of(TinyBackbone())
    path = tmp_path / "state.pt"
    torch.save(model.state_dict(), path)
    assert abs(saved_bytes(model) - path.stat().st_size) < 1024  # names within the archive
    assert saved_bytes(model) > 4 * sum(parameter.numel() for parameter in model.parameters())


def test_a_view_is_saved_alone() -> None:
    whole, part = nn.Linear(1, 1), nn.Linear(1, 1)
    whole.weight = nn.Parameter(torch.zeros(1000, 1000)[:10])
    part.weight = nn.Parameter(torch.zeros(10, 1000))
    assert saved_bytes(whole) == saved_bytes(part)


def test_the_median_leaves_out_the_first_calls_and_an_outlier() -> None:
    called = []

    def timed(name: str, pauses: list[float]) -> Callable[[], Tensor]:
        left = iter(pauses)

        def run() -> Tensor:
            called.append(name)
            time.sleep(next(left))
            return torch.zeros(1)

        return run

    first = timed("a", [0.1, 0.1, 0.1, 0.01, 0.01, 0.1])
    second = timed("b", [0.0, 0.0, 0.0, 0.03, 0.0, 0.03])
    quick, slow = median_seconds([first, second], 3, torch.device("cpu"))
    assert 0.01 <= quick < 0.025
    assert 0.03 <= slow < 0.08
    assert called == ["a", "b"] * 6


def test_words() -> None:
    given = {"parameters": 1, "saved_bytes": 4_000_000}
    before = Measured(validation=0.9, latency_seconds=0.02, images_per_second=100.0, **given)
    given["saved_bytes"] = 1_000_000
    after = Measured(validation=0.85, latency_seconds=0.04, images_per_second=250.0, **given)
    assert compared(before, after) == (
        "75 % smaller on disk (4 to 1 MB), 0.50 times as fast for one image and 2.50 times in "
        "batches, validation 0.900 to 0.850"
    )
