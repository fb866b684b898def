"""What tests of several folders share: this checkout as a distribution, and plugins made here."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
_checkout: Path | None = None


def write_distribution(folder: Path, name: str, points: dict[str, str], version: str) -> None:
    """Write what an installer would: METADATA and the entry points of group `sftbench`."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [f"{key} = {value}" for key, value in points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[sftbench]", *lines, ""]))
    importlib.invalidate_caches()


def pytest_configure() -> None:
    """Where sftbench is not installed, make its built-ins known, to subprocesses as well."""
    global _checkout  # noqa: PLW0603 - pytest calls two functions; this is what joins them
    if entry_points(group="sftbench", name="builtin"):
        return
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    _checkout = Path(tempfile.mkdtemp(prefix="sftbench-checkout-"))
    points = project["entry-points"]["sftbench"]
    write_distribution(_checkout, "sftbench", points, project["version"])
    sys.path.append(str(_checkout))
    parts = [os.environ.get("PYTHONPATH", ""), str(REPOSITORY), str(_checkout)]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, parts))


def pytest_unconfigure() -> None:
    if _checkout is not None:
        shutil.rmtree(_checkout)


@pytest.fixture
def make_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Return a function that installs a plugin for this test and for subprocesses it starts.

    `make_plugin(name, source, distribution=None, entry_point=None, version="1.0")` writes module
    `name` and a distribution of that name (or `distribution`) with an entry point of that name
    (or `entry_point`, which may be `NAME = MODULE:ATTRIBUTE`), and returns the folder.
    """
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    paths = filter(None, [str(folder), os.environ.get("PYTHONPATH")])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.delenv("SFTBENCH_PLUGINS", raising=False)
    monkeypatch.delenv("SFTBENCH_TRACE_PLUGINS", raising=False)
    modules: list[str] = []

    def make(
        name: str,
        source: str,
        distribution: str | None = None,
        entry_point: str | None = None,
        version: str = "1.0",
    ) -> Path:
        modules.append(name)
        (folder / f"{name}.py").write_text(source, encoding="utf-8")
        key, _, value = (entry_point or name).partition(" = ")
        write_distribution(folder, distribution or name, {key: value or name}, version)
        return folder

    yield make
    for name in modules:
        sys.modules.pop(name, None)


@pytest.fixture(autouse=True, scope="session")
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep tests out of the cache of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SFTBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _process_as_it_was() -> Iterator[None]:
    """Undo what the engine sets for a worker process: hypothesis and numpy want denormals."""
    yield
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "set_flush_denormal"):
        torch.set_flush_denormal(False)
        torch.use_deterministic_algorithms(False)
        torch.set_num_threads(1)  # tiny cells are quicker so, above all on a busy machine
