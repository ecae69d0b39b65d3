"""`codefavor models`: a folder from a Hub on this machine, and an adapter added to its base."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from codefavor.errors import ConfigError
from codefavor.hub import download_model
from tests.judges.conftest import make_model, tiny_config
from tests.kit.commands import codefavor

COMMIT = "1" * 40
FILES = {"config.json": b"{}", "model.safetensors": b"weights", "pytorch_model.bin": b"again"}


@contextmanager
def hub(sent: list[str]) -> Iterator[str]:
    """A Hub with the repository me/model; `sent` gets the files that were fetched."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(has_body=True)

        def do_HEAD(self) -> None:
            self.answer(has_body=False)

        def answer(self, *, has_body: bool) -> None:
            body, status, headers = b"{}", 200, {}
            path = self.path.partition("?")[0]
            name = path.rpartition("/")[2]
            if path.startswith("/api/models/me/model/tree/"):
                rows = [
                    {"type": "file", "path": key, "size": len(value), "oid": "0" * 40}
                    for key, value in FILES.items()
                ]
                body = json.dumps(rows).encode()
            elif path.startswith("/api/models/me/model"):
                rows = [{"rfilename": key} for key in FILES]
                body = json.dumps({"id": "me/model", "sha": COMMIT, "siblings": rows}).encode()
            elif path.startswith("/me/model/resolve/") and name in FILES:
                body = FILES[name]
                headers = {"ETag": hashlib.sha1(body).hexdigest(), "X-Repo-Commit": COMMIT}
                if has_body:
                    sent.append(name)
            else:
                status, headers = 404, {"X-Error-Code": "RepoNotFound"}
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(key, value)
            self.end_headers()
            if has_body:
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


@pytest.mark.integration
def test_a_download_is_a_plain_folder_without_a_second_form_of_the_weights(
    online: None, tmp_path: Path
) -> None:
    sent: list[str] = []
    out = tmp_path / "models" / "mine"
    with hub(sent) as url:
        assert download_model("me/model", out, endpoint=url) == out
        assert {one.name for one in out.iterdir() if one.is_file()} == set(sent)
        assert sorted(sent) == ["config.json", "model.safetensors"]
        assert (out / "model.safetensors").read_bytes() == b"weights"
        # The same command again fetches nothing anew.
        download_model("me/model", out, endpoint=url)
    assert len(sent) == 2


@pytest.mark.integration
def test_a_download_that_cannot_work_says_so(online: None, tmp_path: Path) -> None:
    with hub([]) as url:
        with pytest.raises(ConfigError, match="the Hub refused me/other: "):
            download_model("me/other", tmp_path / "a", endpoint=url)
        with pytest.raises(ConfigError, match="expected OWNER/NAME"):
            download_model("model", tmp_path / "a", endpoint=url)
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "mine.txt").write_text("x")
        with pytest.raises(ConfigError, match="holds other files"):
            download_model("me/model", tmp_path / "full", endpoint=url)
    with pytest.raises(ConfigError, match="the Hub cannot be reached for me/model"):
        download_model("me/model", tmp_path / "a", endpoint="http://127.0.0.1:9")
    assert not (tmp_path / "a").exists()


def test_offline_the_command_says_what_to_do_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = codefavor("models", "download", "me/model", "--out", tmp_path / "m", home=tmp_path)
    assert done.code == 2
    assert done.stderr.startswith("error: HF_HUB_OFFLINE=1 is set, so me/model cannot be")
    assert "copy the model's folder here" in done.stderr


@pytest.mark.integration
def test_an_adapter_is_added_to_its_base_and_the_folder_loads(tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = make_model(tmp_path / "base", tiny_config())
    config = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).eval()
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.5)
    adapted.save_pretrained(tmp_path / "adapter")
    done = codefavor(
        "models", "merge", tmp_path / "adapter", "--base", base, "--out", tmp_path / "out",
        home=tmp_path,
    )  # fmt: skip
    assert done.code == 0, done.stderr
    ids = torch.tensor([[1, 2, 3]])
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    plain = AutoModelForCausalLM.from_pretrained(base).eval()
    with torch.inference_mode():
        found, wanted, before = (one(ids).logits for one in (merged, adapted, plain))
    assert torch.allclose(found, wanted, atol=1e-4)
    assert not torch.allclose(found, before, atol=1e-3)


def test_a_folder_that_is_not_there_is_said_to_be_absent(tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    for words in (["adapter", "--base", "absent"], ["absent"], ["absent", "adapter"]):
        done = codefavor("models", "merge", *words, "--out", "out", home=tmp_path)
        assert (done.code, "absent: no such folder" in done.stderr) == (2, True), done.stderr
