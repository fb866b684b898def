"""Precisions and compilers that a machine lacks; what it has cannot be taken away but by name."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
import torch

from sftbench.engine.hardware import compile_problem, device_name, precision_problem


def test_tf32_is_for_gpus_and_fp32_for_all() -> None:
    assert precision_problem("cpu", "tf32") == "TF32 is a format of CUDA GPUs; the device is cpu"
    assert precision_problem("cpu", "fp32") is None
    assert precision_problem("mps", "bf16") == "not measured on mps"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="another processor's instructions")
@pytest.mark.parametrize(("bf16", "amx"), [(True, False), (False, True), (False, False)])
def test_bf16_needs_instructions_of_its_own(
    bf16: bool, amx: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    problem = precision_problem("cpu", "bf16")
    missing = "this processor has neither avx512_bf16 nor AMX"
    assert problem == (None if bf16 or amx else missing)


@pytest.mark.parametrize("capability", [(7, 5), (8, 0), (9, 0)])
def test_old_gpus_have_neither_bf16_nor_tf32(
    capability: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    monkeypatch.setattr("sftbench.engine.hardware.device_name", lambda _device: "GPU X")
    for precision in ("bf16", "tf32"):
        problem = precision_problem("cuda:0", precision)
        if capability < (8, 0):
            assert problem == "needs a GPU of compute capability 8.0; GPU X has 7.5"
        else:
            assert problem is None
    assert precision_problem("cuda:0", "fp32") is None


def test_without_a_compiler_it_is_said_which_one_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert "torch.compile needs a compiler here: " in (compile_problem("cpu") or "")
    monkeypatch.setenv("CXX", "my-compiler -O1")
    assert compile_problem("cpu") == "torch.compile needs a compiler here: my-compiler"
    script = tmp_path / "my-compiler"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    assert "compiler" not in (compile_problem("cpu") or "")
    monkeypatch.setattr("sysconfig.get_path", lambda _name: str(tmp_path))
    assert compile_problem("cpu") == (
        f"torch.compile needs Python's headers here: {tmp_path / 'Python.h'}"
    )
    assert compile_problem("mps") == "torch.compile is not used on mps"


def test_a_device_has_a_name() -> None:
    assert device_name("cpu")


@pytest.mark.gpu
def test_a_gpu_has_a_name() -> None:
    assert device_name("cuda:0") == torch.cuda.get_device_name(0)
