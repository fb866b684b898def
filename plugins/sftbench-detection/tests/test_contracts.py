"""sftbench's own contract checks, on every kind of component of this plugin."""

from __future__ import annotations

import pytest
from few_scenes import CATALOG
from sftbench_detection.backbones import SsdLite
from sftbench_detection.datasets.scenes import Scenes
from sftbench_detection.longtail import LongTailInstances
from sftbench_detection.metrics import Ap
from sftbench_detection.task import Detection

from sftbench.api import Component, Kind
from sftbench.testing import check_component


@pytest.mark.parametrize(
    ("kind", "component"),
    [
        ("dataset", Scenes),
        ("variant", LongTailInstances),
        ("backbone", SsdLite),
        ("task", Detection),
        ("metric", Ap),
    ],
    ids=str,
)
def test_contract(kind: Kind, component: type[Component]) -> None:
    # Here and not while tests are collected, which every process does.
    found = check_component(kind, component, base=CATALOG)
    assert [str(one) for one in found if one.problem] == []
    unchecked = {one.rule for one in found if one.outcome != "ok"}
    assert unchecked == UNCHECKED.get(kind, set())


# Weights come by way of the body's package; a metric's values are tested beside pycocotools.
UNCHECKED: dict[Kind, set[str]] = {
    "backbone": {"pretrained weights fit"},
    "metric": {
        "values lie in the range",
        "perfect predictions score best",
        "order of examples does not matter",
    },
}
