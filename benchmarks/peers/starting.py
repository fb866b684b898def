"""The weights that everybody starts from, and how to tell that they moved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from benchmarks.peers.images import NUM_CLASSES
from benchmarks.peers.work import Work

_BACKBONE, _HEAD = "backbone.model.", "head."


def write_start(work: Work) -> None:
    """Keep the weights that sftbench's cell of seed 0 starts from: backbone and head."""
    from benchmarks.peers.contestants import engine

    workspace = engine.workspace(replace(work, strategies=("full",)))
    state = {name: t.contiguous().clone() for name, t in workspace.model.state_dict().items()}
    save_file(state, work.start)


def build(work: Work) -> nn.Module:
    """Build timm's own model, as anybody would, and give it the starting weights."""
    model: Any = timm.create_model(work.backbone, pretrained=False, num_classes=NUM_CLASSES)
    given = load_file(Path(work.start))
    state = {name.removeprefix(_BACKBONE): t for name, t in given.items() if _BACKBONE in name}
    head = head_prefix(model)
    state |= {name.replace(_HEAD, head, 1): t for name, t in given.items() if name[:5] == _HEAD}
    model.load_state_dict(state, strict=True)
    return model.train()


def head_prefix(model: Any) -> str:
    """Return what the names of the classifier's parameters begin with."""
    classifier = model.get_classifier()
    return next(name for name, module in model.named_modules() if module is classifier) + "."


def moved(model: nn.Module, before: dict[str, Tensor], prefix: str) -> tuple[bool, bool]:
    """Tell whether parameters of the backbone and of the head differ from what they were."""
    differs = {
        name: not torch.equal(p.detach().cpu(), before[name].cpu())
        for name, p in model.named_parameters()
    }
    return (
        any(value for name, value in differs.items() if not name.startswith(prefix)),
        any(value for name, value in differs.items() if name.startswith(prefix)),
    )
