from __future__ import annotations

import pytest
import torch
from torchvision.transforms.v2 import functional as tv

from sftbench.data.augment.boxes import draw_erased
from sftbench.data.augment.erase import erase_


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("channels", [1, 3])
def test_erasing_is_torchvisions(channels: int, layout: torch.memory_format) -> None:
    inputs = torch.rand(30, channels, 16, 16) + 1.0
    boxes = draw_erased(30, 16, 0.7, torch.Generator().manual_seed(0))
    expected = [
        tv.erase(image, *box, v=torch.zeros(1, 1, 1)) if box[2] else image
        for image, box in zip(inputs, boxes.tolist(), strict=True)
    ]
    given = inputs.clone(memory_format=layout)
    found = erase_(given, boxes)
    assert found is given
    assert torch.equal(found, torch.stack(expected))
    assert 0 < int((found == 0).flatten(1).any(1).sum()) < 30
