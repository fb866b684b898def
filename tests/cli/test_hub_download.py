"""A reachable hub: weights are downloaded once, said, and later runs ask nobody."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

MODEL = "test_resnet"
REPOSITORY = "timm/test_resnet.r160_in1k"
COMMIT = "0" * 40


class Hub(http.server.BaseHTTPRequestHandler):
    """The part of the Hugging Face hub that serves one file."""

    content = b""
    downloads: list[str] = []

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        if self.path == "/":
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if not self.path.startswith(f"/{REPOSITORY}/resolve/main/model.safetensors"):
            text = json.dumps({"error": "Entry not found"}).encode()
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            if body:
                self.wfile.write(text)
            return
        self.send_response(200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(self.content).hexdigest()}"')
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        if body:
            self.downloads.append(self.path)
            self.wfile.write(self.content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[str]:
    torch.manual_seed(0)
    file = tmp_path / "model.safetensors"
    save_file(timm.create_model(MODEL).state_dict(), file)
    Hub.content, Hub.downloads = file.read_bytes(), []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def run(folder: Path, endpoint: str, *how: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    homes = {name: str(folder / name) for name in ("HF_HOME", "TORCH_HOME", "SFTBENCH_CACHE")}
    words = f"run -b {MODEL} -s head-only --seeds 2 --limit-train 40 --limit-test 20"
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "sftbench",
            *words.split(),
            "--epochs=1",
            "--image-size=32",
            "--force",
            *how,
        ],
        cwd=folder,
        env={**kept, **homes, "HF_ENDPOINT": endpoint, "SFTBENCH_PLUGINS": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_weights_are_downloaded_once_and_said(tmp_path: Path, hub: str) -> None:
    first = run(tmp_path, hub, "--jobs=2")

    assert first.returncode == 0, first.stderr
    assert f"downloading the weights of {MODEL} from the hub: {REPOSITORY}" in first.stderr
    assert len(Hub.downloads) == 1

    # Two workers read them, and a later run needs no hub at all.
    later = run(tmp_path, "http://127.0.0.1:9", "--executor=inline")
    assert later.returncode == 0, later.stderr
    assert "downloading" not in later.stderr
    assert len(Hub.downloads) == 1
    records = (tmp_path / "sftbench-results" / "cells").rglob("attempt-2.json")
    weights = [json.loads(path.read_text())["provenance"]["weights"] for path in records]
    assert len(weights) == 2
    assert {w["origin"] for w in weights} == {f"hub: {REPOSITORY}"}
    assert len({w["digest"] for w in weights}) == 1
