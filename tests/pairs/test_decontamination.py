"""Rows that are like a benchmark are found in each of four ways, and others stay."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from codefavor.audits.contamination_report import (
    benchmark_texts,
    contamination_facts,
)
from codefavor.cli.pair import app
from codefavor.errors import DataError
from codefavor.pairs.contamination import Text
from codefavor.pairs.decontamination import Limits, decontaminate
from codefavor.records import Preference, write_rows
from codefavor.reports.contamination_page import contamination_html

CODE = (
    "def tide_hours(levels, mark):\n    above = 0\n    for level in levels:\n"
    "        if level > mark:\n            above += 1\n    return above / 2\n"
)
TASK = "Say for how many hours the tide stays above a given mark, measured every half an hour."
BENCHMARK = {"tides": [Text("tides/1", TASK, CODE), Text("tides/2", "", "x = 1")]}
OTHER = (
    "class Rope:\n    def __init__(self, knots):\n        self.knots = sorted(knots)\n\n"
    "    def untie(self):\n        while self.knots:\n            yield self.knots.pop()\n"
)


def row(
    name: str, instruction: str = "Untie it.", chosen: str = OTHER, rejected: str = "pass"
) -> Preference:
    return Preference(name, instruction, chosen, rejected)


ROWS = [
    row("clean"),
    row("copy", chosen=CODE.replace("above / 2", "above / 3")),
    row("copy on the other side", rejected="# mine\n" + CODE),
    row("renamed", chosen=CODE.replace("level", "h").replace("above", "n").replace("mark", "m")
        .replace("tide_hours", "f")),
    row("task", instruction=TASK.replace("half an hour", "half-hour").upper()),
    row("quoted", instruction=f"Read this first and then do something else entirely. {TASK} "
        + "After that, forget all of it and sort the letters of every name in the crew list."),
]  # fmt: skip


def test_each_way_of_being_like_a_benchmark_is_found_and_the_clean_row_stays() -> None:
    found = decontaminate(ROWS, BENCHMARK)
    kinds = {name: {f.kind for f in found.findings if f.row_id == name} for name in found.removed}
    assert "clean" not in kinds
    assert "code" in kinds["copy"]
    assert "code" in kinds["copy on the other side"]
    assert kinds["renamed"] == {"renamed code"}
    assert kinds["task"] == {"instruction", "words in a row"}
    assert kinds["quoted"] == {"words in a row"}
    assert found.n_short == {"tides": 1}
    (nearest,) = found.nearest["tides"]
    assert (nearest.id, nearest.other_id) == ("tides/1", "copy on the other side")
    assert nearest.similarity == 100.0
    assert found.share_over("tides") == 1.0
    fact = contamination_facts(found)["tides"]
    assert fact.startswith("100.0% of 1 snippets have a row at least 80 of 100 alike; 5 of 6 rows")


def test_limits_move_the_line() -> None:
    # One of 28 tokens differs: 2 * 27 / 56 in common.
    rows = [row("copy", chosen=CODE.replace("above / 2", "above / 3"))]
    (nearest,) = decontaminate(rows, BENCHMARK).nearest["tides"]
    assert nearest.similarity == pytest.approx(100 * 27 / 28, abs=0.001)
    strict = Limits(code=99, renamed=99, instruction=99)
    assert decontaminate(rows, BENCHMARK, strict).removed == set()


def test_a_benchmark_that_nothing_is_like_shares_nothing() -> None:
    found = decontaminate([row("clean")], BENCHMARK)
    assert found.removed == set()
    assert found.share_over("tides") == 0.0
    assert decontaminate([], BENCHMARK).nearest == {"tides": []}


def run(tmp_path: Path, *arguments: str) -> tuple[int, str]:
    pairs, tests = tmp_path / "pairs.jsonl", tmp_path / "tides.jsonl"
    write_rows(pairs, (r.to_row() for r in ROWS))
    write_rows(tests, [{"id": "tides/1", "instruction": TASK, "code": CODE}])
    done = CliRunner().invoke(
        app, ["decontaminate", str(pairs), "--against", str(tests), *arguments]
    )
    return done.exit_code, done.output


def test_the_command_fails_above_what_is_allowed_and_removes_where_asked(tmp_path: Path) -> None:
    code, output = run(tmp_path)
    assert code == 1
    assert "5 of 6 rows are like a benchmark" in output
    assert run(tmp_path, "--fail-above", "90")[0] == 0
    out, report, page = tmp_path / "clean.jsonl", tmp_path / "r.json", tmp_path / "r.html"
    code, output = run(tmp_path, "--out", str(out), "--report", str(report), "--html", str(page))
    assert code == 0, output
    assert [json.loads(line)["id"] for line in out.read_text().splitlines()] == ["clean"]
    assert run(tmp_path, "--out", str(out), "--fail-above", "50")[0] == 1
    facts = json.loads(report.read_text(encoding="utf-8"))
    assert facts["n_removed"] == 5
    (benchmark,) = facts["benchmarks"].values()
    assert benchmark["similarities"] == [100.0]
    assert "http" not in page.read_text(encoding="utf-8").replace("http-equiv", "")
    again = CliRunner().invoke(
        app, ["decontaminate", str(out), "--against", str(tmp_path / "tides.jsonl")]
    )
    assert again.exit_code == 0  # what stays is clean


def test_the_page_escapes_what_it_shows() -> None:
    hostile = CODE.replace("0", "'<script>alert(1)</script>'")
    page = contamination_html(decontaminate([row("a", chosen=hostile)], BENCHMARK), "<b>")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert "<title>&lt;b&gt;</title>" in page


def test_a_benchmark_that_is_not_here_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="unknown benchmark 'nothing': no such file"):
        benchmark_texts("nothing")
    with pytest.raises(DataError, match="CodePrefBench is not here"):
        benchmark_texts("codeprefbench", tmp_path)
    path = tmp_path / "own.jsonl"
    path.write_text('{"id": "a", "x": 1}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"own.jsonl:1: nothing to compare"):
        benchmark_texts(str(path))


def test_benchmarks_that_are_not_here_are_said_to_be_unchecked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data" / "mbpp"
    folder.mkdir(parents=True)
    write_rows(
        folder / "mbpp.jsonl",
        [
            {
                "task_id": 1,
                "text": TASK,
                "code": CODE,
                "test_list": ["assert tide_hours([], 1) == 0"],
            }
        ],
    )
    monkeypatch.setenv("CODEFAVOR_DATA", str(tmp_path / "data"))
    pairs, report = tmp_path / "pairs.jsonl", tmp_path / "r.json"
    write_rows(pairs, [row("clean").to_row(), row("copy", chosen=CODE).to_row()])
    done = CliRunner().invoke(app, ["decontaminate", str(pairs), "--report", str(report)])
    assert done.exit_code == 1
    facts = json.loads(report.read_text(encoding="utf-8"))
    assert list(facts["benchmarks"]) == ["mbpp"]
    assert {"codeprefbench", "humaneval", "mbpp+"} <= set(facts["not_checked"])
    assert {finding["row_id"] for finding in facts["findings"]} == {"copy"}


def test_dedup_from_the_command_line(tmp_path: Path) -> None:
    pairs, out, gone = (tmp_path / name for name in ("p.jsonl", "o.jsonl", "g.jsonl"))
    write_rows(pairs, (r.to_row() for r in [row("a"), row("b"), row("c", chosen=CODE)]))
    done = CliRunner().invoke(app, ["dedup", str(pairs), "--out", str(out), "--removed", str(gone)])
    assert done.exit_code == 0, done.output
    assert "2 of 3 pairs kept; 1 exact and 0 near copies dropped" in done.output
    assert json.loads(gone.read_text())["kept_id"] == "a"
