from __future__ import annotations

import pytest
import torch

from sftbench.data import kept
from sftbench.data.kept import KeptImages

IMAGES = torch.randint(0, 256, (20, 3, 4, 5), dtype=torch.uint8)


class Source:
    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def __call__(self, indices: torch.Tensor) -> torch.Tensor:
        self.asked.append(indices.tolist())
        return IMAGES[indices]


def images(source: Source, *, expected: int = 20, most: int = 20, last: bool = False) -> KeptImages:
    return KeptImages(20, source, expected=expected, most=most, channels_last=last)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("expected", [1, 20])
def test_images_are_brought_once(last: bool, expected: int) -> None:
    source = Source()
    found = images(source, expected=expected, last=last)
    layout = torch.channels_last if last else torch.contiguous_format
    for wanted in ([3, 3, 1], [1, 2, 3], [19, 0, 7, 1], [5]):
        batch = found[torch.tensor(wanted)]
        assert torch.equal(batch, IMAGES[wanted])
        assert batch.is_contiguous(memory_format=layout)
    assert sorted(index for asked in source.asked for index in asked) == [0, 1, 2, 3, 5, 7, 19]


def test_many_are_brought_in_large_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "_CHUNK_BYTES", 5 * 3 * 4 * 5)
    source = Source()
    found = images(source)
    found.keep(torch.arange(12).flip(0))
    assert source.asked == [[0], [1, 2, 3, 4, 5], [6, 7, 8, 9, 10], [11]]
    assert torch.equal(found[torch.arange(12)], IMAGES[:12])
    assert len(source.asked) == 4


def test_what_has_no_room_is_computed_each_time() -> None:
    source = Source()
    found = images(source, most=3)
    every = torch.tensor([4, 9, 2, 7])
    for _ in range(2):
        assert torch.equal(found[every], IMAGES[every])
    assert source.asked[-2:] == [[4, 9, 2, 7]] * 2
    before = len(source.asked)
    assert torch.equal(found[torch.tensor([2, 4])], IMAGES[[2, 4]])
    assert len(source.asked) == before
