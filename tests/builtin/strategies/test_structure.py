"""Networks with other layers: identities, widths, and which weights were kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import timm
import torch
from support.strategies import laid_out
from torch import nn

from sftbench.api import BlockBackbone, RequestError, ShortenedNetwork
from sftbench.builtin.strategies.adapters import Bottleneck, ScaleShift
from sftbench.builtin.strategies.structure import small_stem
from sftbench.models.interleaved import InterleavedNetwork, channels_of
from sftbench.testing import run_tiny, tiny_catalog

IMAGES = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def _class(name: str) -> Any:
    return tiny_catalog().get("strategy", name)


def _network(name: str) -> BlockBackbone:
    torch.manual_seed(0)
    sizes = {"img_size": 32} if name.startswith("vit") else {}
    model = timm.create_model(name, num_classes=0, **sizes).eval()
    return BlockBackbone(model, torch.zeros(2, 3, 32, 32))


def test_a_linear_head_and_no_dropped_block_are_the_identity() -> None:
    _, full = run_tiny(_class("full"))
    for name, settings in (("head=linear", {}), ("drop-last", {"blocks": 0})):
        _, same = run_tiny(_class(name), settings=settings)
        assert full is not None
        assert same is not None
        assert np.array_equal(full["test", "last"].outputs, same["test", "last"].outputs)


def test_a_head_of_two_layers() -> None:
    record, _ = run_tiny(_class("head=mlp"), settings={"width": 7})
    plain, _ = run_tiny()
    linear = 16 * 4 + 4
    assert record.counts.parameters == plain.counts.parameters - linear + 16 * 7 + 7 + 7 * 4 + 4


def test_dropped_blocks_are_gone() -> None:
    record, _ = run_tiny(_class("drop-last"), settings={"blocks": 1})
    plain, _ = run_tiny()
    last, heads = 16 * 108 + 32, (16 * 4 + 4) - (12 * 4 + 4)
    assert record.counts.parameters == plain.counts.parameters - last - heads
    assert "2 of 3 blocks kept" in record.remarks[0]
    record, _ = run_tiny(_class("drop-last"), settings={"blocks": 3})
    assert record.error is not None
    assert record.error.message == "drop-last:3: the backbone has 3 blocks"


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "tf_efficientnet_lite0"])
def test_a_shortened_network_is_the_mean_of_its_last_block(name: str) -> None:
    body = _network(name)
    count = body.num_blocks - 2
    with torch.no_grad():
        before = body.forward_to(IMAGES, count)
        short = ShortenedNetwork(body, torch.zeros(2, 3, 32, 32), count)
        found = short(IMAGES)
        places = [d for d in range(1, before.ndim) if d != channels_of(before.shape)]
        assert torch.equal(found, before.mean(dim=places))
        for k in range(count + 1):
            again = short.forward_from(short.forward_to(IMAGES, k), k)
            assert torch.allclose(again, found, atol=1e-6)
    assert found.shape == (3, short.feature_width)
    assert all(short.block_of(name) < count for name, _ in short.named_parameters())


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "tf_efficientnet_lite0"])
@pytest.mark.parametrize("kind", [Bottleneck, ScaleShift])
def test_new_modules_change_nothing_at_first(name: str, kind: Any) -> None:
    body = _network(name)
    with torch.no_grad():
        before = body(IMAGES)
        make = (lambda c, d: Bottleneck(4, c, d)) if kind is Bottleneck else ScaleShift
        made = InterleavedNetwork(body, torch.zeros(2, 3, 32, 32), make).eval()
        assert torch.equal(made(IMAGES), before)
        for parameter in made.between.parameters():
            parameter.add_(0.1)
        assert not torch.equal(made(IMAGES), before)
        k = made.num_blocks // 2
        again = made.forward_from(made.forward_to(IMAGES, k), k)
        assert torch.allclose(again, made(IMAGES), atol=1e-5)
    assert made.block_of("between.2.x") == 2
    assert made.block_of(f"body.{next(iter(body.state_dict()))}") == 0


def test_bottleneck_and_scale_by_hand() -> None:
    torch.manual_seed(0)
    maps = torch.randn(2, 5, 3, 3)
    one = Bottleneck(2, 5, 1)
    nn.init.normal_(one.up.weight)
    with torch.no_grad():
        found = one(maps)[1, :, 0, 2]
        x = maps[1, :, 0, 2]
        down = torch.clamp(one.down.weight @ x + one.down.bias, min=0)
        assert torch.allclose(found, x + one.up.weight @ down + one.up.bias, atol=1e-6)
        scale = ScaleShift(5, 1)
        scale.gamma.normal_()
        scale.beta.normal_()
        found = scale(maps)[1, :, 0, 2]
        assert torch.allclose(found, scale.gamma * x + scale.beta)


def test_only_adapters_and_head_must_be_shipped() -> None:
    record, _ = run_tiny(_class("adapter"), settings={"width": 2})
    channels = (8, 12, 16)
    own = sum(2 * c + 2 + c * 2 + c for c in channels)
    assert record.counts.trainable == own + 16 * 4 + 4
    assert record.counts.delta_bytes == 4 * record.counts.trainable
    record, _ = run_tiny(_class("ssf"))
    assert record.counts.trainable == 2 * sum(channels) + 16 * 4 + 4
    full, _ = run_tiny()
    assert full.counts.delta_bytes == full.counts.shipped_bytes


def test_head_only_ships_its_head() -> None:
    record, _ = run_tiny(_class("head-only"))
    assert record.counts.delta_bytes == 4 * (16 * 4 + 4)


def test_a_small_stem_keeps_sums_and_a_small_kernel() -> None:
    torch.manual_seed(0)
    large = nn.Conv2d(3, 8, 7, stride=2, padding=3, bias=False)
    small = small_stem(large)
    assert (small.kernel_size, small.stride) == ((3, 3), (1, 1))
    assert torch.allclose(small.weight.sum((2, 3)), large.weight.sum((2, 3)), atol=1e-5)
    same = nn.Conv2d(3, 8, 3, stride=2, padding=1)
    assert torch.equal(small_stem(same).weight, same.weight)
    assert torch.equal(small_stem(same).bias, same.bias)  # type: ignore[arg-type]


def test_the_stem_of_a_resnet_has_no_pooling() -> None:
    ws = laid_out("stem=cifar")
    ws.model.backbone = _network("resnet18")
    conv = ws.model.backbone.model.conv1
    made = ws.strategy.adapt(ws.model, ws.ctx)
    assert isinstance(made.backbone, BlockBackbone)
    assert made.backbone.model.conv1.stride == (1, 1)
    assert isinstance(made.backbone.model.maxpool, nn.Identity)
    assert conv.stride == (2, 2)
    assert ws.ctx.remarks[-1] == (
        "conv1: kernel resized from 7x7, stride 2 to 1; max-pooling left out"
    )
    with torch.no_grad():
        assert made.backbone.forward_to(IMAGES, 1).shape[2:] == (32, 32)


def test_parts_beside_a_shortened_network_know_its_blocks() -> None:
    """The last block that is left trains, not one that is gone."""
    ws = laid_out("partial+drop-last")
    [stage] = ws.strategy.stages(ws.ctx)
    trained = {ws.ctx.block_of(n) for n, _ in ws.model.named_parameters() if stage.trainable(n)}
    assert ws.ctx.num_blocks == len(ws.ctx.block_names) == 2
    assert trained == {1, None}


def test_a_convolution_that_standardises_its_weights_is_refused() -> None:
    ws = laid_out("stem=cifar")
    ws.model.backbone = _network("resnetv2_50x1_bit")
    with pytest.raises(RequestError, match="cannot change the kernel of a StdConv2d"):
        ws.strategy.adapt(ws.model, ws.ctx)
