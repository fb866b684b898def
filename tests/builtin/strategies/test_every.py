"""Every built-in strategy: its contract, and a tiny cell with a vision transformer, too."""

from __future__ import annotations

import pytest
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from sftbench.api import BlockBackbone, Strategy
from sftbench.discovery import build_catalog
from sftbench.testing import TinyBackbone, check_component, run_tiny, tiny_catalog

# What cannot be done to a vision transformer.
REFUSED = {"stem=cifar": "the network begins with patches"}
NAMES = build_catalog(chosen="").names("strategy")


class TinyViT(TinyBackbone):
    """Two transformer blocks on 12 pixels."""

    name = "tiny-vit"

    def build(self, image_size: int) -> nn.Module:
        import torch

        network = VisionTransformer(
            img_size=image_size, patch_size=4, embed_dim=16, depth=2, num_heads=2, num_classes=0
        )
        return BlockBackbone(network, torch.zeros(2, 3, image_size, image_size))

    def pretrained(self, network: nn.Module):  # type: ignore[no-untyped-def]
        import torch

        from sftbench.api import PretrainedWeights

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(7)
            state = self.build(32).state_dict()
        return PretrainedWeights(state=state, head=None, digest="seed 7", origin="seed 7")


def _class(name: str) -> type[Strategy]:
    found = tiny_catalog().get("strategy", name)
    assert issubclass(found, Strategy)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_contract_holds(name: str) -> None:
    assert [str(one) for one in check_component("strategy", _class(name)) if one.problem] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_tiny_cell_with_a_vision_transformer(name: str) -> None:
    record, kept = run_tiny(_class(name), TinyViT)
    if name in REFUSED:
        assert record.error is not None
        assert record.error.message == f"strategy {name!r}: {REFUSED[name]}"
        return
    assert record.status == "ok", record.error
    assert kept is not None
    assert record.counts.trainable > 0
