"""From texts to tokens: what a text becomes, how often, and what is told of it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from sftbench_text.backbones.encoder import Encoder
from sftbench_text.batches import TokenBatches
from sftbench_text.task import TextClassification
from sftbench_text.tokens import TextTokens
from tiny_bert import TinyBert, trained_tokenizer
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from sftbench.api import BackboneInfo, BatchContext, Examples, RequestError

TEXTS = ("Return the path.", "", "Open a socket and " * 30, "Return the name of a file.")


def tokens() -> TextTokens:
    return TinyBert().tokens()


def context(width: int = 32, component: Encoder | None = None) -> BatchContext:
    return BatchContext(
        device=torch.device("cpu"),
        image_size=width,
        backbone=BackboneInfo(image_size=32),
        augment="none",
        horizontal_flip=False,
        channels_last=False,
        component=component,
    )


def test_tokens_are_those_of_transformers() -> None:
    theirs = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(trained_tokenizer()), pad_token="[PAD]"
    )
    wanted = theirs(list(TEXTS), truncation=True, max_length=20)["input_ids"]
    found = tokens().encode(TEXTS, 20)
    assert [found.row(number).tolist() for number in range(len(TEXTS))] == wanted
    assert found.lengths.tolist() == [len(row) for row in wanted]
    assert found.cut.tolist() == [False, False, True, False]


def test_a_text_cannot_forge_special_tokens() -> None:
    found = tokens().encode(["a [SEP] [PAD] b"], 32).row(0)
    assert found[0] == 2
    assert found[-1] == 3
    assert not set(found[1:-1].tolist()) & {0, 2, 3}


def test_half_a_surrogate_pair_is_no_reason_to_stop() -> None:
    assert len(tokens().encode(["\ud800 path"], 32).row(0)) > 2


def test_texts_are_tokenised_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = tokens().encode_once(TEXTS, 20)
    monkeypatch.setattr(TextTokens, "encode", lambda *_: pytest.fail("tokenised again"))
    second = tokens().encode_once(TEXTS, 20)
    for name in ("ids", "ends", "cut"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    with pytest.raises(pytest.fail.Exception):
        tokens().encode_once((*TEXTS[:-1], "other"), 20)


def test_a_cache_that_cannot_be_written_is_done_without(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SFTBENCH_CACHE", "/dev/null/no")
    found = tokens().encode_once(TEXTS, 20)
    assert len(found.ends) == len(TEXTS)
    assert "cannot keep tokens" in caplog.text


def test_the_digest_knows_the_vocabulary_and_nothing_of_its_order() -> None:
    content = json.loads(trained_tokenizer())
    turned = dict(reversed(list(content["model"]["vocab"].items())))
    same = {**content, "model": {**content["model"], "vocab": turned}}
    fewer = {**content, "model": {**content["model"], "max_input_chars_per_word": 7}}

    def digest(what: object) -> str:
        return TextTokens(Tokenizer.from_str(json.dumps(what)), 0, "here").digest

    assert digest(same) == tokens().digest
    assert digest(fewer) != tokens().digest


def test_plain_views_have_one_width_and_others_that_of_the_batch() -> None:
    batches = TokenBatches(TEXTS, tokens(), context())
    assert batches.inputs(torch.tensor([0, 1]), "plain", None).shape == (2, 32)
    short = batches.inputs(torch.tensor([1, 0]), "weak", None)
    lengths = np.asarray(batches.lengths)
    assert short.shape == (2, 8 * -(-int(lengths[0]) // 8))
    assert short.dtype == torch.int64
    assert short[0].tolist()[:3] == [2, 3, 0]  # an empty text has its two special tokens
    assert batches.inputs(torch.tensor([2]), "weak", None).shape == (1, 32)


def test_cut_texts_are_counted() -> None:
    assert TokenBatches(TEXTS, tokens(), context()).notes == {"texts": 4, "cut to 32 tokens": 1}


def test_a_backbone_without_tokenizer_is_refused() -> None:
    examples = Examples(TEXTS, np.zeros(4, dtype=np.int64))
    with pytest.raises(RequestError, match="needs a backbone with a tokenizer, such as minilm-l6"):
        TextClassification().batches(examples, context())
