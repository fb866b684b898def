"""Networks: maps, dilation and heads."""

from __future__ import annotations

from typing import Any, cast

import pytest
import timm
import torch
from sftbench_segmentation.dilation import dilate
from torch import nn

from sftbench.api import Backbone, BlockBackbone, RequestError, unpacked
from sftbench.catalog import Catalog
from sftbench.cli.remedies import commands_without_hub

SIZE = 64
BODY = "tf_efficientnet_lite0"


def built(catalog: Catalog, name: str, size: int = SIZE) -> Any:
    torch.manual_seed(0)
    return cast(Backbone, catalog.create("backbone", name)).build(size).eval()


@pytest.mark.parametrize(
    ("name", "strides"),
    [
        (f"fcn:{BODY}", [8]),
        (f"deeplabv3:{BODY}", [8]),
        (f"lraspp:{BODY}", [8, 16]),
        (f"unet:{BODY}", [2, 4, 8, 16, 32]),
        ("unet:resnet18", [4, 8, 16, 32]),
        ("lraspp:torchvision/mobilenet_v3_small", [8, 16]),
    ],
)
def test_logits_have_the_size_of_the_images(
    catalog: Catalog, name: str, strides: list[int]
) -> None:
    network = built(catalog, name)
    assert [level.stride for level in network.levels] == strides
    assert [level.height for level in network.levels] == [SIZE // stride for stride in strides]
    head = network.segmentation_head(5)
    logits = head(network(torch.randn(2, 3, SIZE, SIZE)))
    assert logits.shape == (2, 5, SIZE, SIZE)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in head.parameters())


def test_dilation_gives_the_maps_of_timm_with_the_same_weights() -> None:
    torch.manual_seed(0)
    wanted = timm.create_model("resnet18", num_classes=0, output_stride=8).eval()
    plain = timm.create_model("resnet18", num_classes=0).eval()
    plain.load_state_dict(wanted.state_dict())
    image = torch.randn(1, 3, SIZE, SIZE)
    body = dilate(BlockBackbone(plain, torch.zeros(1, 3, SIZE, SIZE)), image, 8)
    with torch.no_grad():
        torch.testing.assert_close(
            body.model.forward_features(image), wanted.forward_features(image)
        )


def test_dilation_of_networks_padded_as_tensorflow_does_it() -> None:
    torch.manual_seed(0)
    wanted = timm.create_model(BODY, num_classes=0, output_stride=8).eval()
    plain = timm.create_model(BODY, num_classes=0).eval()
    plain.load_state_dict(wanted.state_dict())
    image = torch.randn(1, 3, SIZE, SIZE)
    body = dilate(BlockBackbone(plain, image), image, 8)
    with torch.no_grad():
        torch.testing.assert_close(
            body.model.forward_features(image), wanted.forward_features(image)
        )


def test_a_network_that_cannot_be_dilated_is_refused(catalog: Catalog) -> None:
    with pytest.raises(RequestError) as caught:
        built(catalog, "fcn:convnext_atto")
    assert str(caught.value) == (
        "backbone 'fcn:convnext_atto' cannot be built at 64 pixels: it cannot be dilated "
        "(ValueError: a strided convolution of 2 pixels); unet:BODY needs no dilation"
    )


def test_a_network_without_maps_is_refused(catalog: Catalog) -> None:
    with pytest.raises(RequestError) as caught:
        built(catalog, "unet:vit_tiny_patch16_224", 224)
    assert str(caught.value) == (
        "backbone 'unet:vit_tiny_patch16_224' cannot be built at 224 pixels: no block gives maps "
        "of 1/4 of images of 224 x 224 pixels"
    )


def test_a_network_of_networks_is_refused(catalog: Catalog) -> None:
    with pytest.raises(RequestError, match="takes a network of its own"):
        catalog.create("backbone", "unet:fcn:resnet18")


def test_the_unet_uses_every_map(catalog: Catalog) -> None:
    network = built(catalog, f"unet:{BODY}")
    head: nn.Module = network.segmentation_head(3).eval()
    features = network(torch.randn(1, 3, SIZE, SIZE)).detach().requires_grad_()
    head(features).sum().backward()
    assert features.grad is not None
    assert all(one.abs().sum() > 0 for one in unpacked(features.grad, network.levels))


def test_any_size_that_maps_do_not_divide_is_met(catalog: Catalog) -> None:
    network = built(catalog, f"unet:{BODY}", 72)
    logits = network.segmentation_head(3)(network(torch.randn(2, 3, 72, 72)))
    assert logits.shape == (2, 3, 72, 72)


def test_without_weights_another_body_is_offered(
    monkeypatch: pytest.MonkeyPatch, catalog: Catalog
) -> None:
    monkeypatch.setattr("sftbench.discovery.build_catalog", lambda: catalog)
    found = commands_without_hub(
        ["run", "-b", "unet:resnet18", "-d", "scene-masks"], "unet:resnet18"
    )
    assert found == [
        f"sftbench run -d scene-masks --backbone unet:{BODY}",
        "sftbench run -b unet:resnet18 -d scene-masks --weights none",
    ]
