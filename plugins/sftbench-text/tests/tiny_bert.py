"""A BERT of two layers and a tokenizer trained on a few real texts."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import torch
from sftbench_text.backbones.encoder import TASKS, Encoder
from sftbench_text.datasets.embedded import PythonDocsMini
from sftbench_text.network import Pooling
from sftbench_text.tokens import TextTokens
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch import nn
from transformers import BertConfig, BertModel

from sftbench.api import BackboneInfo, PretrainedWeights
from sftbench.discovery import GROUP
from sftbench.models.freezing import state_digest

POINTS = [
    EntryPoint("builtin", "sftbench.builtin", GROUP),
    EntryPoint("sftbench-text", "sftbench_text", GROUP),
]
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


@cache
def trained_tokenizer(size: int = 400) -> str:
    """Return a WordPiece tokenizer with BERT's special tokens, as JSON."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=[*SPECIAL], show_progress=False
    )
    tokenizer.train_from_iterator(PythonDocsMini().load("train", 32).inputs, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return str(tokenizer.to_str())


def tiny_config() -> BertConfig:
    """Return two layers of 32 features, for 40 tokens at most."""
    return BertConfig(
        vocab_size=400,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=40,
        pad_token_id=0,
    )


class TinyBert(Encoder):
    """The tiny BERT as a backbone, with seeded weights as if they were pretrained."""

    name = "tiny-bert"
    summary = "two small layers, for tests"

    @property
    def pooling(self) -> Pooling:
        return "mean"

    def info(self) -> BackboneInfo:
        return BackboneInfo(image_size=32, tasks=TASKS, preprocessing=self.tokens().digest)

    def config(self) -> Any:
        return tiny_config()

    def tokens(self) -> TextTokens:
        return TextTokens(Tokenizer.from_str(trained_tokenizer()), 0, "trained in a test")

    def pretrained(self, network: nn.Module) -> PretrainedWeights:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(7)
            state = self.build(32).state_dict()
        return PretrainedWeights(
            state=state, head=None, digest=state_digest(state.items()), origin="seed 7"
        )


def save_tiny_bert(folder: Path) -> Path:
    """Write what `transformers:FOLDER` reads."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        model = BertModel(tiny_config())
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(trained_tokenizer())
    return folder
