"""A person's own images as four .npy files, and the checks that such files pass."""

import tokenize
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, StringConstraints, ValidationError

from sftbench.api import Dataset, DatasetInfo, Examples, Options, Split, UnavailableError

ARRAY_FILES: Final = ("train_images.npy", "train_labels.npy", "test_images.npy", "test_labels.npy")
NOTES_FILE: Final = "dataset.json"
_NOTES_MAX_BYTES: Final = 1 << 20
# What NumPy raises for a header that is none: found by feeding it damaged ones.
_BAD_HEADER: Final = (
    ValueError,
    TypeError,
    SyntaxError,
    OverflowError,
    EOFError,
    tokenize.TokenError,
)

_Line = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")]


class Notes(Options):
    """What `dataset.json` may say of data that cannot speak for itself.

    `horizontal_flip`: whether a mirrored image keeps its label. `task`: name of the task.
    """

    horizontal_flip: bool = False
    licence: _Line = "unknown"
    citation: _Line | None = None
    task: _Line = "image-classification"


class ArrayNotes(Notes):
    """Beside the rest, `class_names`: one for each class, in the order of the labels."""

    class_names: tuple[_Line, ...] | None = None


class PathOptions(Options):
    """`path`: the folder; `~` is the home folder."""

    path: str = Field(min_length=1)


class Arrays(Dataset):
    """A folder of arrays, memory-mapped, with an optional `dataset.json` beside them.

    Images are uint8 [N, H, W] or [N, H, W, 1 or 3]; labels are integers [N], 0 to C - 1, and every
    class has a training image.
    """

    name = "arrays"
    summary = "a folder of train_images.npy, train_labels.npy, test_images.npy, test_labels.npy"
    options_model = PathOptions
    argument = "path"
    options: PathOptions

    def info(self) -> DatasetInfo:
        """Describe the data from its headers and labels.

        Raises:
            UnavailableError: A file is missing or is not what it should be.
        """
        folder = self._folder()
        examples = open_arrays(folder)
        num_classes = int(examples["train"].targets.max()) + 1
        notes = read_notes(folder, ArrayNotes)
        names = notes.class_names
        if names is None:
            names = tuple(str(label) for label in range(num_classes))
        if len(names) != num_classes or len(set(names)) != num_classes:
            raise UnavailableError(
                f"{folder / NOTES_FILE}: class_names has {len(set(names))} different names for "
                f"{num_classes} classes"
            )
        return DatasetInfo(
            name=self.reference,
            class_names=names,
            num_train=len(examples["train"].targets),
            num_test=len(examples["test"].targets),
            task=notes.task,
            horizontal_flip=notes.horizontal_flip,
            licence=notes.licence,
            citation=notes.citation or "",
            source=f"arrays in {self.options.path}",
        )

    def load(self, split: Split, image_size: int) -> Examples:
        """Return images uint8 [N, H, W, C], mapped from the file and read-only.

        Raises:
            UnavailableError: A file is missing or is not what it should be.
        """
        return open_arrays(self._folder())[split]

    def _folder(self) -> Path:
        return existing_folder(self.options.path, f"a folder of {', '.join(ARRAY_FILES)}")


def existing_folder(path: str, expected: str) -> Path:
    """Return the folder that a person named.

    Args:
        path: As typed; `~` is the home folder.
        expected: What should be there, for the message.

    Raises:
        UnavailableError: There is no such folder.
    """
    try:
        folder = Path(path).expanduser()
        is_folder = folder.is_dir()
    except (OSError, RuntimeError, ValueError):  # no home, a name too long, a null character
        is_folder = False
    if not is_folder:
        raise UnavailableError(f"{path}: no such folder; expected {expected}")
    return folder


def open_arrays(folder: Path) -> dict[Split, Examples]:
    """Map and check the four files of a folder.

    Returns:
        Both splits: images uint8 [N, H, W, C], read-only, and targets int64 [N].

    Raises:
        UnavailableError: A file is missing or is not what it should be.
    """
    train = _open_split(folder, "train")
    test = _open_split(folder, "test")
    classes = np.unique(train.targets)
    gap = np.flatnonzero(classes != np.arange(len(classes)))
    labels_file = folder / "train_labels.npy"
    if len(gap):
        raise UnavailableError(
            f"{labels_file}: labels must be 0 to C - 1 and every class needs an image; "
            f"{gap[0]} is missing, {classes[gap[0]]} is there"
        )
    if len(classes) < 2:
        raise UnavailableError(f"{labels_file}: one class only; at least 2 are needed")
    outside = np.setdiff1d(test.targets, classes)
    if len(outside):
        raise UnavailableError(
            f"{folder / 'test_labels.npy'}: label {outside[0]} has no training image; "
            f"the classes are 0 to {len(classes) - 1}"
        )
    return {"train": train, "test": test}


NotesT = TypeVar("NotesT", bound=Notes)


def read_notes(folder: Path, model: type[NotesT]) -> NotesT:
    """Read `dataset.json` of a folder; without one, every value is the default.

    Raises:
        UnavailableError: It is too long, no JSON, or says something that `model` does not know.
    """
    file = folder / NOTES_FILE
    if file.exists() and not file.is_file():  # a named pipe would keep the reader waiting
        raise UnavailableError(f"{file}: not a file")
    try:
        with file.open("rb") as stream:
            content = stream.read(_NOTES_MAX_BYTES + 1)
    except FileNotFoundError:
        return model()
    except OSError as error:
        raise UnavailableError(f"{file}: {error.strerror}") from None
    if len(content) > _NOTES_MAX_BYTES:
        raise UnavailableError(f"{file}: longer than {_NOTES_MAX_BYTES >> 20} MiB")
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        raise UnavailableError(f"{file}: {_first_mistake(model, error)}") from None


def _first_mistake(model: type[Notes], error: ValidationError) -> str:
    first: Any = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown key {key!r}; known: {', '.join(sorted(model.model_fields))}"
    return f"{key}: {first['msg']}" if key else str(first["msg"])


def _open_split(folder: Path, split: Split) -> Examples:
    images_file = folder / f"{split}_images.npy"
    labels_file = folder / f"{split}_labels.npy"
    images = _map(images_file)
    is_image = images.ndim == 3 or (images.ndim == 4 and images.shape[3] in {1, 3})
    if images.dtype != np.uint8 or not is_image or 0 in images.shape[1:]:
        raise UnavailableError(
            f"{images_file}: {_form(images)}; expected uint8 [N, H, W] or [N, H, W, 1 or 3]"
        )
    labels = _map(labels_file)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise UnavailableError(f"{labels_file}: {_form(labels)}; expected integers [N]")
    if len(images) == 0:
        raise UnavailableError(f"{images_file}: no image in it")
    if len(images) != len(labels):
        raise UnavailableError(
            f"{labels_file}: {len(labels)} labels for {len(images)} images of {images_file.name}"
        )
    # A copy, so that targets are plain int64 in memory, whatever the file's integers are.
    return Examples(images if images.ndim == 4 else images[..., None], np.array(labels, np.int64))


def _map(file: Path) -> NDArray[Any]:
    """Map one .npy read-only. Never unpickles: an array of objects is refused."""
    if file.exists() and not file.is_file():  # a named pipe would keep the reader waiting
        raise UnavailableError(f"{file}: not a file")
    try:
        return np.lib.format.open_memmap(file, mode="r")
    except FileNotFoundError:
        needed = ", ".join(ARRAY_FILES)
        raise UnavailableError(f"{file}: missing; the folder must hold {needed}") from None
    except OSError as error:
        raise UnavailableError(f"{file}: {error.strerror}") from None
    except _BAD_HEADER:
        raise UnavailableError(
            f"{file}: not a whole .npy file of plain numbers (pickled objects are never read)"
        ) from None


def _form(array: NDArray[Any]) -> str:
    return f"{array.dtype} {list(array.shape)}"
