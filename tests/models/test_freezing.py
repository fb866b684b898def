from __future__ import annotations

import copy
import hashlib

import pytest
import torch
from torch import Tensor, nn
from torch.testing._internal.two_tensor import TwoTensor

from sftbench.models.freezing import (
    choose_trainable,
    frozen_blocks,
    prefix_digest,
    set_modes,
    state_digest,
    stored_bytes,
)
from sftbench.models.model import Model

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # sha256 of nothing


def block(width_in: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width_in, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))


class Chain(nn.Module):
    """A `Network` of three blocks."""

    num_blocks = 3
    block_names = ("stem", "blocks.1", "blocks.2")
    feature_width = 4

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([block(2), block(4), block(4)])

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_from(x, 0)

    def forward_to(self, x: Tensor, k: int) -> Tensor:
        for part in self.blocks[:k]:
            x = part(x)
        return x

    def forward_from(self, h: Tensor, k: int) -> Tensor:
        for part in self.blocks[k:]:
            h = part(h)
        return h

    def block_of(self, parameter_name: str) -> int:
        return int(parameter_name.split(".")[1])


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    made = Model(Chain(), nn.Linear(4, 3))
    made.extra["projector"] = nn.Linear(4, 2)
    return made


def last_block_and_head(name: str) -> bool:
    return name.startswith(("backbone.blocks.2.", "head."))


def modules_in_train_mode(model: nn.Module) -> set[str]:
    return {name for name, module in model.named_modules() if module.training}


def flip_lowest_bit(tensor: Tensor) -> None:
    tensor.view(torch.int32).view(-1)[0] ^= 1


def test_choose_trainable_names_what_trains_and_freezes_the_rest(model: Model) -> None:
    for parameter in model.parameters():
        parameter.requires_grad_(not parameter.requires_grad)
    assert choose_trainable(model, last_block_and_head) == [
        "backbone.blocks.2.0.weight",
        "backbone.blocks.2.0.bias",
        "backbone.blocks.2.1.weight",
        "backbone.blocks.2.1.bias",
        "head.weight",
        "head.bias",
    ]
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == last_block_and_head(name), name


def test_choose_trainable_can_take_all_and_none(model: Model) -> None:
    assert len(choose_trainable(model, lambda _: True)) == 16
    assert choose_trainable(model, lambda _: False) == []
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_frozen_modules_are_in_eval_mode_with_their_dropout(model: Model) -> None:
    choose_trainable(model, last_block_and_head)
    set_modes(model.eval())
    trained = {"", "backbone", "backbone.blocks", "backbone.blocks.2", "head"}
    layers = {f"backbone.blocks.2.{layer}" for layer in range(3)}  # 1: batch norm, 2: dropout
    assert modules_in_train_mode(model) == trained | layers
    set_modes(model.train())
    assert modules_in_train_mode(model) == trained | layers


def test_a_frozen_norm_inside_a_trained_block_is_in_eval_mode(model: Model) -> None:
    choose_trainable(model, lambda name: name.startswith("backbone.blocks.1.0."))
    set_modes(model)
    modes = {layer: model.get_submodule(f"backbone.blocks.1.{layer}").training for layer in "012"}
    assert modes == {"0": True, "1": False, "2": True}


def test_with_nothing_to_train_everything_is_in_eval_mode(model: Model) -> None:
    choose_trainable(model, lambda _: False)
    set_modes(model.train())
    assert modules_in_train_mode(model) == set()


def test_a_module_without_parameters_follows_what_is_around_it() -> None:
    dropout = nn.Sequential(nn.Dropout(), nn.ReLU())
    set_modes(dropout)
    assert modules_in_train_mode(dropout) == {"", "0", "1"}
    set_modes(dropout, inherited=False)
    assert modules_in_train_mode(dropout) == set()


def test_statistics_of_a_frozen_norm_stay_and_its_block_is_deterministic(model: Model) -> None:
    choose_trainable(model, last_block_and_head)
    set_modes(model)
    before = copy.deepcopy(model.state_dict())
    x = torch.randn(8, 2)
    model(x)
    changed = {n for n, t in model.state_dict().items() if not torch.equal(t, before[n])}
    assert changed == {
        f"backbone.blocks.2.1.{n}" for n in ("running_mean", "running_var", "num_batches_tracked")
    }
    assert torch.equal(model.network.forward_to(x, 2), model.network.forward_to(x, 2))
    assert not torch.equal(model.network.forward_to(x, 3), model.network.forward_to(x, 3))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["head.weight", "head.bias"], 3),
        ([], 3),
        (["head.weight", "extra.projector.weight"], 3),
        (["head.weight", "backbone.blocks.2.0.bias"], 2),
        (["backbone.blocks.2.0.bias", "backbone.blocks.1.1.weight", "head.weight"], 1),
        (["backbone.blocks.0.0.weight", "backbone.blocks.2.0.weight"], 0),
    ],
)
def test_frozen_blocks_stand_before_the_first_that_trains(
    model: Model, names: list[str], expected: int
) -> None:
    assert frozen_blocks(model, iter(names)) == expected


@pytest.mark.parametrize(
    "name",
    [
        "backbone.blocks.0.0.weight",
        "backbone.blocks.1.0.bias",
        "backbone.blocks.1.1.running_mean",
        "backbone.blocks.1.1.running_var",
    ],
)
def test_prefix_digest_changes_with_one_bit_of_a_parameter_or_buffer(
    model: Model, name: str
) -> None:
    before = prefix_digest(model, 2)
    assert prefix_digest(copy.deepcopy(model), 2) == before
    flip_lowest_bit(model.state_dict()[name])
    assert prefix_digest(model, 2) != before


def test_prefix_digest_changes_with_a_counter(model: Model) -> None:
    before = prefix_digest(model, 2)
    model.state_dict()["backbone.blocks.1.1.num_batches_tracked"] += 1
    assert prefix_digest(model, 2) != before


@pytest.mark.parametrize(
    "name",
    [
        "backbone.blocks.2.0.weight",
        "backbone.blocks.2.1.running_mean",
        "head.weight",
        "extra.projector.bias",
    ],
)
def test_prefix_digest_knows_nothing_of_what_comes_after(model: Model, name: str) -> None:
    before = prefix_digest(model, 2)
    flip_lowest_bit(model.state_dict()[name])
    assert prefix_digest(model, 2) == before


def test_prefix_digest_depends_on_where_the_prefix_ends(model: Model) -> None:
    digests = [prefix_digest(model, k) for k in range(4)]
    assert digests[0] == EMPTY
    assert len(set(digests)) == 4


def test_state_digest_is_that_of_names_types_shapes_and_bytes() -> None:
    one_two = bytes.fromhex("0000803f00000040")  # float32, little-endian
    expected = hashlib.sha256(b"w:torch.float32:(2,);" + one_two).hexdigest()
    assert state_digest([("w", torch.tensor([1.0, 2.0]))]) == expected
    count = hashlib.sha256(b"n:torch.int64:();" + bytes([5, 0, 0, 0, 0, 0, 0, 0])).hexdigest()
    assert state_digest([("n", torch.tensor(5))]) == count
    half = hashlib.sha256(b"h:torch.bfloat16:(1, 1);" + bytes([0x80, 0x3F])).hexdigest()
    assert state_digest([("h", torch.ones(1, 1, dtype=torch.bfloat16))]) == half


def test_state_digest_looks_at_values_and_not_at_memory() -> None:
    torch.manual_seed(0)
    weight = torch.randn(2, 3, 4, 4)
    digest = state_digest([("w", weight)])
    assert state_digest([("w", weight.contiguous(memory_format=torch.channels_last))]) == digest
    assert state_digest([("w", nn.Parameter(weight))]) == digest


@pytest.mark.parametrize(
    "other",
    [
        [("v", torch.zeros(2, 2))],
        [("w", torch.zeros(4))],
        [("w", torch.zeros(2, 2, dtype=torch.int32))],
        [("w", -torch.zeros(2, 2))],
        [("w", torch.zeros(2, 2)), ("empty", torch.zeros(0))],
    ],
    ids=["name", "shape", "type", "sign of zero", "one tensor more"],
)
def test_state_digest_tells_apart(other: list[tuple[str, Tensor]]) -> None:
    assert state_digest(other) != state_digest([("w", torch.zeros(2, 2))])


def test_a_tensor_made_of_others_keeps_their_bytes() -> None:
    halves = torch.zeros(3, 5, dtype=torch.float16)
    assert stored_bytes(halves) == 30
    assert stored_bytes(TwoTensor(halves, torch.zeros(3, 5, dtype=torch.float16))) == 60
    assert stored_bytes(nn.Parameter(torch.zeros(2, 2))) == 16
