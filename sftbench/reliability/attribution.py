"""Attribution: where Grad-CAM says a network looks, and whether the network agrees."""

from __future__ import annotations

import statistics
from typing import Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from sftbench.engine.runtime import seeded
from sftbench.evaluation.curves import area, rank_correlation
from sftbench.measures import ATTRIBUTION
from sftbench.models.freezing import in_eval
from sftbench.models.model import Model
from sftbench.reliability.subject import Found, Subject
from sftbench.seeding import derive

MOST_EXAMPLES: Final = 64
STEPS: Final = 20
# RISE's blur for insertion: 11 pixels and a deviation of 5 at 224 pixels.
_BLUR: Final = (11 / 224, 5 / 224)


class _Rest(nn.Module):
    """The model behind its first k blocks, with a place where captum can look at their map."""

    def __init__(self, model: Model, k: int) -> None:
        super().__init__()
        self.map = nn.Identity()
        self._model = [model]  # not registered: its modes and tensors are not this one's
        self._k = k

    def forward(self, h: Tensor) -> Tensor:
        """Return outputs [B, C] of a map [B, D, H, W]."""
        return self._model[0].outputs(self.map(h), self._k)[0]


def measure(subject: Subject, _name: str, found: Found) -> None:
    """Explain the predicted classes of up to 64 test images, in float32.

    Source: Selvaraju et al. 2017, arXiv:1610.02391 (Grad-CAM, by captum); Petsiuk et al. 2018,
    arXiv:1806.07421 (deletion and insertion); Adebayo et al. 2018, arXiv:1810.03292 (randomised
    weights). Here the map is the last that one block hands to the next, its sign is kept (the ReLU
    makes many places equal, and only their order is used), what is deleted becomes the mean colour
    of the normalisation, and the curves have 20 steps.
    """
    ws, model = subject.ws, subject.model
    data = ws.data
    chosen = torch.from_numpy(data.test_indices[:MOST_EXAMPLES])
    images = cast(Tensor, data.test.source.inputs(chosen, "plain", None))
    with in_eval(model):
        k = last_map(model, images[:1])
        why = _reason_against(model, k)
        if why:
            found.missing(ATTRIBUTION, why)
            return
        with torch.no_grad():
            classes = model(images).argmax(dim=1)
        maps = grad_cam(model, images, classes, k)
        deleted, inserted = curves(model, images, classes, maps)
        others = grad_cam(_randomised(subject), images, classes, k)
    correlation = _mean_correlation(maps, others)
    if correlation is None:
        found.missing("randomised_correlation", "no two maps that can be compared")
    found.values[ATTRIBUTION] = {
        "deletion_auc": area(deleted),
        "insertion_auc": area(inserted),
        "randomised_correlation": correlation,
    }


def last_map(model: Model, image: Tensor) -> int:
    """Return after how many blocks the last feature map [1, D, S, S] with S > 1 comes, or 0."""
    with torch.no_grad():
        for k in range(model.network.num_blocks - 1, 0, -1):
            shape = model.network.forward_to(image, k).shape
            if len(shape) == 4 and shape[2] == shape[3] > 1:
                return k
    return 0


def grad_cam(model: Model, images: Tensor, classes: Tensor, k: int) -> Tensor:
    """Return the map of each image for a class, with its sign, float32 [B, H, W].

    Args:
        model: In eval mode.
        images: float32 [B, 3, S, S], normalised.
        classes: int64 [B].
        k: How many blocks give the map.
    """
    from captum.attr import LayerGradCam

    with torch.no_grad():
        h = model.network.forward_to(images, k)
    rest = _Rest(model, k)
    explained = LayerGradCam(rest, rest.map).attribute(
        h.detach().requires_grad_(), classes, relu_attributions=False
    )
    return cast(Tensor, explained).detach().float()[:, 0]


def curves(
    model: Model, images: Tensor, classes: Tensor, maps: Tensor
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean probability of the classes as pixels are deleted, and as they are inserted.

    The most important pixels go first; both begin with none moved and end with all.

    Args:
        model: In eval mode.
        images: float32 [B, 3, S, S], normalised.
        classes: int64 [B].
        maps: float32 [B, H, W]; enlarged linearly to the images' size.

    Returns:
        Twice float64 [STEPS + 1].
    """
    side = images.shape[-1]
    large = F.interpolate(maps[:, None], size=side, mode="bilinear", align_corners=False)
    order = large.flatten(1).argsort(dim=1, descending=True, stable=True)
    places = torch.arange(side * side, device=images.device).expand_as(order)
    rank = torch.empty_like(order).scatter_(1, order, places).view(-1, 1, side, side)
    blank, blurred = torch.zeros_like(images), _blurred(images)
    deleted: list[float] = []
    inserted: list[float] = []
    with torch.no_grad():
        for step in range(STEPS + 1):
            moved = rank < round(step / STEPS * side * side)
            for start, end, scores in ((images, blank, deleted), (blurred, images, inserted)):
                shares = model(torch.where(moved, end, start)).float().softmax(dim=1)
                own = shares.gather(1, classes[:, None])
                scores.append(own.double().mean().item())
    return np.array(deleted), np.array(inserted)


def _reason_against(model: Model, k: int) -> str | None:
    if k == 0:
        return "no block hands a feature map to the next, as those of convolutional networks do"
    if any(is_traceable_wrapper_subclass(p) for p in model.parameters()):
        return "quantised weights have no gradients"
    return None


def _randomised(subject: Subject) -> Model:
    """Return a network of the cell's backbone and a head, both with random weights of their own.

    It is the backbone as it is built: of blocks that a strategy drops or adds it knows nothing.
    """
    cell = subject.cell
    seed = derive("randomised-weights", cell.seed, cell.dataset)
    network = subject.network("none", seed)
    with seeded(subject.ws.device, seed):
        return Model(network, subject.head_for(network)).eval()


def _mean_correlation(first: Tensor, second: Tensor) -> float | None:
    """Return the mean rank correlation of maps [B, H, W] of the same images.

    None where no image has two maps of one size that say anything.
    """
    if first.shape != second.shape:
        return None
    pairs = zip(first.cpu().double().numpy(), second.cpu().double().numpy(), strict=True)
    each = [rank_correlation(one.ravel(), other.ravel()) for one, other in pairs]
    known = [value for value in each if value is not None]
    return statistics.fmean(known) if known else None


def _blurred(images: Tensor) -> Tensor:
    """Blur so that the class is lost, as for insertion."""
    from torchvision.transforms.v2.functional import gaussian_blur

    side = images.shape[-1]
    taps = max(3, 2 * round(_BLUR[0] * side / 2) + 1)
    return cast(Tensor, gaussian_blur(images, [taps, taps], [max(1.0, _BLUR[1] * side)] * 2))
