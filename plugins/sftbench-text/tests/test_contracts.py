"""sftbench's own contract checks, on what can be checked without a network."""

from __future__ import annotations

from typing import Any

import pytest
from sftbench_text.datasets.embedded import PythonDocsMini
from sftbench_text.task import TextClassification
from tiny_bert import POINTS, TinyBert, tiny_config

from sftbench.discovery import build_catalog
from sftbench.testing import Finding, check_component
from sftbench.testing.tiny import tiny_catalog


class RoomyBert(TinyBert):
    """The tiny BERT, for as many tokens as the embedded texts ask for."""

    def config(self) -> Any:
        config = tiny_config()
        config.max_position_embeddings = 64
        return config


def findings() -> list[Finding]:
    base = tiny_catalog(RoomyBert, base=build_catalog(POINTS, chosen="sftbench-text"))
    # Of the plugin's own backbones the tiny one stands for those that need a package.
    kept = {key: offers for key, offers in base.offers.items() if not key[1].startswith("minilm")}
    base = type(base)(kept, base.families, base.plugins)
    return [
        *check_component("backbone", TinyBert),
        *check_component("dataset", PythonDocsMini),
        *check_component("task", TextClassification, base=base),
    ]


@pytest.mark.parametrize("finding", findings(), ids=str)
def test_contract(finding: Finding) -> None:
    assert finding.outcome == "ok", finding
