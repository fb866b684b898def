from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sftbench.data.fingerprints import fingerprint
from sftbench.data.verification import verify
from sftbench.errors import UnavailableError
from sftbench.testing import TinyImages


def test_both_splits_are_decoded_and_told() -> None:
    train, test = verify(TinyImages())
    examples = TinyImages().load("train", 32)
    assert (train.split, train.num) == ("train", len(examples.targets))
    assert train.fingerprint == fingerprint(examples)
    assert train.form == f"uint8 {list(np.shape(examples.inputs))}"
    assert not train.pinned
    assert test.split == "test"


def test_another_number_of_examples_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = TinyImages()
    info = dataset.info()
    monkeypatch.setattr(dataset, "info", lambda: replace(info, num_test=info.num_test + 1))
    with pytest.raises(UnavailableError, match=rf"test of .*: {info.num_test} examples, not"):
        list(verify(dataset))


def test_an_unreadable_example_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = TinyImages()
    whole = dataset.load("train", 32)
    broken = replace(whole, unreadable=("a/b.jpg: not a whole image", "c.jpg: empty"))
    monkeypatch.setattr(dataset, "load", lambda *_: broken)
    with pytest.raises(UnavailableError, match=r"2 of \d+ examples .* first: a/b.jpg: not a whole"):
        list(verify(dataset))
