"""sftbench's own contract checks, on every component of this package."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any, get_args

import pytest

from sftbench.api import Kind
from sftbench.discovery import GROUP, build_catalog
from sftbench.testing import Finding, check_component

CATALOG = build_catalog(
    [
        EntryPoint("builtin", "sftbench.builtin", GROUP),
        EntryPoint("sftbench-segmentation", "sftbench_segmentation", GROUP),
    ]
)
OURS: list[tuple[Any, str]] = [
    (kind, offer.name)
    for kind in get_args(Kind)
    for offer in CATALOG.listing(kind)
    if offer.plugin.name == "sftbench-segmentation"
]


def test_everything_is_here() -> None:
    assert len(OURS) == 14


@pytest.mark.parametrize(("kind", "name"), OURS, ids=str)
def test_contract(kind: Kind, name: str) -> None:
    findings: list[Finding] = check_component(kind, CATALOG.get(kind, name), base=CATALOG)
    assert len(findings) > 1
    assert [str(one) for one in findings if one.problem is not None] == []
