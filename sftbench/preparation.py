"""Before any cell runs: can the weights be had, do they fit, and are they here?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from sftbench import cache
from sftbench.catalog import Catalog, Offer
from sftbench.contracts.backbone import Backbone
from sftbench.contracts.dataset import Dataset, Split
from sftbench.contracts.execution import Job
from sftbench.contracts.strategy import Strategy
from sftbench.data.fingerprints import fingerprint
from sftbench.data.loading import left_out, load_split
from sftbench.data.overlap import shared_images
from sftbench.engine.runtime import settings_restored
from sftbench.errors import (
    RequestError,
    SftbenchError,
    UnavailableError,
    WeightsUnavailableError,
)
from sftbench.measures import ood_names
from sftbench.models.starting import has_weights, load_start, owner, pretrained_problem
from sftbench.models.weight_files import fit, read_tensors
from sftbench.names import unknown_name
from sftbench.plan import Cell, canonical
from sftbench.pretraining import kept_record, pretrained_weights, pretraining_cell
from sftbench.progress import Progress, silent
from sftbench.request import Request
from sftbench.weights import (
    KEY_LENGTH,
    file_reference,
    is_file_name,
    keep_file,
    kept_file,
    parse_weights,
)

SUPERVISED = "supervised"
_SPLITS: tuple[Split, ...] = ("train", "test")


@dataclass(frozen=True, slots=True)
class Told:
    """Who is told what happens before the first cell.

    Attributes:
        say: Is given a line.
        progress: Is told how far it is.
    """

    say: Callable[[str], None] = lambda _line: None
    progress: Progress = silent


def files_of(request: Request) -> dict[str, Path]:
    """Return a person's files of weights by what cells say of them.

    Raises:
        UnavailableError: One cannot be read.
    """
    paths = [Path(text).expanduser() for text in request.weights if is_file_name(text)]
    return {file_reference(path): path for path in paths}


def check_data(cells: Iterable[Cell], catalog: Catalog, told: Told) -> None:
    """Decode, before any cell runs, what takes long to decode; workers find it in the cache.

    What is left out because it cannot be read is said.

    Raises:
        UnavailableError: An example cannot be read, and the protocol does not leave it out.
    """
    wanted: dict[tuple[str, Split, int, bool], None] = {}
    for cell in cells:
        size, skip = int(cell.protocol.image_size), cell.protocol.skip_unreadable
        strategy = cast(Strategy, catalog.create("strategy", cell.strategy, cell.options))
        wanted[cell.dataset, "train", size, skip] = None
        wanted[cell.dataset, "test", size, skip] = None
        wanted |= {(name, "train", size, skip): None for name in strategy.sources}
        wanted |= {(name, "test", size, skip): None for name in ood_names(cell.protocol.evaluate)}
    for reference, split, size, skip in wanted:
        dataset = cast(Dataset, catalog.create("dataset", reference))
        if dataset.cache_key(split, size) is not None:
            examples = load_split(dataset, split, size, skip_unreadable=skip)
            line = left_out(dataset, split, examples)
            if line is not None:
                told.say(f"note: {line}")


def check_weights(
    cells: Iterable[Cell], files: Mapping[str, Path], catalog: Catalog, told: Told
) -> None:
    """Find out whether the weights that cells start from can be had, fit, and are fair.

    A person's file that fits is copied into the cache, where the workers find it.

    Args:
        cells: Those that are due.
        files: As `files_of` gives them.
        catalog: Of this process.
        told: Is told what is left out of a file.

    Raises:
        WeightsUnavailableError: Pretrained ones cannot be had; the message says why.
        UnavailableError: A file or an own pretraining is not here.
        RequestError: A file does not fit, or a source shares images with its target.
    """
    for (name, text), some in _starts(cells, catalog).items():
        backbone = cast(Backbone, catalog.create("backbone", name))
        reference = parse_weights(text)
        if reference.kind == "pretrained":
            problem = pretrained_problem(backbone, catalog)
            if problem:
                raise WeightsUnavailableError(problem, name)
        elif reference.kind == "file":
            _check_file(text, files.get(text), backbone, some, told)
        else:
            _check_source(text, backbone, some, catalog)


def source_with_objective(name: str, objective: str, catalog: Catalog) -> Dataset:
    """Return the data set that a pretraining runs on: a source, or a pretext made of it.

    Args:
        name: Reference of the source.
        objective: `supervised`, or the name of a pretext.
        catalog: Where both are looked up.

    Raises:
        RequestError: No such data set or objective.
    """
    if objective == SUPERVISED:
        return cast(Dataset, catalog.create("dataset", name))
    pretexts = [
        offer.name
        for offer in catalog.listing("dataset")
        if offer.parameter is not None and _is_pretext(offer, catalog)
    ]
    if objective not in pretexts:
        raise RequestError(unknown_name("objective", objective, [SUPERVISED, *pretexts]))
    return cast(Dataset, catalog.create("dataset", f"{objective}:{name}"))


def prepare_weights(cells: Iterable[Cell], catalog: Catalog, job: Job, told: Told) -> None:
    """Bring to this machine, or make, what the cells start from; once, in this process.

    Raises:
        UnavailableError: It could not be had after all.
    """
    for (name, text), some in _starts(cells, catalog).items():
        backbone = cast(Backbone, catalog.create("backbone", name))
        reference = parse_weights(text)
        if reference.kind == "pretrained" and not has_weights(backbone, catalog):
            owner(backbone).fetch_pretrained(told.say)
        elif reference.kind == "pretrain" and cache.find("pretrained", reference.key) is None:
            source = cast(Dataset, catalog.create("dataset", reference.name))
            first = pretraining_cell(backbone, source, catalog, some[0].protocol.precision)
            if pretrained_weights(first) != text:
                raise UnavailableError(f"weights {text}: not in the cache of this machine any more")
            told.say(
                f"pretraining {name} on {reference.name}, once: {first.protocol.epochs:g} epochs"
            )
            run_pretraining(first, catalog, job, told)


def run_pretraining(first: Cell, catalog: Catalog, job: Job, told: Told) -> Path:
    """Run a pretraining cell in this process and return its folder in the cache.

    Raises:
        UnavailableError: Training did not end well.
    """
    from sftbench.cell import pretrain
    from sftbench.warm import Warm

    def progress(_stage: str, done: int, total: int, _values: Mapping[str, float]) -> None:
        told.progress(f"pretraining on {first.dataset}", done, total)

    threads = 1 if job.deterministic else None
    with settings_restored(), closing(Warm(job, threads=threads, catalog=catalog)) as warm:
        return pretrain(first, warm, progress)


def _starts(cells: Iterable[Cell], catalog: Catalog) -> dict[tuple[str, str], list[Cell]]:
    """Return cells by backbone and by the weights that their strategies start from."""
    found: dict[tuple[str, str], list[Cell]] = {}
    for strategy, some in _by_strategy(cells, catalog):
        for cell in some:
            text = strategy.weights(cell.weights)
            if text != "none":
                found.setdefault((cell.backbone, text), []).append(cell)
                for other in strategy.backbones:
                    found.setdefault((other, "pretrained"), []).append(cell)
    return found


def _by_strategy(cells: Iterable[Cell], catalog: Catalog) -> list[tuple[Strategy, list[Cell]]]:
    """Return each strategy with its options, built once, and its cells."""
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(canonical([cell.strategy, cell.options]), []).append(cell)
    return [
        (cast(Strategy, catalog.create("strategy", some[0].strategy, some[0].options)), some)
        for some in groups.values()
    ]


def _check_file(
    text: str, path: Path | None, backbone: Backbone, cells: list[Cell], told: Told
) -> None:
    reference = parse_weights(text)
    tensors, _ = read_tensors(path or kept_file(reference))
    where = f"{text} for backbone {backbone.reference}"
    sizes = sorted({int(cell.protocol.image_size) for cell in cells})
    fitted = [fit(tensors, backbone.build(size), where) for size in sizes]
    if path is not None:
        keep_file(path, reference)
    if fitted[0].head_name:
        told.say(f"weights {text}: the head {fitted[0].head_name!r} in it is left out")


def _check_source(text: str, backbone: Backbone, cells: list[Cell], catalog: Catalog) -> None:
    """See to it that own pretraining is of this source, fits every cell, and is fair.

    Raises:
        UnavailableError: It is not here and not the default one, or the source has changed since.
        RequestError: It does not fit, or source and target share images.
    """
    reference = parse_weights(text)
    source = cast(Dataset, catalog.create("dataset", reference.name))
    folder = cache.find("pretrained", reference.key)
    sizes = sorted({int(cell.protocol.image_size) for cell in cells})
    if folder is None:
        first = pretraining_cell(backbone, source, catalog, cells[0].protocol.precision)
        if pretrained_weights(first) != text:
            raise UnavailableError(
                f"weights {text}: not in the cache of this machine, and not those of "
                f"pretrain:{reference.name}, which are ...@{first.cell_id[:KEY_LENGTH]}"
            )
        state = backbone.build(int(first.protocol.image_size)).state_dict()
        for size in sizes:
            fit(state, backbone.build(size), f"{text} for backbone {backbone.reference}")
    else:
        check_unchanged(folder, source)
        for size in sizes:
            load_start(text, reference, backbone, backbone.build(size), catalog)
    _check_fair(f"weights pretrain:{reference.name}", source.images_of(), cells, catalog)


def check_unchanged(folder: Path, source: Dataset) -> None:
    """See to it that a source still has the images that kept weights were trained on.

    Args:
        folder: Of the weights and their record in the cache.
        source: The data set as it is now.

    Raises:
        UnavailableError: It has others.
    """
    record = kept_record(folder)
    protocol = record.cell.protocol
    examples = load_split(
        source, "train", int(protocol.image_size), skip_unreadable=protocol.skip_unreadable
    )
    if fingerprint(examples) != record.provenance["data"]["train"]:
        raise UnavailableError(
            f"weights pretrain:{source.reference}: its images are not those that were trained on; "
            f"train anew after: sftbench weights list --prune pretrained/{folder.name}"
        )


def check_streams(cells: Iterable[Cell], catalog: Catalog) -> None:
    """See to it that no data set that a strategy trains on besides has images of the target.

    Raises:
        RequestError: One has.
        UnavailableError: One cannot be read.
    """
    for strategy, some in _by_strategy(cells, catalog):
        for name in strategy.sources:
            source = cast(Dataset, catalog.create("dataset", name)).images_of()
            _check_fair(f"source {name} of strategy {strategy.reference!r}", source, some, catalog)


def check_outside(cells: Iterable[Cell], catalog: Catalog) -> None:
    """See to it that data sets which are to be told apart from a target have none of its images.

    Raises:
        RequestError: One has.
        UnavailableError: One cannot be read.
    """
    asked: dict[str, list[Cell]] = {}
    for cell in cells:
        for name in ood_names(cell.protocol.evaluate):
            asked.setdefault(name, []).append(cell)
    for name, some in asked.items():
        other = cast(Dataset, catalog.create("dataset", name)).images_of()
        _check_fair(f"ood {name}", other, some, catalog, part="test")


def _check_fair(
    what: str, source: Dataset, cells: list[Cell], catalog: Catalog, part: Split = "train"
) -> None:
    """Refuse a source whose `part` has images of a target.

    Raises:
        RequestError: It has.
    """
    targets = {
        (cell.dataset, int(cell.protocol.image_size), cell.protocol.skip_unreadable)
        for cell in cells
    }
    for target_name, size, skip in sorted(targets):
        target = cast(Dataset, catalog.create("dataset", target_name)).images_of()
        splits = [load_split(target, each, size, skip_unreadable=skip) for each in _SPLITS]
        count = shared_images(load_split(source, part, size, skip_unreadable=skip), *splits)
        if count:
            total = sum(len(split.targets) for split in splits)
            raise RequestError(
                f"{what}: {count:,} of the {total:,} examples of the "
                f"target {target_name} are among the source's; choose another source"
            )


def _is_pretext(offer: Offer, catalog: Catalog) -> bool:
    try:
        return cast("type[Dataset]", catalog.get("dataset", offer.name)).pretext
    except SftbenchError:  # a plugin's that does not load is none that can be asked for
        return False
