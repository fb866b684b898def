"""Files of weights that somebody else made: read as tensors alone, and fitted to a network."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from sftbench.errors import RequestError, UnavailableError
from sftbench.names import one_line

# Where checkpoints of training loops keep the weights; averaged ones first, as timm does.
_NESTED: Final = ("state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model")
_PREFIXES: Final = ("module.", "backbone.", "model.", "encoder.", "_orig_mod.")
_SHOWN: Final = 4
# Of torch's messages about a pickle that is whole, and asks for more than tensors.
_CODE_SIGNS: Final = ("Unsupported global", "GLOBAL", "unrecognized function", "Can only build")


@dataclass(frozen=True, slots=True)
class Fitted:
    """Tensors of a file under the names of a network.

    Attributes:
        state: All tensors of the network's state dict.
        head: `weight` [S, D] and `bias` [S] of the head in the file, or None.
        head_name: Its name in the file, or empty.
    """

    state: Mapping[str, Tensor]
    head: Mapping[str, Tensor] | None
    head_name: str


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a file of weights; nothing in it is executed.

    Args:
        path: A safetensors file, or a state dict as torch saves it, also within a checkpoint.
            Its content tells which, not its name.

    Returns:
        Tensors by name, on the CPU, and the file's metadata (empty where it has none).

    Raises:
        UnavailableError: It holds code, is damaged, or holds no tensors.
    """
    try:
        is_safe = _is_safetensors(path)
        tensors, metadata = _read_safetensors(path) if is_safe else (_read_torch(path), {})
    except pickle.UnpicklingError as error:
        raise UnavailableError(_refusal(path, error)) from None
    except MemoryError:
        raise
    except Exception as error:
        what = "not a whole file of weights" if path.stat().st_size else "an empty file"
        raise UnavailableError(f"weights {one_line(str(path))}: {what}") from error
    if not tensors:
        raise UnavailableError(f"weights {path}: no tensors by name in it")
    return tensors, metadata


def _is_safetensors(path: Path) -> bool:
    """Tell whether a file begins with the length of a header, and the header."""
    with path.open("rb") as file:
        start = file.read(9)
    length = int.from_bytes(start[:8], "little")
    fits = len(start) == 9 and length <= path.stat().st_size - 8
    return path.suffix.lower() == ".safetensors" or (fits and start[8:] == b"{")


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


def _read_torch(path: Path) -> dict[str, Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old and odd formats; what matters is an error
        content = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(content, Mapping):
        return {}
    inner = next((content[key] for key in _NESTED if _named_tensors(content.get(key))), content)
    return _named_tensors(inner)


def _named_tensors(content: Any) -> dict[str, Tensor]:
    if not isinstance(content, Mapping):
        return {}
    return {
        str(name): tensor.detach() for name, tensor in content.items() if isinstance(tensor, Tensor)
    }


def _refusal(path: Path, error: Exception) -> str:
    text = str(error)
    with path.open("rb") as file:
        is_pickle = file.read(1) == b"\x80"
    # A newer pickle than torch's own: what it would do is not found out.
    if any(sign in text for sign in _CODE_SIGNS) or (is_pickle and "Unsupported operand" in text):
        return (
            f"weights {path}: a pickle with more than tensors, which would run its code; it is "
            "refused. Save its state dict alone: torch.save(model.state_dict(), FILE), or as "
            "safetensors"
        )
    return f"weights {one_line(str(path))}: not a whole file of weights"


def save_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """Write tensors as a safetensors file.

    Args:
        tensors: By name.
        path: Of the file.
        metadata: Texts for its header.
    """
    # Clones: tensors that share memory are refused there.
    whole = {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}
    save_file(whole, path, metadata=dict(metadata))


def fit(tensors: Mapping[str, Tensor], network: nn.Module, where: str) -> Fitted:
    """Give the tensors of a file the names of a network; nothing may be missing or left over.

    Known prefixes (`module.`, `backbone.`, `model.` ...) are no difference. One linear layer that
    takes the network's features may be left over: it is the head.

    Args:
        tensors: By the file's names.
        network: A `sftbench.api.Network`.
        where: File and backbone, for the message.

    Raises:
        RequestError: With the names that do not match.
    """
    own = network.state_dict()
    # Two names that become one would overwrite each other, so such a reading is none.
    readings = [one for one in _readings(tensors) if len(one) == len(tensors)]
    renamed = max(readings, key=lambda reading: len(reading.keys() & own.keys()))
    left = {name: tensor for name, tensor in renamed.items() if name not in own}
    head_name, head = _head(left, int(getattr(network, "feature_width", 0)))
    of_head = {f"{head_name}.weight", f"{head_name}.bias"} if head is not None else set()
    unknown = sorted(left.keys() - of_head)
    # A counter of batch norm that old files lack; nothing is computed from it here.
    missing = sorted(
        name for name in own if name not in renamed and not name.endswith(".num_batches_tracked")
    )
    shapes = [
        f"{name} {list(renamed[name].shape)} for {list(tensor.shape)}"
        for name, tensor in own.items()
        if name in renamed and renamed[name].shape != tensor.shape
    ]
    types = [
        f"{name} {renamed[name].dtype} for {tensor.dtype}"
        for name, tensor in own.items()
        if name in renamed and tensor.is_floating_point() > renamed[name].is_floating_point()
    ]
    infinite = [
        name
        for name in own
        if name in renamed
        and renamed[name].is_floating_point()
        and not bool(torch.isfinite(renamed[name]).all())
    ]
    problems = [
        _listed(missing, "missing"),
        _listed(unknown, "unknown"),
        _listed(shapes, "of another shape"),
        _listed(types, "of another type"),
        _listed(infinite, "not finite"),
    ]
    if any(problems):
        raise RequestError(f"weights {where} do not fit: {'; '.join(filter(None, problems))}")
    state = {
        name: renamed[name].to(tensor.dtype) if name in renamed else tensor
        for name, tensor in own.items()
    }
    return Fitted(state, head, head_name.removeprefix("model."))


def _readings(tensors: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Yield the tensors under names with up to three known prefixes off, and `model.` on or not."""
    for inside in ("model.", ""):
        for depth in range(4):
            yield {f"{inside}{_bare(name, depth)}": tensor for name, tensor in tensors.items()}


def _bare(name: str, depth: int) -> str:
    for _ in range(depth):
        name = next((name[len(p) :] for p in _PREFIXES if name.startswith(p)), name)
    return name


def _head(left: Mapping[str, Tensor], width: int) -> tuple[str, dict[str, Tensor] | None]:
    """Return name and tensors of the one linear layer of features [S, D] that is left over."""
    modules = sorted({name.rpartition(".")[0] for name in left})
    for module in modules:
        weight = left.get(f"{module}.weight")
        if weight is None or weight.ndim not in {2, 4} or weight.numel() != len(weight) * width:
            continue
        bias = left.get(f"{module}.bias", weight.new_zeros(len(weight)))
        if bias.shape == (len(weight),):
            return module, {"weight": weight.flatten(1), "bias": bias}
    return "", None


def _listed(names: list[str], what: str) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    listed = ", ".join(one_line(name.removeprefix("model."), 100) for name in names[:_SHOWN])
    return f"{len(names)} {what} ({listed}{more})"
