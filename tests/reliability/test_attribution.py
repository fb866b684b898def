from __future__ import annotations

import importlib.util
from typing import Any

import pytest
import torch
from support.workspaces import make_cell, make_warm, make_workspace, run
from torch import Tensor, nn

from sftbench.api import BlockBackbone, Model
from sftbench.errors import RequestError
from sftbench.reliability.attribution import STEPS, curves, grad_cam, last_map
from sftbench.testing import TinyBackbone, TinyTransformer


def test_grad_cam_is_computed_by_hand() -> None:
    ws = make_workspace(make_warm(), "full")
    model = ws.model.eval()
    images = torch.randn(3, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    classes = torch.tensor([0, 2, 1])
    k = last_map(model, images[:1])
    assert k == model.network.num_blocks - 1
    maps = grad_cam(model, images, classes, k)
    h = model.network.forward_to(images, k).detach().requires_grad_(requires_grad=True)
    outputs, _ = model.outputs(h, k)
    (gradient,) = torch.autograd.grad(outputs.gather(1, classes[:, None]).sum(), h)
    expected = (gradient.mean((2, 3), keepdim=True) * h).sum(1)
    assert maps.detach() == pytest.approx(expected.detach().numpy(), abs=1e-6)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_pixels_that_decide_go_first_where_the_map_says_so() -> None:
    """A network that looks at the upper left quarter alone, and maps that do and do not say so."""

    class Looks(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            score = 16 * x[:, 0, :4, :4].mean((1, 2)) - 8
            return torch.stack([score, -score], dim=1)

    looks: Any = Looks()
    images = torch.zeros(1, 3, 8, 8)
    images[:, :, :4, :4] = 1.0
    right = torch.zeros(1, 8, 8)
    right[:, :4, :4] = 1.0
    classes = torch.tensor([0])
    deleted, inserted = curves(looks, images, classes, right)
    wrong_deleted, wrong_inserted = curves(looks, images, classes, -right)
    assert len(deleted) == len(inserted) == STEPS + 1
    assert deleted[0] == inserted[-1] > 1 - 1e-6
    assert deleted[-1] < 1e-6
    # A quarter of the pixels is all: by then everything is lost, or found.
    assert deleted[STEPS // 4] < 1e-6
    assert inserted[STEPS // 4] > 1 - 1e-6
    assert wrong_deleted[STEPS // 2] > 1 - 1e-6
    assert deleted.mean() < wrong_deleted.mean()
    assert inserted[4] > wrong_inserted[4]


def test_a_cell_has_the_three_values_and_is_left_as_it_was() -> None:
    warm = make_warm(deterministic=True)
    record, kept = run(warm, "full", evaluate="attribution", epochs=3)
    values = record.metrics["selected"]["attribution"]
    assert list(values) == ["deletion_auc", "insertion_auc", "randomised_correlation"]
    assert all(value is not None for value in values.values())
    assert 0 <= (values["deletion_auc"] or 0) <= 1
    assert -1 <= (values["randomised_correlation"] or 0) <= 1
    again, same = run(warm, "full", evaluate="attribution", epochs=3)
    assert again.metrics == record.metrics
    assert (same["test", "last"].outputs == kept["test", "last"].outputs).all()


def test_frozen_backbones_are_explained_too() -> None:
    record, _ = run(make_warm(), "head-only", evaluate="attribution")
    assert record.metrics["selected"]["attribution"]["insertion_auc"] is not None


class OneMap(TinyBackbone):
    """Maps of one position only."""

    name = "one-map"

    def build(self, image_size: int) -> nn.Module:
        model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(3, 16, 1), nn.ReLU(), nn.Flatten())
        return BlockBackbone(model, torch.zeros(2, 3, image_size, image_size))


@pytest.mark.parametrize("backbone", [TinyTransformer, OneMap])
def test_without_a_feature_map_the_record_says_why(backbone: type[TinyBackbone]) -> None:
    warm = make_warm(backbone)
    record, _ = run(warm, "scratch", backbone=backbone.name, evaluate="attribution")
    assert record.remarks == (
        (
            "attribution not measured: no block hands a feature map to the next, as those of "
            "convolutional networks do"
        ),
    )
    assert "attribution" not in record.metrics["selected"]


def test_without_captum_it_is_refused_at_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "sftbench.measurable.find_spec", lambda name: None if name == "captum" else find(name)
    )
    with pytest.raises(RequestError) as caught:
        make_cell(make_warm(), evaluate="attribution")
    assert str(caught.value) == (
        "attribution needs the package captum: pip install 'sftbench[attribution]'"
    )


def test_maps_that_transformers_have_channels_last_are_no_feature_maps() -> None:
    ws = make_workspace(make_warm())

    class Swin(nn.Module):
        num_blocks = 2

        def forward_to(self, x: Tensor, k: int) -> Tensor:
            return torch.zeros(1, 7, 7, 96)

    model = Model(Swin(), ws.model.head)
    assert last_map(model, torch.zeros(1, 3, 12, 12)) == 0
