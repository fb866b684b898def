from __future__ import annotations

import pytest
import torch

from sftbench.data.augment.layout import as_planes, halves, is_channels_last, selected

FORMATS = [torch.contiguous_format, torch.channels_last]


@pytest.mark.parametrize("layout", FORMATS)
def test_rows_of_a_batch_keep_its_layout(layout: torch.memory_format) -> None:
    batch = torch.rand(5, 3, 4, 6).contiguous(memory_format=layout)
    indices = torch.tensor([4, 0, 0])
    found = selected(batch, indices)
    assert torch.equal(found, batch[indices])
    assert found.is_contiguous(memory_format=layout)
    assert is_channels_last(found) is (layout is torch.channels_last)


def test_planes_are_no_copy_and_have_whole_pixels() -> None:
    batch = torch.rand(5, 3, 4, 6)
    planes, unit = as_planes(batch)
    assert (planes.shape, unit) == ((15, 4, 6), 1)
    assert planes.data_ptr() == batch.data_ptr()
    last = batch.contiguous(memory_format=torch.channels_last)
    planes, unit = as_planes(last)
    assert (planes.shape, unit) == ((5, 4, 18), 3)
    assert planes.data_ptr() == last.data_ptr()


def test_one_channel_is_taken_as_planes() -> None:
    assert not is_channels_last(torch.rand(5, 1, 4, 6))


def test_halves_come_back_in_order() -> None:
    order, back, first = halves(torch.tensor([True, False, True, False, False]))
    assert order.tolist() == [1, 3, 4, 0, 2]
    assert first == 3
    assert order[back].tolist() == [0, 1, 2, 3, 4]
