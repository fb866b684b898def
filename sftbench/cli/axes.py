"""The options that `run` and `plan` share, and the request that they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from sftbench.cli.reliability import measures_of

if TYPE_CHECKING:
    from sftbench.preparation import Told
    from sftbench.request import Request
    from sftbench.session import Session

CommandT = TypeVar("CommandT", bound=Callable[..., Any])
_AXES = ("backbone", "weights", "dataset", "variant", "strategy", "seeds")
_CHANGES = (
    "epochs",
    "batch_size",
    "image_size",
    "optimizer",
    "weight_decay",
    "schedule",
    "label_smoothing",
    "clip_norm",
    "augment",
    "erasing",
    "mixup",
    "cutmix",
    "precision",
    "limit_train",
    "limit_test",
    "skip_unreadable",
)


def completes(kind: str) -> Callable[..., list[CompletionItem]]:
    """Return shell completion over the names of a kind."""

    def complete(
        _ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from typing import cast

        from sftbench.contracts.component import Kind
        from sftbench.discovery import build_catalog

        offers = build_catalog().listing(cast(Kind, kind))
        return [
            CompletionItem(offer.name, help=offer.summary)
            for offer in offers
            if offer.name.startswith(incomplete)
        ]

    return complete


_PROTOCOL_OPTIONS = [
    click.option("--epochs", type=float, help="Passes over the variant's training examples."),
    click.option("--batch-size", type=int, help="Examples in a step."),
    click.option("--image-size", metavar="PIXELS|auto", help="Side of the square input."),
    click.option("--optimizer", metavar="NAME", help="Any optimiser of timm: adamw, sgd, lamb ..."),
    click.option(
        "--lr",
        metavar="RATE|KEY=RATE,...",
        help="Peak rate for all, or of head-alone, head, backbone, scratch.",
    ),
    click.option("--weight-decay", type=float, help="None where ndim <= 1."),
    click.option(
        "--schedule",
        metavar="NAME",
        help="constant, step, linear, poly, tanh, cosine, one-cycle, slanted.",
    ),
    click.option("--label-smoothing", type=float, help="Share of the target spread evenly."),
    click.option("--clip-norm", type=float, help="Largest L2 norm of the gradients."),
    click.option("--augment", metavar="NAME", help="none, flip, crop, resized-crop, trivial."),
    click.option("--erasing", type=float, help="Probability of an image to lose a box."),
    click.option("--mixup", type=float, metavar="ALPHA", help="Add pairs of images; 0: do not."),
    click.option("--cutmix", type=float, metavar="ALPHA", help="Paste boxes; 0: do not."),
    click.option(
        "--precision", metavar="NAME", help="fp32, tf32, bf16, or auto: the fastest, measured here."
    ),
    click.option("--limit-train", type=int, metavar="N", help="Training images to use."),
    click.option("--limit-test", type=int, metavar="N", help="Test images to use."),
    click.option(
        "--skip-unreadable",
        is_flag=True,
        default=None,
        help="Leave out images that cannot be read, and count them.",
    ),
]
_OPTIONS = [
    click.argument(
        "plan_file", required=False, metavar="[PLAN.toml]", type=click.Path(path_type=Path)
    ),
    click.option(
        "--backbone",
        "-b",
        multiple=True,
        metavar="NAME",
        shell_complete=completes("backbone"),
        help="Pretrained network: any timm model, or torchvision/NAME. [tf_efficientnet_lite0]",
    ),
    click.option(
        "--weights",
        "-w",
        multiple=True,
        metavar="FROM",
        help="pretrained, none, pretrain:SOURCE (trained here first), or a FILE. [pretrained]",
    ),
    click.option(
        "--dataset",
        "-d",
        multiple=True,
        metavar="NAME",
        shell_complete=completes("dataset"),
        help="Data set, or folder:, csv: or arrays:PATH, or hf:NAME. [fashion-mnist-mini]",
    ),
    click.option(
        "--variant",
        multiple=True,
        metavar="NAME",
        shell_complete=completes("variant"),
        help="balanced, longtail:R, step:R, fewshot:K, subset:P, labels:N, labelnoise:P. "
        "[balanced]",
    ),
    click.option(
        "--strategy",
        "-s",
        multiple=True,
        metavar="NAME",
        shell_complete=completes("strategy"),
        help="Way of fine-tuning. [head-only, full, lp-ft, scratch]",
    ),
    click.option("--seeds", metavar="N|A-B|LIST", help="7 is 0 to 6; 0-6; 0,2,5. [7]"),
    click.option(
        "--baseline", metavar="STRATEGY", help="What others are compared with. [head-only]"
    ),
    click.option("--protocol", metavar="NAME", help="default or article. [default]"),
    *_PROTOCOL_OPTIONS,
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="STRATEGY.KEY=VALUE",
        help="Option of a strategy: lp-ft.head_share=0.3",
    ),
    click.option(
        "--tune",
        "tuned",
        multiple=True,
        metavar="KEY=VALUES",
        help="What each strategy tries on validation: lr=1e-4..1e-1:log:5, lr_scale=0.3,1,3.",
    ),
    click.option(
        "--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N, mps."
    ),
    click.option(
        "--out",
        default="sftbench-results",
        show_default=True,
        type=click.Path(path_type=Path),
        help="Folder of the records.",
    ),
    click.option("--retry-failed", is_flag=True, help="Run cells again that did not end well."),
    click.option("--refresh", is_flag=True, help="Run cells again whose versions are not today's."),
    click.option("--force", is_flag=True, help="Run every cell again."),
]


def protocol_options(command: CommandT) -> CommandT:
    """Add the options that change the protocol."""
    for option in reversed(_PROTOCOL_OPTIONS):
        command = option(command)
    return command


def plan_options(command: CommandT) -> CommandT:
    """Add the axes, the protocol, and which cells run."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def given_values(options: dict[str, Any]) -> dict[str, Any]:
    """Return what the options say, as values of a request.

    Raises:
        RequestError: An option that cannot be understood.
    """
    from sftbench.request import MAIN_JOB, parse_seeds

    given = {axis: options[axis] for axis in _AXES if options.get(axis)}
    if "seeds" in given:
        given["seeds"] = parse_seeds(given["seeds"])
    no_axis = not any(axis in given for axis in _AXES if axis != "seeds")
    if options.get("plan_file") is None and no_axis:
        given.update(MAIN_JOB)
    for key in ("baseline", "protocol"):
        if options.get(key):
            given[key] = options[key]
    given["changes"] = changes_of(options) | measures_of(options)
    if options.get("tuned"):
        given["tune"] = dict(_tuning(text) for text in options["tuned"])
    given["settings"] = {}
    for text in options.get("settings", ()):
        strategy, key, value = _setting(text)
        given["settings"].setdefault(strategy, {})[key] = value
    return given


def make_request(values: Mapping[str, Any], given: Mapping[str, Any]) -> Request:
    """Lay what the options say over the values of a plan file, or over the defaults.

    Raises:
        RequestError: A value that is not allowed.
    """
    from sftbench.options import validate
    from sftbench.request import Request

    changes = {**values.get("changes", {}), **given["changes"]}
    settings = {name: dict(parts) for name, parts in values.get("settings", {}).items()}
    for strategy, parts in given["settings"].items():
        settings.setdefault(strategy, {}).update(parts)
    both = {**values, **given, "changes": changes, "settings": settings}
    return validate(Request, both, "request")


def changes_of(options: dict[str, Any]) -> dict[str, Any]:
    """Return what the options change of the protocol.

    Raises:
        RequestError: A rate that there is not.
    """
    changes = {key: options[key] for key in _CHANGES if options.get(key) is not None}
    if options.get("lr") is not None:
        changes["rates"] = _rates(options["lr"])
    return changes


def make_session(
    options: dict[str, Any], *, check: bool = True, told: Told | None = None
) -> Session:
    """Plan what the options ask for and look for its data and weights.

    Raises:
        RequestError: Something in the request is wrong.
        UnavailableError: Data or weights cannot be had.
    """
    from sftbench.plan_files import read_plan_file

    given = given_values(options)
    path = options.get("plan_file")
    if path is None:
        return _session(make_request({}, given), options, check=check, told=told)
    file = read_plan_file(path)
    with file.locating(replaced=given):
        return _session(make_request(file.values, given), options, check=check, told=told)


def _session(
    request: Request, options: dict[str, Any], *, check: bool, told: Told | None
) -> Session:
    import os

    from sftbench.contracts.execution import Job
    from sftbench.engine.runtime import resolve_devices
    from sftbench.running import Again
    from sftbench.session import Session

    job = Job(
        out=options["out"],
        devices=resolve_devices(options["device"]),
        jobs=options.get("jobs"),
        timeout=options.get("timeout"),
        deterministic=options.get("deterministic", False),
        memory_format=options.get("memory_format", "auto"),
        compile=options.get("compiling", "auto"),
        plugins=os.environ.get("SFTBENCH_PLUGINS"),
        placement=options.get("placement", "auto"),
    )
    again = Again(
        retry_failed=options["retry_failed"],
        refresh=options["refresh"],
        force=options["force"],
    )
    return Session.make(
        request,
        job=job,
        again=again,
        executor=options.get("executor", "local"),
        trackers=options.get("trackers", ()),
        check=check,
        told=told,
    )


def _rates(text: str) -> dict[str, str]:
    """Return the rates of `0.01` or `head=3e-3,backbone=1e-3`."""
    from sftbench.errors import RequestError
    from sftbench.names import unknown_name
    from sftbench.protocol import Rates

    known = list(Rates.model_fields)
    if "=" not in text:
        return dict.fromkeys(known, text)
    rates = {}
    for part in text.split(","):
        key, _, value = part.partition("=")
        name = key.strip().replace("-", "_")
        if name not in known:
            raise RequestError("--lr: " + unknown_name("rate", key.strip(), known))
        rates[name] = value
    return rates


def _tuning(text: str) -> tuple[str, str]:
    from sftbench.errors import RequestError

    key, equals, values = text.partition("=")
    if not equals or not key or not values:
        raise RequestError(f"--tune {text!r}: write KEY=VALUES, as in lr=1e-4..1e-1:log:5")
    return key.strip().replace("-", "_"), values


def _setting(text: str) -> tuple[str, str, str]:
    from sftbench.errors import RequestError

    name, equals, value = text.partition("=")
    strategy, dot, key = name.rpartition(".")
    if not equals or not dot or not strategy or not key:
        raise RequestError(f"--set {text!r}: write STRATEGY.KEY=VALUE, as in lp-ft.head_share=0.3")
    return strategy, key, value
