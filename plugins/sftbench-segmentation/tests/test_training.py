"""Whole cells: the engine, its cache of features, and records, on masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sftbench_segmentation.backbones import Lraspp, UNet
from sftbench_segmentation.masks import examples_of

from sftbench.api import (
    Component,
    Dataset,
    DatasetInfo,
    DivergedError,
    Examples,
    Record,
    RequestError,
    Split,
)
from sftbench.catalog import Catalog
from sftbench.testing import run_tiny

SIZE = 64


class Squares(Dataset):
    """Red and green squares on grey noise; a frame of each image is ignored."""

    name = "squares"

    def info(self) -> DatasetInfo:
        return DatasetInfo(
            name=self.reference,
            class_names=("ground", "red", "green"),
            num_train=48,
            num_test=16,
            task="segmentation",
            horizontal_flip=True,
            image_size=SIZE,
        )

    def load(self, split: Split, image_size: int) -> Examples:
        size, seed = (48, 1) if split == "train" else (16, 2)
        generator = np.random.default_rng(seed)
        images = generator.integers(60, 130, (size, SIZE, SIZE, 3)).astype(np.uint8)
        masks = np.zeros((size, SIZE, SIZE), dtype=np.uint8)
        for index in range(size):
            top, left = generator.integers(4, 28, 2)
            label = 1 + index % 2
            masks[index, top : top + 28, left : left + 28] = label
            images[index, top : top + 28, left : left + 28, label - 1] = 230
        masks[:, :2] = 255
        return examples_of(images, masks, 3)


def run(catalog: Catalog, *components: type[Component], **changes: Any) -> Record:
    record, kept = run_tiny(Squares, *components, base=catalog, image_size=SIZE, **changes)
    assert record.status == "ok", record.error
    assert kept is not None
    outputs = kept["test", "selected"].outputs
    assert outputs.shape == (16, 3 * 3 + 1)
    # 62 of the 64 rows of each image have classes.
    np.testing.assert_array_equal(outputs[:, :-1].sum(axis=1), 62 * 64)
    return record


def strategy(catalog: Catalog, name: str) -> type[Component]:
    return catalog.get("strategy", name)


def test_full_learns_where_things_are(catalog: Catalog) -> None:
    record = run(catalog, UNet, epochs=6)
    found = record.value("mean_iou")
    assert found is not None
    assert found > 0.6
    assert [spec.name for spec in record.metric_specs if spec.primary] == ["mean_iou"]
    assert [(one.label, one.support) for one in record.per_class] == [
        ("ground", 16),
        ("red", 8),
        ("green", 8),
    ]
    scores = [one.score for one in record.per_class if one.score is not None]
    assert np.mean(scores) == pytest.approx(found)
    # Nine tenths of 48 images train, and each counts for its classes.
    counts = [one.train_count for one in record.per_class]
    assert counts[0] == sum(counts[1:]) == record.counts.train_examples
    losses = [row.val_loss for row in record.history if row.val_loss is not None]
    assert losses[-1] < losses[0]


def test_head_only_trains_on_kept_features_and_leaves_the_body(catalog: Catalog) -> None:
    record = run(catalog, Lraspp, strategy(catalog, "head-only"), epochs=3)
    stage = record.stages[0]
    assert stage.cached_features
    # Each image of both splits ran through the network once, whatever the number of epochs.
    assert record.counts.prefix_forward == 48 + 16
    assert stage.trainable < record.counts.parameters / 10


@pytest.mark.parametrize("name", ["scratch", "lp-ft"])
def test_other_strategies_run_unchanged(catalog: Catalog, name: str) -> None:
    record = run(catalog, Lraspp, strategy(catalog, name))
    assert record.value("pixel_accuracy") is not None


def test_losses_that_need_one_label_are_skipped(catalog: Catalog) -> None:
    with pytest.raises(RequestError, match="needs one class for each example"):
        run(catalog, Lraspp, strategy(catalog, "balanced-softmax"))


def test_an_augmentation_that_would_leave_the_masks_is_refused(catalog: Catalog) -> None:
    with pytest.raises(RequestError) as caught:
        run(catalog, Lraspp, augment="trivial")
    assert str(caught.value) == (
        "task 'segmentation' does not know augment 'trivial'; it knows: crop, flip, none"
    )


def test_a_backbone_without_maps_is_no_partner(catalog: Catalog) -> None:
    with pytest.raises(RequestError, match="does not serve task segmentation"):
        run_tiny(Squares, base=catalog)


def test_a_diverged_cell_says_so(catalog: Catalog) -> None:
    record, _ = run_tiny(
        Squares, Lraspp, base=catalog, image_size=SIZE, rates={"backbone": 1e30, "head": 1e30}
    )
    assert record.status == "diverged"
    assert record.error is not None
    assert record.error.type == DivergedError.__name__
