"""Images and boxes on their way to the device and back: mirrored together, scaled together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sftbench_detection.batches import BoxBatches, Truth
from sftbench_detection.coco import summary
from sftbench_detection.keeping import kept_rows
from sftbench_detection.layout import Boxes, Kept, counts_of, rarest, truth_of

from sftbench.api import BackboneInfo, BatchContext, Examples, RequestError


def context(image_size: int = 64, augment: str = "flip", *, flip: bool = True) -> BatchContext:
    return BatchContext(
        device=torch.device("cpu"),
        image_size=image_size,
        backbone=BackboneInfo(image_size=64, mean=(0.0,) * 3, std=(1.0,) * 3),
        augment=augment,
        horizontal_flip=flip,
        channels_last=False,
    )


def bright_boxes(num: int, size: int = 64) -> Examples:
    """Black images with one or two white boxes, and their truth; images are published larger."""
    rng = np.random.default_rng(0)
    images = np.zeros((num, size, size, 3), dtype=np.uint8)
    boxes = []
    for image in images:
        rows = []
        for x in (int(rng.integers(0, 10)), int(rng.integers(30, 40)))[: int(rng.integers(1, 3))]:
            y, w, h = (int(value) for value in rng.integers((2, 6, 6), (20, 20, 30)))
            image[y : y + h, x : x + w] = 255
            rows.append((2.0 * x, 2.0 * y, 2.0 * w, 2.0 * h))
        classes = np.arange(len(rows), dtype=np.int64)
        found = np.array(rows)
        boxes.append(
            Boxes(
                width=2 * size,
                height=2 * size,
                boxes=found,
                classes=classes,
                areas=found[:, 2] * found[:, 3],
                crowd=np.zeros(len(rows), dtype=bool),
            )
        )
    counts = counts_of(boxes, 2)
    return Examples(
        images,
        rarest(counts, counts.sum(axis=0)),
        truth=truth_of(boxes, 2, size),
        class_counts=counts,
    )


def white(image: torch.Tensor, box: torch.Tensor) -> bool:
    """Whether a box is white to its edges and black right and left of them."""
    x, y, w, h = (round(float(value)) for value in box)
    inside = image[0, y : y + h, x : x + w]
    beside = [image[0, y : y + h, column] for column in (x - 1, x + w) if 0 <= column < 64]
    return bool((inside == 1).all()) and all(bool((column == 0).all()) for column in beside)


def test_mirrored_images_have_mirrored_boxes() -> None:
    batches = BoxBatches(bright_boxes(24), context())
    indices, labels = torch.arange(24), torch.zeros(24, dtype=torch.int64)
    plain, _ = batches.batch(indices, labels, "plain", None)
    images, truth = batches.batch(indices, labels, "weak", torch.Generator().manual_seed(1))
    mirrored = [not torch.equal(one, other) for one, other in zip(images, plain, strict=True)]
    assert 4 < sum(mirrored) < 20
    for number, image in enumerate(images):
        objects = truth.objects(number)
        assert len(objects) > 0
        assert all(white(image, one[1:5]) for one in objects)
    # What was drawn does not change what is drawn later.
    again = batches.targets(indices, labels)
    assert all(
        white(image, one[1:5])
        for number, image in enumerate(plain)
        for one in again.objects(number)
    )


@pytest.mark.parametrize("ctx", [context(augment="none"), context(flip=False)])
def test_nothing_is_mirrored_where_it_may_not_be(ctx: BatchContext) -> None:
    batches = BoxBatches(bright_boxes(8), ctx)
    indices, labels = torch.arange(8), torch.zeros(8, dtype=torch.int64)
    images, truth = batches.batch(indices, labels, "weak", torch.Generator().manual_seed(1))
    plain, same = batches.batch(indices, labels, "plain", None)
    assert torch.equal(images, plain)
    assert torch.equal(truth.rows, same.rows)


@pytest.mark.parametrize("image_size", [32, 64, 128])
def test_boxes_follow_the_size_of_images_and_are_kept_as_published(image_size: int) -> None:
    examples = bright_boxes(6)
    batches = BoxBatches(examples, context(image_size))
    truth = batches.targets(torch.arange(6), torch.zeros(6, dtype=torch.int64))
    factor = image_size / 64
    found = []
    for number in range(6):
        objects = truth.objects(number)
        wanted = np.asarray(examples.truth)[number, 1 : 1 + len(objects), 1:5] * factor
        np.testing.assert_allclose(objects[:, 1:5].numpy(), wanted)
        corner = objects[:, 1:3]
        found.append(
            {
                "boxes": torch.cat([corner, corner + objects[:, 3:5]], dim=1),
                "scores": torch.linspace(0.4, 0.9, len(objects)),
                "labels": objects[:, 0].long(),
            }
        )
    kept = kept_rows(found, truth).numpy()
    parts = Kept.of(kept)
    assert kept[:, 1:3].tolist() == [[128, 128]] * 6
    for number, one in enumerate(found):
        detections = parts.detections[number][parts.detections[number, :, 1] > 0]
        assert detections[:, 1].tolist() == sorted(detections[:, 1], reverse=True)
        wide = np.asarray(one["boxes"][:, 2] - one["boxes"][:, 0]) * 2 / factor
        np.testing.assert_allclose(sorted(detections[:, 4]), sorted(wide), rtol=1e-5)
    assert summary(kept).ap() == pytest.approx(1.0)


def test_detections_are_cut_to_the_image_and_to_a_hundred() -> None:
    truth = torch.zeros(1, 1, 7)
    truth[0, 0, :5] = torch.tensor([3.0, 0.5, 100.0, 60.0, 0.0])  # the square has 50 pixels
    boxes = torch.tensor([[-5.0, 10.0, 10.0, 50.0], [0.0, 35.0, 20.0, 45.0]]).repeat(75, 1)
    found = {
        "boxes": boxes,
        "scores": torch.linspace(0.1, 0.9, 150),
        "labels": torch.full((150,), 2),
    }
    parts = Kept.of(kept_rows([found], Truth(truth, 50)).numpy())
    kept = parts.detections[0][parts.detections[0, :, 1] > 0]
    # The second kind lies below the image, which is 30 pixels high in the square.
    assert kept.shape == (75, 6)
    np.testing.assert_allclose(kept[:, 2:], [[0, 20, 20, 40]] * 75)


def test_other_forms_are_refused() -> None:
    good = bright_boxes(2)
    wide = np.zeros((2, 64, 32, 3), np.uint8)
    with pytest.raises(
        RequestError, match=r"uint8 \[N, S, S, 1 or 3\], not uint8 \[2, 64, 32, 3\]"
    ):
        BoxBatches(Examples(wide, good.targets, truth=good.truth), context())
    with pytest.raises(RequestError, match="truth for detection is an array"):
        BoxBatches(Examples(good.inputs, good.targets), context())
    with pytest.raises(RequestError, match="does not erase parts of images; set erasing = 0"):
        BoxBatches(good, replace(context(), erasing=0.5))
    many = np.zeros((2, 302, 7), np.float32)
    with pytest.raises(RequestError, match="has 301 objects; 300 is the most"):
        BoxBatches(Examples(good.inputs, good.targets, truth=many), context())


def test_images_are_stratified_by_their_rarest_class() -> None:
    counts = np.array([[1, 0, 0], [1, 1, 0], [0, 2, 1], [0, 0, 0]])
    assert rarest(counts, np.array([5, 3, 9])).tolist() == [0, 1, 1, 2]
