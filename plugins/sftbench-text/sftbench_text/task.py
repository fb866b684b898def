"""One label for a text: a linear head on features of its tokens, cross-entropy, accuracy first."""

from __future__ import annotations

from typing import ClassVar

from sftbench.api import BatchContext, BatchSource, Classification, Examples, RequestError


class TextClassification(Classification):
    """Inputs are texts (`str`), outputs logits float32 [N, C], targets int64 [N].

    The backbone has the tokenizer; `image_size` of the protocol is the most tokens of a text.
    """

    name = "text-classification"
    summary = "one label for a text"
    mixes: ClassVar[bool] = False
    units: ClassVar[tuple[str, str]] = ("tokens", "texts")

    def batches(self, examples: Examples, ctx: BatchContext) -> BatchSource:
        """Tokenise texts (once: the cache keeps their tokens) and bring them to the device.

        Raises:
            RequestError: The backbone has no tokenizer.
        """
        from sftbench_text.backbones.encoder import Encoder
        from sftbench_text.batches import TokenBatches

        if not isinstance(ctx.component, Encoder):
            raise RequestError(
                f"task {self.name!r} needs a backbone with a tokenizer, such as minilm-l6"
            )
        return TokenBatches(examples.inputs, ctx.component.tokens(), ctx)
