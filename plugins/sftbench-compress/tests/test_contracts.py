"""sftbench's own contract checks, and that everything is offered."""

from __future__ import annotations

import importlib

import pytest
from sftbench_compress import sftbench_strategies
from sftbench_compress.distil import Distil
from sftbench_compress.prune import Prune
from sftbench_compress.prune_structured import PruneStructured
from sftbench_compress.quantize import Quantize, QuantizeQat

from sftbench.testing import check_component

EVERY = [Quantize, QuantizeQat, Prune, PruneStructured, Distil]


class DistilTiny(Distil):
    """Learns from a network like its own, which needs no package of weights."""

    example = "tiny-convnet"


@pytest.mark.parametrize("cls", [Quantize, QuantizeQat, Prune, PruneStructured, DistilTiny])
def test_contract(cls: type) -> None:
    found = check_component("strategy", cls)
    assert [str(one) for one in found if one.outcome != "ok"] == []


def test_every_strategy_is_offered() -> None:
    offered = {}
    for entry in sftbench_strategies():
        module, _, name = entry.load.partition(":")
        offered[entry.name] = getattr(importlib.import_module(module), name)
        assert offered[entry.name].summary == entry.summary
    assert offered == {cls.name: cls for cls in EVERY}
