from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import Weights, WeightsEnum
from torchvision.models._api import BUILTIN_MODELS, register_model
from torchvision.transforms._presets import ImageClassification

from sftbench.api import BackboneInfo, RequestError, Resolver, UnavailableError
from sftbench.builtin.backbones.torchvision_models import TorchvisionBackbone, family
from sftbench.discovery import build_catalog

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
URL = "https://download.pytorch.org/models"


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the networks are too small for more
    yield
    torch.set_num_threads(num_threads)


def backbone(name: str) -> TorchvisionBackbone:
    cls = family.resolve(f"torchvision/{name}")
    assert cls is not None
    return cls()


def images(size: int, batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(1))


def trained(name: str, **arguments: object) -> nn.Module:
    """A model with its classifier and random weights, which stand for pretrained ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model: nn.Module = torchvision.models.get_model(name, weights=None, **arguments).eval()
        for parameter in model.parameters():  # no zero biases and no norms that do nothing
            nn.init.trunc_normal_(parameter.detach(), std=0.05)
    return model


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, nn.Module], Path]:
    """Return a function that puts a model's tensors where torch.hub would."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def put(name: str, model: nn.Module) -> Path:
        url = torchvision.models.get_model_weights(name).DEFAULT.url
        file = tmp_path / "hub" / "checkpoints" / url.rpartition("/")[2]
        file.parent.mkdir(parents=True)
        torch.save(model.state_dict(), file)
        return file

    return put


@pytest.fixture
def proxy_that_is_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """No host can be reached, and torch's cache is empty."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", f"http://{address}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    return address


def test_the_family_is_a_resolver_of_the_classification_models() -> None:
    names = list(family.names())
    assert isinstance(family, Resolver)
    assert len(names) == len(set(names)) >= 80
    assert all(name.startswith("torchvision/") for name in names)
    assert {"torchvision/resnet50", "torchvision/vit_b_16", "torchvision/alexnet"} < set(names)
    others = ("fcn", "deeplab", "rcnn", "retinanet", "r3d", "s3d", "raft", "quantized")
    assert not [name for name in names if any(other in name for other in others)]


def test_a_name_gives_a_class_of_that_name() -> None:
    cls = family.resolve("torchvision/resnet18")
    assert cls is not None
    assert issubclass(cls, TorchvisionBackbone)
    assert (cls.name, cls.algorithm_version) == ("torchvision/resnet18", 1)
    assert cls.summary == "resnet18 of torchvision; weights: ResNet18_Weights.IMAGENET1K_V1"
    assert cls is family.resolve("torchvision/resnet18")


@pytest.mark.parametrize("name", ["resnet18", "torchvision/", "torchvision/resnet5", "torchvision"])
def test_other_names_give_none(name: str) -> None:
    assert family.resolve(name) is None


def test_the_catalog_knows_the_family_and_the_nearest_names() -> None:
    catalog = build_catalog(chosen="")
    found = catalog.get("backbone", "torchvision/resnet18")
    assert found is family.resolve("torchvision/resnet18")
    with pytest.raises(RequestError, match=r"did you mean 'torchvision/resnet18'"):
        catalog.get("backbone", "torchvision/resnet81")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "resnet50",
            BackboneInfo(
                image_size=224,
                mean=MEAN,
                std=STD,
                interpolation="bilinear",
                licence="unknown",
                source=f"{URL}/resnet50-11ad3fa6.pth",
            ),
        ),
        (
            "vit_h_14",
            BackboneInfo(
                image_size=518,
                mean=MEAN,
                std=STD,
                interpolation="bicubic",
                licence="https://github.com/facebookresearch/SWAG/blob/main/LICENSE",
                source=f"{URL}/vit_h_14_swag-80465313.pth",
            ),
        ),
        (
            "efficientnet_v2_l",
            BackboneInfo(
                image_size=480,
                mean=(0.5, 0.5, 0.5),
                std=(0.5, 0.5, 0.5),
                interpolation="bicubic",
                licence="unknown",
                source=f"{URL}/efficientnet_v2_l-59c71312.pth",
            ),
        ),
    ],
)
def test_info_is_that_of_the_default_weights(name: str, expected: BackboneInfo) -> None:
    assert backbone(name).info() == expected


@pytest.mark.parametrize(
    ("name", "size", "num_blocks", "feature_width", "block"),
    [
        ("resnet18", 32, 9, 512, {"conv1.weight": 0, "layer4.1.bn2.bias": 8}),
        ("mobilenet_v3_small", 32, 14, 1024, {"features.0.0.weight": 0, "classifier.0.weight": 13}),
        ("squeezenet1_1", 64, 9, 512, {"features.0.weight": 0, "features.12.squeeze.bias": 8}),
        ("shufflenet_v2_x0_5", 32, 18, 1024, {"conv1.0.weight": 0, "conv5.0.weight": 17}),
    ],
)
def test_networks_keep_the_contract(
    name: str, size: int, num_blocks: int, feature_width: int, block: dict[str, int]
) -> None:
    network = backbone(name).build(size).eval()
    assert (network.num_blocks, network.feature_width) == (num_blocks, feature_width)
    assert len(network.block_names) == num_blocks
    assert {n: network.block_of(f"model.{n}") for n in block} == block
    names = [n for n, _ in network.named_parameters()]
    assert {network.block_of(n) for n in names} == set(range(num_blocks))
    x = images(size)
    with torch.no_grad():
        features = network(x)
        assert features.shape == (2, feature_width)
        for k in range(num_blocks + 1):
            again = network.forward_from(network.forward_to(x, k), k)
            torch.testing.assert_close(again, features, rtol=1e-5, atol=1e-6)


def test_inputs_of_googlenet_reach_it_as_its_weights_expect() -> None:
    network = backbone("googlenet").build(32).eval()
    assert not [n for n, _ in network.named_parameters() if "aux" in n]
    model = network.get_submodule("model")
    seen: list[Tensor] = []
    model.get_submodule("conv1").register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    gray = torch.full((1, 3, 32, 32), 0.75)
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    with torch.no_grad():
        network((gray - mean) / std)
    expected = torch.full((1, 3, 32, 32), 0.5)  # 0.75 with mean = std = 0.5, as TensorFlow had it
    torch.testing.assert_close(seen[0], expected, rtol=0, atol=1e-6)


def test_a_size_that_a_network_cannot_take_is_refused_with_its_own() -> None:
    with pytest.raises(RequestError) as caught:
        backbone("maxvit_t").build(96)
    message = str(caught.value)
    assert message.startswith(
        "backbone 'torchvision/maxvit_t' cannot be built for images of 96 pixels (ValueError: "
    )
    assert message.endswith("); its own size: --image-size 224")
    assert "\n" not in message


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])
def test_the_head_on_the_features_is_the_source_model(
    cached: Callable[[str, nn.Module], Path], name: str
) -> None:
    source = trained(name)
    cached(name, source)
    assert backbone(name).pretrained_problem() is None
    network = backbone(name).build(32).eval()
    before = torch.get_rng_state()
    weights = backbone(name).pretrained(network)
    assert torch.equal(torch.get_rng_state(), before)
    assert weights.origin == f"hub: {backbone(name).info().source}"
    network.load_state_dict(dict(weights.state), strict=True)
    assert weights.head is not None
    x = images(32)
    with torch.no_grad():
        expected = source(x)
        logits = nn.functional.linear(network(x), weights.head["weight"], weights.head["bias"])
    assert expected.std() > 1e-4
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)


def test_a_head_before_the_pool_is_none(cached: Callable[[str, nn.Module], Path]) -> None:
    cached("squeezenet1_1", trained("squeezenet1_1"))
    network = backbone("squeezenet1_1").build(64)
    weights = backbone("squeezenet1_1").pretrained(network)
    assert weights.head is None
    assert weights.state.keys() == network.state_dict().keys()


@pytest.mark.parametrize(
    ("name", "size", "auxiliary"),
    [("googlenet", 32, "aux1.fc2.weight"), ("inception_v3", 75, "AuxLogits.fc.weight")],
)
def test_auxiliary_classifiers_are_left_behind(
    cached: Callable[[str, nn.Module], Path], name: str, size: int, auxiliary: str
) -> None:
    source = trained(name, aux_logits=True, init_weights=False)
    assert len(source.state_dict()[auxiliary]) == 1000
    cached(name, source)
    network = backbone(name).build(size)
    weights = backbone(name).pretrained(network)
    assert weights.state.keys() == network.state_dict().keys()
    assert weights.head is not None
    assert torch.equal(weights.head["weight"], source.get_parameter("fc.weight"))
    assert torch.equal(weights.head["bias"], source.get_parameter("fc.bias"))


class SmallVitWeights(WeightsEnum):
    """ViT-B/32 has 88 M parameters; this one stands for it."""

    DEFAULT = Weights(
        url=f"{URL}/vit_small_for_tests-01234567.pth",
        transforms=partial(ImageClassification, crop_size=64),
        meta={"categories": [str(label) for label in range(1000)]},
    )


def vit_small_for_tests(
    *, weights: WeightsEnum | None = None, progress: bool = True, image_size: int = 64
) -> nn.Module:
    model = torchvision.models.VisionTransformer(image_size, 16, 2, 2, 32, 32)
    if weights is not None:
        model.load_state_dict(weights.get_state_dict(progress=progress, check_hash=True))
    return model


@pytest.fixture
def small_vit() -> Iterator[str]:
    """A model that is registered with torchvision as its own are."""
    vit_small_for_tests.__module__ = "torchvision.models.vision_transformer"
    vit_small_for_tests.__annotations__["weights"] = SmallVitWeights
    register_model()(vit_small_for_tests)
    yield vit_small_for_tests.__name__
    BUILTIN_MODELS.pop(vit_small_for_tests.__name__)


def test_position_embeddings_are_resampled_to_another_size(
    small_vit: str, cached: Callable[[str, nn.Module], Path]
) -> None:
    source = trained(small_vit)
    channels = torch.linspace(-1, 1, 32)
    with torch.no_grad():
        source.get_parameter("encoder.pos_embedding")[:] = channels
    cached(small_vit, source)
    network = backbone(small_vit).build(96).eval()
    weights = backbone(small_vit).pretrained(network)
    state = weights.state
    network.load_state_dict(dict(state), strict=True)
    # The same at each place stays the same at each place: 6 x 6 of them and the class token.
    expected = channels.expand(1, 37, 32)
    torch.testing.assert_close(state["model.encoder.pos_embedding"], expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(state["model.class_token"], source.get_parameter("class_token"))
    # The digest is of torchvision's weights, whatever the size that they are made to fit.
    assert backbone(small_vit).pretrained(backbone(small_vit).build(64)).digest == weights.digest


def test_a_damaged_file_is_named(cached: Callable[[str, nn.Module], Path]) -> None:
    cached("resnet18", trained("resnet18")).write_bytes(b"not a checkpoint")
    with pytest.raises(UnavailableError) as caught:
        backbone("resnet18").pretrained(nn.Identity())
    message = str(caught.value)
    assert message.startswith(
        f"weights of torchvision/resnet18: {URL}/resnet18-f37072fd.pth does not load ("
    )
    assert message.endswith(")")


def test_an_unreachable_host_is_found_out_at_once(proxy_that_is_down: str) -> None:
    expected = (
        "weights of torchvision/resnet18: download.pytorch.org:443 cannot be reached through the "
        f"proxy {proxy_that_is_down} (Connection refused)"
    )
    assert backbone("resnet18").pretrained_problem() == expected
    with pytest.raises(UnavailableError) as caught:
        backbone("resnet18").pretrained(nn.Identity())
    assert str(caught.value) == expected
