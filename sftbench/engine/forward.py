"""Training passes of a model: as torch runs them, or compiled."""

from __future__ import annotations

import functools
from collections.abc import Callable

from torch import Tensor

from sftbench.models.model import Model
from sftbench.names import cause
from sftbench.protocol import Precision

# Of one function: each model, shape, precision and set of trainable parameters is a graph.
_MOST_GRAPHS = 64
_Key = tuple[object, ...]
_compiled_before: set[_Key] = set()


class Forward:
    """Runs the training passes of one cell.

    Full batches from the first block on may be compiled; every other pass is not. The last, smaller
    batch of a stage would be a graph of its own for one step, and a model entered behind a frozen
    prefix has too little left to do. Compiled graphs belong to the process: a later cell with
    another copy of the same network finds them.

    Args:
        precision: Of the passes; the caller opens `autocast`.
        compiled: Whether to compile.
        required: Whether a model that does not compile is an error; else it runs as it is.

    Attributes:
        problem: Why compiling was given up, or empty.
    """

    def __init__(
        self, precision: Precision, *, compiled: bool = False, required: bool = False
    ) -> None:
        self._precision = precision
        self._required = required
        self.compiled = compiled
        self.problem = ""

    def __call__(
        self, model: Model, inputs: Tensor, k: int = 0, *, full: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Return (outputs, features) from the output of the first k blocks (k = 0: inputs).

        Args:
            model: In train mode, with its parameters frozen or not.
            inputs: [B, ...].
            k: How many blocks the inputs stand for.
            full: Whether this is a batch of the usual size.
        """
        if not self._compiles(k, full=full):
            return model.outputs(inputs, k)
        from torch._dynamo.exc import TorchDynamoException

        try:
            found = _compiled()(model, inputs)
        except TorchDynamoException as error:
            if self._required:
                raise
            self.compiled, self.problem = False, f"does not compile: {cause(error)}"
            return model.outputs(inputs)
        _compiled_before.add(self._key(model, inputs))
        return found

    def is_new(self, model: Model, inputs: Tensor, k: int = 0, *, full: bool = True) -> bool:
        """Tell whether a call with these arguments would compile first."""
        return self._compiles(k, full=full) and self._key(model, inputs) not in _compiled_before

    def _compiles(self, k: int, *, full: bool) -> bool:
        return self.compiled and full and k == 0

    def _key(self, model: Model, inputs: Tensor) -> _Key:
        """Name what dynamo compiles for: it does so anew where one of these differs."""
        tensors = tuple((name, p.shape, p.requires_grad) for name, p in model.named_parameters())
        modes = tuple(module.training for module in model.modules())
        return (
            type(model.backbone),
            self._precision,
            inputs.shape,
            inputs.stride(),
            tensors,
            modes,
        )


def _outputs(model: Model, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Run a whole model: a function of it, so that another copy finds the same graph."""
    return model.outputs(inputs)


@functools.cache
def _compiled() -> Callable[[Model, Tensor], tuple[Tensor, Tensor]]:
    import torch
    from torch._dynamo import config

    config.recompile_limit = max(config.recompile_limit, _MOST_GRAPHS)
    config.fail_on_recompile_limit_hit = (
        True  # else further graphs would not be compiled, in silence
    )
    # Masks of dropout are those of the model that is not compiled: seeds mean the same.
    options: dict[str, str | int | bool | Callable[..., object]] = {"fallback_random": True}
    return torch.compile(_outputs, dynamic=False, options=options)
