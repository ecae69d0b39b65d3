"""What a user gets wrong: one clear line on stderr, exit code 2, nothing half-written."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from codefavor.cli.main import app, describe_os_error


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY")}
    return subprocess.run(
        [sys.executable, "-m", "codefavor", *words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: "), done.stderr
    for word in words:
        assert word in done.stderr


def test_a_missing_file_is_named(tmp_path):
    done = run("convert", "absent.jsonl", "--format", "dpo", "--out", "o.jsonl", cwd=tmp_path)
    assert_refused(done, "absent.jsonl", "no such file")


def test_an_empty_file_is_named(tmp_path):
    (tmp_path / "empty.jsonl").touch()
    done = run("convert", "empty.jsonl", "--format", "dpo", "--out", "o.jsonl", cwd=tmp_path)
    assert_refused(done, "empty.jsonl", "no rows")


def test_a_row_without_a_field_is_named_with_file_and_line(tmp_path):
    row = {"id": "1", "instruction": "i", "chosen": "c", "rejected": "r"}
    lines = [json.dumps(row), json.dumps({**row, "rejected": None})]
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines))
    words = ["convert", "pairs.jsonl", "--format", "dpo", "--out", "o.jsonl"]
    done = run(*words, "--max-error-rate", "0", cwd=tmp_path)
    assert_refused(done, "pairs.jsonl:2", "'rejected'")
    assert not (tmp_path / "o.jsonl").exists()
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "left out: pairs.jsonl:2: Preference needs the field 'rejected'" in done.stderr
    assert len((tmp_path / "o.jsonl").read_text().splitlines()) == 1


def test_broken_json_is_named_with_file_and_line(tmp_path):
    (tmp_path / "pairs.jsonl").write_text('{"id": 1}\n{"id": \n')
    done = run("pair", "check", "pairs.jsonl", "pairs.jsonl", cwd=tmp_path)
    assert_refused(done, "pairs.jsonl:1")


def test_a_good_file_is_not_replaced_by_a_failed_run(tmp_path):
    (tmp_path / "o.jsonl").write_text("precious\n")
    (tmp_path / "pairs.jsonl").write_text('{"id": "1"}\n')
    done = run("convert", "pairs.jsonl", "--format", "dpo", "--out", "o.jsonl", cwd=tmp_path)
    assert_refused(done, "pairs.jsonl:1")
    assert (tmp_path / "o.jsonl").read_text() == "precious\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["o.jsonl", "pairs.jsonl"]


@pytest.mark.parametrize(
    "words",
    [
        ("convert", "pairs.jsonl", "--format", "dpo"),
        ("pair", "dedup", "pairs.jsonl"),
        ("pair", "audit", "pairs.jsonl"),
        ("report", "data", "pairs.jsonl"),
        ("synthesise", "drafts", "--backend", "fake:echo"),
        ("score", "pairs.jsonl"),
        ("rank", "pairs.jsonl", "--model", "shorter"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_an_output_file_that_is_a_folder_is_refused_before_any_work(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, [*words, "--out", "."])
    assert done.exit_code == 2
    assert "'.' is a directory" in " ".join(done.output.split())


def test_an_unknown_format_lists_the_known_ones(tmp_path):
    (tmp_path / "pairs.jsonl").write_text("{}\n")
    done = run("convert", "pairs.jsonl", "--format", "dpoo", "--out", "o.jsonl", cwd=tmp_path)
    assert_refused(done, "dpoo", "dpo", "kto")


def test_an_unknown_backend_lists_the_known_ones(tmp_path):
    done = run("synthesise", "drafts", "--backend", "opnai:gpt", "--out", "o.jsonl", cwd=tmp_path)
    assert_refused(done, "opnai", "openai", "bedrock")


def test_an_unknown_verb_is_refused(tmp_path):
    done = run("trian", cwd=tmp_path)
    assert done.returncode == 2
    assert "trian" in done.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--size", "huge"), "full, smoke"),
        (("--split", "train"), "test or dev"),
        (("--recipe", "none.yaml"), "no such recipe"),
        (("--problems", "none.jsonl"), "none.jsonl"),
    ],
    ids=["size", "split", "recipe", "problems"],
)
def test_the_demo_refuses_what_it_does_not_know(tmp_path, words, expected):
    assert_refused(run("demo", *words, cwd=tmp_path), expected)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_said_in_words():
    with pytest.raises(OSError) as caught, open("/dev/full", "w") as handle:
        handle.write("x" * 100_000)
    assert "no space left on the device" in describe_os_error(caught.value)


def test_the_overview_names_every_verb_without_importing_them(tmp_path):
    done = run("--help", cwd=tmp_path)
    assert done.returncode == 0
    for verb in ("demo", "synthesise", "score", "pair", "convert", "recipes", "train", "evaluate"):
        assert verb in done.stdout
