"""What `codefavor train` finds before anything is downloaded or allocated."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("axolotl", reason="the preflight runs Axolotl's own schema and readers")

from codefavor.cli.train import check_before
from codefavor.errors import ConfigError, DataError
from codefavor.records import write_rows
from codefavor.training.findings import Finding
from codefavor.training.formats import convert
from codefavor.training.plan import plan_training
from codefavor.training.preflight import model_errors, token_findings, tracker_errors
from codefavor.training.recipes import load_yaml
from tests.training.conftest import easy_pairs
from tests.training.hub import FakeHub, serving
from tests.training.really import with_data
from tests.training.templates import BEHIND, GOOD, SYSTEMLESS

pytestmark = pytest.mark.axolotl

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


def findings_of(
    name: str, data_format: str, model: Path, folder: Path, **changes: Any
) -> list[Finding]:
    """The findings on the tokens of two pairs under a committed recipe."""
    write_rows(folder / "data.jsonl", convert(easy_pairs(range(1))[:2], data_format).rows)
    config = {**load_yaml(RECIPES / f"{name}.yaml"), "base_model": str(model), **changes}
    config["datasets"] = [{**config["datasets"][0], "path": "data.jsonl"}]
    return list(token_findings(config, folder))


def test_rows_that_would_be_cut_are_named_and_fail(embedded_model: Path, tmp_path: Path):
    [found] = findings_of("smollm2-135m/dpo", "dpo", embedded_model, tmp_path, sequence_len=40)
    assert found.severity == "error"
    assert "4 of 4 sequences are above sequence_len 40" in found.message
    assert "data.jsonl:1 chosen" in found.message


def test_rows_that_would_be_cut_can_be_allowed(embedded_model: Path, tmp_path: Path):
    allowed = {"sequence_len": 40, "excess_length_strategy": "drop"}
    [found] = findings_of("smollm2-135m/dpo", "dpo", embedded_model, tmp_path, **allowed)
    assert found.severity == "warning"


def test_lines_that_axolotls_process_reader_cuts_in_silence_are_found(
    embedded_model: Path, tmp_path: Path
):
    [found] = findings_of(
        "smollm2-135m/process", "process", embedded_model, tmp_path, sequence_len=20
    )
    assert "above sequence_len 20" in found.message


@pytest.mark.parametrize(
    ("name", "data_format"),
    [
        ("pairwise", "pairwise"),
        ("sft", "sft"),
        ("kto", "kto"),
        ("process", "process"),
        ("reward", "reward"),
    ],
)
def test_good_data_has_no_findings(
    name: str, data_format: str, embedded_model: Path, tmp_path: Path
):
    assert findings_of(f"smollm2-135m/{name}", data_format, embedded_model, tmp_path) == []


def test_tokens_that_lack_a_text_or_train_the_question_are_named(
    embedded_model: Path, tmp_path: Path
):
    rows = list(convert(easy_pairs(range(1))[:2], "dpo").rows)
    rows = [
        {**row, "messages": [{"role": "system", "content": "In Latin."}, row["messages"][-1]]}
        for row in rows
    ]
    write_rows(tmp_path / "data.jsonl", rows)
    config = load_yaml(RECIPES / "smollm2-135m" / "dpo.yaml") | {"base_model": str(embedded_model)}
    config["datasets"] = [{**config["datasets"][0], "path": "data.jsonl"}]
    said = {
        template: [
            one.message
            for one in token_findings(config | {"chat_template_jinja": template}, tmp_path)
        ]
        for template in (GOOD, SYSTEMLESS, BEHIND)
    }
    assert said[GOOD] == []
    [lost] = said[SYSTEMLESS]
    assert "4 of 4 sequences lack what their row says, first" in lost and "'In Latin.'" in lost
    [trained] = said[BEHIND]
    assert "4 of 4 sequences train the question beside the answer, first" in trained


def test_a_row_that_axolotls_reader_cannot_read_is_named(embedded_model: Path, tmp_path: Path):
    rows = list(convert(easy_pairs(range(1))[:2], "dpo").rows)
    rows[1] = {**rows[1], "chosen": None}
    write_rows(tmp_path / "data.jsonl", rows)
    config = load_yaml(RECIPES / "smollm2-135m" / "dpo.yaml") | {"base_model": str(embedded_model)}
    config["datasets"] = [{**config["datasets"][0], "path": "data.jsonl"}]
    with pytest.raises(DataError, match=r"data.jsonl:2: Axolotl's reader cannot read this row"):
        list(token_findings(config, tmp_path))


def test_letters_that_the_tokenizer_splits_are_found(embedded_model: Path, tmp_path: Path):
    """A tokenizer that knows no "B": it falls apart into bytes."""
    model = tmp_path / "model"
    model.mkdir()
    for file in embedded_model.glob("*.json"):
        (model / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    template = embedded_model / "chat_template.jinja"
    if template.is_file():
        (model / template.name).write_text(template.read_text(encoding="utf-8"))
    path = model / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    # Everything a letter can be is written as two signs before the vocabulary is asked.
    tokenizer["normalizer"] = {
        "type": "Replace",
        "pattern": {"String": "B"},
        "content": "~~B~~",
    }
    path.write_text(json.dumps(tokenizer), encoding="utf-8")
    found = findings_of("smollm2-135m/pairwise", "pairwise", model, tmp_path)
    assert any("not a single token" in finding.message for finding in found), found


def test_a_tokenizer_without_a_chat_template_is_refused(embedded_model: Path, tmp_path: Path):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(embedded_model)
    tokenizer.chat_template = None
    tokenizer.save_pretrained(tmp_path / "bare")
    plain = {"chat_template": "tokenizer_default", "chat_template_jinja": None}
    with pytest.raises(ConfigError, match="has no chat template"):
        findings_of("smollm2-135m/sft", "sft", tmp_path / "bare", tmp_path, **plain)


def fake_package(folder: Path, name: str, version: str, text: str) -> None:
    """A package as `pip install` leaves it, of one module."""
    (folder / f"{name}.py").write_text(text)
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "trackio",
            "def init(project, name=None): ...\n",
            r"trackio 0.1 lacks .* --upgrade trackio",
        ),
        ("trackio", "def init(project, bucket_id=None): ...\n", ""),
        ("mlflow", "import no_such_module\n", r"mlflow does not import .* pip install mlflow"),
    ],
)
def test_a_tracker_that_cannot_work_is_found_before_the_launch(
    name: str, text: str, message: str, tmp_path: Path, monkeypatch
):
    fake_package(tmp_path, name, "0.1", text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    assert list(tracker_errors({})) == []
    found = list(tracker_errors({f"use_{name}": True}))
    monkeypatch.delitem(sys.modules, name, raising=False)
    assert len(found) == bool(message)
    assert all(re.search(message, text) for text in found), found


REFUSALS = {
    "nobody/nothing": (401, "RepoNotFound"),
    "meta-llama/gated": (403, "GatedRepo"),
    "me/dataset-like": (404, "EntryNotFound"),
}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nobody/nothing", "the Hub has no model nobody/nothing"),
        ("meta-llama/gated", "is gated: accept its licence"),
        ("me/dataset-like", "has no config.json"),
        ("a/b/c", "neither a folder here nor a name on the Hub"),
    ],
)
def test_a_model_that_cannot_be_had_is_named(name, message, tmp_path: Path, monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with serving(FakeHub(REFUSALS)) as hub:
        [error] = model_errors({"base_model": name}, tmp_path, hub.url)
        assert list(model_errors({"base_model": "me/good"}, tmp_path, hub.url)) == []
    assert message in error


def test_a_machine_set_to_be_offline_asks_nobody(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    [error] = model_errors({"base_model": "Qwen/Qwen3-8B"}, tmp_path, "http://127.0.0.1:9")
    assert "is not in this machine's cache, and HF_HUB_OFFLINE=1" in error


def test_a_hub_that_cannot_be_reached_is_said(tmp_path: Path, monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    [error] = model_errors({"base_model": "Qwen/Qwen3-8B"}, tmp_path, "http://127.0.0.1:9")
    assert "the Hub cannot be asked for Qwen/Qwen3-8B" in error


def test_the_command_ends_with_its_findings_and_not_by_a_signal(
    embedded_model: Path, tmp_path: Path
):
    """The plugin that ends a training with its launcher must not take the check for one."""
    write_rows(tmp_path / "data.jsonl", convert(easy_pairs(range(1))[:2], "dpo").rows)
    wrong = {"base_model": str(embedded_model), "sequence_len": 40, "learning_ratee": 1}
    recipe = RECIPES / "smollm2-135m" / "dpo.yaml"
    wrong |= with_data(recipe, tmp_path / "data.jsonl")
    plan = plan_training(recipe, overrides=wrong, folder=tmp_path, gpus=0)
    with pytest.raises(ConfigError, match="drops the key 'learning_ratee'"):
        check_before(plan)
