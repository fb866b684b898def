"""Every built-in strategy: its contract, and a tiny cell with a vision transformer, too."""

from __future__ import annotations

import pytest

from sftbench.api import Strategy
from sftbench.discovery import build_catalog
from sftbench.testing import TinyTransformer, check_component, run_tiny, tiny_catalog

# What cannot be done to a vision transformer.
REFUSED = {"stem=cifar": "the network begins with patches"}
NAMES = build_catalog(chosen="").names("strategy")


def _class(name: str) -> type[Strategy]:
    found = tiny_catalog().get("strategy", name)
    assert issubclass(found, Strategy)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_contract_holds(name: str) -> None:
    assert [str(one) for one in check_component("strategy", _class(name)) if one.problem] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_tiny_cell_with_a_vision_transformer(name: str) -> None:
    record, kept = run_tiny(_class(name), TinyTransformer)
    if name in REFUSED:
        assert record.error is not None
        assert record.error.message == f"strategy {name!r}: {REFUSED[name]}"
        return
    assert record.status == "ok", record.error
    assert kept is not None
    assert record.counts.trainable > 0
