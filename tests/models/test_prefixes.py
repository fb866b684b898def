"""What is known of a cell's network: not hashed anew, and never believed after a change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from sftbench.models import prefixes
from sftbench.models.freezing import prefix_digest
from sftbench.models.layout import to_device
from sftbench.models.model import Model
from sftbench.models.prefixes import Known, Original
from sftbench.testing import TinyBackbone

CPU = torch.device("cpu")


def original() -> Original:
    torch.manual_seed(0)
    return Original(TinyBackbone().build(12))


def cell(source: Original) -> tuple[Model, Known]:
    """Return a cell's model and what is known of it, as the assembly makes them."""
    network = source.copy()
    known = Known(network, source)
    model = Model(network, nn.Linear(16, 4))
    to_device(model, CPU, channels_last=True)
    known.begin(model.backbone, is_given=True)
    return model, known


def test_a_copy_has_the_digests_of_its_original_and_is_not_hashed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = original()
    digests = [source.prefix(k) for k in range(1, 4)]

    def refuse(*_: object) -> str:
        raise AssertionError("hashed again")

    expected = [prefix_digest(cell(source)[0], k) for k in range(1, 4)]
    monkeypatch.setattr(prefixes, "prefix_digest", refuse)
    monkeypatch.setattr(prefixes, "state_digest", refuse)
    for _ in range(2):
        model, known = cell(source)
        assert [known.digest(model, k) for k in range(1, 4)] == [(d, True) for d in digests]
    assert digests == expected
    assert len(set(digests)) == 3


def test_random_weights_are_nobodys_original() -> None:
    model = Model(TinyBackbone().build(12), nn.Linear(16, 4))
    known = Known(model.backbone, None)
    known.begin(model.backbone, is_given=True)
    assert known.digest(model, 3) == (prefix_digest(model, 3), False)


def _load(model: Model) -> None:
    state = {name: tensor + 1 for name, tensor in model.backbone.state_dict().items()}
    model.backbone.load_state_dict(state)


def _step(model: Model) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model.eval()(torch.randn(2, 3, 12, 12)).sum().backward()
    optimizer.step()


def _assign(model: Model) -> None:
    model.backbone.get_submodule("model.1.0").weight = nn.Parameter(torch.zeros(12, 8, 3, 3))


def _data(model: Model) -> None:
    parameter = next(model.backbone.parameters())
    parameter.data = parameter.data + 1


def _in_place(model: Model) -> None:
    with torch.no_grad():
        model.backbone.get_buffer("model.1.1.running_var").mul_(2)


@pytest.mark.parametrize("change", [_load, _step, _assign, _data, _in_place])
def test_a_change_that_torch_shows_is_noticed(change: Callable[[Model], None]) -> None:
    model, known = cell(original())
    before, _ = known.digest(model, 3)
    change(model)
    after, is_original = known.digest(model, 3)
    assert not is_original
    assert after != before
    assert after == prefix_digest(model, 3)
    assert known.digest(model, 3) == (after, False)


def _fused(model: Model) -> None:
    parameters = list(model.backbone.parameters())
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    torch.optim.AdamW(parameters, lr=0.1, fused=True).step()


def _statistics(model: Model) -> None:
    model.train()(torch.randn(4, 3, 12, 12))


def _behind(model: Model) -> None:
    next(model.backbone.parameters()).data.mul_(2)


@pytest.mark.parametrize("change", [_fused, _statistics, _behind])
def test_after_the_engine_says_so_every_change_is_noticed(
    change: Callable[[Model], None],
) -> None:
    model, known = cell(original())
    before, _ = known.digest(model, 3)
    change(model)
    known.forget()
    assert known.digest(model, 3) == (prefix_digest(model, 3), False)
    assert known.digest(model, 3)[0] != before


def test_what_was_forgotten_and_is_unchanged_is_the_original_still() -> None:
    source = original()
    model, known = cell(source)
    known.forget()
    assert known.digest(model, 2) == (source.prefix(2), True)


def test_a_change_behind_the_prefix_leaves_it_the_originals() -> None:
    source = original()
    model, known = cell(source)
    with torch.no_grad():
        model.backbone.get_parameter("model.2.0.weight").add_(1)
    assert known.digest(model, 2) == (source.prefix(2), True)
    assert known.digest(model, 3)[1] is False


def test_a_model_of_other_objects_is_looked_at_for_itself() -> None:
    source = original()
    model, known = cell(source)
    known.digest(model, 3)
    other, _ = cell(source)
    with torch.no_grad():
        next(other.backbone.parameters()).add_(1)
    assert known.digest(other, 3) == (prefix_digest(other, 3), False)
    assert known.digest(model, 3) == (source.prefix(3), True)


def test_structure_is_compared_once_it_may_have_changed() -> None:
    model, known = cell(original())
    known.forget()
    assert known.is_as_it_was(model)
    model.backbone.get_submodule("model.0.0").stride = (1, 1)
    assert known.is_as_it_was(model)  # nobody had it since
    known.forget()
    assert not known.is_as_it_was(model)


def test_the_file_of_this_test_is_not_part_of_a_description(tmp_path: Path) -> None:
    first, again = original(), original()
    assert first.description == again.description
    network = TinyBackbone().build(12)
    network.get_submodule("model")[1][2] = nn.LeakyReLU()
    assert Original(network).description != first.description
