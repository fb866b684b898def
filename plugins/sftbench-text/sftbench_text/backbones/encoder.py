"""What all encoders of texts have in common: options, inputs without meaning, and building."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from sftbench.api import Backbone, RequestError
from sftbench_text.network import Pooling, TextNetwork

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sftbench_text.tokens import TextTokens

TASKS = ("text-classification",)
# Kinds of models whose positions are counted from behind the padding token.
_SHIFTED = frozenset({"camembert", "longformer", "mpnet", "roberta", "xlm-roberta"})


class Encoder(Backbone):
    """A backbone whose inputs are tokens int64 [B, T], and which has the tokenizer for them."""

    @property
    @abstractmethod
    def pooling(self) -> Pooling:
        """What becomes the features of a text."""

    @abstractmethod
    def tokens(self) -> TextTokens:
        """Return the tokenizer; where it is not here, it is brought.

        Raises:
            sftbench.api.UnavailableError: It cannot be had here.
        """

    @abstractmethod
    def config(self) -> Any:
        """Return the configuration of transformers that the network is built from."""

    @property
    def pad_id(self) -> int:
        """The token that fills rows up."""
        found = getattr(self.config(), "pad_token_id", None)
        return 0 if found is None else int(found)

    @property
    def most_tokens(self) -> int:
        """Tokens of a text that the network can have at most; 4,096 where it says nothing."""
        config = self.config()
        most = int(getattr(config, "max_position_embeddings", 0) or 4096)
        shifted = getattr(config, "model_type", "") in _SHIFTED
        return min(4096, most - self.pad_id - 1 if shifted else most)

    def build(self, image_size: int) -> nn.Module:
        """Build the encoder with random weights, for texts of `image_size` tokens at most.

        Raises:
            RequestError: It cannot have so many, or is no encoder.
        """
        from sftbench_text.backbones.building import build_encoder

        if image_size > self.most_tokens:
            raise RequestError(
                f"backbone {self.reference!r} takes at most {self.most_tokens} tokens, not "
                f"{image_size}; choose fewer with --image-size"
            )
        encoder = build_encoder(self.config(), self.reference)
        return TextNetwork(encoder, self.pad_id, self.pooling)

    def noise(self, num: int, image_size: int) -> Tensor:
        """Return random tokens int64 [num, T]."""
        import torch

        size = int(self.config().vocab_size)
        found = torch.randint(size, (num, image_size))
        found[found == self.pad_id] = (self.pad_id + 1) % size
        return found
