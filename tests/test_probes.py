"""What follows from a probe's numbers: which format, which precision, whether compiling pays."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sftbench import cache
from sftbench.probes import (
    Candidate,
    Compiled,
    Probe,
    Subject,
    choose_compile,
    choose_format,
    choose_precision,
    keep_probe,
    kept_probe,
)

SUBJECT = Subject(
    backbone="net",
    version=1,
    image_size=96,
    batch_size=32,
    device="Some CPU",
    threads=2,
    torch="2.15.0",
)


@pytest.fixture(autouse=True)
def _apart(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFTBENCH_CACHE", str(tmp_path / "cache"))


def probe(usual: str = "channels-last", **seconds: float | str | None) -> Probe:
    """`last_bf16=0.5` is channels-last in bf16 with 0.5 s a step; a text is its problem."""
    candidates = []
    for name, value in seconds.items():
        kind, precision = name.split("_")
        found = (
            {"problem": value} if isinstance(value, str) else {"seconds": value, "steps": 3}
        ) | {"memory_format": {"last": "channels-last", "first": "contiguous"}[kind]}
        candidates.append(Candidate(precision=precision, **found))  # type: ignore[arg-type]
    return Probe(
        subject=SUBJECT, usual=usual, measured_batch=32, candidates=tuple(candidates), made_at="now"
    )


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({"last_fp32": 1.0, "first_fp32": 0.91}, ("channels-last", "1.10 times")),
        ({"last_fp32": 1.0, "first_fp32": 0.93}, ("channels-last", "0.93 times")),
        ({"last_fp32": 1.0, "first_fp32": 0.5}, ("contiguous", "2.00 times as fast as channels")),
        ({"last_fp32": "no memory", "first_fp32": 5.0}, ("contiguous", "channels-last no memory")),
        ({"last_fp32": 1.0, "first_fp32": "broken"}, ("channels-last", "nothing else")),
        ({"last_bf16": 1.0}, ("channels-last", "not measured in this precision")),
    ],
)
def test_the_usual_format_stays_unless_another_is_clearly_faster(
    seconds: dict[str, Any], expected: tuple[str, str]
) -> None:
    if seconds.get("first_fp32") == 0.91:  # 9 % less time is clearly faster
        expected = ("contiguous", expected[1])
    chosen, why = choose_format(probe(**seconds), "fp32")
    assert chosen == expected[0]
    assert expected[1] in why


@pytest.mark.parametrize(
    ("seconds", "chosen", "why"),
    [
        ({"last_bf16": 0.5, "first_bf16": 0.7}, "bf16", "2.00 times as fast as fp32"),
        ({"last_bf16": 0.93, "first_bf16": 0.99}, "fp32", "bf16 is 1.08 times as fast"),
        ({"last_bf16": 2.0, "first_bf16": 2.2}, "fp32", "bf16 is 0.50 times as fast"),
        ({"last_bf16": "its loss is not finite"}, "fp32", "bf16: its loss is not finite"),
        # TF32 is nearer to fp32: bf16 must be clearly faster than that again.
        ({"last_tf32": 0.5, "last_bf16": 0.48}, "tf32", "2.00 times"),
        ({"last_tf32": 0.5, "last_bf16": 0.4}, "bf16", "2.50 times"),
        ({"last_tf32": 0.99, "last_bf16": 0.4}, "bf16", "2.50 times"),
        ({}, "fp32", "nothing else was tried"),
    ],
)
def test_fp32_stays_unless_another_precision_is_clearly_faster_and_near(
    seconds: dict[str, Any], chosen: str, why: str
) -> None:
    found, text = choose_precision(probe(last_fp32=1.0, first_fp32=1.2, **seconds))
    assert (found, why in text) == (chosen, True), text


def test_each_precision_is_compared_in_its_own_best_format() -> None:
    found = probe(last_fp32=1.0, first_fp32=0.5, last_bf16=0.48, first_bf16=0.9)
    assert choose_precision(found)[0] == "fp32"
    assert choose_format(found, "fp32")[0] == "contiguous"
    assert choose_format(found, "bf16")[0] == "channels-last"


def test_without_fp32_nothing_is_chosen_but_fp32() -> None:
    assert choose_precision(probe(last_fp32="broken", last_bf16=0.1))[0] == "fp32"


@pytest.mark.parametrize(
    ("plain", "compiled", "seconds", "steps", "pays"),
    [
        (0.2, 0.1, 30.0, 601, True),  # pays back after 301
        (0.2, 0.1, 30.0, 599, False),
        (0.2, 0.199, 1.0, 10**6, False),  # that may be noise
        (0.2, 0.3, 1.0, 10**6, False),
    ],
)
def test_compiling_must_pay_twice_over(
    plain: float, compiled: float, seconds: float, steps: int, pays: bool
) -> None:
    one = Compiled(
        memory_format="channels-last",
        precision="fp32",
        compile_seconds=seconds,
        eager_seconds=plain,
        compiled_seconds=compiled,
    )
    known = probe(last_fp32=plain).model_copy(update={"compiled": (one,)})
    found, why = choose_compile(known, "channels-last", "fp32", steps)
    assert found is (pays and steps >= 602), why
    assert not choose_compile(known, "contiguous", "fp32", steps)[0]
    assert not choose_compile(None, "channels-last", "fp32", steps)[0]
    broken = known.model_copy(
        update={"compiled": (one.model_copy(update={"problem": "does not compile"}),)}
    )
    assert choose_compile(broken, "channels-last", "fp32", 10**9) == (False, "does not compile")


def test_a_probe_is_found_again_and_only_under_everything_it_depends_on() -> None:
    made = probe(last_fp32=1.0, last_bf16="none here")
    keep_probe(made)
    assert kept_probe(SUBJECT) == made
    others: dict[str, object] = {
        "backbone": "other",
        "version": 2,
        "image_size": 64,
        "batch_size": 16,
        "device": "Another CPU",
        "threads": 1,
        "torch": "2.16.0",
    }
    assert others.keys() == Subject.model_fields.keys()
    for name, value in others.items():
        assert kept_probe(SUBJECT.model_copy(update={name: value})) is None, name
    newer = probe(last_fp32=2.0)
    keep_probe(newer)
    assert kept_probe(SUBJECT) == newer
    [entry] = cache.entries("probes")
    assert entry.note == "net@1 96 px, batch 32, Some CPU, 2 threads"


@pytest.mark.parametrize(
    "change",
    [
        (rb'"version": 1,\n "subject"', rb'"version": 2,\n "subject"'),
        (rb'"backbone": "net"', rb'"backbone": "ten"'),  # somebody else's under this name
        (rb'"seconds": 1.0', rb'"seconds": -1.0'),
    ],
)
def test_a_probe_that_is_not_one_is_none(change: tuple[bytes, bytes]) -> None:
    keep_probe(probe(last_fp32=1.0))
    folder = cache.find("probes", SUBJECT.key)
    assert folder is not None
    data = (folder / "probe.json").read_bytes()
    other = re.sub(change[0], change[1], data)
    assert other != data

    def build(place: Any) -> str:
        (place / "probe.json").write_bytes(other)
        return "by hand"

    cache.fill("probes", SUBJECT.key, build, replace=True)
    assert kept_probe(SUBJECT) is None
