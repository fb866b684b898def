"""A strategy builds a model of another backbone, whose weights are looked for beforehand."""

from __future__ import annotations

import pytest
import torch
from support.workspaces import make_cell, make_warm, make_workspace
from torch import nn

from sftbench.api import Backbone, BlockBackbone, Stage, Strategy, StrategyContext
from sftbench.errors import WeightsUnavailableError
from sftbench.preparation import Told, check_weights
from sftbench.testing import TinyBackbone


class Widest(TinyBackbone):
    """One convolution, whose weights may not be had."""

    name = "widest"

    def build(self, image_size: int) -> nn.Module:
        layers = [nn.Conv2d(3, 24, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        return BlockBackbone(nn.Sequential(*layers), torch.zeros(2, 3, image_size, image_size))


class Unavailable(Widest):
    name = "unavailable"

    def pretrained_problem(self) -> str | None:
        return "nobody has them"


class Knows(Strategy):
    """Full fine-tuning beside a network that cannot be had."""

    name = "knows"
    backbones = ("unavailable",)

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        return [Stage(name="train")]


@pytest.mark.parametrize("weights", ["pretrained", "none"])
def test_a_model_of_another_backbone(weights: str) -> None:
    warm = make_warm()
    ws = make_workspace(warm, "full", weights=weights)
    other = warm.catalog.create("backbone", "tiny-convnet")
    assert isinstance(other, Backbone)
    assert ws.ctx.model_of is not None
    made = ws.ctx.model_of(other).eval()
    assert made.backbone is not ws.model.backbone
    assert made(torch.zeros(2, 3, 12, 12)).shape == (2, 4)
    given = other.pretrained(made.backbone).state
    same = [torch.equal(given[name], value) for name, value in made.backbone.state_dict().items()]
    assert all(same) is (weights == "pretrained")


def test_its_head_has_its_width() -> None:
    warm = make_warm(Widest)
    ws = make_workspace(warm, "full", weights="none")
    other = warm.catalog.create("backbone", "widest")
    assert isinstance(other, Backbone)
    assert ws.ctx.model_of is not None
    assert ws.ctx.model_of(other).head.in_features == 24


def test_its_weights_are_looked_for_before_any_cell() -> None:
    warm = make_warm(Knows, Unavailable)
    with pytest.raises(WeightsUnavailableError, match="nobody has them"):
        check_weights([make_cell(warm, "knows")], {}, warm.catalog, Told())
    # Where the cell's own weights are random, so are the other's.
    check_weights([make_cell(warm, "knows", weights="none")], {}, warm.catalog, Told())
