"""What this machine can run, what is at hand, and what would bring the rest. Runs nothing."""

from __future__ import annotations

import os
import platform
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import cast

from sftbench import cache
from sftbench.catalog import Catalog
from sftbench.contracts.dataset import Dataset
from sftbench.errors import SftbenchError
from sftbench.names import cause, one_line
from sftbench.network import endpoint_problem
from sftbench.weights import locate

_PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "pyarrow",
    "duckdb",
    "pydantic",
    "scipy",
    "pandas",
)
_EXTRAS = {
    "datasets": "pip install 'sftbench[hf]'",
    "h5py": "pip install 'sftbench[pcam]'",
    "tensorboard": "pip install 'sftbench[tensorboard]'",
}
_LITTLE_BYTES = 5 << 30
_HUB_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing about this machine.

    Attributes:
        section: What it belongs to.
        name: What it is about.
        text: What is so.
        is_well: Whether nothing is missing.
        command: What would mend it, or empty.
    """

    section: str
    name: str
    text: str
    is_well: bool = True
    command: str = ""


def diagnose(catalog: Catalog) -> list[Fact]:
    """Return every fact, in the order in which a person reads them; takes a few seconds."""
    hubs: list[Fact] = []
    asking = threading.Thread(target=lambda: hubs.extend(_hubs()), daemon=True)
    asking.start()
    facts = [
        *_system(),
        *_devices(),
        *_memory(),
        *_plugins(catalog),
        *_data(catalog),
        *_weights(catalog),
        *_cache(),
    ]
    asking.join(_HUB_SECONDS)
    return facts + (hubs or [Fact("hubs", "all", "no answer yet", is_well=False)])


def _system() -> Iterator[Fact]:
    yield Fact("system", "python", platform.python_version())
    yield Fact("system", "platform", f"{platform.system()} {platform.machine()}")
    for name in _PACKAGES:
        try:
            yield Fact("system", name, version(name))
        except PackageNotFoundError:
            yield Fact(
                "system", name, "not installed", is_well=False, command=f"pip install {name}"
            )
    for name, command in _EXTRAS.items():
        try:
            yield Fact("system", name, f"{version(name)} (optional)")
        except PackageNotFoundError:
            yield Fact("system", name, "not installed (optional)", command=command)


def _devices() -> Iterator[Fact]:
    import torch

    from sftbench.executors.pool import available_cores

    capability = torch.backends.cpu.get_cpu_capability()
    yield Fact("devices", "cpu", f"{available_cores()} cores, {capability}")
    built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "for CPU alone"
    yield Fact("devices", "torch build", f"{torch.__version__}, {built}")
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            gib = properties.total_memory / 2**30
            yield Fact("devices", f"cuda:{index}", f"{properties.name}, {gib:.0f} GiB")
    elif shutil.which("nvidia-smi"):
        text = "there is a driver, but torch sees no device"
        yield Fact("devices", "cuda", text, is_well=False, command="nvidia-smi")
    else:
        yield Fact("devices", "cuda", "none")
    if torch.backends.mps.is_available():
        yield Fact("devices", "mps", "available")


def _memory() -> Iterator[Fact]:
    import psutil

    memory = psutil.virtual_memory()
    text = f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB available"
    yield Fact("memory", "ram", text)
    yield _disk("disk here", Path.cwd())


def _disk(name: str, folder: Path) -> Fact:
    """Return how much room there is where a folder is or would be."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    disk = shutil.disk_usage(there)
    text = f"{disk.free / 2**30:.1f} of {disk.total / 2**30:.1f} GiB free"
    return Fact("memory", name, text, is_well=disk.free > _LITTLE_BYTES)


def _plugins(catalog: Catalog) -> Iterator[Fact]:
    for plugin in catalog.plugins:
        count = f"{plugin.components} components"
        if plugin.error is None:
            yield Fact("plugins", plugin.name, f"{plugin.label}, {count}")
        elif plugin.components:
            text = f"{plugin.label}, {count}; {plugin.error}"
            yield Fact("plugins", plugin.name, text, is_well=False)
        else:
            text = f"{plugin.label}: does not load: {plugin.error}"
            command = (
                f"SFTBENCH_DEBUG=1 sftbench plugins check {plugin.distribution or plugin.name}"
            )
            yield Fact("plugins", plugin.name, text, is_well=False, command=command)


def _data(catalog: Catalog) -> Iterator[Fact]:
    absent = []
    for offer in catalog.listing("dataset"):
        if offer.parameter is not None:
            continue
        try:
            dataset = cast(Dataset, catalog.create("dataset", offer.name))
            where = dataset.where()
            if where is None:
                absent.append(offer.name)
            else:
                info = dataset.info()
                count = f"{info.num_train:,} + {info.num_test:,} examples"
                yield Fact("data", offer.name, f"{count}, {one_line(where, 120)}")
        except Exception as error:  # noqa: BLE001 - a plugin's may raise anything
            text = str(error) if isinstance(error, SftbenchError) else cause(error)
            yield Fact("data", offer.name, text, is_well=False)
    if absent:
        command = "sftbench data fetch NAME"
        yield Fact("data", "not here", ", ".join(absent), command=command)


def _weights(catalog: Catalog) -> Iterator[Fact]:
    for packaged in catalog.packaged_weights:
        try:
            path = locate(packaged)
        except SftbenchError as error:
            yield Fact("weights", packaged.backbone, str(error), is_well=False)
            continue
        if path is not None:
            yield Fact("weights", packaged.backbone, f"{packaged.source}, {packaged.origin}")
        else:
            command = f"sftbench weights fetch {packaged.backbone}"
            yield Fact("weights", packaged.backbone, "not here", command=command)
    for entry in cache.entries("pretrained", "weights"):
        yield Fact("weights", entry.key, entry.note)


def _cache() -> Iterator[Fact]:
    root = cache.cache_root()
    there = next(path for path in (root, *root.parents) if path.exists())
    writable = there.is_dir() and os.access(there, os.W_OK)
    yield Fact(
        "cache",
        "folder",
        str(root) if writable else f"{root} cannot be written",
        is_well=writable,
        command="" if writable else "SFTBENCH_CACHE=FOLDER sftbench ...",
    )
    for section in cache.SECTIONS:
        found = cache.entries(section)
        if found:
            size = sum(entry.size for entry in found) / 1e6
            yield Fact("cache", section, f"{len(found)} entries, {size:,.1f} MB")
    try:
        *first, last = cache.REMADE
        text = f"{cache.limit_bytes() / 1e9:,.1f} GB for {', '.join(first)} and {last}"
        yield Fact("cache", "limit", text)
    except SftbenchError as error:
        yield Fact("cache", "limit", str(error), is_well=False)
    disk = _disk("disk", root)
    yield Fact("cache", disk.name, disk.text, disk.is_well)


def _hubs() -> list[Fact]:
    """Ask the hubs at the same time; each has two seconds."""
    addresses = {
        "timm": os.environ.get("HF_ENDPOINT") or "https://huggingface.co",
        "torchvision": "https://download.pytorch.org",
    }
    problems: dict[str, str | None] = {}

    def ask(name: str) -> Callable[[], None]:
        def asked() -> None:
            problems[name] = endpoint_problem(addresses[name], _HUB_SECONDS - 0.2)

        return asked

    threads = [threading.Thread(target=ask(name), daemon=True) for name in addresses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_HUB_SECONDS)
    return [
        Fact(
            "hubs",
            name,
            problems.get(name) or f"{address} answers",
            is_well=not problems.get(name),
            command="sftbench weights import BACKBONE FILE" if problems.get(name) else "",
        )
        for name, address in addresses.items()
    ]
