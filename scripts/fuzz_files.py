"""Broken stores and data sets for `fuzz_inputs.py`.

To fuzz another kind of data set, add a function that writes a random tree to `TREES`.
"""

from __future__ import annotations

import atexit
import functools
import io
import json
import os
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_words import Case, any_word

from sftbench.contracts.task import Predictions
from sftbench.errors import SftbenchError
from sftbench.plan import Cell, Plan, Skip
from sftbench.protocol import named_protocol
from sftbench.records import ClassResult, MetricSpec, Record
from sftbench.store import Store


def records(rng: random.Random, box: Path) -> Case:
    """A store in which somebody changed files, sometimes with the right checksum."""
    store = Path(shutil.copytree(_small_store(), box / "store"))
    for _ in range(rng.randint(1, 3)):
        path = rng.choice(sorted(path for path in store.rglob("*") if path.is_file()))
        if path.suffix == ".json" and rng.random() < 0.7:
            _mutate_json(rng, path)
        else:
            _mutate_bytes(rng, path)
    form = rng.choice(["table", "markdown", "csv", "json"])
    arguments = ["report", str(store), "--format", form]
    arguments += ["--baseline", any_word(rng)] if rng.random() < 0.1 else []
    if rng.random() < 0.2:
        return Case([*arguments, "-o", str(box / "table")], writes=(box / "table",))
    return Case(arguments)


def data_sets(rng: random.Random, box: Path) -> Case:
    """A folder that is no data set, or nearly one; it is described, planned, or loaded."""
    name = rng.choice(sorted(TREES))
    root = box / "data"
    root.mkdir()
    TREES[name](rng, root)
    reference = f"{name}:{root / 'labels.csv' if name == 'csv' else root}"
    chance = rng.random()
    if chance < 0.4:
        return Case([], call=lambda: _load(reference, rng))
    if chance < 0.7:
        return Case(["show", "dataset", reference, *rng.choice([[], ["--json"]])])
    return Case(["plan", "--device", "cpu", "-d", reference, "-s", "full", "--baseline", "full"])


def folder_tree(rng: random.Random, root: Path) -> None:
    """Write train/CLASS/IMAGE, and now and then something else."""
    for split in rng.sample(["train", "test", "val", "extra"], rng.randint(1, 3)):
        for name in rng.sample(["a", "b", "é\u202e", "\x1b[31m", ".hidden", "x" * 200], 3):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(rng.randint(0, 2)):
                suffix = rng.choice([".png", ".jpg", ".ppm", ".txt", ".PNG", ".tif", ".webp", ""])
                (folder / f"{number}{suffix}").write_bytes(_image(rng))
    _odd_file(rng, root)


def arrays_tree(rng: random.Random, root: Path) -> None:
    """Write four arrays, some of them wrong."""
    for split in ("train", "test"):
        count = rng.choice([0, 1, 4, 6])
        shape = rng.choice([(8, 8), (8, 8, 3), (8, 8, 1), (8,), (0, 8), (8, 8, 3, 2)])
        kind = rng.choice(["u1", "u1", "u1", "f4", "O", "S3"])
        images: Any = np.zeros((count, *shape), dtype=kind)
        labels: Any = np.arange(count) % 2
        labels = rng.choice([labels, labels, labels - 1, labels[:-1], labels * 5, labels * 0.5])
        for what, array in (("images", images), ("labels", labels)):
            np.save(root / f"{split}_{what}.npy", array, allow_pickle=True)
    if rng.random() < 0.5:
        _mutate_bytes(rng, rng.choice(sorted(root.iterdir())))
    _odd_file(rng, root)


def table_tree(rng: random.Random, root: Path) -> None:
    """Write a table of images, some of which are there, some lines of which are wrong."""
    names = [f"{number}.png" for number in range(rng.randint(0, 6))]
    for name in names:
        (root / name).write_bytes(_image(rng))
    words = [*names, "a", "b", "", "train", "test", "../x", "/etc/passwd", '"', "\x00", "é"]
    head = rng.choice(["path,label", "path,label,split", "label,path", "file,class", "path", ""])
    lines = [",".join(rng.choice(words) for _ in range(rng.choice([1, 2, 2, 3]))) for _ in range(8)]
    lines += [f"{name},{rng.choice('ab')}" for name in names]
    text = rng.choice(["\n", "\r\n"]).join([head, *lines])
    coding = rng.choice(["utf-8", "utf-16", "latin-1"])
    (root / "labels.csv").write_bytes(text.encode(coding, errors="replace"))


TREES: dict[str, Callable[[random.Random, Path], None]] = {
    "folder": folder_tree,
    "arrays": arrays_tree,
    "csv": table_tree,
}


def _image(rng: random.Random) -> bytes:
    """Return an image file, whole or not."""
    from PIL import Image

    mode = rng.choice(["RGB", "L", "P", "RGBA", "1", "I;16", "LA", "CMYK"])
    form = rng.choice(["PNG", "JPEG", "PPM", "TIFF", "WEBP", "GIF", "BMP"])
    content = io.BytesIO()
    try:
        Image.new(mode, (rng.choice([1, 3, 40]), rng.choice([1, 7]))).save(content, form)
    except (OSError, ValueError, KeyError):
        return rng.randbytes(40)
    data = bytearray(content.getvalue())
    if rng.random() < 0.5:
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data[: rng.randint(0, len(data))] if rng.random() < 0.3 else data)


def _odd_file(rng: random.Random, root: Path) -> None:
    """Add what nobody expects, to most folders."""
    folders = [root, *sorted(path for path in root.rglob("*") if path.is_dir())]
    folder = rng.choice(folders)
    odd = rng.choice(["loop", "notes", "fifo", "nowhere", "binary", "none", "none"])
    if odd == "loop":
        (folder / "loop").symlink_to(root, target_is_directory=True)
    elif odd == "nowhere":
        (folder / "gone.png").symlink_to("/nowhere/at/all")
    elif odd == "fifo":
        os.mkfifo(folder / "pipe.txt")
    elif odd == "binary":
        os.mkdir(os.fsencode(folder) + b"/\xff\xfe")  # noqa: PTH102 - a name that is no text
    elif odd == "notes":
        notes = {
            rng.choice(["licence", "task", "class_names", "x"]): rng.choice([any_word(rng), 1, []])
        }
        (root / "dataset.json").write_bytes(json.dumps(notes).encode() * rng.choice([1, 1, 2]))


def _load(reference: str, rng: random.Random) -> object:
    from sftbench.discovery import build_catalog

    data: Any = build_catalog().create("dataset", reference)
    return data.load(rng.choice(["train", "test"]), 16)


def _mutate_bytes(rng: random.Random, path: Path) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(rng.randint(1, 3)):
        at = rng.randint(0, len(data))
        data[at : at + rng.randint(0, 9)] = rng.choice([b"", b"\0", b"9" * 30, rng.randbytes(4)])
    path.write_bytes(data)


def _mutate_json(rng: random.Random, path: Path) -> object:
    """Change a value somewhere in a record or plan; half of the time nothing else gives it away."""
    try:
        document = json.loads(path.read_bytes())
    except ValueError:
        return _mutate_bytes(rng, path)  # it was changed before
    if not isinstance(document, dict) or not document:
        return _mutate_bytes(rng, path)
    where, key = document, rng.choice(list(document))
    while isinstance(where[key], dict | list) and where[key] and rng.random() < 0.8:
        where = where[key]
        key = rng.choice(list(where)) if isinstance(where, dict) else rng.randrange(len(where))
    values: list[Any] = [
        None,
        "",
        -1,
        0,
        2**63,
        1e308,
        0.5,
        [],
        {},
        True,
        [[]],
        any_word(rng),
        "\x1b[31m",
    ]
    where[key] = rng.choice(values)
    path.write_text(json.dumps(document).replace("\\udcff", "?"), encoding="utf-8")
    if rng.random() < 0.5:
        _make_it_fit(path, document)
    return None


def _make_it_fit(path: Path, document: dict[str, Any]) -> None:
    """Give a changed record its checksum and a changed plan its name, where it is still one."""
    try:
        if path.parent.name == "plans":
            plan = Plan.model_validate(document)
            path.rename(path.with_name(f"{plan.plan_id}.json"))
            return
        record = Record.model_validate(document)
        cell_id = record.cell.cell_id
        record = record.model_copy(update={"cell_id": cell_id})
        record = record.model_copy(update={"checksum": record.expected_checksum()})
        path.write_text(record.model_dump_json(), encoding="utf-8")
        path.parent.rename(path.parent.with_name(cell_id))
    except (ValueError, OSError, SftbenchError):
        pass  # no longer one: left as it is


@functools.cache
def _small_store() -> Path:
    """Write a plan of two strategies and two seeds, with records and predictions, once."""
    folder = Path(tempfile.mkdtemp(prefix="sftbench-fuzz-store-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    protocol = named_protocol("default", {"image_size": 8, "precision": "fp32", "limit_train": 8})
    generator = np.random.default_rng(0)
    cells = [
        Cell(
            backbone="tiny",
            weights="pretrained",
            dataset="digits",
            variant="balanced",
            strategy=strategy,
            seed=seed,
            task="image-classification",
            options={},
            protocol=protocol,
            versions={"strategy": 1},
        )
        for strategy in ("head-only", "full", "lora")
        for seed in range(2)
    ]
    skipped = tuple(Skip(cell=cell, reason="not here") for cell in cells[4:])
    store = Store(folder)
    store.add_plan(Plan(cells=tuple(cells[:4]), skipped=skipped))
    for cell in cells[:4]:
        values = {split: {"accuracy": 0.5} for split in ("test", "val")}
        kept = Predictions(
            np.arange(6), np.arange(6) % 3, generator.standard_normal((6, 3), dtype=np.float32)
        )
        draft = Record(
            cell_id=cell.cell_id, attempt=1, cell=cell, status="ok",
            started_at="2026-01-02T03:04:05.000+00:00", finished_at="2026-01-02T03:04:06.000+00:00",
            provenance={"versions": {"sftbench": "0"}},
            metric_specs=(MetricSpec(name="accuracy", primary=True, chance=0.3),),
            metrics={"selected": values, "last": values},
            per_class=(ClassResult(label="zero", train_count=9, support=4, recall=0.75),),
        )  # fmt: skip
        store.write(draft, {("test", "selected"): kept, ("test", "last"): kept})
    return folder
