"""Each operation against torchvision's kernels, at every strength of its table and either sign."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms import InterpolationMode, v2

from sftbench.data.augment.trivial import NUM_BINS, OPERATIONS, trivially_augmented

ORACLE = v2.TrivialAugmentWide(interpolation=InterpolationMode.BILINEAR)
SPACE = ORACLE._AUGMENTATION_SPACE
PAIRS = list(zip(OPERATIONS, SPACE, strict=True))
# In levels: float32 sums in another order, cut off or rounded at the last step.
TOLERANCE = 1
SHARE = 1e-3


def images(num: int, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    batch = torch.randint(0, 256, (num, *shape), dtype=torch.uint8, generator=generator)
    batch[1] = 77  # one level alone: nothing to stretch or to even out
    batch[2] = batch[2] // 8 + 100
    return batch


@pytest.mark.parametrize("shape", [(3, 40, 40), (1, 24, 31), (3, 33, 20), (3, 2, 2)])
@pytest.mark.parametrize(("name", "reference"), PAIRS)
def test_operation_is_torchvisions(name: str, reference: str, shape: tuple[int, ...]) -> None:
    operation = OPERATIONS[name]
    strengths_of, signed = SPACE[reference]
    table = strengths_of(NUM_BINS, *shape[1:])
    assert operation.signed == signed
    batch = images(2 * NUM_BINS, *shape)
    before = batch.clone()
    bins = torch.arange(2 * NUM_BINS) % NUM_BINS
    signs = torch.ones(2 * NUM_BINS, dtype=torch.float64)
    if signed:
        signs[NUM_BINS:] = -1.0
    strengths = torch.zeros(2 * NUM_BINS, dtype=torch.float64)
    if operation.strengths is not None:
        strengths = operation.strengths[bins] * signs
    found = operation.apply(batch, strengths)
    expected = [
        ORACLE._apply_image_or_video_transform(
            batch[index],
            reference,
            0.0 if table is None else float(table[bins[index]]) * float(signs[index]),
            ORACLE.interpolation,
            ORACLE._fill,
        )
        for index in range(2 * NUM_BINS)
    ]
    assert found.dtype == torch.uint8
    difference = (found.int() - torch.stack(expected).int()).abs()
    assert difference.max() <= TOLERANCE
    assert (difference > 0).float().mean() < SHARE
    assert torch.equal(batch, before)


def test_every_operation_and_strength_is_drawn_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, list[float]] = {}
    monkeypatch.setattr(
        "sftbench.data.augment.trivial.OPERATIONS",
        {
            name: type(operation)(
                lambda batch, strengths, name=name: (
                    seen.setdefault(name, []).extend(strengths.tolist()) or batch
                ),
                operation.strengths,
                operation.signed,
            )
            for name, operation in OPERATIONS.items()
        },
    )
    generator = torch.Generator().manual_seed(0)
    trivially_augmented(torch.zeros(28_000, 1, 1, 1, dtype=torch.uint8), generator)
    assert list(seen) == list(OPERATIONS)
    for name, strengths in seen.items():
        assert 1800 < len(strengths) < 2200, name
        operation = OPERATIONS[name]
        if operation.strengths is None:
            continue
        negative = sum(strength < 0 for strength in strengths) / len(strengths)
        assert negative == pytest.approx(0.5 * 30 / 31 if operation.signed else 0.0, abs=0.04)
        counts = [
            sum(abs(strength) == value for strength in strengths)
            for value in set(operation.strengths.tolist())
        ]
        assert sum(counts) == len(strengths)
        if name != "posterize":  # its table has few levels, of unequal shares
            assert min(counts) > 35
            assert max(counts) < 105


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_each_image_gets_its_own_operation_and_stays_in_its_place(
    layout: torch.memory_format,
) -> None:
    batch = images(200, 3, 16, 16).contiguous(memory_format=layout)
    found = trivially_augmented(batch, torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(1)
    chosen = torch.randint(14, (200,), generator=generator)
    bins = torch.randint(31, (200,), generator=generator)
    negative = torch.rand(200, generator=generator) <= 0.5
    for index, (name, operation) in enumerate(OPERATIONS.items()):
        members = (chosen == index).nonzero()[:, 0]
        assert len(members) > 3, name
        strengths = torch.zeros(len(members), dtype=torch.float64)
        if operation.strengths is not None:
            strengths = operation.strengths[bins[members]]
        if operation.signed:
            strengths = torch.where(negative[members], -strengths, strengths)
        assert torch.equal(found[members], operation.apply(batch[members], strengths)), name
