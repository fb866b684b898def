from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from support.workspaces import make_cell, make_warm, run

from sftbench.api import Examples, Record, Split
from sftbench.assembly import resolve
from sftbench.errors import RequestError
from sftbench.planning import make_plan
from sftbench.reliability.forgetting import measure
from sftbench.reliability.subject import Found, Subject
from sftbench.request import Request
from sftbench.testing import TinyImages
from sftbench.weights import WEIGHTS_FILE, parse_weights, pretrained_folder


class OtherImages(TinyImages):
    """Three other patterns."""

    name = "other-images"

    def info(self):  # type: ignore[no-untyped-def]
        from dataclasses import replace

        return replace(super().info(), class_names=("x", "y", "z"), num_train=60, num_test=30)

    def load(self, split: Split, image_size: int) -> Examples:
        size, seed = (60, 11) if split == "train" else (30, 12)
        patterns = np.random.default_rng(10).integers(0, 256, (3, 12, 12, 3))
        generator = np.random.default_rng(seed)
        targets = generator.permutation(np.arange(size, dtype=np.int64) % 3)
        noise = generator.integers(0, 256, (size, 12, 12, 3))
        return Examples(((patterns[targets] + noise) // 2).astype(np.uint8), targets)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFTBENCH_CACHE", str(tmp_path / "cache"))


def forgotten(strategy: str, **changes: object) -> Record:
    warm = make_warm(OtherImages)
    asked = {"weights": "pretrain:other-images", "evaluate": "forgetting"}
    return run(warm, strategy, **asked, **changes)[0]


def test_a_frozen_backbone_forgets_nothing() -> None:
    record = forgotten("head-only")
    values = record.metrics["selected"]["source"]
    assert values["accuracy_before"] == values["accuracy_after"]
    assert values["accuracy_before"] is not None
    assert values["accuracy_before"] > 0.6  # a guess is right in a third of all cases
    assert record.remarks == ()


def test_the_accuracy_before_is_that_of_the_kept_weights_by_hand() -> None:
    warm = make_warm(OtherImages)
    asked = {"weights": "pretrain:other-images", "evaluate": "forgetting"}
    record, _ = run(warm, "full", epochs=6, **asked, rates={"backbone": 0.1, "head": 0.1})
    values = record.metrics["selected"]["source"]
    from safetensors.torch import load_file

    folder = pretrained_folder(parse_weights(record.cell.weights))
    assert folder is not None
    tensors = load_file(folder / WEIGHTS_FILE)
    network = warm.catalog.create("backbone", "tiny-convnet").build(12)  # type: ignore[attr-defined]
    body = {name: tensor for name, tensor in tensors.items() if not name.startswith("head.")}
    network.load_state_dict(body)
    tested = OtherImages().load("test", 12)
    pixels = torch.from_numpy(np.asarray(tested.inputs)).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        features = network.eval()((pixels - 0.5) / 0.5)
    logits = features @ tensors["head.weight"].T + tensors["head.bias"]
    right = float((logits.argmax(1).numpy() == tested.targets).mean())
    assert values["accuracy_before"] == pytest.approx(right)
    assert values["accuracy_after"] != values["accuracy_before"]


@pytest.mark.parametrize(
    ("strategy", "remark"),
    [
        ("scratch", "forgetting not measured: weights none have no source data here"),
        (
            "drop-last:1",
            (
                "forgetting not measured: the tuned network gives 12 features, the source's head "
                "takes 16"
            ),
        ),
    ],
)
def test_where_there_is_nothing_to_test_the_record_says_why(strategy: str, remark: str) -> None:
    record = forgotten(strategy)
    assert record.remarks[-1:] == (remark,)
    assert "source" not in record.metrics["selected"]


def test_a_source_without_classes_has_no_head() -> None:
    warm = make_warm(OtherImages)
    cell = make_cell(warm, weights="pretrain:simclr:other-images", evaluate="forgetting")
    parts = resolve(cell, warm)
    assert parts.start.head is None  # as when such weights are read
    found, untrained = Found(), cast(Any, None)
    measure(Subject(cell, parts, untrained, warm, untrained), "", found)
    assert found.remarks == [
        f"forgetting not measured: weights {cell.weights} were kept without a head of classes"
    ]
    assert found.values == {}


def test_without_weights_of_a_source_it_is_refused() -> None:
    warm = make_warm(OtherImages)
    with pytest.raises(RequestError) as caught:
        make_cell(warm, evaluate=["forgetting"])
    assert str(caught.value) == (
        "forgetting needs the data that weights were trained on; add --weights pretrain:SOURCE"
    )
    both = Request(
        backbone=("tiny-convnet",),
        dataset=("tiny-images",),
        weights=("pretrained", "pretrain:other-images"),
        changes={"evaluate": "forgetting"},
    )
    assert make_plan(both, warm.catalog, "fp32").cells  # the others say in a remark why not
