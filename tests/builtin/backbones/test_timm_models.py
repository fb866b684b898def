from __future__ import annotations

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from sftbench.api import BackboneInfo, RequestError, Resolver, UnavailableError
from sftbench.builtin.backbones.timm_models import TimmBackbone, family
from sftbench.discovery import build_catalog

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def backbone(name: str) -> TimmBackbone:
    cls = family.resolve(name)
    assert cls is not None
    return cls()


def images(size: int, batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(1))


def trained(name: str, seed: int = 3, **arguments: object) -> nn.Module:
    """A model with its classifier and random weights, which stand for pretrained ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: nn.Module = timm.create_model(name, pretrained=False, **arguments).eval()
        for parameter in model.parameters():  # no zero biases and no norms that do nothing
            nn.init.trunc_normal_(parameter.detach(), std=0.05)
    return model


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the networks are too small for more
    yield
    torch.set_num_threads(num_threads)


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, and what HF_HUB_OFFLINE=1 sets when huggingface_hub is imported."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


@pytest.fixture
def cached(offline: None, tmp_path: Path) -> Callable[[str, nn.Module], Path]:
    """Return a function that puts a model's tensors where the hub's client would."""

    def put(name: str, model: nn.Module) -> Path:
        repository = timm.get_pretrained_cfg(name).hf_hub_id
        folder = tmp_path / f"models--{repository.replace('/', '--')}"
        file = folder / "snapshots" / COMMIT / "model.safetensors"
        file.parent.mkdir(parents=True)
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text(COMMIT)
        save_file(dict(model.state_dict()), file)
        return file

    return put


def test_the_family_is_a_resolver_of_every_model_and_tag() -> None:
    names = set(family.names())
    assert isinstance(family, Resolver)
    assert {"resnet50", "resnet50.a1_in1k", "vit_base_patch16_224", "tf_efficientnet_lite0"} < names
    assert len(names) > 2000
    assert not [name for name in names if "/" in name]


@pytest.mark.parametrize("name", ["resnet50", "resnet50.a2_in1k", "tf_efficientnet_lite0.in1k"])
def test_a_name_gives_a_class_of_that_name(name: str) -> None:
    cls = family.resolve(name)
    assert cls is not None
    assert issubclass(cls, TimmBackbone)
    assert cls.name == name
    assert cls.algorithm_version == 1
    assert cls is family.resolve(name)


def test_the_summary_says_which_weights() -> None:
    assert backbone("resnet50").summary == "resnet50 of timm; weights: timm/resnet50.a1_in1k"
    assert backbone("coatnet_0_224").summary == "coatnet_0_224 of timm; weights: none"


@pytest.mark.parametrize(
    "name",
    [
        "resnet5",
        "resnet50.never_was",
        "torchvision/resnet50",
        "hf-hub:timm/resnet50.a1_in1k",
        "convnext_tiny_in22ft1k",  # deprecated
        "",
    ],
)
def test_other_names_give_none(name: str) -> None:
    assert family.resolve(name) is None


def test_the_catalog_knows_the_family_and_the_nearest_names() -> None:
    catalog = build_catalog(chosen="")
    assert catalog.get("backbone", "test_vit") is family.resolve("test_vit")
    with pytest.raises(RequestError, match=r"unknown backbone 'resnet5O'; did you mean 'resnet50'"):
        catalog.get("backbone", "resnet5O")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "resnet50",
            BackboneInfo(
                image_size=224,
                mean=(0.485, 0.456, 0.406),
                std=(0.229, 0.224, 0.225),
                interpolation="bicubic",
                licence="apache-2.0",
                source="timm/resnet50.a1_in1k",
            ),
        ),
        (
            "vit_base_patch16_384.augreg_in21k_ft_in1k",
            BackboneInfo(
                image_size=384,
                mean=(0.5, 0.5, 0.5),
                std=(0.5, 0.5, 0.5),
                interpolation="bicubic",
                licence="apache-2.0",
                source="timm/vit_base_patch16_384.augreg_in21k_ft_in1k",
            ),
        ),
        (
            "dla34",
            BackboneInfo(
                image_size=224,
                mean=(0.485, 0.456, 0.406),
                std=(0.229, 0.224, 0.225),
                interpolation="bilinear",
                licence="bsd-3-clause",
                source="timm/dla34.in1k",
            ),
        ),
    ],
)
def test_info_is_timms_configuration(name: str, expected: BackboneInfo) -> None:
    assert backbone(name).info() == expected


def test_info_of_weights_at_an_address_and_of_none() -> None:
    assert backbone("legacy_seresnet18").info().source.startswith("https://")
    nothing = backbone("coatnet_0_224").info()
    assert (nothing.source, nothing.image_size) == ("", 224)


@pytest.mark.parametrize(
    ("name", "size", "num_blocks", "feature_width", "block"),
    [
        ("test_resnet", 32, 5, 96, {"layer1.0.conv1.weight": 1, "layer4.0.bn2.bias": 4}),
        ("test_efficientnet", 32, 6, 256, {"conv_stem.weight": 0, "conv_head.weight": 5}),
        ("test_convnext", 64, 13, 64, {"stem.0.weight": 0, "head.norm.weight": 12}),
        ("test_vit", 32, 7, 64, {"pos_embed": 0, "blocks.2.attn.qkv.weight": 3}),
        ("vgg11", 32, 9, 4096, {"features.0.weight": 0, "pre_logits.fc2.weight": 8}),
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


def test_networks_are_random_under_torchs_generator() -> None:
    def weights(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return backbone("test_resnet").build(32).get_parameter("model.conv1.0.weight").detach()

    with torch.random.fork_rng(devices=[]):
        first = weights(0)
        assert not torch.equal(weights(1), first)
        assert torch.equal(weights(0), first)


@pytest.mark.parametrize(("size", "num_tokens"), [(160, 101), (96, 37)])
def test_a_vit_is_built_for_the_size_that_is_asked_for(size: int, num_tokens: int) -> None:
    network = backbone("test_vit").build(size)
    assert network.get_parameter("model.pos_embed").shape == (1, num_tokens, 64)  # 1 class token


def test_a_size_that_a_network_cannot_take_is_refused_with_its_own() -> None:
    with pytest.raises(RequestError) as caught:
        backbone("test_maxvit").build(100)
    message = str(caught.value)
    assert message.startswith("backbone 'test_maxvit' cannot be built for images of 100 pixels (")
    assert message.endswith("); its own size: --image-size 160")
    assert "\n" not in message


def test_weights_in_the_cache_are_those_of_the_file(
    cached: Callable[[str, nn.Module], Path],
) -> None:
    source = trained("test_vit")
    cached("test_vit", source)
    vit = backbone("test_vit")
    assert vit.pretrained_problem() is None
    network = vit.build(160)
    before = torch.get_rng_state()
    weights = vit.pretrained(network)
    assert torch.equal(torch.get_rng_state(), before)
    assert weights.origin == "hub: timm/test_vit.r160_in1k"
    assert weights.state.keys() == network.state_dict().keys()
    for name, tensor in weights.state.items():
        assert torch.equal(tensor, source.state_dict()[name.removeprefix("model.")]), name
    assert weights.head is not None
    assert torch.equal(weights.head["weight"], source.get_parameter("head.weight"))
    assert torch.equal(weights.head["bias"], source.get_parameter("head.bias"))
    assert weights.digest == vit.pretrained(network).digest


def test_the_digest_is_of_the_weights(cached: Callable[[str, nn.Module], Path]) -> None:
    source = trained("test_resnet")
    file = cached("test_resnet", source)
    resnet = backbone("test_resnet")
    network = resnet.build(32)
    before = resnet.pretrained(network).digest
    assert len(before) == 64
    with torch.no_grad():
        source.get_parameter("fc.bias")[0] += 1
    save_file(dict(source.state_dict()), file)
    assert resnet.pretrained(network).digest != before


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("test_vit", 160),
        ("test_resnet", 64),
        ("test_convnext", 64),
        ("test_efficientnet", 64),
        ("dla46x_c", 64),  # its classifier is a 1 x 1 convolution
    ],
)
def test_the_head_on_the_features_is_the_source_model(
    cached: Callable[[str, nn.Module], Path], name: str, size: int
) -> None:
    source = trained(name)
    cached(name, source)
    network = backbone(name).build(size).eval()
    weights = backbone(name).pretrained(network)
    network.load_state_dict(dict(weights.state), strict=True)
    assert weights.head is not None
    x = images(size)
    with torch.no_grad():
        expected = source(x)
        logits = nn.functional.linear(network(x), weights.head["weight"], weights.head["bias"])
    assert expected.std() > 1e-4
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("deit_tiny_distilled_patch16_224", 32),  # the mean of two heads
        ("efficientvit_m0", 224),  # a norm and a linear layer
    ],
)
def test_a_head_that_is_more_than_one_layer_is_none(
    cached: Callable[[str, nn.Module], Path], name: str, size: int
) -> None:
    cached(name, trained(name))
    network = backbone(name).build(size)
    weights = backbone(name).pretrained(network)
    assert weights.head is None
    assert weights.state.keys() == network.state_dict().keys()


def test_position_embeddings_are_resampled_to_another_size(
    cached: Callable[[str, nn.Module], Path],
) -> None:
    source = trained("test_vit")
    channels = torch.linspace(-1, 1, 64)
    with torch.no_grad():
        source.get_parameter("pos_embed")[:] = channels
    cached("test_vit", source)
    network = backbone("test_vit").build(96)
    state = backbone("test_vit").pretrained(network).state
    network.load_state_dict(dict(state), strict=True)
    # The same at each place stays the same at each place, on the smaller grid too.
    expected = channels.expand(1, 37, 64)
    torch.testing.assert_close(state["model.pos_embed"], expected, rtol=1e-4, atol=1e-4)
    other = "blocks.5.mlp.fc1.weight"
    assert torch.equal(state[f"model.{other}"], source.get_parameter(other))


def test_a_damaged_file_is_named(cached: Callable[[str, nn.Module], Path]) -> None:
    file = cached("test_vit", trained("test_vit"))
    file.write_bytes(b"not a safetensors file")
    with pytest.raises(UnavailableError) as caught:
        backbone("test_vit").pretrained(backbone("test_vit").build(32))
    message = str(caught.value)
    assert message.startswith(f"weights of test_vit: {file} does not load (SafetensorError: ")
    assert message.endswith(")")


def test_a_file_of_another_model_is_refused(cached: Callable[[str, nn.Module], Path]) -> None:
    cached("test_vit", trained("test_vit2"))
    with pytest.raises(UnavailableError, match=r"does not load \(RuntimeError: "):
        backbone("test_vit").pretrained(backbone("test_vit").build(32))


def test_a_model_without_weights_says_so() -> None:
    expected = "timm has no pretrained weights for 'coatnet_0_224'; use --weights none"
    assert backbone("coatnet_0_224").pretrained_problem() == expected
    with pytest.raises(UnavailableError) as caught:
        backbone("coatnet_0_224").pretrained(nn.Identity())
    assert str(caught.value) == expected


@pytest.mark.usefixtures("offline")
def test_offline_without_a_cache_says_so() -> None:
    expected = (
        "weights of resnet50: timm/resnet50.a1_in1k is not in the cache and HF_HUB_OFFLINE is set"
    )
    assert backbone("resnet50").pretrained_problem() == expected
    with pytest.raises(UnavailableError) as caught:
        backbone("resnet50").pretrained(nn.Identity())
    assert str(caught.value) == expected


@pytest.mark.usefixtures("offline")
def test_an_unreachable_hub_is_found_out_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    expected = f"weights of test_vit: 127.0.0.1:{port} cannot be reached (Connection refused)"
    start = time.monotonic()
    assert backbone("test_vit").pretrained_problem() == expected
    with pytest.raises(UnavailableError) as caught:
        backbone("test_vit").pretrained(nn.Identity())
    assert str(caught.value) == expected
    assert time.monotonic() - start < 6  # two questions of at most 2 seconds


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """A hub on this machine that has the weights of test_vit: its address and its requests."""
    file = tmp_path / "served.safetensors"
    save_file(dict(trained("test_vit").state_dict()), file)
    content = file.read_bytes()
    requests: list[str] = []

    class Hub(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            requests.append(f"{self.command} {self.path}")
            found = self.path == "/timm/test_vit.r160_in1k/resolve/main/model.safetensors"
            self.send_response(200 if found else 404)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", '"0123"')
            self.send_header("Content-Length", str(len(content) if found else 0))
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", requests
    server.shutdown()
    server.server_close()


DOWNLOAD = """
import json, sys, warnings
warnings.simplefilter("error")
from sftbench.builtin.backbones.timm_models import family
vit = family.resolve("test_vit")()
problems = [vit.pretrained_problem()]
network = vit.build(160)
weights = vit.pretrained(network)
problems.append(vit.pretrained_problem())
again = vit.pretrained(network)
network.load_state_dict(dict(weights.state), strict=True)
total = sum(float(t.double().sum()) for t in (*weights.state.values(), *weights.head.values()))
print(json.dumps([problems, weights.digest == again.digest, weights.origin, total]))
"""


def test_weights_come_from_the_hub_once(mirror: tuple[str, list[str]], tmp_path: Path) -> None:
    address, requests = mirror
    settings = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home"), "NO_PROXY": "127.0.0.1"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run(
        [sys.executable, "-c", DOWNLOAD],
        env={**kept, **settings},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    problems, same_again, origin, total = json.loads(done.stdout)
    assert problems == [None, None]
    assert same_again
    assert origin == "hub: timm/test_vit.r160_in1k"
    tensors = trained("test_vit").state_dict().values()
    assert total == pytest.approx(sum(float(t.double().sum()) for t in tensors), abs=1e-6)
    path = "/timm/test_vit.r160_in1k/resolve/main/model.safetensors"
    # Asked for once: without a network, asking again would take a minute.
    assert [r for r in requests if "/resolve/" in r] == [f"HEAD {path}", f"GET {path}"]
