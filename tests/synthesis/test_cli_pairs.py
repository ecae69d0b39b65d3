"""`codefavor synthesise commit-instruct` and `critic-evol` as a user types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from codefavor.cli.synthesise import app
from codefavor.errors import CodefavorError
from codefavor.journal import read_journal
from codefavor.records import Preference, Row, read_records
from tests.kit.teacher import COMMIT, DRAFT

PLAIN_SERVER = ["--backend", "openai:m", "--set", "base_url=http://x", "--set", 'features=["stop"]']
DRAFTS = ["critic-evol", "--drafts", "drafts.jsonl"]
REPOSITORY = Path(__file__).parents[2]
# The teacher of the tests as the backend `fake:scripted:...`, in a module of the user's own.
SCRIPTED = """
from tests.kit.teacher import CONSTRUCTED, GATE, teacher

FINE = {"reflection": "Fine.", "verdict": "good_enough", "aspect": "", "criteria": "",
        "improved_code": "", "feedback": ""}


def by_number(request):
    text = "".join(message["content"] for message in request.messages)
    if "row 3" in text:
        return teacher("sections", gate={"reason": "small", "answer": "no", "aspect": "other"},
                       critique=FINE)(request)
    return teacher("sections")(request)


def sections(request):
    return teacher("sections")(request)
"""


def codefavor(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "scripted.py").write_text(SCRIPTED)
    environment = {
        **os.environ,
        "PYTHONPATH": f"{REPOSITORY}:{folder}",
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    return subprocess.run(
        [sys.executable, "-m", "codefavor", "synthesise", *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )


def write(path: Path, rows: list[Row]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def commits(folder: Path, n: int = 6) -> Path:
    # Commit rows are told apart by content.
    rows = [
        {**COMMIT, "id": f"c{i}", "message": f"Simplify row {i}", "new_code": f"x = {i}\n"}
        for i in range(n)
    ]
    return write(folder / "commits.jsonl", rows)


def drafts(folder: Path, n: int = 6) -> Path:
    rows = [{**DRAFT, "instruction": f"{DRAFT['instruction']} (row {i})"} for i in range(n)]
    return write(folder / "drafts.jsonl", rows)


def test_commits_become_pairs_and_a_table_and_a_second_call_asks_nothing(tmp_path: Path) -> None:
    words = ["commit-instruct", "--commits", str(commits(tmp_path)), "--out", "o.jsonl"]
    words += ["--backend", "fake:scripted:by_number", "--verify", "static"]
    first = codefavor(tmp_path, *words)
    assert first.returncode == 0, first.stderr
    table = [" ".join(line.split()) for line in first.stdout.splitlines()]
    assert "rows that ended 6 100.0%" in table
    assert "pairs 5 83.3%" in table
    assert "gate_no 1 16.7%" in table
    assert len(read_records(tmp_path / "o.jsonl", Preference)) == 5
    second = codefavor(tmp_path, *words)
    assert "6 had ended before" in second.stdout
    assert "0 requests" in second.stdout
    assert "pairs 5 83.3%" in [" ".join(line.split()) for line in second.stdout.splitlines()]


def test_good_enough_drafts_stand_beside_the_pairs(tmp_path: Path) -> None:
    words = ["critic-evol", "--drafts", str(drafts(tmp_path)), "--out", "o.jsonl"]
    done = codefavor(tmp_path, *words, "--backend", "fake:scripted:by_number")
    assert done.returncode == 0, done.stderr
    assert "1 good enough -> o.good_enough.jsonl" in done.stdout
    assert len(read_records(tmp_path / "o.jsonl", Preference)) == 5
    (row,) = [json.loads(x) for x in (tmp_path / "o.good_enough.jsonl").read_text().splitlines()]
    assert row["kind"] == "good_enough"
    assert "(row 3)" in row["instruction"]


def test_from_instructions_to_drafts_to_pairs(tmp_path: Path) -> None:
    tasks = [{"instruction": f"Write `total(xs)`. (row {i})", "license": "MIT"} for i in range(4)]
    write(tmp_path / "tasks.jsonl", tasks)
    teacher = ["--backend", "fake:scripted:by_number"]
    first = codefavor(
        tmp_path,
        "drafts",
        "--instructions",
        "tasks.jsonl",
        "--n",
        "1",
        "--out",
        "d.jsonl",
        *teacher,
    )
    assert "4 rows: 4 ok" in first.stdout, first.stderr
    second = codefavor(tmp_path, "critic-evol", "--drafts", "d.jsonl", "--out", "o.jsonl", *teacher)
    assert "3 pairs -> o.jsonl" in second.stdout, second.stderr
    pairs = read_records(tmp_path / "o.jsonl", Preference)
    assert {pair.license for pair in pairs} == {"MIT"}
    assert {pair.meta["draft"]["model"] for pair in pairs} == {"fake:scripted:by_number"}
    assert all("(row" in pair.instruction for pair in pairs)


def test_balance_writes_pairs_that_lengths_do_not_give_away(tmp_path: Path) -> None:
    # The improved program is always the shorter one here, so nearly all must go.
    words = ["critic-evol", "--drafts", str(drafts(tmp_path)), "--out", "o.jsonl", "--balance"]
    done = codefavor(tmp_path, *words, "--backend", "fake:scripted:by_number")
    assert done.returncode == 0, done.stderr
    assert "1 of 5 pairs" in done.stdout
    assert "before balancing in 100.0%" in done.stdout


def test_a_judge_of_another_backend_is_asked_and_its_cost_is_shown(tmp_path: Path) -> None:
    words = ["critic-evol", "--drafts", str(drafts(tmp_path, 2)), "--out", "o.jsonl"]
    words += ["--backend", "fake:scripted:by_number", "--verify", "judge"]
    done = codefavor(tmp_path, *words, "--judge-backend", "fake:scripted:sections")
    assert done.returncode == 0, done.stderr
    assert "judge fake:scripted:sections: 4 requests" in done.stdout
    pairs = read_records(tmp_path / "o.jsonl", Preference)
    assert [pair.evidence["judge"]["choice"] for pair in pairs] == ["A", "A"]
    # Both orders of the judge count with the teacher's answer, and none of them was cached.
    records = list(read_journal(tmp_path / "o.jsonl.journal"))
    assert [(one["n_responses"], one["n_cached"]) for one in records] == [(3, 0), (3, 0)]
    manifest = json.loads((tmp_path / "o.jsonl.journal.manifest.json").read_text())
    assert manifest["responses"] == {"n_responses": 6, "n_cached": 0, "share_cached": 0.0}


def test_a_dry_run_shows_prompts_and_writes_nothing(tmp_path: Path) -> None:
    for words, n_questions in (
        (["commit-instruct", "--commits", str(commits(tmp_path))], 3),
        (["critic-evol", "--drafts", str(drafts(tmp_path))], 1),
    ):
        done = codefavor(
            tmp_path, *words, "--out", "o.jsonl", "--backend", "fake:echo", "--dry-run"
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("--- prompt") == 3
        assert f"6 rows, at most {6 * n_questions} requests" in done.stdout
    assert not list(tmp_path.glob("o.jsonl*"))


def test_other_settings_on_the_same_output_are_refused_by_name(tmp_path: Path) -> None:
    words = ["critic-evol", "--drafts", str(drafts(tmp_path, 1)), "--out", "o.jsonl"]
    words += ["--backend", "fake:scripted:by_number", "--verify", "static"]
    assert codefavor(tmp_path, *words).returncode == 0
    for more, named in (
        (["--comments", "keep"], "settings.comments"),
        (["--format", "json"], "settings.answer_format"),
        (["--seed", "2"], "seed"),
        (["--margin", "2"], "--margin means nothing to --verify static"),
    ):
        done = codefavor(tmp_path, *words, *more)
        assert done.returncode == 2
        assert named in done.stderr


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["critic-evol", "--drafts", "absent.jsonl"], "absent.jsonl: no such file"),
        (["critic-evol", "--drafts", "empty.jsonl"], "empty.jsonl: the file has no rows"),
        (["critic-evol", "--drafts", "bad.jsonl"], "bad.jsonl:1"),
        ([*DRAFTS, "--problems", "nowhere"], "known sets"),
        ([*DRAFTS, "--verify", "test"], "unknown --verify 'test'"),
        ([*DRAFTS, "--format", "xml"], "unknown format 'xml'"),
        ([*DRAFTS, "--comments", "x"], "unknown --comments 'x'"),
        ([*DRAFTS, "--names", "x"], "unknown --names 'x'"),
        ([*DRAFTS, "--margin", "0.5"], "at least 1"),
        ([*DRAFTS, "--judge-backend", "fake:echo"], "--verify judge"),
        ([*DRAFTS, "--level", "L9"], "unknown sandbox level"),
        ([*DRAFTS, "--temperature", "-1"], "temperature must be"),
        ([*DRAFTS, *PLAIN_SERVER, "--format", "json"], "takes no JSON schema"),
        (["commit-instruct", "--commits", "nowhere"], "nowhere"),
        (["commit-instruct", "--commits", "c.jsonl", "--languages", "go"], "no rows are left"),
        (["commit-instruct", "--commits", "bad.jsonl"], "bad.jsonl:1"),
        (["drafts", "--instructions", "bad.jsonl"], "bad.jsonl:1"),
        (["drafts", "--instructions", "a", "--problems", "b"], "not both"),
    ],
    ids=lambda value: " ".join(value[1:]) if isinstance(value, list) else "",
)
def test_bad_input_is_one_clear_error_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], complaint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    drafts(tmp_path, 2)
    write(tmp_path / "c.jsonl", [COMMIT])
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "bad.jsonl").write_text('{"id": "x"}\n')
    backend = [] if "--backend" in words else ["--backend", "fake:echo"]
    # The command turns errors of this kind into one line and exit code 2 (tests/cli).
    done = CliRunner().invoke(app, [*words, "--out", "o.jsonl", *backend])
    assert isinstance(done.exception, CodefavorError), done.exception
    assert complaint in str(done.exception)
    assert not (tmp_path / "o.jsonl").exists()
