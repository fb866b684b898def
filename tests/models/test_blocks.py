from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import pytest
import timm
import torch
import torchvision.models as tv
from torch import Tensor, nn

from sftbench.models.blocks import BlockBackbone


def timm_model(name: str, **kwargs: object) -> Callable[[], nn.Module]:
    return lambda: timm.create_model(name, num_classes=0, **kwargs)


def without(model: nn.Module, **replaced: nn.Module) -> nn.Module:
    for name, module in replaced.items():
        setattr(model, name, module)
    return model


def tv_vgg() -> nn.Module:
    pool = nn.AdaptiveAvgPool2d(1)
    return without(tv.vgg11(weights=None), avgpool=pool, classifier=nn.Identity())


def tv_mobilenet() -> nn.Module:
    model = tv.mobilenet_v3_small(weights=None)
    model.classifier[3] = nn.Identity()
    return model


def tv_squeezenet() -> nn.Module:
    model = tv.squeezenet1_1(weights=None)
    model.classifier[1] = nn.Identity()  # features [B, 512, 1, 1] before the model's flatten
    return model


def tv_densenet() -> nn.Module:
    model = tv.DenseNet(growth_rate=4, block_config=(2, 3), num_init_features=8)
    return without(model, classifier=nn.Identity())


def tv_swin() -> nn.Module:
    model = tv.SwinTransformer([2, 2], 8, [1, 2], [2, 2], [2, 2], stochastic_depth_prob=0.0)
    return without(model, head=nn.Identity())


def tv_vit() -> nn.Module:
    return without(tv.VisionTransformer(32, 16, 2, 2, 8, 16), heads=nn.Identity())


def numbered(start: str, *stages: int) -> tuple[str, ...]:
    names = [start.format(s, b) for s, n in enumerate(stages, start=1) for b in range(n)]
    return ("stem", *names)


LITE0 = [(0, 1), (1, 2), (2, 2), (3, 3), (4, 3), (5, 4), (6, 1)]
REGNET = [(3, 4), (4, 7)]
NETWORKS: dict[str, tuple[Callable[[], nn.Module], int, tuple[str, ...]]] = {
    "resnet18": (timm_model("resnet18"), 32, numbered("layer{}.{}", 2, 2, 2, 2)),
    "test_resnet": (timm_model("test_resnet"), 32, numbered("layer{}.{}", 1, 1, 1, 1)),
    "lite0": (
        timm_model("tf_efficientnet_lite0"),
        32,
        ("stem", *(f"blocks.{s}.{b}" for s, n in LITE0 for b in range(n)), "conv_head"),
    ),
    "test_convnext": (
        timm_model("test_convnext"),
        64,
        (
            *("stem", "stages.0.blocks.0"),
            *("stages.1.downsample", "stages.1.blocks.0", "stages.1.blocks.1"),
            *("stages.2.downsample", *(f"stages.2.blocks.{b}" for b in range(4))),
            *("stages.3.downsample", "stages.3.blocks.0", "stages.3.blocks.1"),
        ),
    ),
    "regnet": (
        timm_model("regnetx_002"),
        32,
        ("stem", "s1.b1", "s2.b1", *(f"s{s}.b{b}" for s, n in REGNET for b in range(1, n + 1))),
    ),
    "test_vit": (
        timm_model("test_vit", img_size=32),
        32,
        ("stem", *(f"blocks.{b}" for b in range(6))),
    ),
    "tv_resnet18": (
        lambda: without(tv.resnet18(weights=None), fc=nn.Identity()),
        32,
        numbered("layer{}.{}", 2, 2, 2, 2),
    ),
    "tv_vgg11": (
        tv_vgg,
        32,
        ("stem", *(f"features.{i}" for i in (3, 6, 8, 11, 13, 16, 18))),
    ),
    "tv_mobilenet": (
        tv_mobilenet,
        32,
        ("stem", *(f"features.{i}" for i in range(1, 13)), "classifier"),
    ),
    "tv_squeezenet": (
        tv_squeezenet,
        64,
        ("stem", *(f"features.{i}" for i in (3, 4, 6, 7, 9, 10, 11, 12))),
    ),
    "tv_densenet": (
        tv_densenet,
        32,
        ("stem", "features.denseblock1", "features.transition1", "features.denseblock2"),
    ),
    "tv_swin": (
        tv_swin,
        16,
        ("stem", "features.1.0", "features.2", "features.3.0", "features.3.1"),
    ),
    "tv_vit": (
        tv_vit,
        32,
        ("stem", "encoder.layers.encoder_layer_0", "encoder.layers.encoder_layer_1"),
    ),
}


def images(size: int, batch: int = 2, seed: int = 0) -> Tensor:
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the networks are too small for more
    yield
    torch.set_num_threads(num_threads)


@pytest.fixture(scope="module", params=NETWORKS)
def network(request: pytest.FixtureRequest) -> tuple[BlockBackbone, int, tuple[str, ...]]:
    create, size, names = NETWORKS[request.param]
    torch.manual_seed(0)
    return BlockBackbone(create(), images(size)), size, names


Network = tuple[BlockBackbone, int, tuple[str, ...]]


def test_blocks_have_the_names_that_a_person_would_give(network: Network) -> None:
    backbone, _, names = network
    assert backbone.block_names == names
    assert backbone.num_blocks == len(names)


def test_the_two_halves_give_the_whole(network: Network) -> None:
    backbone, size, _ = network
    backbone.eval()
    x = images(size, batch=3, seed=1)  # neither the probe's images nor its batch size
    with torch.no_grad():
        whole = backbone.model(x).flatten(1)
        assert whole.std() > 0
        assert backbone.feature_width == whole.shape[1]
        for k in range(backbone.num_blocks + 1):
            h = backbone.forward_to(x, k)
            kept = h.clone()
            torch.testing.assert_close(backbone.forward_from(h, k), whole, rtol=1e-6, atol=1e-6)
            assert torch.equal(h, kept)
        assert torch.equal(backbone(x), whole)


def test_training_from_k_touches_only_the_blocks_from_k(network: Network) -> None:
    backbone, size, _ = network
    backbone = copy.deepcopy(backbone).train()
    owners = {name: backbone.block_of(name) for name, _ in backbone.named_parameters()}
    assert set(owners.values()) == set(range(backbone.num_blocks))
    x = images(size, batch=4)
    for k in {1, backbone.num_blocks // 2, backbone.num_blocks - 1}:
        backbone.zero_grad()
        with torch.no_grad():
            h = backbone.forward_to(x, k)
        h.requires_grad_()
        before = {name: buffer.clone() for name, buffer in backbone.named_buffers()}
        (backbone.forward_from(h, k) ** 2).sum().backward()
        assert h.grad is not None
        assert h.grad.abs().sum() > 0
        trained = {n for n, p in backbone.named_parameters() if p.grad is not None}
        assert trained == {name for name, owner in owners.items() if owner >= k}
        for name, buffer in backbone.named_buffers():
            is_counter = name.endswith("num_batches_tracked")
            updated = not torch.equal(buffer, before[name])
            assert not (updated and backbone.block_of(name) < k), name
            assert updated or not (is_counter and backbone.block_of(name) >= k), name


def test_forward_to_leaves_later_blocks_alone() -> None:
    backbone = BlockBackbone(timm_model("test_resnet")(), images(32)).train()
    backbone.forward_to(images(32), 2).sum().backward()
    for name, parameter in backbone.named_parameters():
        assert (parameter.grad is not None) == (backbone.block_of(name) < 2), name
    for name, buffer in backbone.named_buffers():
        if name.endswith("num_batches_tracked"):
            assert int(buffer) == (backbone.block_of(name) < 2), name


def test_blocks_of_a_resnet_are_those_of_its_definition() -> None:
    model = timm_model("resnet18")().eval()
    backbone = BlockBackbone(model, images(32))
    x = images(32, seed=3)
    with torch.no_grad():
        stem = model.maxpool(model.act1(model.bn1(model.conv1(x))))
        assert torch.equal(backbone.forward_to(x, 1), stem)
        assert torch.equal(backbone.forward_to(x, 4), model.layer2[0](model.layer1(stem)))
        assert torch.equal(backbone.forward_to(x, 9), model(x))
    assert backbone.forward_to(x, 0) is x
    assert backbone.block_of("model.bn1.running_mean") == 0
    assert backbone.block_of("model.layer2.0.downsample.0.weight") == 3
    assert backbone.block_of("model.layer4.1.conv2.weight") == 8
    assert backbone.block_of("model.layer4.1.conv2.lora.weight") == 8  # added later


def test_parameters_of_the_model_itself_belong_to_the_stem() -> None:
    backbone = BlockBackbone(timm_model("test_vit", img_size=32)(), images(32))
    assert backbone.block_of("model.pos_embed") == 0
    assert backbone.block_of("model.cls_token") == 0
    assert backbone.block_of("model.blocks.5.attn.qkv.weight") == 6
    assert backbone.block_of("model.norm.weight") == 6
    with pytest.raises(KeyError, match=r"names of parameters start with 'model\."):
        backbone.block_of("pos_embed")


class Unit(nn.Module):
    """A block of two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).tanh())


class Net(nn.Module):
    """A stem and four units; subclasses add what makes cutting hard."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 4, 2, 2)
        self.units = nn.Sequential(*(Unit() for _ in range(4)))

    def embed(self, x: Tensor) -> Tensor:
        return self.patch(x).flatten(2).mean(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.units(self.embed(x))


class SkipNet(Net):
    def forward(self, x: Tensor) -> Tensor:
        x0 = self.units[0](self.embed(x))
        return self.units[3](self.units[2](self.units[1](x0)) + x0)


class ZeroBiasNet(Net):
    """A bias from early on that is zero until it is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Linear(4, 4)
        nn.init.zeros_(self.bias.weight)
        nn.init.zeros_(self.bias.bias)

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(x)
        bias = self.bias(h)
        return self.units[3](self.units[2](self.units[1](self.units[0](h))) + bias)


class SharedNet(Net):
    """Unit 0 runs again after unit 2."""

    def forward(self, x: Tensor) -> Tensor:
        h = self.units[1](self.units[0](self.embed(x)))
        return self.units[3](self.units[0](self.units[2](h)))


class InPlaceNet(Net):
    """Changes the output of unit 1 in place."""

    def forward(self, x: Tensor) -> Tensor:
        h = self.units[1](self.units[0](self.embed(x))).relu_()
        return self.units[3](self.units[2](h))


class PairNet(Net):
    """Carries a value of the images past two units in an object that is no tensor."""

    class Size(nn.Module):
        def forward(self, h: Tensor) -> tuple[Tensor, object]:
            return h, type("Box", (), {"scale": h.detach()[0, 0]})()

    def __init__(self) -> None:
        super().__init__()
        self.size = PairNet.Size()

    def forward(self, x: Tensor) -> Tensor:
        h, box = self.size(self.embed(x))
        return self.units[3](self.units[2](self.units[1](self.units[0](h)) * box.scale))


class ListNet(Net):
    """Reaches unit 0 past its registered name, so it cannot be kept from running."""

    def __init__(self) -> None:
        super().__init__()
        self.order = list(self.units)

    def forward(self, x: Tensor) -> Tensor:
        h = self.order[0](self.embed(x))
        return self.units[3](self.units[2](self.units[1](h)))


class Scale(nn.Module):
    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(shape))

    def forward(self, x: Tensor | None = None) -> Tensor:
        return self.weight * 1 if x is None else self.weight * x


class TableNet(Net):
    """The table's rows are not images, though one image cannot tell."""

    def __init__(self) -> None:
        super().__init__()
        self.table = Scale(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.units(self.embed(x) + self.table())


class AffineNet(Net):
    """Ends in a norm with more than one dimension, as ResMLP does."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = Scale(1, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(super().forward(x))


@pytest.mark.parametrize(
    ("net", "names"),
    [
        (Net, ("stem", "units.0", "units.1", "units.2", "units.3")),
        (SkipNet, ("stem", "units.0", "units.1..units.3")),
        (ZeroBiasNet, ("stem",)),
        (SharedNet, ("stem", "units")),
        (InPlaceNet, ("stem", "units.0", "units.1..units.3")),
        (PairNet, ("stem", "units")),
        (ListNet, ("stem", "units")),
        (TableNet, ("stem",)),
        (AffineNet, ("stem", "units.0", "units.1", "units.2", "units.3")),
    ],
)
def test_cuts_only_where_nothing_passes_by(net: type[Net], names: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    backbone = BlockBackbone(net(), images(8, batch=1))
    assert backbone.block_names == names
    assert BlockBackbone(net(), images(8, batch=2)).block_names == names
    x = images(8, batch=5, seed=2)
    with torch.no_grad():
        for k in range(len(names)):
            torch.testing.assert_close(
                backbone.forward_from(backbone.forward_to(x, k), k), backbone(x)
            )


def test_one_image_is_enough_to_probe() -> None:
    backbone = BlockBackbone(timm_model("test_vit", img_size=32)(), images(32, batch=1)).eval()
    assert backbone.num_blocks == 7
    x = images(32, batch=3)
    with torch.no_grad():
        for k in (1, 4):
            assert torch.equal(backbone.forward_from(backbone.forward_to(x, k), k), backbone(x))


class BrokenError(Exception):
    pass


def fail(*_args: object) -> None:
    raise BrokenError


@pytest.mark.parametrize("training", [True, False])
def test_construction_leaves_the_model_and_the_generator_as_they_are(training: bool) -> None:
    model = timm_model("test_resnet")().train(training)
    model.layer2.register_forward_hook(lambda _m, _a, out: out + 0 * torch.rand(1))
    model.layer1.train(not training)
    modes = [module.training for module in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    attributes = {name: set(vars(module)) for name, module in model.named_modules()}
    generator = torch.get_rng_state()
    BlockBackbone(model, images(32))
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert {name: set(vars(module)) for name, module in model.named_modules()} == attributes
    assert [len(m._forward_hooks) for m in model.modules() if m._forward_hooks] == [1]
    assert not any(m._forward_pre_hooks for m in model.modules())
    assert torch.equal(torch.get_rng_state(), generator)


def test_an_exception_inside_leaves_the_model_whole() -> None:
    model = timm_model("test_resnet")().eval()
    backbone = BlockBackbone(model, images(32))
    x = images(32)
    expected, h = backbone(x), backbone.forward_to(x, 2)
    modules = list(model.named_modules())

    for block, run in [
        (model.layer4, lambda: backbone.forward_from(h, 2)),
        (model.conv1, lambda: backbone.forward_to(x, 2)),
    ]:
        handle = block.register_forward_hook(fail)
        with pytest.raises(BrokenError):
            run()
        handle.remove()
        assert list(model.named_modules()) == modules
        assert not any(module._forward_hooks for module in model.modules())
        assert torch.equal(backbone(x), expected)


def test_hooks_on_a_block_count_as_its_part() -> None:
    model = timm_model("test_resnet")().eval()
    backbone = BlockBackbone(model, images(32))
    calls = []
    for name in ("layer1", "layer3"):
        block = model.get_submodule(name)[0]
        block.register_forward_hook(lambda _m, _a, out, name=name: calls.append(name) or out * 2)
    x = images(32)
    h = backbone.forward_to(x, 2)
    assert calls == ["layer1"]
    features = backbone.forward_from(h, 2)
    assert calls == ["layer1", "layer3"]
    assert torch.equal(features, backbone(x))


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext"])
def test_other_image_sizes_and_layouts(name: str) -> None:
    backbone = BlockBackbone(timm_model(name)(), images(64)).eval()
    x = images(96, batch=3).to(memory_format=torch.channels_last)
    with torch.no_grad():
        for k in range(backbone.num_blocks + 1):
            h = backbone.forward_to(x, k)
            torch.testing.assert_close(backbone.forward_from(h, k), backbone(x))


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_gradient_checkpointing(name: str) -> None:
    kwargs = {"img_size": 32} if name == "test_vit" else {}
    model = timm_model(name, **kwargs)()
    model.eval()  # the same features each time
    backbone = BlockBackbone(model, images(32))
    first = model.get_submodule(backbone.block_names[1])
    x, gradients = images(32), []
    for enabled in (False, True):
        model.set_grad_checkpointing(enabled)
        backbone.zero_grad()
        h = backbone.forward_to(x, 3).detach().requires_grad_()
        handle = first.register_forward_hook(fail)
        (backbone.forward_from(h, 3) ** 2).sum().backward()
        handle.remove()
        gradients.append([h.grad, *(p.grad for p in backbone.parameters())])
    assert any(gradient is None for gradient in gradients[1])
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(checkpointed, plain)


def test_copies_are_independent_and_states_load() -> None:
    torch.manual_seed(0)
    backbone = BlockBackbone(timm_model("test_resnet")(), images(32)).eval()
    twin = copy.deepcopy(backbone)
    assert list(backbone.state_dict()) == [f"model.{n}" for n in backbone.model.state_dict()]
    with torch.no_grad():
        twin.model.conv1[0].weight.zero_()
        twin.model.layer4[0].bn2.weight.fill_(3)
    x = images(32)
    with torch.no_grad():
        assert not torch.equal(twin(x), backbone(x))
        h = backbone.forward_to(x, 2)
        assert not torch.equal(twin.forward_from(h, 2), backbone.forward_from(h, 2))
        twin.load_state_dict(backbone.state_dict())
        assert torch.equal(twin.forward_from(h, 2), backbone(x))


@pytest.mark.parametrize(
    ("model", "found"),
    [
        (nn.Conv2d(3, 4, 1), "Conv2d must give features [B, D], not shape (2, 4, 8, 8)"),
        (nn.Sequential(nn.Flatten(0)), "Sequential must give features [B, D], not shape (384,)"),
        (nn.LSTM(8, 8), "LSTM must give features [B, D], not a tuple"),
    ],
)
def test_other_outputs_are_refused(model: nn.Module, found: str) -> None:
    example = images(8)[:, 0] if isinstance(model, nn.LSTM) else images(8)
    with pytest.raises(ValueError, match="remove its head") as caught:
        BlockBackbone(model, example)
    assert str(caught.value) == f"{found}; remove its head and keep its pooling"


def test_a_network_that_changed_its_course_is_refused() -> None:
    model = timm_model("test_resnet")().eval()
    backbone = BlockBackbone(model, images(32))
    x = images(32)
    h = backbone.forward_to(x, 2)
    model.layer1 = nn.Sequential(nn.Identity())
    model.layer1.forward = nn.Conv2d(32, 32, 1).forward
    message = r"^ResNet no longer runs its module 'layer1\.0'; make a new BlockBackbone after"
    with pytest.raises(RuntimeError, match=message):
        backbone.forward_to(x, 2)
    with pytest.raises(RuntimeError, match=message):
        backbone.forward_from(h, 2)


def test_k_outside_the_network_is_refused() -> None:
    backbone = BlockBackbone(Net(), images(8))
    for k in (-1, 6):
        with pytest.raises(ValueError, match=rf"^k must be from 0 to 5 \(num_blocks\), not {k}$"):
            backbone.forward_to(images(8), k)
        with pytest.raises(ValueError, match="k must be from 0 to 5"):
            backbone.forward_from(images(8), k)
