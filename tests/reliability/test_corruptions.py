"""The corruptions: invariants of all, and kinds against other implementations."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from support.workspaces import make_cell, make_warm, make_workspace, run
from torch import Tensor

from sftbench.cell import run_cell_safely
from sftbench.data.images import ImageBatches
from sftbench.evaluation.classification import accuracy
from sftbench.reliability.corrupted import CorruptedImages
from sftbench.reliability.corruptions import KINDS, SEVERITIES, corrupt, digital, sampling, weather
from sftbench.reliability.corruptions.draws import Draws
from sftbench.reliability.corruptions.levels import LEVELS, level_of


def photographs(side: int, num: int = 4) -> Tensor:
    """Smooth shapes with edges, uint8 [B, 3, S, S]: more like photographs than noise is."""
    generator = np.random.default_rng(5)
    images = ndimage.gaussian_filter(generator.normal(size=(num, 3, side, side)), (0, 0, 4, 4))
    images = (images - images.min()) / (images.max() - images.min())
    images[:, :, side // 4 : side // 2, side // 3 : side // 2] *= 0.3
    return torch.from_numpy((images * 255).astype(np.uint8))


def squares(first: Tensor, second: Tensor) -> float:
    return (first.float() - second.float()).square().mean().item()


def unlikeness(first: Tensor, second: Tensor) -> float:
    """One minus the correlation: what only makes an image brighter or paler does not count."""
    pairs = zip(first.flatten(1).numpy(), second.flatten(1).numpy(), strict=True)
    return 1 - float(np.mean([np.corrcoef(*pair)[0, 1] for pair in pairs]))


# Here the published numbers trade one thing for another (reach for smoothness, say), and an image
# is not moved further by each.
NOT_RISING = {"glass_blur", "elastic_transform", "pixelate"}


@pytest.mark.parametrize("side", [32, 64, pytest.param(224, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_severity_raises_the_distance(kind: str, side: int) -> None:
    pixels = photographs(side)
    distance = unlikeness if kind in {"frost", "fog"} else squares
    made = [corrupt(pixels, kind, severity, range(len(pixels))) for severity in SEVERITIES]
    found = [distance(one, pixels) for one in made]
    assert min(found) > 0
    if kind not in NOT_RISING and (kind, side) != ("snow", 224):
        assert found == sorted(found)
        assert found[4] > 1.2 * found[0]


@pytest.mark.parametrize("side", [8, 12, 33])
@pytest.mark.parametrize("kind", KINDS)
def test_form_range_and_seeds(kind: str, side: int) -> None:
    pixels = photographs(side, 3)
    kept = pixels.clone()
    for severity in (1, 5):
        whole = corrupt(pixels, kind, severity, [7, 8, 9])
        assert (whole.shape, whole.dtype) == ((3, 3, side, side), torch.uint8)
        # Neither the batch nor a call before decides an image's bits; its seed does.
        alone = corrupt(pixels[1:2], kind, severity, [8])
        assert torch.equal(alone[0], whole[1])
    assert torch.equal(pixels, kept)
    other = corrupt(pixels, kind, 5, [17, 18, 19])
    has_chance = kind not in {
        "defocus_blur",
        "zoom_blur",
        "brightness",
        "contrast",
        "pixelate",
        "jpeg_compression",
    }
    assert torch.equal(other, whole) != has_chance


def test_one_channel_is_repeated() -> None:
    grey = photographs(32)[:, :1]
    for kind in KINDS:
        three = corrupt(grey.expand(-1, 3, -1, -1), kind, 3, [1, 2, 3, 4])
        assert torch.equal(corrupt(grey, kind, 3, [1, 2, 3, 4]), three)


def test_the_nearest_published_size_decides() -> None:
    assert set(LEVELS[32]) == set(LEVELS[64]) == set(LEVELS[224]) == set(KINDS)
    assert all(len(levels[kind]) == 5 for levels in LEVELS.values() for kind in KINDS)
    sizes = [(8, 500), (45, 500), (46, 250), (96, 250), (119, 250), (120, 60), (512, 60)]
    for side, photons in sizes:
        assert level_of("shot_noise", 1, side) == photons


# ---- against other implementations ---------------------------------------------------------------


@pytest.mark.parametrize(("edge", "truncate"), [("nearest", 4.0), ("reflect", 3.0)])
@pytest.mark.parametrize("sigma", [0.05, 0.7, 2.5, 19.2])
def test_blur_is_scipys(sigma: float, edge: Any, truncate: float) -> None:
    image = np.random.default_rng(0).random((24, 24))
    ours = sampling.gaussian_blur(
        torch.from_numpy(image).float()[None, None], sigma, edge=edge, truncate=truncate
    )
    expected = ndimage.gaussian_filter(image, sigma, mode=edge, truncate=truncate)
    assert ours[0, 0].numpy() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("edge", ["nearest", "reflect", "mirror"])
def test_sampling_is_scipys(edge: Any) -> None:
    generator = np.random.default_rng(1)
    image = generator.random((9, 9))
    places = generator.uniform(-25, 30, (2, 9, 9))
    expected = ndimage.map_coordinates(image, places, order=1, mode=edge)
    tensors = torch.from_numpy(places).float()
    ours = sampling.sampled(
        torch.from_numpy(image).float()[None, None], tensors[:1], tensors[1:], edge
    )
    assert ours[0, 0].numpy() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("factor", [1.0, 1.01, 1.25, 2.25])
def test_zoom_is_scipys(factor: float) -> None:
    image = np.random.default_rng(2).random((32, 32))
    part = int(np.ceil(32 / factor))
    top = (32 - part) // 2
    large = ndimage.zoom(image[top : top + part, top : top + part], factor, order=1)
    trim = (large.shape[0] - 32) // 2
    expected = large[trim : trim + 32, trim : trim + 32]
    ours = sampling.zoomed(torch.from_numpy(image).float()[None, None], factor)
    assert ours[0, 0].numpy() == pytest.approx(expected, abs=1e-5)


def pillow(pixels: Tensor) -> list[Image.Image]:
    return [Image.fromarray(one.permute(1, 2, 0).numpy()) for one in pixels]


def arrays(pixels: Tensor) -> NDArray[np.int64]:
    return pixels.permute(0, 2, 3, 1).numpy().astype(np.int64)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_jpeg_is_pillows(severity: int) -> None:
    pixels = photographs(32)
    expected = []
    for image in pillow(pixels):
        file = io.BytesIO()
        image.save(file, "JPEG", quality=(80, 65, 58, 50, 40)[severity - 1])
        expected.append(np.asarray(Image.open(file)))
    made = arrays(corrupt(pixels, "jpeg_compression", severity, [0] * 4))
    assert (made == np.stack(expected)).all()


@pytest.mark.parametrize("severity", SEVERITIES)
def test_pixelate_is_pillows_to_a_level(severity: int) -> None:
    pixels = photographs(64)
    size = int(64 * (0.9, 0.8, 0.7, 0.6, 0.5)[severity - 1])
    expected = [
        np.asarray(
            image.resize((size, size), Image.Resampling.BOX).resize((64, 64), Image.Resampling.BOX)
        )
        for image in pillow(pixels)
    ]
    gaps = np.abs(arrays(corrupt(pixels, "pixelate", severity, [0] * 4)) - expected)
    assert gaps.max() <= 1


def test_brightness_moves_the_value_of_hsv_alone() -> None:
    import colorsys

    images = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    images[0, :, 0, 0] = 0  # black has no hue
    made = weather.brightness(images, 0.3, Draws([0], torch.device("cpu")))
    for before, after in zip(
        images[0].flatten(1).T.tolist(), made[0].flatten(1).T.tolist(), strict=True
    ):
        hue, saturation, value = colorsys.rgb_to_hsv(*before)
        expected = colorsys.hsv_to_rgb(hue, saturation, min(1, value + 0.3))
        assert after == pytest.approx(expected, abs=1e-5)


def test_the_elastic_map_is_scipys_with_the_numbers_drawn() -> None:
    images = torch.from_numpy(np.random.default_rng(3).random((1, 1, 32, 32))).float()
    level = (0.08, 0.06, 0.06)
    ours = digital.elastic_transform(images, level, Draws([4], torch.device("cpu")))
    draws = Draws([4], torch.device("cpu"))
    shift = 0.06 * 32
    corners = np.array([[26.0, 26.0], [26.0, 6.0], [6.0, 6.0]])
    moved = corners + draws.uniform(-shift, shift, 3, 2)[0].double().numpy()
    inverse = np.linalg.solve(np.hstack([moved, np.ones((3, 1))]), corners)  # as OpenCV's
    rows, columns = np.mgrid[:32, :32]
    flat = np.stack([columns.ravel(), rows.ravel(), np.ones(32 * 32)], axis=1) @ inverse
    image = images[0, 0].double().numpy()
    image = ndimage.map_coordinates(image, [flat[:, 1], flat[:, 0]], order=1, mode="mirror")
    fields = draws.uniform(-1, 1, 2, 32, 32)[0].double().numpy()
    dx, dy = (
        ndimage.gaussian_filter(field, 0.06 * 32, mode="reflect", truncate=3) * 0.08 * 32
        for field in fields
    )
    expected = ndimage.map_coordinates(
        image.reshape(32, 32), [rows + dy, columns + dx], order=1, mode="reflect"
    )
    assert ours[0, 0].numpy() == pytest.approx(expected, abs=1e-3)


def test_a_smear_moves_what_it_smears() -> None:
    image = torch.zeros(1, 1, 15, 15)
    image[0, 0, 7, 10] = 1.0
    right = sampling.motion_blur(image, 2, 1.0, torch.zeros(1))
    taps = np.exp(-(np.arange(5.0) ** 2) / 2)
    assert right[0, 0, 7, 6:11].numpy() == pytest.approx(taps[::-1] / taps.sum(), abs=1e-6)
    assert right.sum() == pytest.approx(1.0)
    down = sampling.motion_blur(image, 2, 1.0, torch.full((1,), 90.0))
    assert down[0, 0, 3:8, 10].numpy() == pytest.approx(taps[::-1] / taps.sum(), abs=1e-6)


@pytest.mark.parametrize(("kind", "level"), [("gaussian_noise", 0.18), ("shot_noise", 15)])
def test_noise_has_the_deviation_that_is_published(kind: str, level: float) -> None:
    pixels = torch.full((8, 3, 64, 64), 128, dtype=torch.uint8)
    added = (corrupt(pixels, kind, 5, list(range(8))).double() - 128) / 255
    deviation = level if kind == "gaussian_noise" else (128 / 255 / level) ** 0.5
    assert added.std().item() == pytest.approx(deviation, rel=0.03)
    assert added.mean().item() == pytest.approx(0, abs=0.005)


def test_impulses_are_as_many_as_they_should_be_half_of_them_white() -> None:
    pixels = torch.full((8, 3, 64, 64), 128, dtype=torch.uint8)
    made = corrupt(pixels, "impulse_noise", 5, list(range(8)))
    black, white = (made == 0).double().mean().item(), (made == 255).double().mean().item()
    assert black == pytest.approx(0.07, rel=0.05)
    assert white == pytest.approx(0.07, rel=0.05)
    assert black + white + (made == 128).double().mean().item() == pytest.approx(1)


# ---- in a cell -----------------------------------------------------------------------------------


def test_a_cell_is_tested_on_every_corruption_of_its_test_images() -> None:
    warm = make_warm()
    record, kept = run(warm, "full", evaluate="corruptions", limit_test=16, epochs=6)
    found = {
        split: values["accuracy"]
        for split, values in record.metrics["selected"].items()
        if split.startswith("corrupted:")
    }
    assert set(found) == {f"corrupted:{kind}:{level}" for kind in KINDS for level in SEVERITIES}
    whole = record.metrics["selected"]["corrupted"]
    assert whole["accuracy"] == pytest.approx(np.mean([value or 0.0 for value in found.values()]))
    clean = record.value("accuracy")
    assert clean
    assert whole["ratio"] == pytest.approx((whole["accuracy"] or 0) / clean)
    # Shares of sixteen images, and not all the same.
    assert all(value is not None and (value * 16) % 1 == 0 for value in found.values())
    assert len(set(found.values())) > 1
    assert set(kept) == {
        (split, which) for split in ("val", "test") for which in ("selected", "last")
    }


def test_frozen_features_of_corrupted_images_are_those_of_the_whole_network() -> None:
    warm, models = make_warm(), []
    cell = make_cell(warm, evaluate="corruptions", epochs=6)
    record, _ = run_cell_safely(cell, warm, lambda *_: None, keep=models.append)
    ws = make_workspace(warm)
    images, targets = ws.data.test.source, ws.data.test.targets
    assert isinstance(images, ImageBatches)
    everything = torch.arange(32)
    for kind in ("fog", "shot_noise"):
        source = CorruptedImages(images, "tiny-images", kind, 5)
        inputs = source.inputs(everything, "plain", None)
        assert torch.equal(inputs[5:6], source.inputs(everything[5:6], "plain", None))
        with torch.no_grad():
            outputs = models[0].eval()(inputs).numpy()
        found = record.metrics["selected"][f"corrupted:{kind}:5"]["accuracy"]
        assert found == accuracy(outputs, targets)
    assert len(source) == 32
