"""Half of a surrogate pair, which models write and JSON holds: no command fails at it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from codefavor.records import Preference, Problem, Row, read_rows, write_text
from tests.kit.commands import Done, codefavor
from tests.kit.server import Call, LoopbackServer, Reply, openai_reply

LONE = "half \ud800 here"
GOOD = Preference(
    "p1", "Add.", "def f(a, b):\n    return a + b\n", "def f(a, b):\n    return b\n",
    criteria="correct", feedback="It adds.", source="ours", license="mit",
)  # fmt: skip
# A row that has it in one place.
SPOILED: dict[str, Callable[[Row], object]] = {
    "instruction": lambda row: row.update(instruction=LONE),
    "chosen": lambda row: row.update(chosen=f"x = 1  # {LONE}"),
    "criteria": lambda row: row.update(criteria=LONE),
    "feedback": lambda row: row.update(feedback=LONE),
    "meta": lambda row: row.update(meta={"note": [LONE], LONE: 1}),
    "evidence": lambda row: row.update(evidence={"chosen": {"error": LONE}}),
    "history": lambda row: row.update(history=[{"role": "user", "content": LONE}]),
    "source": lambda row: row.update(source=LONE, license=LONE),
    "id": lambda row: row.update(id=LONE, problem_id=LONE),
}
COMMANDS = [
    ("report", "data", "pairs.jsonl", "--out", "page.html"),
    ("card", "pairs.jsonl", "--out", "folder"),
    ("pair", "audit", "pairs.jsonl", "--out", "audit.json"),
    ("pair", "dedup", "pairs.jsonl", "--out", "unique.jsonl"),
    ("pair", "balance", "pairs.jsonl", "--out", "balanced.jsonl"),
    ("convert", "pairs.jsonl", "--format", "dpo", "--out", "dpo.jsonl"),
    ("convert", "pairs.jsonl", "--format", "pairwise", "--out", "pw.jsonl"),
    ("evaluate", "pairs", "--data", "pairs.jsonl", "--model", "shorter", "--group-by", "source"),
]


def write_pairs(folder: Path) -> None:
    """A good row and one for each place that may be spoiled."""
    rows = [GOOD.to_row()]
    for n, spoil in enumerate(SPOILED.values()):
        more = {"id": f"s{n}", "instruction": f"Add {n}.", "chosen": f"{GOOD.chosen}# {n}\n"}
        rows.append(GOOD.to_row() | more)
        spoil(rows[-1])
    # As `json.dumps` writes it, and everybody else: an escape.
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def check(done: Done, folder: Path) -> None:
    """It ended well, and every text file it wrote is UTF-8."""
    assert done.code == 0, done.stderr
    done.stdout.encode()
    for path in folder.rglob("*"):
        if path.is_file() and "sqlite" not in path.name and path.suffix != ".parquet":
            text = path.read_bytes().decode("utf-8")
            assert "\\ud800" not in text or path.name == "pairs.jsonl", path


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words[:4]))
def test_rows_that_hold_one_are_read_with_a_mark_in_its_place(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    write_pairs(tmp_path)
    check(codefavor(*words, home=tmp_path), tmp_path)


def test_prompts_that_hold_one_are_asked_and_cached(tmp_path: Path) -> None:
    write_pairs(tmp_path)
    words = ("evaluate", "pairs", "--data", "pairs.jsonl", "--model", "openai:m")

    def handle(call: Call) -> Reply:
        return openai_reply(call, json.dumps({"feedback": "x", "winner": "A"}))

    with LoopbackServer(handle) as server:
        done = codefavor(*words, "--base-url", f"{server.url}/v1", home=tmp_path)
        check(done, tmp_path)
        n_calls = server.n_calls
        again = codefavor(*words, "--base-url", f"{server.url}/v1", "--out", "b", home=tmp_path)
        check(again, tmp_path)
        assert server.n_calls == n_calls
    result = json.loads((tmp_path / "results/pairs.openai-m.json").read_text())
    assert result["metrics"]["overall"]["n_error"] == 0
    assert n_calls >= 2 * len(SPOILED)


def test_a_criterion_of_the_command_line_may_hold_one(tmp_path: Path) -> None:
    write_pairs(tmp_path)
    words = ("evaluate", "pairs", "--data", "pairs.jsonl", "--model", "shorter")
    # What a shell in another encoding passes on.
    check(codefavor(*words, "--criteria", "caf\udce9", home=tmp_path), tmp_path)


@pytest.mark.parametrize("kind", ["openai", "fake"])
def test_a_reply_that_holds_one_is_stored_everywhere(kind: str, tmp_path: Path) -> None:
    problem = Problem("p1", "Add.", "assert f(1, 2) == 3", "f").to_row()
    (tmp_path / "problems.jsonl").write_text(json.dumps(problem) + "\n")

    def handle(call: Call) -> Reply:
        # Half of an emoji, as a reply cut off in its middle has it.
        body = json.dumps(openai_reply(call, f"```python\nx = 1  # {LONE}\n```").body)
        return Reply(body.encode())

    with LoopbackServer(handle) as server:
        model = {"openai": "openai:m", "fake": "fake:tests.cli.test_lone_surrogates:reply"}[kind]
        url = ("--set", f"base_url={server.url}/v1") if kind == "openai" else ()
        words = ("--problems", "problems.jsonl", "--model", model, *url, "--out", "o.jsonl")
        check(codefavor("synthesise", "drafts", *words, "--n", 1, home=tmp_path), tmp_path)
    (row,) = (row for _, row in read_rows(tmp_path / "o.jsonl"))
    assert "half \ufffd here" in row["raw"]


def reply(request: object) -> str:
    """What the model of the test above says."""
    return f"\nx = 1  # {LONE}\n"


def test_any_text_file_can_be_written(tmp_path: Path) -> None:
    write_text(tmp_path / "page.html", [f"<p>{LONE}</p>", "\U0001f600"])
    assert (tmp_path / "page.html").read_text("utf-8") == "<p>half \ufffd here</p>\U0001f600"
