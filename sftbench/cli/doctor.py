"""`sftbench doctor`: what this machine can run, and what is missing."""

from __future__ import annotations

import json
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click

_PACKAGES = ("torch", "torchvision", "timm", "pyarrow", "pydantic", "scipy", "statsmodels")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def doctor(*, as_json: bool) -> int:
    """Tell devices, versions, plugins, embedded data and packaged weights of this machine."""
    facts = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": {name: _version(name) for name in _PACKAGES},
        "devices": _devices(),
        "memory": _memory(),
        "plugins": _plugins(),
        "data": _data(),
        "weights": _weights(),
    }
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return 0
    for key, value in facts.items():
        if isinstance(value, dict):
            click.echo(f"{key}:")
            for name, text in value.items():
                click.echo(f"  {name}: {text}")
        else:
            click.echo(f"{key}: {value}")
    return 0


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return f"missing: pip install {name}"


def _devices() -> dict[str, str]:
    import torch

    from sftbench.executors.pool import available_cores

    found = {"cpu": f"{available_cores()} cores"}
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            gib = properties.total_memory / 2**30
            found[f"cuda:{index}"] = f"{properties.name}, {gib:.0f} GiB"
    else:
        found["cuda"] = "none that torch can see"
    return found


def _memory() -> dict[str, str]:
    import psutil

    memory = psutil.virtual_memory()
    disk = shutil.disk_usage(Path.cwd())
    return {
        "available": f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB",
        "disk here": f"{disk.free / 2**30:.1f} of {disk.total / 2**30:.1f} GiB free",
    }


def _plugins() -> dict[str, str]:
    from sftbench.discovery import build_catalog

    return {
        plugin.name: f"{plugin.label}, "
        + (f"BROKEN: {plugin.error}" if plugin.error else f"{plugin.components} components")
        for plugin in build_catalog().plugins
    }


def _data() -> dict[str, str]:
    from sftbench.contracts.dataset import Dataset
    from sftbench.discovery import build_catalog
    from sftbench.errors import SftbenchError

    catalog = build_catalog()
    found = {}
    absent = []
    for offer in catalog.listing("dataset"):
        if offer.parameter is not None:
            continue
        try:
            dataset = catalog.create("dataset", offer.name)
            assert isinstance(dataset, Dataset)  # noqa: S101 - the catalog checked the class
            if dataset.published is not None and dataset.where() is None:
                absent.append(offer.name)
                continue
            info = dataset.info()
            found[offer.name] = f"{info.num_train:,} + {info.num_test:,} examples"
        except SftbenchError as error:
            found[offer.name] = str(error)
    if absent:
        found["not here"] = f"{', '.join(absent)} (sftbench data fetch NAME)"
    return found


def _weights() -> dict[str, Any]:
    from sftbench.contracts.backbone import Backbone
    from sftbench.contracts.component import Family
    from sftbench.discovery import build_catalog
    from sftbench.errors import SftbenchError

    catalog = build_catalog()
    found = {}
    for offer in catalog.listing("backbone"):
        if isinstance(offer.target, Family):
            continue
        try:
            backbone = catalog.create("backbone", offer.name)
            assert isinstance(backbone, Backbone)  # noqa: S101 - the catalog checked the class
            found[offer.name] = backbone.pretrained_problem() or "pretrained weights at hand"
        except SftbenchError as error:
            found[offer.name] = str(error)
    return found
