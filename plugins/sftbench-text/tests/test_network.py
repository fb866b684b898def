"""The network: blocks, padding, pooling, and what a text's features depend on."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from sftbench_text.backbones.building import build_encoder
from sftbench_text.lengths import by_length
from sftbench_text.network import Pooling, TextNetwork
from tiny_bert import TinyBert, tiny_config
from torch import Tensor

_SMALL = {
    "vocab_size": 120,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
    "pad_token_id": 1,
}
_OTHERS = {
    "bos_token_id": 0, "eos_token_id": 2, "cls_token_id": 0, "sep_token_id": 2,
    "global_attn_every_n_layers": 2, "local_attention": 8,
}  # fmt: skip
_NAMES = ("embeddings", "layer.0", "layer.1", "layer.2")


def configuration(kind: str) -> Any:
    values: dict[str, Any] = dict(_SMALL)
    if kind == "distilbert":
        values |= {"dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 32}
        for name in ("hidden_size", "num_hidden_layers", "num_attention_heads"):
            del values[name]
    if kind == "modernbert":
        values |= _OTHERS
    if kind == "albert":
        values |= {"embedding_size": 8}
    return transformers.AutoConfig.for_model(kind, **values)


def network(kind: str, pooling: Pooling = "mean") -> TextNetwork:
    torch.manual_seed(3)
    return TextNetwork(build_encoder(configuration(kind), kind), 1, pooling).eval()


def texts(*lengths: int, width: int = 24, pad: int = 1) -> Tensor:
    rows = torch.full((len(lengths), width), pad)
    for number, length in enumerate(lengths):
        rows[number, :length] = torch.randint(4, 120, (length,))
    return rows


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("bert", _NAMES),
        ("roberta", _NAMES),
        ("distilbert", _NAMES),
        ("electra", _NAMES),
        ("mpnet", _NAMES),
        ("modernbert", _NAMES),
        ("albert", ("encoder",)),  # its layers are one module that runs several times
    ],
)
def test_blocks_compose_in_every_kind_of_encoder(kind: str, names: tuple[str, ...]) -> None:
    made = network(kind)
    assert made.block_names == names
    tokens = texts(24, 9, 1, 16)
    with torch.no_grad():
        whole = made(tokens)
        for k in range(made.num_blocks + 1):
            part = made.forward_from(made.forward_to(tokens, k), k)
            torch.testing.assert_close(part, whole, atol=1e-5, rtol=0)
    assert {made.block_of(name) for name in made.state_dict()} == set(range(made.num_blocks))


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_features_are_those_of_transformers_on_a_text_alone(pooling: Pooling) -> None:
    made = network("bert", pooling)
    rows = texts(7, 20)
    with torch.no_grad():
        found = made(rows)
        for number, length in enumerate((7, 20)):
            hidden = made.model(input_ids=rows[number : number + 1, :length]).last_hidden_state[0]
            wanted = hidden.mean(dim=0) if pooling == "mean" else hidden[0]
            torch.testing.assert_close(found[number], wanted, atol=1e-5, rtol=0)


def test_the_bits_of_a_text_do_not_depend_on_those_beside_it() -> None:
    made = network("bert")
    rows = texts(*[1 + number % 24 for number in range(40)])
    order = torch.randperm(40)
    with torch.no_grad():
        whole = made(rows)
        assert torch.equal(made(rows[order]), whole[order])
        assert torch.equal(made(rows[5:6]), whole[5:6])
        hidden = made.forward_to(rows, 2)
        assert torch.equal(made.forward_to(rows[5:6], 2), hidden[5:6])


def test_rows_between_blocks_have_one_form_and_nothing_behind_the_text() -> None:
    rows = network("bert").forward_to(texts(5, 24), 2)
    with torch.no_grad():
        kept = network("bert").forward_to(texts(5, 24), 2)
        one = network("bert").forward_to(texts(5), 2)
    assert kept.shape == (2, 24, 17)
    assert one.shape == (1, 24, 17)
    assert not kept[0, 5:].any()
    assert kept[..., -1].sum(dim=1).tolist() == [5, 24]
    assert rows.requires_grad


def test_training_behind_a_frozen_prefix_leaves_the_prefix_without_gradients() -> None:
    made = network("bert").train()
    with torch.no_grad():
        hidden = made.forward_to(texts(5, 9), 2)
    made.model.encoder.layer[0].register_forward_pre_hook(lambda *_: pytest.fail("it ran"))
    made.forward_from(hidden, 2).square().sum().backward()
    blocks = {made.block_of(name) for name, p in made.named_parameters() if p.grad is not None}
    assert blocks == {2, 3}
    assert len(made.state_dict()) == len(network("bert").state_dict())


def test_a_pass_from_the_middle_leaves_the_network_whole() -> None:
    made = network("bert")
    before = [name for name, _ in made.named_modules()]
    hidden = made.forward_to(texts(5), 1)
    with pytest.raises(RuntimeError):
        made.forward_from(hidden[..., :-3], 1)  # too narrow for the layer
    assert [name for name, _ in made.named_modules()] == before


def test_long_texts_are_padding_no_more_in_training() -> None:
    made = network("bert").train()
    widths: list[int] = []
    made.model.register_forward_pre_hook(
        lambda _module, _args, kwargs: widths.append(kwargs["input_ids"].shape[1]),
        with_kwargs=True,
    )
    made(texts(3, 10))
    assert widths == [16]


def test_texts_of_similar_length_run_together() -> None:
    shapes: list[tuple[int, ...]] = []

    def part(rows: Tensor) -> Tensor:
        shapes.append(tuple(rows.shape))
        return rows[:, :1].float()

    rows = texts(*[3] * 9, 20, 40, width=48)
    present = rows != 1
    found = by_length(rows, present, part)
    assert shapes == [(8, 16), (8, 16), (8, 32), (8, 48)]
    assert torch.equal(found, rows[:, :1].float())


def test_the_pooler_of_bert_is_left_out() -> None:
    made = TinyBert().build(32)
    assert not [name for name in made.state_dict() if "pooler" in name]
    assert tiny_config().hidden_size == 32
