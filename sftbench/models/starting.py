"""The weights that a network starts from, wherever they lie."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from torch import Tensor, nn

from sftbench import cache
from sftbench.catalog import Catalog
from sftbench.contracts.backbone import Backbone, PretrainedWeights
from sftbench.contracts.weights import PackagedWeights, Rename
from sftbench.errors import RequestError, SftbenchError, UnavailableError
from sftbench.models.pyramid_backbone import weights_within
from sftbench.models.weight_files import Fitted, fit, read_tensors, save_tensors
from sftbench.names import cause, one_line, shown
from sftbench.weights import (
    KEY_LENGTH,
    WEIGHTS_FILE,
    WeightsReference,
    file_digest,
    file_reference,
    imported,
    imported_key,
    kept_file,
    locate,
    packages_for,
    pretrained_folder,
)


@dataclass(frozen=True, slots=True)
class StartWeights:
    """The weights that a cell starts from.

    Attributes:
        effective: `pretrained`, `none`, `pretrain:SOURCE@KEY` or `FILE@DIGEST`.
        head: The head the weights were trained with, or None.
        digest: SHA-256 of their source, or None for random weights.
        origin: Where they came from.
        dropped_head: Name of the head in a person's file, which the target's replaces; or empty.
    """

    effective: str
    head: Mapping[str, Tensor] | None = None
    digest: str | None = None
    origin: str = "random"
    dropped_head: str = ""


def load_start(
    text: str, reference: WeightsReference, backbone: Backbone, network: nn.Module, catalog: Catalog
) -> StartWeights:
    """Load the weights that a cell names into a network just built.

    Args:
        text: The cell's `weights`.
        reference: The same, read.
        backbone: It built the network.
        network: Its parameters are replaced.
        catalog: Of packages that carry weights.

    Raises:
        RequestError: They do not fit the network.
        UnavailableError: They cannot be had here.
    """
    if reference.kind == "pretrained":
        given = pretrained(backbone, network, catalog)
        network.load_state_dict(dict(given.state))
        return StartWeights(text, given.head, given.digest, given.origin)
    if reference.kind == "pretrain":
        folder = pretrained_folder(reference)
        if folder is None:
            raise UnavailableError(
                f"weights {text}: not in the cache of this machine; make them with: "
                f"sftbench pretrain --backbone {backbone.reference} --dataset {reference.name}"
            )
        path = folder / WEIGHTS_FILE
    else:
        path = kept_file(reference)
    tensors, metadata = read_tensors(path)
    own = reference.kind == "pretrain"
    if own and (metadata.get("source"), metadata.get("cell_id", "")[:KEY_LENGTH]) != (
        reference.name,
        reference.key,
    ):
        raise RequestError(
            f"weights {text}: those of this key were trained on {shown(metadata.get('source'))}"
        )
    fitted = fit(tensors, network, f"{text} for backbone {backbone.reference}")
    network.load_state_dict(dict(fitted.state))
    dropped = "" if own else fitted.head_name
    # What a stranger's file says of itself is not evidence.
    origin = one_line(metadata.get("origin", "")) if own else f"file {reference.name}"
    return StartWeights(text, fitted.head, _digest(fitted), origin, dropped)


def pretrained(backbone: Backbone, network: nn.Module, catalog: Catalog) -> PretrainedWeights:
    """Return a backbone's pretrained weights: out of a package, imported, or the hub's.

    Raises:
        UnavailableError: They cannot be had here.
    """
    if backbone.made_of is not None:
        return _of_body(backbone.made_of, network, catalog)
    for packaged in packages_for(backbone.reference, catalog.packaged_weights):
        path = locate(packaged)
        if path is not None:
            return read_packaged(packaged, network, path)
    file = imported(backbone.reference)
    if file is None:
        return backbone.pretrained(network)
    tensors, metadata = read_tensors(file)
    fitted = fit(tensors, network, f"imported for backbone {backbone.reference}")
    digest = metadata.get("sha256") or _digest(fitted)
    return PretrainedWeights(
        state=fitted.state,
        head=fitted.head,
        digest=digest,
        origin=metadata.get("origin", "imported"),
    )


def _of_body(inner: Backbone, network: nn.Module, catalog: Catalog) -> PretrainedWeights:
    """Return the weights of the backbone that another is made of, by the other's names."""
    whole = inner.build(inner.info().image_size)
    return weights_within(pretrained(inner, whole, catalog), network)


def owner(backbone: Backbone) -> Backbone:
    """Return the backbone whose pretrained weights serve: itself, or what it is made of."""
    return backbone if backbone.made_of is None else owner(backbone.made_of)


def import_file(path: Path, backbone: Backbone) -> tuple[Fitted, Path]:
    """Keep a person's file as the pretrained weights of a backbone.

    Args:
        path: Safetensors, or a state dict of torch.
        backbone: Whose they are.

    Returns:
        What was read, and the folder in the cache.

    Raises:
        RequestError: They do not fit the network.
        UnavailableError: The file cannot be read.
    """
    origin = file_reference(path)
    network = backbone.build(backbone.info().image_size)
    tensors, _ = read_tensors(path)
    fitted = fit(tensors, network, f"{path} for backbone {backbone.reference}")
    whole = {**fitted.state, **{f"head.{k}": v for k, v in (fitted.head or {}).items()}}
    notes = {"origin": f"imported: {origin}", "sha256": file_digest(path)}

    def build(folder: Path) -> str:
        save_tensors(whole, folder / WEIGHTS_FILE, notes)
        return f"{backbone.reference}, from {origin}"

    key = imported_key(backbone.reference)
    return fitted, cache.fill("weights", key, build, replace=True)


def has_weights(backbone: Backbone, catalog: Catalog) -> bool:
    """Tell whether a package or an imported file serves a backbone here.

    Raises:
        UnavailableError: A package is installed whose file is not the published one.
    """
    backbone = owner(backbone)
    packages = packages_for(backbone.reference, catalog.packaged_weights)
    found = any(locate(packaged) is not None for packaged in packages)
    return found or imported(backbone.reference) is not None


def pretrained_problem(backbone: Backbone, catalog: Catalog) -> str | None:
    """Say within seconds why `pretrained` would fail, or None."""
    backbone = owner(backbone)
    try:
        if has_weights(backbone, catalog):
            return None
    except UnavailableError as error:
        return str(error)
    problem = backbone.pretrained_problem()
    if problem and packages_for(backbone.reference, catalog.packaged_weights):
        return f"{problem}; a package has them: sftbench weights fetch {backbone.reference}"
    return problem


def read_packaged(packaged: PackagedWeights, network: nn.Module, path: Path) -> PretrainedWeights:
    """Return the weights in the file of a package, by the network's own names.

    Args:
        packaged: What the file is.
        network: The backbone's, just built.
        path: As `sftbench.weights.locate` found it.

    Raises:
        UnavailableError: The package's names are not those of the network.
    """
    state, _ = read_tensors(path)
    where = f"weights of {packaged.backbone}: {packaged.rename}"
    try:
        module, _, function = packaged.rename.partition(":")
        rename = cast(Rename, getattr(importlib.import_module(module), function))
        named = rename(state, network)
    except SftbenchError:
        raise
    except Exception as error:
        # A plugin's function may raise anything.
        raise UnavailableError(f"{where} fails: {cause(error)}") from error
    head = {leaf: named.pop(f"head.{leaf}", None) for leaf in ("weight", "bias")}
    own = network.state_dict()
    if named.keys() != own.keys():
        wrong = sorted(named.keys() ^ own.keys())
        raise UnavailableError(f"{where} gives other names than the network has: {wrong[0]}")
    for name, tensor in named.items():
        if tensor.shape != own[name].shape:
            raise UnavailableError(f"{where} gives {name} the shape {list(tensor.shape)}")
    return PretrainedWeights(
        state=named,
        head=cast(Mapping[str, Tensor], head) if head["weight"] is not None else None,
        digest=packaged.sha256,
        origin=packaged.origin,
    )


def _digest(fitted: Fitted) -> str:
    from sftbench.models.freezing import state_digest

    return state_digest(sorted(fitted.state.items()))
