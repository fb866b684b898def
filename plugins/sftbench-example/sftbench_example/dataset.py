"""A data set: images drawn from a seed, so that nothing has to be downloaded."""

from __future__ import annotations

import numpy as np

from sftbench.api import Dataset, DatasetInfo, Examples, Split

_PIXELS = 32
_SIZES = {"train": 240, "test": 120}


class Stripes(Dataset):
    """Grey stripes of random width and phase in noise, of four directions; 32 x 32 pixels."""

    name = "stripes"
    summary = "stripes of four directions"

    def info(self) -> DatasetInfo:
        """Describe the data. A mirrored `rising` stripe would be a `falling` one: no flips."""
        return DatasetInfo(
            name=self.reference,
            class_names=("horizontal", "rising", "vertical", "falling"),
            num_train=_SIZES["train"],
            num_test=_SIZES["test"],
            horizontal_flip=False,
            image_size=_PIXELS,
            licence="CC0-1.0",
            source="drawn by sftbench-example",
        )

    def load(self, split: Split, image_size: int) -> Examples:
        """Draw images uint8 [N, 32, 32, 1]; sftbench resizes them where it must."""
        number = _SIZES[split]
        generator = np.random.default_rng(["train", "test"].index(split))
        targets = np.arange(number, dtype=np.int64) % 4
        angle = np.pi / 4 * targets
        wavelength = generator.uniform(6, 12, number)
        phase = generator.uniform(0, 2 * np.pi, number)
        y, x = np.mgrid[:_PIXELS, :_PIXELS]
        # Distance across the stripes, [N, H, W]; rows are counted downwards, hence rising is +.
        along = np.multiply.outer(np.sin(angle), x) + np.multiply.outer(np.cos(angle), y)
        waves = np.sin(2 * np.pi * along / wavelength[:, None, None] + phase[:, None, None])
        noise = generator.normal(0, 40, waves.shape)
        images = np.clip(128 + 60 * waves + noise, 0, 255).astype(np.uint8)
        return Examples(images[..., None], targets)
