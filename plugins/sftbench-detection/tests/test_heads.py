"""The four detectors: they learn, whatever mode the engine left them in."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from sftbench_detection.backbones import FasterRcnn, Fcos, RetinaNet, SsdLite
from sftbench_detection.batches import Truth
from sftbench_detection.detectors import width_of
from sftbench_detection.heads import Head
from sftbench_detection.keeping import kept_rows
from sftbench_detection.layout import Kept
from sftbench_detection.task import Detection
from torch import Tensor

from sftbench.api import DatasetInfo, Level, Model, Network, PyramidBackbone, RequestError
from sftbench.testing import tiny_catalog

DETECTORS = (Fcos, RetinaNet, FasterRcnn, SsdLite)
INFO = DatasetInfo(name="d", class_names=("a", "b", "c"), num_train=1, num_test=1, task="detection")


def model_of(cls: type[PyramidBackbone], size: int = 64) -> Model:
    backbone = cls(cls.options_model.model_validate({"body": "mobilenetv3_small_050"}))
    backbone.bind(tiny_catalog().create)
    torch.manual_seed(0)
    network = backbone.build(size)
    return Model(network, Detection().head_for(cast(Network, network), INFO, None))


def batch() -> tuple[Tensor, Truth]:
    """Two images: a bright square of class 2 with a crowd beside it, and nothing."""
    generator = torch.Generator().manual_seed(0)
    images = 0.1 * torch.randn(2, 3, 64, 64, generator=generator)
    images[0, :, 8:40, 16:48] += 2.0
    rows = torch.zeros(2, 3, 7)
    rows[:, 0, :4] = torch.tensor([3.0, 1.0, 64.0, 64.0])
    rows[0, 0, 4] = 2
    rows[0, 1] = torch.tensor([2.0, 16, 8, 32, 32, 1024, 0])
    rows[0, 2] = torch.tensor([1.0, 50, 50, 10, 10, 100, 1])
    return images, Truth(rows, 64)


@pytest.mark.parametrize("cls", DETECTORS, ids=lambda cls: cls.name)
def test_the_loss_falls(cls: type[PyramidBackbone]) -> None:
    model, task = model_of(cls), Detection()
    images, truth = batch()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    losses = []
    for _ in range(6):
        loss = task.loss(model(images), truth, 0.0)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]


def classifying_layers(detector: Any) -> list[Any]:
    """The last layers that give logits of classes."""
    if hasattr(detector, "roi_heads"):
        return [detector.roi_heads.box_predictor.cls_score]
    layers = detector.head.classification_head
    if hasattr(layers, "cls_logits"):
        return [layers.cls_logits]
    return [block[-1] for block in layers.module_list]


@pytest.mark.parametrize("cls", DETECTORS, ids=lambda cls: cls.name)
@pytest.mark.parametrize("label", [0, 2])
def test_classes_are_those_of_the_data_set(cls: type[PyramidBackbone], label: int) -> None:
    model, task = model_of(cls).eval(), Detection()
    head = cast(Head, model.head)
    width = 3 + int(head.background)
    for layer in classifying_layers(head.detector):
        with torch.no_grad():
            layer.bias.view(-1, width)[:, label + int(head.background)] += 20.0
    images, truth = batch()
    with torch.no_grad():
        outputs = model(images)
        kept = Kept.of(task.kept(outputs, truth).numpy()).detections
        found = {int(one) for one in kept[kept[..., 1] > 0.5][:, 0]}
        assert found == {label}
        # The loss means the same class: of truth of this class it is lower than of another.
        losses = []
        for named in (label, 1):
            rows = truth.rows.clone()
            rows[0, 1, 0] = named
            torch.manual_seed(0)
            losses.append(float(task.loss(outputs, Truth(rows, 64), 0.0)))
    assert losses[0] < losses[1]


@pytest.mark.parametrize("cls", DETECTORS, ids=lambda cls: cls.name)
def test_losses_and_detections_come_in_either_mode_and_leave_it(cls: type[PyramidBackbone]) -> None:
    model, task = model_of(cls), Detection()
    images, truth = batch()
    for training in (True, False):
        model.train(training)
        before = [module.training for module in model.modules()]
        outputs = model(images)
        assert torch.isfinite(task.loss(outputs, truth, 0.1))
        with torch.no_grad():
            assert Kept.of(task.kept(outputs, truth).numpy()).num_classes == 3
        assert [module.training for module in model.modules()] == before


@pytest.mark.parametrize("cls", DETECTORS, ids=lambda cls: cls.name)
def test_cached_features_give_the_same_detections(cls: type[PyramidBackbone]) -> None:
    model, task = model_of(cls).eval(), Detection()
    images, truth = batch()
    with torch.no_grad():
        whole = task.kept(model(images), truth)
        rows = model.network.forward_to(images, model.network.num_blocks)
        again = task.kept(model.outputs(rows, model.network.num_blocks)[0], truth)
    torch.testing.assert_close(whole, again)


def test_crowds_are_not_trained_on_and_images_without_objects_are() -> None:
    model, task = model_of(Fcos), Detection()
    images, truth = batch()
    bare = truth.rows.clone()
    bare[0, 0, 4], bare[0, 2] = 1, 0.0
    with torch.no_grad():
        outputs = model.eval()(images)
        assert task.loss(outputs, truth, 0.0) == task.loss(outputs, Truth(bare, 64), 0.0)
    only = Truth(truth.rows[1:], 64)
    loss = task.loss(
        model.train()(images[1:].repeat(2, 1, 1, 1)), Truth(only.rows.repeat(2, 1, 1), 64), 0.0
    )
    loss.backward()
    assert torch.isfinite(loss)


def test_low_precision_ends_before_the_detector() -> None:
    model, task = model_of(RetinaNet), Detection()
    images, truth = batch()
    seen: list[torch.dtype] = []
    detector: Any = cast(Head, model.head).detector
    detector.head.register_forward_hook(lambda _m, _i, out: seen.append(out["cls_logits"].dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = model.train()(images)
        assert outputs.maps["0"].dtype == torch.bfloat16
        task.loss(outputs, truth, 0.0).backward()
    assert seen == [torch.float32]
    gradients = [p.grad for p in model.backbone.parameters() if p.grad is not None]
    assert gradients
    assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients)


def test_small_bodies_have_narrow_heads() -> None:
    assert width_of([Level(40, 8, 8, 8), Level(320, 2, 2, 32)]) == 64
    assert width_of([Level(128, 8, 8, 8), Level(512, 2, 2, 32)]) == 256


def test_sizes_that_do_not_fit_the_maps_are_refused() -> None:
    with pytest.raises(RequestError, match="multiples of 32 pixels, not 100; set image_size = 96"):
        model_of(Fcos, 100)


def test_a_network_without_maps_is_refused() -> None:
    network: Any = torch.nn.Flatten()
    network.feature_width = 4
    with pytest.raises(RequestError, match="needs a backbone that gives feature maps: fcos:BODY"):
        Detection().head_for(network, INFO, None)


def test_kept_rows_have_a_row_for_each_image() -> None:
    _, truth = batch()
    nothing = {
        "boxes": torch.zeros(0, 4),
        "scores": torch.zeros(0),
        "labels": torch.zeros(0, dtype=torch.int64),
    }
    parts = Kept.of(kept_rows([nothing, nothing], truth).numpy())
    assert not parts.detections.any()
    assert parts.objects[0, :2, 0].tolist() == [2, 1]
