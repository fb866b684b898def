"""Rebuild the embedded file of `fashion-mnist-mini`, to the byte.

The source is Fashion-MNIST's four gzipped IDX files, as Debian's package
`dataset-fashion-mnist` carries them. The sha256 of their decoded content is checked first.

The choice: a seeded permutation of the source; from it the first 300 images of each class for
training, the first 100 of each class for the test; a second permutation sets their order. No
image occurs twice among Fashion-MNIST's 70,000, so nothing has to be left out.

The file is bzip2, level 9, over: the magic `SFTBFM01`; four big-endian uint32 (training images,
test images, height, width); then uint8 training images, training labels, test images and test
labels, images row by row. Bzip2, because its encoder no longer changes, so that any machine
writes the same bytes.

    python scripts/build_fashion_mnist_mini.py [SOURCE [OUTPUT]]
    python scripts/build_fashion_mnist_mini.py --check
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import hashlib
import struct
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SOURCE_FOLDER = Path("/usr/share/datasets/fashion-mnist")
OUTPUT_FILE = (
    Path(__file__).resolve().parents[1]
    / "sftbench/builtin/datasets/data/fashion-mnist-mini.bin.bz2"
)
SOURCE_SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
MAGIC = b"SFTBFM01"
SEED = 0
NUM_CLASSES = 10
NUM_TRAIN_PER_CLASS = 300
NUM_TEST_PER_CLASS = 100


def read_source(folder: Path, name: str) -> bytes:
    """Read and verify one IDX file.

    Args:
        folder: Where the gzipped IDX files are.
        name: The file's name without `.gz`.

    Returns:
        The decoded file, IDX header included.

    Raises:
        ValueError: The file is missing, or its decoded content is not Fashion-MNIST's.
    """
    file = folder / f"{name}.gz"
    if not file.is_file():
        raise ValueError(f"{file}: missing; get it with: apt-get install dataset-fashion-mnist")
    decoded = gzip.decompress(file.read_bytes())
    found = hashlib.sha256(decoded).hexdigest()
    if found != SOURCE_SHA256[name]:
        raise ValueError(
            f"{file}: decoded sha256 {found}, expected {SOURCE_SHA256[name]}; "
            "take the file of Debian's package dataset-fashion-mnist"
        )
    return decoded


def read_split(folder: Path, prefix: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read the images, uint8 `[N, 28, 28]`, and labels, uint8 `[N]`, of one source split."""
    images = np.frombuffer(read_source(folder, f"{prefix}-images-idx3-ubyte"), np.uint8, offset=16)
    labels = np.frombuffer(read_source(folder, f"{prefix}-labels-idx1-ubyte"), np.uint8, offset=8)
    return images.reshape(-1, 28, 28), labels


def draw_order(bits: np.random.PCG64, length: int) -> NDArray[np.intp]:
    """Draw a permutation, int `[length]`.

    It sorts raw 64-bit words: NumPy promises that PCG64's words stay the same from release to
    release, and does not promise it of `Generator.permutation`.
    """
    return np.argsort(bits.random_raw(length), kind="stable")


def choose(
    bits: np.random.PCG64, labels: NDArray[np.uint8], num_per_class: int
) -> NDArray[np.intp]:
    """Choose `num_per_class` positions of each class, in an order in which classes mix.

    Returns:
        Positions in `labels`, int `[10 * num_per_class]`, each at most once.
    """
    order = draw_order(bits, len(labels))
    chosen = np.concatenate(
        [order[labels[order] == label][:num_per_class] for label in range(NUM_CLASSES)]
    )
    return chosen[draw_order(bits, len(chosen))]


def build(folder: Path) -> bytes:
    """Build the content of the embedded file from the four IDX files in `folder`.

    Raises:
        ValueError: A source file is missing or is not Fashion-MNIST's.
    """
    train_images, train_labels = read_split(folder, "train")
    test_images, test_labels = read_split(folder, "t10k")
    bits = np.random.PCG64(SEED)
    train = choose(bits, train_labels, NUM_TRAIN_PER_CLASS)
    test = choose(bits, test_labels, NUM_TEST_PER_CLASS)
    content = b"".join(
        [
            MAGIC,
            struct.pack(">4I", len(train), len(test), *train_images.shape[1:]),
            train_images[train].tobytes(),
            train_labels[train].tobytes(),
            test_images[test].tobytes(),
            test_labels[test].tobytes(),
        ]
    )
    return bz2.compress(content, compresslevel=9)


def main(arguments: list[str] | None = None) -> int:
    """Write the file, or with `--check` compare it; return the exit status, 0 or 1."""
    parser = argparse.ArgumentParser(description="Rebuild the file of fashion-mnist-mini.")
    parser.add_argument("source", nargs="?", type=Path, default=SOURCE_FOLDER)
    parser.add_argument("output", nargs="?", type=Path, default=OUTPUT_FILE)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; compare OUTPUT with a rebuilt file"
    )
    options = parser.parse_args(arguments)
    try:
        data = build(options.source)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    if not options.check:
        options.output.write_bytes(data)
    elif not options.output.is_file() or options.output.read_bytes() != data:
        print(
            f"{options.output}: not what this script builds; run it without --check",
            file=sys.stderr,
        )
        return 1
    print(f"{options.output}: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
