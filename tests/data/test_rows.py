from __future__ import annotations

import pytest
import torch

from sftbench.data.rows import LazyRows


def test_rows_are_computed_once() -> None:
    calls: list[list[int]] = []

    def compute(indices: torch.Tensor) -> torch.Tensor:
        calls.append(indices.tolist())
        return indices.to(torch.float32)[:, None] * 10

    rows = LazyRows(7, compute, batch=3)
    assert rows[torch.tensor([4, 0, 4])].flatten().tolist() == [40.0, 0.0, 40.0]
    assert calls == [[0, 4]]
    assert rows[torch.tensor([6, 4, 1, 0, 5, 2])].flatten().tolist() == [60, 40, 10, 0, 50, 20]
    assert calls == [[0, 4], [1, 2, 5], [6]]
    assert rows.num_computed == 6
    assert rows.nbytes == 28


def test_released_rows_give_what_they_have_and_refuse_the_rest() -> None:
    rows = LazyRows(4, lambda indices: indices[:, None])
    assert rows[torch.tensor([1])].tolist() == [[1]]
    rows.compute = None
    assert rows[torch.tensor([1, 1])].tolist() == [[1], [1]]
    with pytest.raises(RuntimeError, match="released"):
        rows[torch.tensor([3])]


def test_padded_rows_are_computed_in_calls_of_one_shape() -> None:
    calls: list[list[int]] = []

    def compute(indices: torch.Tensor) -> torch.Tensor:
        calls.append(indices.tolist())
        return indices[:, None]

    rows = LazyRows(7, compute, batch=3, padded=True)
    assert rows[torch.tensor([4, 0, 5, 2])].flatten().tolist() == [4, 0, 5, 2]
    assert calls == [[0, 2, 4], [5, 5, 5]]
    assert rows.num_computed == 4
