"""Compare the corruptions of sftbench with those of the PyPI package imagecorruptions.

    pip install imagecorruptions && python benchmarks/corruptions/compare.py

Both get the same photographs at 224 pixels and the same random numbers, so that what differs is
the computation. Left out are `frost`, of whose photographs sftbench has none, and
`elastic_transform`, for which the package has a formula of its own, without the affine map. Noise
is compared by the mean and deviation of what it adds: its numbers are drawn in another form.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_image

from sftbench.reliability.corruptions import KINDS, SEVERITIES, corrupt
from sftbench.reliability.corruptions.draws import Draws
from sftbench.reliability.corruptions.levels import level_of

SIDE = 224
LEFT_OUT = ("frost", "elastic_transform")
NOISE = ("gaussian_noise", "shot_noise", "impulse_noise")
Pixels = NDArray[np.uint8]


def theirs() -> Any:
    """Import the package, which was last changed for older libraries than today's."""
    import skimage.filters

    numpy: Any = np
    numpy.float_ = np.float64
    blur = skimage.filters.gaussian
    filters: Any = skimage.filters
    filters.gaussian = lambda image, multichannel=False, **options: blur(
        image, channel_axis=-1 if multichannel else None, **options
    )
    warnings.simplefilter("ignore")
    from imagecorruptions import corruptions

    return corruptions


def photographs() -> list[Pixels]:
    """Return two photographs that scikit-learn carries, squares of 224 pixels."""
    found = []
    for name in ("china.jpg", "flower.jpg"):
        image = Image.fromarray(load_sample_image(name))
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        square = image.crop((left, top, left + side, top + side))
        found.append(np.asarray(square.resize((SIDE, SIDE), Image.Resampling.BICUBIC)))
    return found


class SameNumbers:
    """Stands in for numpy's random functions, and gives the numbers that sftbench draws."""

    def __init__(self, seed: int) -> None:
        self._draws = Draws([seed], torch.device("cpu"))
        self._steps: Iterator[NDArray[Any]] | None = None

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = ()) -> Any:
        shape = (size,) if isinstance(size, int) else tuple(size)
        return self._draws.uniform(low, high, *shape)[0].numpy().astype(np.float64)

    def normal(self, loc: float = 0.0, scale: float = 1.0, size: Any = ()) -> Any:
        return loc + scale * self._draws.normal(1, *size)[0, 0].numpy().astype(np.float64)

    def steps(self, reach: int, passes: int) -> None:
        """Prepare the steps of `glass_blur`, in the order in which its loop asks for them."""

        def each() -> Iterator[NDArray[Any]]:
            for _ in range(passes):
                down, right = self._draws.integers(-reach, reach, 2, SIDE, SIDE)[0].numpy()
                for h in range(SIDE - reach, reach, -1):
                    for w in range(SIDE - reach, reach, -1):
                        yield np.array([right[h, w], down[h, w]])

        self._steps = each()

    def randint(self, *_bounds: int, size: Any = ()) -> Any:
        assert self._steps is not None
        return next(self._steps)


def by_them(made: Callable[..., Any], kind: str, severity: int, image: Pixels, seed: int) -> Pixels:
    """Corrupt one image with the package, under the numbers that sftbench draws for the seed."""
    numbers = SameNumbers(seed)
    if kind == "glass_blur":
        numbers.steps(*level_of(kind, severity, SIDE)[1:])
    kept = np.random.uniform, np.random.normal, np.random.randint
    np.random.uniform, np.random.normal = numbers.uniform, numbers.normal  # type: ignore[assignment]
    np.random.randint = numbers.randint  # type: ignore[assignment]
    try:
        return np.uint8(np.asarray(made(Image.fromarray(image), severity)))
    finally:
        np.random.uniform, np.random.normal, np.random.randint = kept


def main() -> None:
    package = theirs()
    print(
        f"{'corruption':20} {'levels apart, mean at severities 1 to 5':>42} {'of what is done':>16}"
    )
    for kind in (kind for kind in KINDS if kind not in LEFT_OUT):
        apart, done = [], []
        for severity in SEVERITIES:
            gaps, sizes = [], []
            for seed, image in enumerate(photographs()):
                pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None]
                ours = corrupt(pixels, kind, severity, [seed])[0].permute(1, 2, 0).numpy()
                if kind in NOISE:
                    other = np.uint8(getattr(package, kind)(Image.fromarray(image), severity))
                    ours, other = spread(ours, image), spread(other, image)
                else:
                    other = by_them(getattr(package, kind), kind, severity, image, seed)
                gaps.append(np.abs(ours.astype(float) - other).mean())
                sizes.append(np.abs(other.astype(float) - (0 if kind in NOISE else image)).mean())
            apart.append(float(np.mean(gaps)))
            done.append(float(np.mean(sizes)))
        line = "  ".join(f"{gap:6.2f}" for gap in apart)
        print(f"{kind:20} {line:>42} {sum(apart) / sum(done):15.1%}", flush=True)


def spread(noisy: Pixels, image: Pixels) -> NDArray[np.float64]:
    """Return mean and deviation of what noise added."""
    added = noisy.astype(float) - image
    return np.array([added.mean(), added.std()])


if __name__ == "__main__":
    main()
