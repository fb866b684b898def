"""Rules for data sets and variants."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sftbench.contracts.dataset import Dataset, DatasetInfo, Examples, Split, Subset, Variant
from sftbench.contracts.dataset import VariantContext as Context
from sftbench.errors import RequestError
from sftbench.seeding import numpy_generator
from sftbench.testing.findings import BlockedError, Once

_PIXELS = 32
_IMAGES = "image-classification"
# Images of each class: equal, and so unequal that a variant may refuse.
_EQUAL, _UNEQUAL = (30, 30, 30, 30), (24, 8, 3)


class DatasetSubject:
    """A data set and its splits.

    Args:
        dataset: The component.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._info = Once(dataset.info)
        self.loaded: dict[Split, Once[Examples]] = {
            "train": Once(lambda: self.load("train")),
            "test": Once(lambda: self.load("test")),
        }

    def info(self) -> DatasetInfo:
        """Return the description."""
        return self._info()

    def load(self, split: Split) -> Examples:
        """Read a split anew, at the size that its info suggests."""
        return self.dataset.load(split, self.info().image_size or _PIXELS)

    def splits(self) -> Iterator[tuple[Split, Examples]]:
        """Yield both splits."""
        for split, examples in self.loaded.items():
            yield split, examples()


def info_is_complete(subject: DatasetSubject) -> str | None:
    """Name, classes and sizes are there, twice the same."""
    info = subject.info()
    if not isinstance(info, DatasetInfo):
        return f"info() returned a {type(info).__name__}, not a DatasetInfo"
    if info.name != subject.dataset.reference:
        return f"info().name is {info.name!r}, not the reference {subject.dataset.reference!r}"
    # Which view is of which image has no classes, and what is looked for may be of one.
    least = 1 if subject.dataset.pretext or info.task != _IMAGES else 2
    if len(set(info.class_names)) != len(info.class_names) or len(info.class_names) < least:
        return "class_names are not two or more different names"
    if info.num_train < 1 or info.num_test < 1:
        return f"num_train is {info.num_train}, num_test {info.num_test}"
    return None if subject.dataset.info() == info else "info() differs when it is called again"


def sizes_are_as_info_says(subject: DatasetSubject) -> str | None:
    """Both splits have the number of examples that the plan counted on."""
    info = subject.info()
    for split, examples in subject.splits():
        wanted = info.num_train if split == "train" else info.num_test
        found = (len(examples.inputs), len(examples.targets))
        lost = len(examples.unreadable)
        if found != (wanted - lost, wanted - lost):
            return f"{split} has {found[0]} inputs and {found[1]} targets; info says {wanted}"
    return None


def inputs_have_the_form_of_the_task(subject: DatasetSubject) -> str | None:
    """Images are uint8 [N, H, W, C] with one or three channels."""
    if subject.info().task != _IMAGES:
        return None  # another task states its own form
    for split, examples in subject.splits():
        inputs = examples.inputs
        if not isinstance(inputs, np.ndarray):
            return f"{split} inputs are a {type(inputs).__name__}, not an array"
        if inputs.dtype != np.uint8 or inputs.ndim != 4 or inputs.shape[3] not in {1, 3}:
            found = f"{inputs.dtype} {list(inputs.shape)}"
            return f"{split} inputs are {found}, not uint8 [N, H, W, 1 or 3]"
    return None


def targets_are_class_indices(subject: DatasetSubject) -> str | None:
    """Targets are int64 [N] in 0..C-1, and every class has a training example."""
    num_classes = subject.info().num_classes
    for split, examples in subject.splits():
        problem = _target_problem(examples.targets, num_classes)
        if problem:
            return f"{split} targets {problem}"
    present = np.unique(subject.loaded["train"]().targets)
    if subject.info().task == _IMAGES and len(present) < num_classes:
        lost = sorted(set(range(num_classes)) - set(present.tolist()))
        return f"class {lost[0]} has no training example"
    return None


def loading_again_gives_the_same(subject: DatasetSubject) -> str | None:
    """A split is the same in every worker."""
    for split, first in subject.splits():
        second = subject.load(split)
        same = np.array_equal(first.targets, second.targets)
        if isinstance(first.inputs, np.ndarray):
            same = same and np.array_equal(first.inputs, np.asarray(second.inputs))
        else:
            same = same and list(first.inputs) == list(second.inputs)
        if not same:
            return f"{split} differs when it is loaded again"
    return None


def groups_hold_every_class_equally(subject: DatasetSubject) -> str | None:
    """Groups, where there are any, are int64 [N] with as many examples of each class."""
    num_classes = subject.info().num_classes
    for split, examples in subject.splits():
        groups = examples.groups
        if groups is None:
            continue
        if groups.dtype != np.int64 or groups.shape != examples.targets.shape:
            found = f"{groups.dtype} {list(groups.shape)}"
            return f"{split} groups are {found}, not int64 [{len(examples.targets)}]"
        names, places = np.unique(groups, return_inverse=True)
        cells = places * num_classes + examples.targets
        counts = np.bincount(cells, minlength=len(names) * num_classes).reshape(len(names), -1)
        uneven = np.flatnonzero((counts != counts[:, :1]).any(axis=1))
        if len(uneven):
            row = counts[uneven[0]].tolist()
            return f"{split} group {names[uneven[0]]} has {row} examples of the classes, not equal"
    return None


DATASET = (
    info_is_complete,
    sizes_are_as_info_says,
    inputs_have_the_form_of_the_task,
    targets_are_class_indices,
    groups_hold_every_class_equally,
    loading_again_gives_the_same,
)


class VariantSubject:
    """A variant and what it makes of two small label sets.

    Args:
        variant: The component.
    """

    def __init__(self, variant: Variant) -> None:
        self.variant = variant
        self._equal = Once(lambda: self.apply(_EQUAL, 0))
        self._unequal = Once(self._may_refuse)
        self._sound = Once(lambda: _sound_parts(self))

    def parts(self) -> list[tuple[NDArray[np.int64], Subset]]:
        """Return (targets given, subset returned) of each set."""
        return [self._equal(), *self._unequal()]

    def sound_parts(self) -> list[tuple[NDArray[np.int64], Subset]]:
        """Return the same, where indices and targets have the right form."""
        return self._sound()

    def apply(self, sizes: tuple[int, ...], seed: int) -> tuple[NDArray[np.int64], Subset]:
        """Apply the variant to shuffled labels of classes of these sizes."""
        targets = _labels(sizes)
        context = Context(
            num_classes=len(sizes),
            generator=lambda *keys: numpy_generator("variant", seed, "tiny-images", *keys),
        )
        return targets, self.variant.apply(targets, context)

    def _may_refuse(self) -> list[tuple[NDArray[np.int64], Subset]]:
        try:
            return [self.apply(_UNEQUAL, 0)]
        except RequestError:
            return []


def indices_are_sorted_and_unique(subject: VariantSubject) -> str | None:
    """Indices are int64 [n], ascending, within the labels that were given, at least one."""
    for targets, subset in subject.parts():
        indices = subset.indices
        if not isinstance(indices, np.ndarray) or indices.dtype != np.int64 or indices.ndim != 1:
            return "indices are not int64 [n]"
        if len(indices) == 0:
            return "no example is left"
        if not 0 <= indices.min() <= indices.max() < len(targets):
            return f"indices {indices.min()}..{indices.max()} are not in 0..{len(targets) - 1}"
        if (np.diff(indices) <= 0).any():
            return "indices are not ascending and unique"
    return None


def labels_fit_the_classes(subject: VariantSubject) -> str | None:
    """Targets are int64 [n], one for each index, in 0..C-1."""
    for targets, subset in subject.parts():
        problem = _target_problem(subset.targets, int(targets.max()) + 1)
        if problem:
            return f"targets {problem}"
        if len(subset.targets) != len(subset.indices):
            return f"{len(subset.targets)} targets for {len(subset.indices)} indices"
    return None


def every_class_is_kept(subject: VariantSubject) -> str | None:
    """A class without a training example could not be learned."""
    for targets, subset in subject.sound_parts():
        lost = np.setdiff1d(targets, targets[subset.indices])
        if len(lost):
            return f"class {lost[0]} has no example left"
    return None


def one_seed_chooses_one_subset(subject: VariantSubject) -> str | None:
    """The subset comes from the context's generators alone: it is the same for each strategy."""
    _, first = subject.sound_parts()[0]
    _, second = subject.apply(_EQUAL, 0)
    same = np.array_equal(first.indices, second.indices)
    if same and np.array_equal(first.targets, second.targets):
        return None
    return "two calls with one seed differ; draw from ctx.generator(...) only"


def the_given_labels_stay(subject: VariantSubject) -> str | None:
    """The array that was given is another's: it is not written to."""
    # A variant that refused the unequal classes has one part only.
    for (targets, _), sizes in zip(subject.parts(), (_EQUAL, _UNEQUAL), strict=False):
        if not np.array_equal(targets, _labels(sizes)):
            return "apply() wrote to the labels it was given; work on a copy"
    return None


VARIANT = (
    indices_are_sorted_and_unique,
    labels_fit_the_classes,
    every_class_is_kept,
    one_seed_chooses_one_subset,
    the_given_labels_stay,
)


def _sound_parts(subject: VariantSubject) -> list[tuple[NDArray[np.int64], Subset]]:
    if indices_are_sorted_and_unique(subject) or labels_fit_the_classes(subject):
        raise BlockedError
    return subject.parts()


def _labels(sizes: tuple[int, ...]) -> NDArray[np.int64]:
    labels = np.repeat(np.arange(len(sizes), dtype=np.int64), sizes)
    return np.random.default_rng(3).permutation(labels)


def _target_problem(targets: object, num_classes: int) -> str | None:
    if not isinstance(targets, np.ndarray) or targets.dtype != np.int64 or targets.ndim != 1:
        return "are not int64 [N]"
    if len(targets) and not 0 <= targets.min() <= targets.max() < num_classes:
        return f"are {targets.min()}..{targets.max()}, not in 0..{num_classes - 1}"
    return None
