"""Files of weights: read as tensors alone, fitted by name, mismatches told."""

from __future__ import annotations

import contextlib
import os
import pickle
import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from sftbench.api import BlockBackbone
from sftbench.errors import RequestError, UnavailableError
from sftbench.models.weight_files import fit, read_tensors


def small() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return BlockBackbone(small(), torch.zeros(1, 3, 8, 8))


@pytest.fixture
def tensors() -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {name: torch.rand_like(t.float()) for name, t in small().state_dict().items()}


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize(
    "prefix", ["", "model.", "module.", "backbone.", "module.backbone.", "_orig_mod.module.model."]
)
def test_known_prefixes_are_no_difference(
    tmp_path: Path, network: nn.Module, tensors: dict[str, Tensor], prefix: str, suffix: str
) -> None:
    file = tmp_path / f"w{suffix}"
    named = {f"{prefix}{name}": tensor for name, tensor in tensors.items()}
    (save_file if suffix == ".safetensors" else torch.save)(named, file)

    fitted = fit(read_tensors(file)[0], network, "w")

    assert fitted.head is None
    assert fitted.state.keys() == network.state_dict().keys()
    assert torch.equal(fitted.state["model.0.weight"], tensors["0.weight"])
    assert fitted.state["model.1.num_batches_tracked"].dtype == torch.int64


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict", "state_dict_ema"])
def test_the_weights_within_a_checkpoint(
    tmp_path: Path, tensors: dict[str, Tensor], key: str
) -> None:
    file = tmp_path / "w.pth"
    torch.save({"epoch": 3, key: tensors, "optimizer": {"lr": 0.1}}, file)

    assert read_tensors(file)[0].keys() == tensors.keys()


@pytest.mark.parametrize(
    ("name", "bias"), [("fc", True), ("head.fc", False), ("classifier.1", True)]
)
def test_the_head_is_told_apart_by_its_shape(
    network: nn.Module, tensors: dict[str, Tensor], name: str, bias: bool
) -> None:
    tensors[f"{name}.weight"] = torch.ones(7, 4)
    if bias:
        tensors[f"{name}.bias"] = torch.full((7,), 2.0)

    fitted = fit(tensors, network, "w")

    assert fitted.head_name == name
    assert fitted.head is not None
    assert fitted.head["weight"].shape == (7, 4)
    assert fitted.head["bias"].tolist() == [2.0 if bias else 0.0] * 7


def test_an_old_file_without_counters_of_batch_norm(
    network: nn.Module, tensors: dict[str, Tensor]
) -> None:
    del tensors["1.num_batches_tracked"]

    assert fit(tensors, network, "w").state["model.1.num_batches_tracked"].item() == 0


def mismatch(
    change: Callable[[dict[str, Tensor]], object], network: nn.Module, t: dict[str, Tensor]
) -> str:
    change(t)
    with pytest.raises(RequestError) as caught:
        fit(t, network, "w.pt for backbone small")
    return str(caught.value)


def test_what_does_not_match_is_listed(network: nn.Module, tensors: dict[str, Tensor]) -> None:
    def change(t: dict[str, Tensor]) -> None:
        del t["0.bias"]
        t["9.weight"] = torch.zeros(2, 9)
        t["1.weight"] = torch.zeros(5)

    assert mismatch(change, network, tensors) == (
        "weights w.pt for backbone small do not fit: 1 missing (0.bias); 1 unknown (9.weight); "
        "1 of another shape (1.weight [5] for [4])"
    )


def test_two_heads_are_one_too_many(network: nn.Module, tensors: dict[str, Tensor]) -> None:
    def change(t: dict[str, Tensor]) -> None:
        t["fc.weight"] = t["aux.weight"] = torch.zeros(7, 4)

    assert "1 unknown (fc.weight)" in mismatch(change, network, tensors)


def test_long_lists_are_cut(network: nn.Module) -> None:
    message = mismatch(lambda _: None, network, {f"x{n}": torch.zeros(1) for n in range(50)})
    assert "50 unknown (x0, x1, x10, x11 and 46 more)" in message
    assert len(message) < 400


class Code:
    """Runs when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("legacy", [True, False])
def test_code_in_a_pickle_is_refused_and_does_not_run(tmp_path: Path, legacy: bool) -> None:
    marker = tmp_path / "ran"
    file = tmp_path / "w.pt"
    if legacy:
        file.write_bytes(pickle.dumps({"0.weight": Code(marker)}))
    else:
        torch.save({"0.weight": Code(marker)}, file)

    with pytest.raises(UnavailableError, match=r"a pickle with more than tensors.*refused"):
        read_tensors(file)

    assert not marker.exists()


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00",
        b"not weights",
        b"PK\x03\x04 no archive",
        struct.pack("<Q", 2**60),
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 2) + b"{}",
        struct.pack("<Q", 40) + b'{"a": {"dtype": "F32", "shape": [9], "da',
        pickle.dumps([1, 2]),
        pickle.dumps({"a": 1}),
    ],
)
def test_what_is_no_file_of_weights(tmp_path: Path, content: bytes, suffix: str) -> None:
    file = tmp_path / f"w{suffix}"
    file.write_bytes(content)

    with pytest.raises(UnavailableError) as caught:
        read_tensors(file)
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)


def test_the_content_tells_the_format_and_not_the_name(
    tmp_path: Path, tensors: dict[str, Tensor]
) -> None:
    save_file(tensors, tmp_path / "w.pt", metadata={"a": "b"})

    found, metadata = read_tensors(tmp_path / "w.pt")

    assert found.keys() == tensors.keys()
    assert metadata == {"a": "b"}


def test_names_that_become_one_do_not_overwrite_each_other(network: nn.Module) -> None:
    state = {f"encoder.{name}": tensor for name, tensor in small().state_dict().items()}
    state["backbone.0.weight"] = state["encoder.0.weight"] + 1
    with pytest.raises(RequestError, match="do not fit"):
        fit(state, network, "w")


@pytest.mark.parametrize("name", ["cls_token", "fc.scale", "n_averaged"])
def test_what_is_left_over_beside_the_head_is_unknown(
    network: nn.Module, tensors: dict[str, Tensor], name: str
) -> None:
    tensors["fc.weight"] = torch.zeros(7, 4)
    tensors[name] = torch.zeros(3)
    with pytest.raises(RequestError, match=rf"1 unknown \({name}\)"):
        fit(tensors, network, "w")


def test_a_checkpoint_that_holds_itself(tmp_path: Path) -> None:
    content: dict[str, object] = {}
    content["model"] = content
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(UnavailableError, match="no tensors by name"):
        read_tensors(tmp_path / "w.pt")


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_flipped_bytes_end_in_one_line(
    tmp_path: Path, tensors: dict[str, Tensor], suffix: str
) -> None:
    file = tmp_path / f"w{suffix}"
    if suffix == ".pt":
        torch.save(tensors, file, _use_new_zipfile_serialization=False)
    else:
        save_file(tensors, file)
    whole = file.read_bytes()
    chance = random.Random(0)
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(3):
            data[chance.randrange(min(len(data), 600))] = chance.randrange(256)
        file.write_bytes(data)
        with contextlib.suppress(UnavailableError):  # any other exception is a failure
            read_tensors(file)


def test_a_truncated_file(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    for suffix, save in ((".safetensors", save_file), (".pt", torch.save)):
        file = tmp_path / f"w{suffix}"
        save(tensors, file)
        file.write_bytes(file.read_bytes()[:-20])
        with pytest.raises(UnavailableError, match="not a whole"):
            read_tensors(file)


def test_whole_numbers_and_what_is_not_finite_are_no_weights(
    network: nn.Module, tensors: dict[str, Tensor]
) -> None:
    def change(t: dict[str, Tensor]) -> None:
        t["0.weight"] = t["0.weight"].to(torch.int32)
        t["1.weight"] = t["1.weight"] * float("nan")

    assert mismatch(change, network, tensors) == (
        "weights w.pt for backbone small do not fit: 1 of another type (0.weight torch.int32 for "
        "torch.float32); 1 not finite (1.weight)"
    )
