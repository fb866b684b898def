from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from support.workspaces import make_cell, make_warm, run

from sftbench.api import DatasetInfo, Examples, Split
from sftbench.errors import RequestError
from sftbench.executors.units import work_units
from sftbench.testing import TinyImages
from sftbench.unit import run_unit


class GreyNoise(TinyImages):
    """Twenty test images of noise, one channel, five classes."""

    name = "grey-noise"

    def info(self) -> DatasetInfo:
        return DatasetInfo(
            name="grey-noise", class_names=tuple("abcde"), num_train=20, num_test=20, image_size=12
        )

    def load(self, split: Split, image_size: int) -> Examples:
        images = np.random.default_rng(9).integers(0, 256, (20, 9, 9, 1), dtype=np.uint8)
        return Examples(images, np.arange(20, dtype=np.int64) % 5)


class ManyNoise(GreyNoise):
    """A hundred of them, so that some are chosen."""

    name = "many-noise"

    def load(self, split: Split, image_size: int) -> Examples:
        images = np.random.default_rng(8).integers(0, 256, (100, 12, 12, 3), dtype=np.uint8)
        return Examples(images, np.arange(100, dtype=np.int64) % 5)


def test_the_values_are_those_of_the_predictions_that_are_kept() -> None:
    warm = make_warm(GreyNoise)
    record, kept = run(warm, "full", evaluate=["ood:grey-noise"])
    inside, outside = kept["test", "selected"], kept["ood:grey-noise", "selected"]
    values = record.metrics["selected"]["ood:grey-noise"]
    names = ("max_softmax", "energy", "max_logit")
    assert set(values) == {f"{kind}_{name}" for kind in ("auroc", "fpr95") for name in names}
    assert outside.outputs.shape == (20, 4)
    assert outside.targets.tolist() == [number % 5 for number in range(20)]
    labels = [1] * len(inside.outputs) + [0] * 20
    highest = np.concatenate([inside.outputs, outside.outputs]).max(axis=1)
    assert values["auroc_max_logit"] == pytest.approx(roc_auc_score(labels, highest))
    assert record.timing.reliability_seconds > 0
    assert set(record.metrics["last"]) == {"val", "test"}


def test_nothing_else_in_the_record_changes() -> None:
    warm = make_warm(GreyNoise, deterministic=True)
    plain, first = run(warm, "lp-ft")
    asked, second = run(warm, "lp-ft", evaluate=["ood:grey-noise", "drift"])
    assert asked.cell_id != plain.cell_id
    for split in ("val", "test"):
        assert asked.metrics["selected"][split] == plain.metrics["selected"][split]
        assert (second[split, "last"].outputs == first[split, "last"].outputs).all()
    assert asked.metrics["last"] == plain.metrics["last"]
    left_out = {"prefix_forward"}  # what the first cell computed was there for the second
    assert asked.counts.model_dump(exclude=left_out) == plain.counts.model_dump(exclude=left_out)


def test_as_many_as_the_test_split_has_and_the_same_for_every_seed() -> None:
    warm = make_warm(ManyNoise)
    chosen = [
        run(warm, seed=seed, evaluate=["ood:many-noise"])[1]["ood:many-noise", "selected"].index
        for seed in (0, 1)
    ]
    assert len(chosen[0]) == 32
    assert chosen[0].tolist() == chosen[1].tolist() == sorted(set(chosen[0].tolist()))


def test_cells_that_run_as_one_problem_have_it_too() -> None:
    warm = make_warm(GreyNoise)
    asked = {"evaluate": ["ood:grey-noise", "drift"]}
    cells = [make_cell(warm, seed=seed, **asked) for seed in (0, 1)]
    assert len(work_units(cells, warm.catalog, deterministic=False)) == 1
    together = [record for record, _ in run_unit(cells, warm, lambda _: lambda *_: None)]
    assert [record.timing.shared_by_cells for record in together] == [2, 2]
    for seed, record in enumerate(together):
        alone, _ = run(make_warm(GreyNoise), seed=seed, **asked)
        for split in ("ood:grey-noise", "drift"):
            assert record.metrics["selected"][split] == pytest.approx(
                alone.metrics["selected"][split], abs=1e-5
            )
        assert record.timing.reliability_seconds > 0


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            "ood:tiny-images",
            "ood 'tiny-images' is the data set of the plan itself; choose another",
        ),
        (
            "ood:simclr:grey-noise",
            (
                "ood 'simclr:grey-noise' is of task contrastive, tiny-images of task "
                "image-classification; choose a data set of the same task"
            ),
        ),
        (
            "ood:grey-nose",
            "unknown dataset 'grey-nose'; did you mean 'grey-noise'?",
        ),
    ],
)
def test_what_cannot_be_told_apart_is_refused_at_the_plan(asked: str, message: str) -> None:
    warm = make_warm(GreyNoise)
    with pytest.raises(RequestError) as caught:
        make_cell(warm, evaluate=[asked])
    assert str(caught.value) == message
    assert caught.value.about[:2] == ("changes", "evaluate")


def test_a_task_without_classes_has_no_such_measure() -> None:
    warm = make_warm(GreyNoise)
    with pytest.raises(RequestError) as caught:
        make_cell(warm, "full", dataset="simclr:tiny-images", evaluate=["ood:grey-noise"])
    assert str(caught.value) == (
        "ood cannot be measured for task contrastive of simclr:tiny-images; it has: none"
    )
