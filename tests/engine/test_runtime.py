"""Precision of products on CUDA, and settings that are given back."""

from __future__ import annotations

import pytest
import torch

from sftbench.engine.runtime import (
    autocast,
    prepare_process,
    products_in,
    settings_restored,
    usual_precision,
)


def products() -> tuple[str, str]:
    conv = torch.backends.cudnn.conv
    return conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision


def test_the_usual_precision_goes_by_the_kind_of_device() -> None:
    assert usual_precision("cpu") == usual_precision("mps") == "fp32"
    assert usual_precision("cuda:1") == "bf16"


def test_on_a_cpu_products_are_left_alone() -> None:
    before = products()
    with products_in(torch.device("cpu"), "tf32"):
        assert products() == before


# These are settings of torch, which it keeps without a GPU too.
def test_tf32_holds_for_one_cell_and_ieee_for_the_next() -> None:
    with settings_restored():
        torch.backends.cuda.matmul.fp32_precision = "tf32"
        torch.backends.cudnn.conv.fp32_precision = "ieee"
        for precision, expected in (("tf32", "tf32"), ("fp32", "ieee"), ("bf16", "ieee")):
            with products_in(torch.device("cuda"), precision):
                assert products() == (expected, expected)
            assert products() == ("ieee", "tf32")
        with pytest.raises(KeyError), products_in(torch.device("cuda"), "tf32"):
            raise KeyError
        assert products() == ("ieee", "tf32")


def test_settings_are_given_back() -> None:
    threads, before = torch.get_num_threads(), products()
    with settings_restored():
        prepare_process("cpu", threads=threads + 1, deterministic=True)
        torch.backends.cuda.matmul.fp32_precision = "tf32"
        assert torch.get_num_threads() == threads + 1
    assert (torch.get_num_threads(), products()) == (threads, before)
    assert not torch.are_deterministic_algorithms_enabled()
    torch.set_flush_denormal(False)


def test_only_bf16_is_mixed() -> None:
    layer, x = torch.nn.Linear(2, 2), torch.ones(1, 2)
    for precision, expected in (
        ("fp32", torch.float32),
        ("tf32", torch.float32),
        ("bf16", torch.bfloat16),
    ):
        with autocast(torch.device("cpu"), precision):
            assert layer(x).dtype == expected


@pytest.mark.gpu
def test_tf32_rounds_products_and_fp32_does_not() -> None:
    torch.manual_seed(0)
    a = torch.randn(512, 512, dtype=torch.float64, device="cuda")
    exact, errors = a @ a, {}
    for precision in ("fp32", "tf32"):
        with products_in(torch.device("cuda"), precision):
            errors[precision] = float((a.float() @ a.float() - exact).abs().max())
    assert errors["tf32"] > 20 * errors["fp32"]
