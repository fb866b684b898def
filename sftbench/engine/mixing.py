"""Mixup and CutMix with any loss: the loss of both labels of an image, by their shares."""

from __future__ import annotations

import torch
from torch import Tensor

from sftbench.contracts.strategy import Stage, View
from sftbench.data.augment.mix import Mix, cutmix, draw_cut, draw_share, mixup
from sftbench.engine.workspace import Workspace
from sftbench.errors import RequestError

_CUTMIX_SHARE = 0.5  # of the batches where both are asked for, as timm does


class Mixer:
    """Mixes the images of each batch of a stage.

    Args:
        mixup_alpha: Of the Beta distribution; 0: no mixup.
        cutmix_alpha: Likewise; one of both is not 0.
        generator: A CPU generator.
    """

    def __init__(self, mixup_alpha: float, cutmix_alpha: float, generator: torch.Generator) -> None:
        self._mixup_alpha = mixup_alpha
        self._cutmix_alpha = cutmix_alpha
        self._generator = generator

    def __call__(self, inputs: Tensor) -> tuple[Tensor, Mix]:
        """Return mixed inputs float [B, C, H, W], and with whom and by which share.

        Raises:
            RequestError: The task's inputs are no batch of images.
        """
        if not isinstance(inputs, Tensor) or inputs.ndim != 4:
            raise RequestError("mixup and cutmix need inputs [B, C, H, W]; set both to 0")
        if self._cuts():
            lam = draw_share(self._cutmix_alpha, self._generator)
            height, width = inputs.shape[2:]
            return cutmix(inputs, draw_cut(lam, height, width, self._generator))
        return mixup(inputs, draw_share(self._mixup_alpha, self._generator))

    def _cuts(self) -> bool:
        if self._mixup_alpha and self._cutmix_alpha:
            return bool(torch.rand((), generator=self._generator) < _CUTMIX_SHARE)
        return self._cutmix_alpha > 0


def mixer_of(ws: Workspace, stage: Stage, number: int, view: View) -> Mixer | None:
    """Return who mixes the batches of a stage; None: it, the protocol, or its view asks not.

    Raises:
        RequestError: The stage asks for it, and the task does not know how.
    """
    mixup = ws.protocol.mixup if stage.mixup is None else stage.mixup
    cutmix = ws.protocol.cutmix if stage.cutmix is None else stage.cutmix
    alphas = mixup, cutmix
    if any(alphas) and not ws.task.mixes:
        raise RequestError(f"task {ws.task.name!r} cannot mix inputs, as stage {stage.name!r} asks")
    if view == "plain" or not any(alphas):
        return None
    return Mixer(*alphas, ws.ctx.generator(f"mix:{number}"))
