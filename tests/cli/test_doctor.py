"""What the doctor finds, on this machine and on worse ones."""

from __future__ import annotations

import json
import socket
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sftbench import cache
from sftbench.cli import main as command_line
from sftbench.engine.runtime import settings_restored


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFTBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")


def doctor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> str:
    monkeypatch.setattr(sys, "argv", ["sftbench", "doctor", *arguments])
    with pytest.raises(SystemExit) as ended:
        command_line()
    assert not ended.value.code
    return capsys.readouterr().out


def facts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> dict[tuple[str, str], dict[str, Any]]:
    found = json.loads(doctor(monkeypatch, capsys, "--json"))
    return {(fact["section"], fact["name"]): fact for fact in found}


def test_everything_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cache.fill("pretrained", "abc", lambda _: "weights of mine")

    found = facts(monkeypatch, capsys)

    assert {section for section, _ in found} == {
        *("system", "devices", "memory", "plugins", "data", "weights", "cache", "hubs")
    }
    assert "cores" in found["devices", "cpu"]["text"]
    assert "GiB" in found["memory", "ram"]["text"]
    assert found["data", "digits"]["text"] == "1,437 + 360 examples, in scikit-learn"
    assert "cifar100" in found["data", "not here"]["text"]
    assert found["data", "not here"]["command"] == "sftbench data fetch NAME"
    assert found["weights", "abc"]["text"] == "weights of mine"
    assert found["cache", "limit"]["text"] == "20.0 GB for arrays, features and probes"
    assert found["hubs", "timm"]["text"] == "127.0.0.1:9 cannot be reached (Connection refused)"
    assert found["hubs", "timm"]["command"] == "sftbench weights import BACKBONE FILE"


def test_the_text_fits_and_marks_what_needs_a_look(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = doctor(monkeypatch, capsys)

    assert "! timm: 127.0.0.1:9 cannot be reached" in text
    assert "need a look" in text.splitlines()[-1]
    assert max(len(line) for line in text.splitlines()) <= 100


def test_a_hub_that_never_answers_costs_two_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    doctor(monkeypatch, capsys)  # imports
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
        start = time.monotonic()
        found = facts(monkeypatch, capsys)
        seconds = time.monotonic() - start
    assert "does not answer" in found["hubs", "timm"]["text"]
    assert seconds < 6  # two of them for the hub; the rest is this machine's


def test_a_missing_package_of_weights_comes_with_its_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from sftbench import weights

    monkeypatch.setattr(weights, "_installed", lambda *_: None)

    found = facts(monkeypatch, capsys)["weights", "mobilenetv2_100"]

    assert (found["text"], found["command"]) == (
        "not here",
        "sftbench weights fetch mobilenetv2_100",
    )


def test_a_cache_that_cannot_be_limited_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SFTBENCH_CACHE_LIMIT", "much")

    found = facts(monkeypatch, capsys)["cache", "limit"]

    assert not found["is_well"]
    assert found["text"] == "SFTBENCH_CACHE_LIMIT: size 'much': write bytes as 20GB, 500MiB or 1000"


PROBE = ("--probe", "-b", "resnet10t", "--image-size", "32", "--batch-size", "4", "--device", "cpu")


def test_the_probe_is_made_once_and_says_what_it_chose(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with settings_restored():
        text = doctor(monkeypatch, capsys, *PROBE)
        assert doctor(monkeypatch, capsys, *PROBE) == text
        found = json.loads(doctor(monkeypatch, capsys, *PROBE, "--json"))
    lines = text.splitlines()
    assert lines[0] == "resnet10t@1 32 px, batch 4, by steps of 4 images"
    assert lines[2].split() == ["candidate", "ms/step", "images/s", "loss", "off"]
    assert lines[3].startswith("channels-last fp32")
    assert sum("chosen by auto" in line for line in lines) == 1
    assert max(map(len, lines)) <= 100
    chosen = found["chosen"]
    assert f"precision: {chosen['precision']}: {found['why']['precision']}" in text
    assert f"memory format in {chosen['precision']}: {chosen['memory_format']}" in text
    assert {one["precision"] for one in found["candidates"]} == {"fp32", "bf16"}
    [entry] = cache.entries("probes")
    assert entry.note.startswith("resnet10t@1 32 px, batch 4, ")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--image-size", "32"), "--image-size belongs to --probe"),
        (("--compile",), "--compile belongs to --probe"),
        (("--probe", "-b", "resnet10"), "unknown backbone 'resnet10'"),
        (("--probe", "--device", "cuda:99"), "device 'cuda:99'"),
    ],
)
def test_mistakes_with_the_probe(
    words: tuple[str, ...],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["sftbench", "doctor", *words])
    with pytest.raises(SystemExit) as ended:
        command_line()
    assert ended.value.code == 2
    assert expected in capsys.readouterr().err


def test_compiling_without_a_compiler(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CXX", "no-such")
    monkeypatch.setattr(sys, "argv", ["sftbench", "doctor", *PROBE, "--compile"])
    with pytest.raises(SystemExit) as ended:
        command_line()
    assert ended.value.code == 2
    message = "error: --compile: torch.compile needs a compiler here: no-such\n"
    assert capsys.readouterr().err == message
