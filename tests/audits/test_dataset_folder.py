"""The data set folder: `datasets` reads it from disk, and the Hub gets exactly its files."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from codefavor.api import load_pairs
from codefavor.audits.data_card import count_rows
from codefavor.audits.dataset_folder import write_dataset
from codefavor.benchmarks.pairs_benchmark import read_items
from codefavor.errors import ConfigError
from codefavor.hub import push_folder
from codefavor.records import Preference
from tests.kit.server import Call, LoopbackServer, Reply

TURNS = [{"role": "user", "content": "Look."}, {"role": "assistant", "content": "[YES]"}]
PAIRS = [
    Preference(
        id=f"p{n}", instruction=f"Write f{n}.", chosen="a = 1\n", rejected="a = \ud800",
        license="mit", source="commit-instruct", evidence={"static": {"n": n}},
        meta={"aspect": "correctness", "conversation": TURNS},
    )
    for n in range(5)
]  # fmt: skip


def make_folder(tmp_path: Path, **options: Any) -> Path:
    splits = {"train": PAIRS[:3], "test": PAIRS[3:]}
    facts = {**count_rows(splits), "codefavor": "0", "runs": [], "audit": {}, "contamination": []}
    return write_dataset(splits, facts, "Pairs", tmp_path / "folder", **options)


def test_datasets_reads_the_folder_without_network(tmp_path):
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(str(make_folder(tmp_path)), cache_dir=str(tmp_path / "cache"))
    assert {split: loaded[split].num_rows for split in loaded} == {"train": 3, "test": 2}
    row = loaded["test"][1]
    assert row["id"] == "p4"
    assert json.loads(row["evidence"]) == {"static": {"n": 4}}
    assert json.loads(row["meta"]) == {"aspect": "correctness"}
    assert row["conversation"] == TURNS
    assert row["rejected"] == "a = ?"


def test_its_parquet_is_read_as_the_pairs_that_were_written(tmp_path):
    folder = make_folder(tmp_path)
    (test,) = (folder / "data").glob("test-*.parquet")
    assert load_pairs(test) == [replace(one, rejected="a = ?") for one in PAIRS[3:]]
    assert {item["id"] for item in read_items(test)} == {"p3", "p4"}


def test_the_hub_can_read_the_header_of_the_card(tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    card = hub.DatasetCard.load(make_folder(tmp_path) / "README.md")
    assert (card.data.license, card.data.size_categories) == ("mit", ["n<1K"])
    assert [item["split"] for item in card.data.configs[0]["data_files"]] == ["train", "test"]


def test_large_sets_are_cut_into_shards(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr("codefavor.audits.dataset_folder._SHARD_CHARACTERS", 250)
    folder = make_folder(tmp_path)
    names = sorted(path.name for path in (folder / "data").glob("train-*"))
    assert names[0] == f"train-00000-of-{len(names):05d}.parquet"
    assert len(names) > 1
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert loaded["train"]["id"][:] == ["p0", "p1", "p2"]


def test_an_existing_folder_is_left_alone(tmp_path):
    folder = make_folder(tmp_path)
    before = (folder / "README.md").read_text()
    with pytest.raises(ConfigError, match="exists already"):
        make_folder(tmp_path)
    assert (folder / "README.md").read_text() == before


def test_only_an_older_data_set_is_overwritten(tmp_path):
    folder = make_folder(tmp_path)
    (folder / "data" / "train-00009-of-00010.parquet").write_text("of an earlier, larger set")
    make_folder(tmp_path, overwrite=True)
    assert len(list((folder / "data").iterdir())) == 2
    (folder / "codefavor.json").unlink()
    with pytest.raises(ConfigError, match="exists already"):
        make_folder(tmp_path, overwrite=True)


class FakeHub:
    """The endpoints that an upload of a folder uses, with what they were sent."""

    def __init__(self) -> None:
        self.created: list[Any] = []
        self.files: dict[str, bytes] = {}
        self.stored: dict[str, bytes] = {}
        self.url = ""

    def __call__(self, call: Call) -> Reply:
        path = call.path.partition("?")[0]
        if call.headers.get("authorization") != "Bearer hf_test" and "/store/" not in path:
            return Reply({"error": "no"}, status=401)
        if path == "/api/validate-yaml":
            return Reply({"errors": [], "warnings": []})
        if path == "/api/repos/create":
            self.created.append(call.body)
            return Reply({"url": f"{self.url}/datasets/me/pairs", "name": "me/pairs"})
        if path.endswith("/preupload/main"):
            return Reply({"files": [
                {"path": file["path"], "shouldIgnore": False,
                 "uploadMode": "lfs" if file["path"].endswith(".parquet") else "regular"}
                for file in call.body["files"]
            ]})  # fmt: skip
        if path.endswith("/info/lfs/objects/batch"):
            actions = [
                {"oid": o["oid"], "size": o["size"],
                 "actions": {"upload": {"href": f"{self.url}/store/{o['oid']}", "header": {}}}}
                for o in call.body["objects"]
            ]  # fmt: skip
            return Reply({"transfer": "basic", "objects": actions})
        if path.startswith("/store/"):
            self.stored[path.rsplit("/", 1)[1]] = call.body
            return Reply({})
        if path.endswith("/commit/main"):
            self.commit(call.body)
            return Reply({"success": True, "commitOid": "0" * 40, "commitUrl": self.url})
        if path.startswith("/api/datasets/me/pairs"):
            return Reply({"id": "me/pairs", "sha": "0" * 40, "siblings": []})
        return Reply({"error": f"unknown {path}"}, status=404)

    def commit(self, body: bytes | dict[str, Any]) -> None:
        lines = [body] if isinstance(body, dict) else map(json.loads, body.splitlines())
        for line in lines:
            if line["key"] == "file":
                self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            if line["key"] == "lfsFile":
                self.files[line["value"]["path"]] = self.stored[line["value"]["oid"]]


def test_a_push_sends_every_file_to_a_private_repository(tmp_path, monkeypatch):
    pytest.importorskip("huggingface_hub")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    folder = make_folder(tmp_path)
    hub = FakeHub()
    with LoopbackServer(hub) as server:
        hub.url = server.url
        push_folder(folder, "me/pairs", kind="dataset", endpoint=server.url)
    assert [(c["name"], c["organization"], c["type"], c["visibility"]) for c in hub.created] == [
        ("pairs", "me", "dataset", "private")
    ]
    on_disk = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
    sent = {name: hashlib.sha256(content).hexdigest() for name, content in hub.files.items()}
    assert sent == on_disk
