"""Every built-in strategy: its contract, and a tiny cell with a vision transformer, too."""

from __future__ import annotations

import pytest

from sftbench.api import Strategy
from sftbench.builtin.datasets.pretexts import SimClr
from sftbench.discovery import build_catalog
from sftbench.errors import RequestError
from sftbench.testing import TinyTransformer, check_component, run_tiny, tiny_catalog

# What cannot be done to a vision transformer.
REFUSED = {"stem=cifar": "the network begins with patches"}
# What is no use where an example has no class of its own, as in the task `contrastive`.
NEEDS_CLASSES = frozenset(
    {
        *("balanced-softmax", "class-balanced", "class-balanced-sampling", "crt", "cutmix"),
        *("drop-last", "focal", "head=mlp", "joint", "label-smoothing", "ldam-drw"),
        *("logistic-probe", "logit-adjust", "logit-adjust-posthoc", "lws", "mixup"),
        *("progressive-sampling", "sqrt-sampling", "tau-norm"),
    }
)
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


class TinyPairs(SimClr):
    """Two views of one tiny image: the other built-in task, without classes."""

    example = "tiny-images"


@pytest.mark.parametrize("name", NAMES)
def test_a_tiny_cell_of_pairs_of_views(name: str) -> None:
    cls = _class(name)
    if name in NEEDS_CLASSES:
        with pytest.raises(RequestError, match="needs one class for each example"):
            run_tiny(cls, TinyPairs)
        return
    record, kept = run_tiny(cls, TinyPairs)
    assert record.status == "ok", record.error
    assert kept is not None
    assert record.counts.trainable > 0
