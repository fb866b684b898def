from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from sftbench.evaluation import ood

GRID = st.lists(st.sampled_from([-1.0, 0.0, 0.0, 0.5, 2.0]), min_size=1, max_size=25)


@settings(deadline=None)
@given(GRID, GRID)
def test_scikit_learn_agrees_also_among_equals(first: list[float], second: list[float]) -> None:
    inside, outside = np.array(first), np.array(second)
    labels = np.concatenate([np.ones(len(inside)), np.zeros(len(outside))])
    scores = np.concatenate([inside, outside])
    assert ood.auroc(inside, outside) == pytest.approx(roc_auc_score(labels, scores))
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    assert ood.fpr_at_tpr(inside, outside) == pytest.approx(fpr[np.argmax(tpr >= 0.95)])


def test_scores() -> None:
    logits = np.array([[1.0, 3.0, 2.0], [0.0, 0.0, 0.0]], dtype=np.float32)
    whole = np.exp(logits).sum(axis=1)
    assert ood.score(logits, "max_softmax") == pytest.approx(np.exp([3.0, 0.0]) / whole)
    assert ood.score(logits, "energy") == pytest.approx(np.log(whole))
    assert ood.score(logits, "max_logit").tolist() == [3.0, 0.0]
    with pytest.raises(ValueError, match="no such score: 'entropy'"):
        ood.score(logits, "entropy")


def test_the_ends() -> None:
    high, low = np.array([2.0, 3.0]), np.array([0.0, 1.0])
    assert (ood.auroc(high, low), ood.fpr_at_tpr(high, low)) == (1.0, 0.0)
    assert (ood.auroc(low, high), ood.fpr_at_tpr(low, high)) == (0.0, 1.0)
    assert ood.auroc(high, high) == 0.5
    with pytest.raises(ValueError, match="scores of both kinds"):
        ood.auroc(high, low[:0])
