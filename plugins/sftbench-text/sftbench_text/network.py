"""A transformers encoder as ordered blocks: tokens in, one row of features for each text out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from sftbench_text.layers import Layers, find_layers
from sftbench_text.lengths import by_length, trimmed

Pooling = Literal["mean", "cls"]


class _StoppedError(BaseException):  # no `except Exception` inside a model may swallow it
    def __init__(self, hidden: Tensor) -> None:
        super().__init__()
        self.hidden = hidden


class TextNetwork(nn.Module):
    """Tokens int64 [B, T] to features [B, D]: the encoder, then the mean or the first token.

    Blocks are the embeddings and each layer; what comes behind the last layer, and pooling, is part
    of it. An encoder whose layers cannot be told apart is one block. Between blocks a text is one
    tensor [B, T, H + 1]: hidden states, and 1 in the last column where there is a token. So a row
    has one form, and what is behind its text never counts.

    Without gradients in eval mode texts of similar length run together, trimmed; then the values of
    a text do not depend on those beside it. Not for calls from several threads at once:
    `forward_from` replaces modules while it runs.

    Args:
        model: Of transformers, without its head; it is `self.model`, so parameters are named
            "model.<the library's name>".
        pad_id: The token behind a text.
        pooling: `mean` over the tokens, or `cls`: the first one.

    Attributes:
        block_names: "embeddings", then "layer.0" and so on; or "encoder" alone.
        num_blocks: How many there are.
        feature_width: D.
    """

    def __init__(self, model: nn.Module, pad_id: int, pooling: Pooling = "mean") -> None:
        super().__init__()
        self.model = model
        self.pad_id = pad_id
        self.pooling = pooling
        config = cast(Any, model).config
        self.feature_width = int(config.hidden_size)
        self._layers = find_layers(model, self._example(config))
        found = self._layers
        self.block_names = ("encoder",) if found is None else ("embeddings", *found.names)
        self.num_blocks = len(self.block_names)

    def forward(self, x: Tensor) -> Tensor:
        """Return features float [B, D] of tokens int64 [B, T]."""
        return self._run(x, lambda rows: self._pooled(self._hidden(rows), self._mask(rows)))

    def forward_to(self, x: Tensor, k: int) -> Tensor:
        """Return the output of the first k blocks: x for k = 0, features for k = num_blocks.

        Between, [B, T, H + 1] as wide as x, zero behind each text. Blocks behind do not run.
        """
        self._check(k)
        if k == 0:
            return x
        if k == self.num_blocks:
            return self.forward(x)

        def part(rows: Tensor) -> Tensor:
            mask = self._mask(rows)
            with self._stopping(k - 1):
                try:
                    self._hidden(rows)
                except _StoppedError as stopped:
                    hidden = stopped.hidden
                    column = mask.unsqueeze(2).to(hidden.dtype)
                    return torch.cat([hidden * column, column], dim=2)
            raise RuntimeError(f"{type(self.model).__name__} no longer runs its layer {k - 1}")

        return self._run(x, part)

    def forward_from(self, h: Tensor, k: int) -> Tensor:
        """Return features [B, D] from the output h of the first k blocks, which do not run."""
        self._check(k)
        if k == 0:
            return self.forward(h)
        if k == self.num_blocks:
            return h

        def part(rows: Tensor) -> Tensor:
            hidden, mask = rows[..., :-1], rows[..., -1] > 0
            with self._entering(k - 1, hidden):
                blank = torch.zeros(rows.shape[:2], dtype=torch.int64, device=rows.device)
                return self._pooled(self._output(blank, mask), mask)

        return self._run(h, part)

    def block_of(self, parameter_name: str) -> int:
        """Return the block of a parameter or buffer: what layers share belongs to the first.

        Raises:
            KeyError: The name does not start with "model.".
        """
        prefix, _, name = parameter_name.partition(".")
        if prefix != "model" or not name:
            raise KeyError(f"{parameter_name!r}: names of parameters start with 'model.'")
        return 0 if self._layers is None else self._layers.block_of(name)

    # ---- parts -----------------------------------------------------------------------------

    def _run(self, rows: Tensor, part: Callable[[Tensor], Tensor]) -> Tensor:
        """Run a part on rows, without what stands behind the texts."""
        present = self._mask(rows) if rows.dtype == torch.int64 else rows[..., -1] > 0
        if not torch.is_grad_enabled() and not self.training:
            return by_length(rows, present, part)
        return part(trimmed(rows, present))

    def _mask(self, tokens: Tensor) -> Tensor:
        """Return where there are tokens, bool [B, T]; the first place always counts."""
        mask = tokens != self.pad_id
        mask[:, 0] = True
        return mask

    def _hidden(self, tokens: Tensor) -> Tensor:
        return self._output(tokens, self._mask(tokens))

    def _output(self, tokens: Tensor, mask: Tensor) -> Tensor:
        found = self.model(input_ids=tokens, attention_mask=mask.long())
        hidden: Tensor = found.last_hidden_state
        return hidden

    def _pooled(self, hidden: Tensor, mask: Tensor) -> Tensor:
        if self.pooling == "cls":
            return hidden[:, 0]
        weights = mask.unsqueeze(2).to(hidden.dtype)
        return (hidden * weights).sum(dim=1) / weights.sum(dim=1)

    @contextmanager
    def _stopping(self, layer: int) -> Iterator[None]:
        """Let the next pass end where a layer begins."""

        def stop(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            raise _StoppedError(args[0] if args else kwargs["hidden_states"])

        handle = self._found.modules[layer].register_forward_pre_hook(stop, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()

    @contextmanager
    def _entering(self, layer: int, hidden: Tensor) -> Iterator[None]:
        """Let the next pass begin at a layer, with these hidden states."""

        def enter(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if args:
                return (hidden, *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": hidden}

        handle = self._found.modules[layer].register_forward_pre_hook(enter, with_kwargs=True)
        try:
            with self._found.without_first(layer):
                yield
        finally:
            handle.remove()

    @property
    def _found(self) -> Layers:
        if self._layers is None:
            raise RuntimeError("this encoder is one block")
        return self._layers

    def _example(self, config: Any) -> Tensor:
        """Return two short texts of tokens, the second a padded one."""
        size = min(int(config.vocab_size), 1000)
        tokens = torch.arange(12).reshape(2, 6) % size
        tokens[tokens == self.pad_id] = (self.pad_id + 1) % size
        tokens[1, 4:] = self.pad_id
        return tokens

    def _check(self, k: int) -> None:
        if not 0 <= k <= self.num_blocks:
            raise ValueError(f"k must be from 0 to {self.num_blocks} (num_blocks), not {k}")
