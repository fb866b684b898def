"""Whether two data sets have images or texts in common."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from sftbench.contracts.dataset import Examples


def shared_images(source: Examples, *target: Examples) -> int:
    """Count the examples of the target that the source has too, to the last bit.

    An image of one channel equals one whose three channels are that channel. Images of a single
    value do not count: they say nothing.

    Args:
        source: Inputs uint8 [N, H, W, C] or texts; those of another form have nothing in common.
        *target: Its splits.
    """
    known = image_hashes(source)
    return sum(int(np.isin(image_hashes(split), known).sum()) for split in target)


def image_hashes(examples: Examples) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each image that is not of a single value, or text, uint64 [<= N]."""
    images = examples.inputs
    if not isinstance(images, np.ndarray):
        texts = [text.encode(errors="surrogatepass") for text in images if isinstance(text, str)]
        digests = [hashlib.blake2b(text, digest_size=8, person=b"text") for text in texts]
        return np.array([int.from_bytes(one.digest(), "little") for one in digests], np.uint64)
    if images.ndim != 4:
        return np.empty(0, dtype=np.uint64)
    hashes = []
    for image in images:
        grey = image.shape[2] == 1 or bool((image == image[..., :1]).all())
        pixels = np.ascontiguousarray(image[..., :1] if grey else image)
        if pixels.min() != pixels.max():
            digest = hashlib.blake2b(pixels.data, digest_size=8, person=b"%dx%d" % pixels.shape[:2])
            hashes.append(int.from_bytes(digest.digest(), "little"))
    return np.array(hashes, dtype=np.uint64)
