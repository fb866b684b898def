"""Every strategy can be measured, or the record says why not."""

from __future__ import annotations

from typing import cast

import pytest

from sftbench.contracts.strategy import Strategy
from sftbench.discovery import build_catalog
from sftbench.testing import run_tiny

CATALOG = build_catalog(chosen="")
ASKED = ("attribution", "drift", "ood:digits")
# A head of another form, a shorter network, modules between blocks, a model made at the end.
SOME = ("ldam-drw", "drop-last", "adapter", "wise-ft")


def class_of(name: str) -> type[Strategy]:
    return cast("type[Strategy]", CATALOG.get("strategy", name))


def check(name: str) -> None:
    """Each measure has values or a remark, and what else the record says does not change."""
    plain, _ = run_tiny(class_of(name))
    record, kept = run_tiny(class_of(name), evaluate=ASKED)
    assert record.status == "ok", record.error
    for split in ("val", "test"):
        assert record.metrics["selected"][split] == plain.metrics["selected"][split]
    said = " ".join(record.remarks)
    for measure in ASKED:
        values = record.metrics["selected"].get(measure)
        assert (values is None) == (f"{measure} not measured" in said), measure
        nulls = [name for name, value in (values or {}).items() if value is None]
        assert all(f"{name} not measured" in said for name in nulls), nulls
    assert kept is not None
    assert ("ood:digits", "selected") in kept


@pytest.mark.parametrize("name", SOME)
def test_some_strategies(name: str) -> None:
    check(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CATALOG.names("strategy") if name not in SOME])
def test_all_other_strategies(name: str) -> None:
    check(name)
