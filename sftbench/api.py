"""The only module that a plugin imports.

Importing it does not import torch; `BlockBackbone`, `class_power` and `run_cell_safely` load what
they need when they are first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sftbench.contracts.backbone import Backbone, BackboneInfo, Network, PretrainedWeights
from sftbench.contracts.component import Component, Create, Entry, Family, Kind, Resolver
from sftbench.contracts.dataset import (
    Dataset,
    DatasetInfo,
    Examples,
    FetchProgress,
    Published,
    Split,
    Subset,
    Variant,
    VariantContext,
)
from sftbench.contracts.execution import (
    CellFinished,
    CellProgress,
    CellStarted,
    Event,
    Executor,
    Job,
    Tracker,
)
from sftbench.contracts.strategy import (
    Convex,
    ParamRule,
    Sampler,
    Stage,
    Step,
    StepOutput,
    Strategy,
    StrategyContext,
    Stream,
    StreamOutput,
    View,
    everything,
)
from sftbench.contracts.task import (
    BatchContext,
    BatchSource,
    Metric,
    MetricInput,
    Predictions,
    Task,
)
from sftbench.contracts.weights import PackagedWeights
from sftbench.errors import DivergedError, RequestError, SftbenchError, UnavailableError
from sftbench.hookspecs import hookimpl
from sftbench.options import Options
from sftbench.plan import Cell, Plan
from sftbench.protocol import Protocol
from sftbench.records import ClassResult, MetricSpec, Record
from sftbench.sampling import class_power

if TYPE_CHECKING:
    from sftbench.builtin.tasks.one_label import Classification
    from sftbench.cell import run_cell_safely
    from sftbench.data.images import ImageBatches
    from sftbench.data.scenes import Scene, compose_scenes
    from sftbench.models.blocks import BlockBackbone
    from sftbench.models.interleaved import InterleavedNetwork, ShortenedNetwork
    from sftbench.models.model import Model
    from sftbench.models.pyramid_backbone import PyramidBackbone
    from sftbench.models.pyramids import Level, PyramidNetwork, packed, unpacked

_LAZY = {
    "BlockBackbone": "sftbench.models.blocks",
    "Classification": "sftbench.builtin.tasks.one_label",
    "ImageBatches": "sftbench.data.images",
    "InterleavedNetwork": "sftbench.models.interleaved",
    "Level": "sftbench.models.pyramids",
    "Model": "sftbench.models.model",
    "PyramidBackbone": "sftbench.models.pyramid_backbone",
    "PyramidNetwork": "sftbench.models.pyramids",
    "Scene": "sftbench.data.scenes",
    "ShortenedNetwork": "sftbench.models.interleaved",
    "compose_scenes": "sftbench.data.scenes",
    "packed": "sftbench.models.pyramids",
    "run_cell_safely": "sftbench.cell",
    "unpacked": "sftbench.models.pyramids",
}

__all__ = [
    "Backbone",
    "BackboneInfo",
    "BatchContext",
    "BatchSource",
    "BlockBackbone",
    "Cell",
    "CellFinished",
    "CellProgress",
    "CellStarted",
    "ClassResult",
    "Classification",
    "Component",
    "Convex",
    "Create",
    "Dataset",
    "DatasetInfo",
    "DivergedError",
    "Entry",
    "Event",
    "Examples",
    "Executor",
    "Family",
    "FetchProgress",
    "ImageBatches",
    "InterleavedNetwork",
    "Job",
    "Kind",
    "Level",
    "Metric",
    "MetricInput",
    "MetricSpec",
    "Model",
    "Network",
    "Options",
    "PackagedWeights",
    "ParamRule",
    "Plan",
    "Predictions",
    "PretrainedWeights",
    "Protocol",
    "Published",
    "PyramidBackbone",
    "PyramidNetwork",
    "Record",
    "RequestError",
    "Resolver",
    "Sampler",
    "Scene",
    "SftbenchError",
    "ShortenedNetwork",
    "Split",
    "Stage",
    "Step",
    "StepOutput",
    "Strategy",
    "StrategyContext",
    "Stream",
    "StreamOutput",
    "Subset",
    "Task",
    "Tracker",
    "UnavailableError",
    "Variant",
    "VariantContext",
    "View",
    "class_power",
    "compose_scenes",
    "everything",
    "hookimpl",
    "packed",
    "run_cell_safely",
    "unpacked",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
