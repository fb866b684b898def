"""Compressed models are measured like others, or the record says why not."""

from __future__ import annotations

from typing import Any

import pytest
from sftbench_compress.prune import Prune
from sftbench_compress.prune_structured import PruneStructured
from sftbench_compress.quantize import Quantize

from sftbench.testing import run_tiny

ASKED = ("attribution", "drift", "ood:digits")


@pytest.mark.parametrize("strategy", [Prune, PruneStructured, Quantize])
def test_measures_of_compressed_models(strategy: Any) -> None:
    record, kept = run_tiny(strategy, evaluate=ASKED)
    assert record.status == "ok", record.error
    found = record.metrics["selected"]
    assert found["drift"]["cka_mean"] is not None
    assert found["ood:digits"]["auroc_energy"] is not None
    assert kept is not None
    assert ("ood:digits", "selected") in kept
    reason = "attribution not measured: quantised weights have no gradients"
    assert (reason in record.remarks) == (strategy is Quantize)
    assert ("attribution" in found) == (strategy is not Quantize)
