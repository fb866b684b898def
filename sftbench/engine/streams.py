"""Further flows of examples beside the target's: unlabelled, labelled again, or another set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sftbench.contracts.strategy import Stream, StreamOutput
from sftbench.engine.forward import Forward
from sftbench.engine.splits import SplitData
from sftbench.engine.workspace import Workspace
from sftbench.errors import RequestError
from sftbench.models.model import Model


@dataclass(slots=True)
class StreamBatch:
    """One stream's inputs for one step: a tensor for each view."""

    views: tuple[Tensor, ...]
    targets: Any

    def outputs(self, model: Model, forward: Forward, *, full: bool) -> StreamOutput:
        """Run the model on every view; `full` tells whether the step is of the usual size."""
        pairs = [forward(model, view, full=full) for view in self.views]
        return StreamOutput(
            logits=tuple(outputs for outputs, _ in pairs),
            features=tuple(features for _, features in pairs),
            targets=self.targets,
        )


class Flow:
    """An endless, seeded order over the examples of one stream."""

    def __init__(self, stream: Stream, number: int, ws: Workspace) -> None:
        self.stream = stream
        self._ws = ws
        self._generator = ws.numpy_generator("stream", str(number), stream.name)
        self._split, self._positions, self._targets = _examples(stream, ws)
        self._queue = np.empty(0, dtype=np.int64)
        if len(self._positions) == 0:
            raise RequestError(
                f"stream {stream.name!r} of strategy {ws.strategy.name!r} has no examples: "
                f"{stream.source} of {ws.data.info.name} is empty under this variant"
            )

    def batch(self, num_target: int, generator: torch.Generator) -> StreamBatch:
        """Draw the stream's part of a step that has `num_target` target examples."""
        count = max(1, round(self.stream.ratio * num_target))
        while len(self._queue) < count:
            self._queue = np.concatenate([self._queue, self._epoch()])
        chosen, self._queue = self._queue[:count], self._queue[count:]
        indices = torch.from_numpy(self._positions[chosen])
        if self._targets is None:
            source = self._split.source
            views = [source.inputs(indices, view, generator) for view in self.stream.views]
            return StreamBatch(tuple(views), None)
        labels = torch.from_numpy(self._targets[chosen]).to(self._ws.device)
        pairs = [self._split.batch(indices, labels, view, generator) for view in self.stream.views]
        return StreamBatch(tuple(inputs for inputs, _ in pairs), pairs[0][1])

    def count(self, num: int) -> None:
        """Add `num` drawn examples to the work of the cell."""
        if self.stream.source == "unlabelled":
            self._ws.work.unlabelled += num
        elif self.stream.source == "labelled":
            self._ws.work.drawn += num
        else:
            self._ws.work.source += num

    def _epoch(self) -> NDArray[np.int64]:
        count = len(self._positions)
        if self.stream.sampler is None or self._targets is None:
            return self._generator.permutation(count)
        weights = np.asarray(self.stream.sampler(self._targets, 0.0), dtype=np.float64)
        return self._generator.choice(count, size=count, p=weights / weights.sum())


def _examples(
    stream: Stream, ws: Workspace
) -> tuple[SplitData, NDArray[np.int64], NDArray[np.int64] | None]:
    """Return split, positions in it, and targets by position (None: unlabelled)."""
    data = ws.data
    if stream.source == "unlabelled":
        return data.train, data.rest_indices, None
    if stream.source == "labelled":
        return data.train, data.train_indices, data.train_targets
    if stream.source not in ws.strategy.sources:
        raise RequestError(
            f"stream {stream.name!r} draws from {stream.source!r}, which is not among the "
            f"sources of strategy {ws.strategy.name!r}"
        )
    split = ws.load_source(stream.source)
    if split.key == data.train.key:
        raise RequestError(
            f"source {stream.source!r} of strategy {ws.strategy.name!r} has the images of "
            f"{data.info.name}, its validation images too; use the stream source 'labelled'"
        )
    return split, np.arange(len(split.targets), dtype=np.int64), split.targets
