"""sftbench's own contract checks, on every component of this plugin that is here."""

from __future__ import annotations

import pytest
import sftbench_detection
from sftbench_detection.datasets.scenes import Scenes
from sftbench_detection.longtail import LongTailInstances
from sftbench_detection.metrics import Ap, Ap50, Ap75, ApLarge, ApMedium, ApSmall, Ar100

from sftbench.catalog import Catalog
from sftbench.testing import Finding, check_component

FINDINGS = [
    *check_component("dataset", Scenes),
    *check_component("variant", LongTailInstances),
]


@pytest.mark.parametrize("finding", FINDINGS, ids=str)
def test_contract(finding: Finding) -> None:
    assert finding.outcome == "ok", finding
