"""What peft adds: nothing at first, the formula, exact counts, frozen layers."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest
import timm
import torch
from sftbench_peft import strategies
from sftbench_peft.strategies import Dora, Ia3, Loha, Lokr, Lora, RsLora, layers_of
from torch import nn

from sftbench.api import BlockBackbone, Model, RequestError
from sftbench.testing import TinyTransformer, check_component, run_tiny
from sftbench.testing.tiny import TinyBackbone

EVERY = [Lora, RsLora, Dora, Loha, Lokr, Ia3]


class _Ctx:
    measures: dict[str, float] = {}


def _adapted(cls: Any, backbone: nn.Module, **options: Any) -> Model:
    model = Model(backbone, nn.Linear(16, 4))
    return cls(cls.options_model(**options)).adapt(model, _Ctx())


def _vit() -> BlockBackbone:
    torch.manual_seed(0)
    network = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=32, depth=2)
    return BlockBackbone(network.eval(), torch.zeros(2, 3, 32, 32))


def _convnet() -> nn.Module:
    torch.manual_seed(0)
    return TinyBackbone().build(32).eval()


@pytest.mark.parametrize("cls", EVERY)
@pytest.mark.parametrize("build", [_vit, _convnet])
def test_nothing_changes_at_first(cls: Any, build: Any) -> None:
    if cls is Dora and build is _convnet:
        with pytest.raises(RequestError, match="has no linear layer"):
            _adapted(cls, build())
        return
    backbone, images = build(), torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        before = backbone(images)
        after = _adapted(cls, backbone).backbone.eval()(images)
    if cls is Dora:
        assert torch.allclose(before, after, atol=1e-5)
    else:
        assert torch.equal(before, after)


@pytest.mark.parametrize(("cls", "scale"), [(Lora, 16 / 4), (RsLora, 16 / 2)])
def test_low_rank_formula(cls: Any, scale: float) -> None:
    model = _adapted(cls, _vit(), rank=4, layers="linear")
    layer: Any = model.backbone.model.blocks[0].mlp.fc1  # type: ignore[union-attr, index]
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    base = layer.base_layer
    nn.init.normal_(b)
    x = torch.randn(2, 192)
    with torch.no_grad():
        expected = x @ (base.weight + scale * b @ a).T + base.bias
        assert torch.allclose(layer(x), expected, atol=1e-4)
        layer.merge()
        assert torch.allclose(layer(x), expected, atol=1e-4)


def test_counts_are_exact() -> None:
    record, _ = run_tiny(Lora, settings={"rank": 2})
    widths = (3, 8, 12, 16)
    added = sum(2 * 9 * before + 2 * after for before, after in itertools.pairwise(widths))
    assert record.counts.trainable == added + 16 * 4 + 4
    assert record.counts.delta_bytes == 4 * record.counts.trainable
    assert record.measures["adapted_layers"] == 3


def test_layers() -> None:
    assert len(layers_of(_convnet(), "conv")) == 3
    assert layers_of(_convnet(), "linear") == []
    record, _ = run_tiny(Lora, settings={"layers": "linear"})
    assert record.error is not None
    assert "the backbone has no linear layer that an adapter fits" in record.error.message


def test_a_network_with_adapters_is_copied_and_cut() -> None:
    model = _adapted(Lora, _vit())
    made = copy.deepcopy(model)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        k = model.network.num_blocks // 2
        again = made.network.forward_from(made.network.forward_to(images, k), k)
        assert torch.allclose(again, model.backbone(images), atol=1e-5)
    name = next(n for n, _ in model.named_parameters() if "blocks.1" in n and "lora_A" in n)
    plain = _vit().block_of("model.blocks.1.attn.qkv.weight")
    assert model.block_of(name) in {plain, plain + 1}


@pytest.mark.parametrize("cls", EVERY)
def test_contract(cls: Any) -> None:
    # For DoRA the tiny network of the checks has no linear layer: its cell is not checked there.
    assert [str(one) for one in check_component("strategy", cls) if one.problem] == []


def test_every_strategy_is_offered() -> None:
    from sftbench_peft import sftbench_strategies

    offered = {entry.load.rpartition(":")[2] for entry in sftbench_strategies()}
    assert offered == {cls.__name__ for cls in EVERY}
    assert all(hasattr(strategies, name) for name in offered)


@pytest.mark.parametrize("cls", EVERY)
def test_a_cell_with_a_vision_transformer(cls: Any) -> None:
    record, _ = run_tiny(cls, TinyTransformer)
    assert record.status == "ok", record.error
    assert record.counts.delta_bytes < record.counts.shipped_bytes
