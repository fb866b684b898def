"""Hostile and broken inputs for `fuzz_inputs.py`: each maker writes its files and says a command.

A maker takes a random generator and an empty folder, and returns a `Case`. To fuzz another kind of
data set, add a function that writes a random tree to `TREES`.
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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sftbench.contracts.task import Predictions
from sftbench.errors import SftbenchError
from sftbench.plan import Cell, Plan, Skip
from sftbench.protocol import named_protocol
from sftbench.records import ClassResult, MetricSpec, Record
from sftbench.store import Store


@dataclass(frozen=True)
class Case:
    """A command line, or a call that must end like one, and the environment of both.

    `writes` names the files that it may write, beside the folder `out`.
    """

    arguments: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    call: Callable[[], object] | None = None
    writes: tuple[Path, ...] = ()


Maker = Callable[[random.Random, Path], Case]

HOSTILE = [
    "", " ", "\t", "\x00", "\x1b[31mred", "\x1b]0;title\x07", "\u202egnp.exe", "\ufeff", "é", "日本",
    "💥", "\udcff", "a\nb", "\r", "%s%n", "{0}", "{x!r}", "$(id)", "`id`", "../..", "/", "//", "~",
    "~nobody", "-", "--", "-1", "0", "1", "2", "7", "1e999", "-1e999", "nan", "inf", "1_000", "0x10",
    "²", "٣", "9" * 30, "9" * 5000, "1" + "0" * 400, "1e-320", "0.5", "true", "None", "[]", "{}",
    "a" * 200, "a" * 5000, "/" * 3000, "a/" * 50, ":", "::", "a:b:c", ",", "=", ".", "..", "a=b",
    "a.b=c", "0-3", "3-0", "0-99999999999999999999", "0,0,0", "con", "nul",
]  # fmt: skip
REFERENCES = [
    "full", "head-only", "lp-ft", "scratch", "logit-adjust", "balanced-softmax", "digits", "folder",
    "fashion-mnist-mini", "cifar10", "balanced", "longtail:50", "longtail", "longtail:nan", "step:2",
    "fewshot:0", "fewshot:5", "subset:0.1", "subset:2", "labelnoise:-1", "pretrained", "none",
    "tf_efficientnet_lite0", "resnet18", "torchvision/resnet18", "torchvision/", "timm/", "default",
    "article", "inline", "local", "jsonl", "accuracy", "image-classification", "folder:/nowhere",
    "arrays:\x00", "folder:~nobody/x", "arrays:/dev/null", "folder:/dev/fd", "strategies", "ful",
]  # fmt: skip
AXES = ["backbone", "weights", "dataset", "variant", "strategy", "seeds", "baseline", "protocol"]
CHANGES = [
    "name", "epochs", "batch_size", "image_size", "validation_fraction", "limit_train", "optimizer",
    "limit_test", "momentum", "weight_decay", "decay_all", "rates", "schedule", "warmup", "selection",
    "label_smoothing", "clip_norm", "augment", "precision", "skip_unreadable",
]  # fmt: skip
OPTIONS = [
    "--backbone", "-b", "--weights", "-w", "--dataset", "-d", "--variant", "--strategy", "-s",
    "--seeds", "--baseline", "--protocol", "--epochs", "--batch-size", "--image-size", "--optimizer",
    "--lr", "--weight-decay", "--schedule", "--label-smoothing", "--clip-norm", "--precision",
    "--limit-train", "--limit-test", "--skip-unreadable", "--set", "--device", "--out",
    "--retry-failed", "--refresh", "--force", "--json", "--help", "--executor", "--jobs", "-j",
    "--timeout", "--deterministic", "--tracker", "--dry-run", "--format", "--search", "-h",
]  # fmt: skip
PLANS = [
    (
        'strategy = ["head-only", "lp-ft"]\nseeds = 2\n[changes]\nepochs = 1\n'
        'rates = { head = 0.01 }\n[settings."lp-ft"]\nhead_share = 0.3\n[criteria]\nalpha = 0.1\n'
    ),
    (
        'backbone = "resnet18"\nweights = "none"\ndataset = "digits"\nvariant = ["balanced", '
        '"longtail:9"]\nstrategy = "full"\nbaseline = "full"\nseeds = "0-2"\nprotocol = "article"\n'
    ),
]
TOKENS = [
    "[", "]", "[[", "]]", "{", "}", "=", ",", ".", "\n", " ", '"', "'", '"""', "'''", "#", "\\", "\\u",
    "\\U00110000", "1979-05-27T07:32:00Z", "07:61:00", "[changes]\n", "[settings]\n", "[[changes]]\n",
    "a = " + "[" * 2000, "a." * 2000, "x = " + "{a=" * 500, "strategy = ", "seeds = ", "epochs = ",
]  # fmt: skip


def plan_text(rng: random.Random, box: Path) -> Case:
    """Text that looks a little like TOML."""
    words = TOKENS + AXES + CHANGES + HOSTILE
    text = "".join(rng.choice(words) for _ in range(rng.randint(0, 20)))
    return _plan_case(rng, box, text.encode(errors="surrogatepass"))


def plan_mutated(rng: random.Random, box: Path) -> Case:
    """A plan that was right before it was cut, doubled, and sown with tokens."""
    text = rng.choice(PLANS)
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(text))
        end = min(len(text), at + rng.randint(0, 12))
        middle = rng.choice([text[at:end] * 2, "", rng.choice(TOKENS), rng.choice(HOSTILE)])
        text = text[:at] + middle + text[end:]
    return _plan_case(rng, box, text.encode(errors="surrogatepass"))


def plan_values(rng: random.Random, box: Path) -> Case:
    """A plan with the right keys and any values."""
    lines = [f"{key} = {_toml(rng)}" for key in rng.sample(AXES, rng.randint(0, 3))]
    lines += ["[changes]"]
    lines += [f"{key} = {_toml(rng)}" for key in rng.sample(CHANGES, rng.randint(0, 3))]
    table = rng.choice(["settings.lp-ft", "settings.full", 'settings."\\u0000"', "criteria"])
    key = rng.choice(["head_share", "alpha", "level", "tau", "x"])
    lines += [f"[{table}]", f"{key} = {_toml(rng)}"]
    return _plan_case(rng, box, "\n".join(lines).encode(errors="surrogatepass"))


def plan_bytes(rng: random.Random, box: Path) -> Case:
    """Any bytes."""
    return _plan_case(rng, box, rng.randbytes(rng.randint(0, 60)))


def options(rng: random.Random, box: Path) -> Case:  # noqa: ARG001 - a maker's signature
    """Any options with any values."""
    command = rng.choice(["run", "plan", "plan", "report", "list", "show", "plugins"])
    words = [command, *(["--dry-run"] if command == "run" else [])]
    words += ["list"] if command == "plugins" else []
    if command == "show" and rng.random() < 0.7:
        words.append(rng.choice(["backbone", "dataset", "variant", "strategy", "protocol", "task"]))
    for _ in range(rng.randint(0, 4)):
        words += [rng.choice(OPTIONS)] if rng.random() < 0.7 else []
        words += [_word(rng)] if rng.random() < 0.8 else []
    return Case([word.replace("\0", "") for word in words])  # no argument can hold it


def plugins(rng: random.Random, box: Path) -> Case:  # noqa: ARG001 - a maker's signature
    """Any value of SFTBENCH_PLUGINS."""
    words = ["sftbench-example", "example", "builtin", "sftbench", *HOSTILE]
    value = ",".join(rng.choice(words) for _ in range(rng.randint(0, 4)))
    value = value.replace("\0", "")  # no environment can hold it
    command = rng.choice(
        [["plugins", "list"], ["list", "strategies"], ["show", "strategy", rng.choice(REFERENCES)]]
    )
    return Case(command, {"SFTBENCH_PLUGINS": value})


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
    arguments += ["--baseline", _word(rng)] if rng.random() < 0.1 else []
    if rng.random() < 0.2:
        return Case([*arguments, "-o", str(box / "table")], writes=(box / "table",))
    return Case(arguments)


def data_sets(rng: random.Random, box: Path) -> Case:
    """A folder that is no data set, or nearly one; it is described, planned, or loaded."""
    name = rng.choice(sorted(TREES))
    root = box / "data"
    root.mkdir()
    TREES[name](rng, root)
    reference = f"{name}:{root}"
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


TREES: dict[str, Callable[[random.Random, Path], None]] = {
    "folder": folder_tree,
    "arrays": arrays_tree,
}
MAKERS: dict[Maker, int] = {
    plan_text: 20,
    plan_mutated: 20,
    plan_values: 19,
    plan_bytes: 3,
    options: 20,
    plugins: 4,
    records: 5,
    data_sets: 9,
}
"""How often each maker is asked, of 100 cases."""


def _plan_case(rng: random.Random, box: Path, content: bytes) -> Case:
    path = box / "plan.toml"
    path.write_bytes(content)
    command = rng.choice([["plan"], ["plan", "--json"], ["run", "--dry-run"]])
    return Case([*command, "--device", "cpu", str(path)])


def _word(rng: random.Random) -> str:
    chance = rng.random()
    if chance < 0.4:
        return rng.choice(REFERENCES)
    if chance < 0.9:
        return rng.choice(HOSTILE)
    return rng.choice(REFERENCES) + rng.choice([":", "", "=", "."]) + rng.choice(HOSTILE)


def _toml(rng: random.Random, depth: int = 0) -> str:
    """Return a TOML value of any type."""
    chance = rng.random()
    if chance < 0.35:
        return json.dumps(_word(rng).replace("\udcff", "?"))
    if chance < 0.8 or depth > 3:
        plain = [
            "0",
            "1",
            "-1",
            "3",
            "0.5",
            "1e999",
            "nan",
            "-inf",
            "true",
            "1979-05-27",
            "07:32:00",
        ]
        return rng.choice([*plain, "9" * 19, "9" * 300, "9" * 5000, "0x7fff", "1e-320"])
    inner = [_toml(rng, depth + 1) for _ in range(rng.randint(0, 3))]
    if chance < 0.9:
        return f"[{', '.join(inner)}]"
    return "{" + ", ".join(f"k{number} = {value}" for number, value in enumerate(inner)) + "}"


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
            rng.choice(["licence", "task", "class_names", "x"]): rng.choice([_word(rng), 1, []])
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
        _word(rng),
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
    cells = []
    for strategy in ("head-only", "full", "lora"):
        for seed in range(2):
            cells.append(
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
            )
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
