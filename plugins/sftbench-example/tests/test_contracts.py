"""sftbench's own contract checks, on every component of this plugin."""

from __future__ import annotations

import pytest
from sftbench_example.backbone import TwoConv
from sftbench_example.dataset import Stripes
from sftbench_example.strategy import TopBlocks

from sftbench.testing import Finding, check_component

FINDINGS = [
    *check_component("backbone", TwoConv),
    *check_component("dataset", Stripes),
    *check_component("strategy", TopBlocks),
]


@pytest.mark.parametrize("finding", FINDINGS, ids=str)
def test_contract(finding: Finding) -> None:
    assert finding.outcome == "ok"
