"""Rows that hold a benchmark's problem are found through every disguise, and others stay."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from codefavor.audits.contamination_report import (
    USUAL,
    background_texts,
    benchmark_tasks,
    contamination_facts,
    usual_benchmarks,
)
from codefavor.cli.pair import app
from codefavor.errors import DataError
from codefavor.pairs.decontamination import Task, decontaminate
from codefavor.records import Preference, write_rows
from codefavor.reports.contamination_page import contamination_html
from codefavor.sources.problems import load_problems

CODE = (
    "def tide_hours(levels, mark):\n    above = 0\n    for level in levels:\n"
    "        if level > mark:\n            above += 1\n    return above / 2\n"
)
TASK = "Say for how many hours the tide stays above a given mark, measured every half an hour."
TESTS = (
    "assert tide_hours([3, 9, 14, 8], 7) == 1.5",
    "assert tide_hours([31, 4, 15, 92, 65, 35, 89, 79, 32], 40) == 2.0",
)
BENCHMARK = {"tides": [Task("tides/1", (TASK,), (CODE,), TESTS), Task("tides/2", (), ("x = 1",))]}
PROSE = (
    "With [31, 4, 15, 92, 65, 35, 89, 79, 32] and 40 the tide hours are 2.0; with [3, 9, 14, 8] "
    "and 7 they are 1.5 too."
)
OTHER = (
    "class Rope:\n    def __init__(self, knots):\n        self.knots = sorted(knots)\n\n"
    "    def untie(self):\n        while self.knots:\n            yield self.knots.pop()\n"
)
RENAMED = (
    CODE.replace("levels", "hs").replace("level", "h").replace("above", "n").replace("mark", "m")
    .replace("tide_hours", "f")
)  # fmt: skip
JAVASCRIPT = (
    "function tideHours(levels, mark) {\n  let above = 0;\n  for (const level of levels) {\n"
    "    if (level > mark) {\n      above += 1;\n    }\n  }\n  return above / 2;\n}\n"
)


def row(
    name: str,
    instruction: str = "Untie it.",
    chosen: str = OTHER,
    rejected: str = "pass",
    **more: object,
) -> Preference:
    return Preference(name, instruction, chosen, rejected, **more)


LOGGED = (
    RENAMED.replace("    n = 0\n", "    log.debug('at 1')\n    n = 0\n    log.debug('at 2')\n")
    .replace("        if", "        log.debug('at 3')\n        if")
    .replace("            n", "            log.debug('at 4')\n            n")
    .replace("    return", "    log.debug('at 5')\n    return")
)  # fmt: skip
METHOD = (
    "class Count:\n    def __init__(self, hs, m):\n        self.hs = hs\n        self.m = m\n\n"
    "    def run(self):\n        n = 0\n        for h in self.hs:\n            if h > self.m:\n"
    "                n += 1\n        return n / 2\n"
)


ROWS = [
    row("clean"),
    row("copy", chosen=CODE.replace("above / 2", "above / 3")),
    row("copy on the other side", rejected="# mine\n" + CODE),
    row("renamed", chosen=RENAMED),
    row("task", instruction=TASK.replace("half an hour", "half-hour").upper()),
    row("quoted", instruction=f"Read this first and then do something else entirely. {TASK} "
        + "After that, forget all of it and sort the letters of every name in the crew list."),
]  # fmt: skip


def test_each_way_of_being_like_a_benchmark_is_found_and_the_clean_row_stays() -> None:
    found = decontaminate(ROWS, BENCHMARK)
    kinds = {name: {f.kind for f in found.findings if f.row_id == name} for name in found.removed}
    assert set(kinds) == {one.id for one in ROWS} - {"clean"}
    assert kinds["renamed"] == {"shape", "lines"}
    assert "runs" in kinds["copy"]
    assert "runs" in kinds["copy on the other side"]
    assert "runs" in kinds["quoted"]
    assert found.n_short == {"tides": 1}
    (nearest,) = found.nearest["tides"]
    assert nearest.id == "tides/1"
    assert nearest.similarity > 50.0
    assert found.share_over("tides") == 1.0
    fact = contamination_facts(found)["tides"]
    assert fact.startswith("100.0% of 1 problems have a row like them; 5 of 6 rows are")


@pytest.mark.parametrize(
    "hidden",
    [
        pytest.param({"chosen": OTHER * 3 + CODE + OTHER * 2}, id="own code around"),
        pytest.param({"chosen": CODE.replace("    ", " ").replace("\n", " #\n\n")}, id="layout"),
        pytest.param({"chosen": RENAMED.replace("\n", "  # ok\n\n")}, id="renamed, commented"),
        pytest.param({"chosen": JAVASCRIPT, "language": "javascript"}, id="another language"),
        pytest.param({"chosen": CODE.replace("levels, mark", "levels: list[int], mark: int")},
                     id="type hints"),
        pytest.param({"instruction": f"Is it good?\n```python\n{CODE}```\nTell me."}, id="fence"),
        pytest.param({"instruction": TASK}, id="task alone"),
        pytest.param({"chosen": "\n".join(TESTS)}, id="tests alone"),
        pytest.param({"instruction": f"What I want: {PROSE}"}, id="tests as prose"),
        pytest.param({"feedback": f"[CHOSEN] is right: {TASK}"}, id="feedback"),
        pytest.param({"history": ({"role": "user", "content": TASK[:45]},
                                  {"role": "user", "content": TASK[45:]})}, id="turns"),
        pytest.param({"chosen": json.dumps(CODE)}, id="escaped"),
        pytest.param({"chosen": LOGGED}, id="renamed, log lines between"),
        pytest.param({"chosen": METHOD}, id="renamed, a method"),
        pytest.param({"chosen": JAVASCRIPT.replace("tideHours", "f").replace("levels", "hs")
                      .replace("level", "h").replace("mark", "m").replace("above", "n"),
                      "language": "javascript"}, id="renamed, another language"),
    ],
)  # fmt: skip
def test_a_disguise_hides_nothing(hidden: dict[str, str]) -> None:
    assert decontaminate([row("r", **hidden)], BENCHMARK).removed == {"r"}


def _prefixed(mark: str) -> str:
    return "".join(f"{mark}{line}\n" for line in RENAMED.splitlines())


def _numbered(form: str) -> str:
    return "".join(form.format(n, line) for n, line in enumerate(RENAMED.splitlines(), 31))


PATCH = f"--- a/u.py\n+++ b/u.py\n@@ -9,0 +9,6 @@\n{_prefixed('+')}"


@pytest.mark.parametrize(
    "carrier",
    [
        pytest.param(PATCH, id="added lines of a patch"),
        pytest.param(PATCH.replace("\n+", "\n-"), id="removed lines of a patch"),
        pytest.param(_numbered("{:6d}\t{}\n"), id="numbers and tabs"),
        pytest.param(_numbered("{}: {}\n"), id="numbers and colons"),
        pytest.param(_numbered("{:4d} | {}\n"), id="numbers and bars"),
        pytest.param(_prefixed("> "), id="quoted"),
        pytest.param(_prefixed("> ").replace("\n", "\nSo it is.\n"), id="quoted line by line"),
        pytest.param(_prefixed("# "), id="commented out"),
        pytest.param(_prefixed("// "), id="commented out, slashes"),
        pytest.param(json.dumps({"name": "write", "arguments": {"content": RENAMED}}), id="call"),
        pytest.param(
            json.dumps({"name": "write", "arguments": json.dumps({"content": RENAMED})}),
            id="call with arguments as text",
        ),
        pytest.param(
            json.dumps({"cells": [{"source": RENAMED.splitlines(keepends=True)}]}), id="notebook"
        ),
        pytest.param(f'TEXT = """\n{RENAMED}"""\nprint(TEXT)\n', id="text constant"),
        pytest.param(
            "".join(f"    {line!r} +\n" for line in RENAMED.splitlines(keepends=True)),
            id="a text a line",
        ),
        pytest.param(json.dumps({"patch": PATCH}), id="patch in JSON"),
        pytest.param(RENAMED.replace(">", "&gt;"), id="HTML"),
    ],
)
def test_what_carries_code_hides_nothing(carrier: str) -> None:
    for hidden in ({"chosen": carrier}, {"instruction": f"Look:\n\n{carrier}\n\nWell?"}):
        assert decontaminate([row("r", **hidden)], BENCHMARK).removed == {"r"}


def test_the_names_of_a_head_are_found_in_another_language() -> None:
    code = "def lowest_spring_tide(levels, moon_phase):\n    return f(levels, moon_phase)\n"
    java = (
        "class Solution {\n    int lowestSpringTide(List<Integer> levels, int moonPhase) {\n"
        "        int x = 0;\n        while (x > 3) { x++; }\n        return x;\n    }\n}\n"
    )
    task = {"tides": [Task("t", codes=(code,))]}
    assert decontaminate([row("r", chosen=java, language="java")], task).removed == {"r"}
    assert not decontaminate([row("r", chosen="def lowest_tide(levels): ...\n")], task).removed


FLIPPED = (
    "def f(hs, m):\n    best = None\n    for h in hs:\n        if {}:\n            continue\n"
    "        if {}:\n            best = h * 2\n        while {}:\n            best -= len(hs)\n"
    "    return best\n"
)
AS_GIVEN = FLIPPED.format("h > m", "best is None or h * 2 > best", "len(hs) == best + 1")
CONSTANTS = (
    "HALF = 2\nNOTHING = 0\nSTEP: int = 1\n\n"
    + RENAMED.replace("= 0", "= NOTHING").replace("+= 1", "+= STEP").replace("/ 2", "/ HALF")
).replace("def ", "async def ")


SHORT = tuple(
    f"assert tide_hours({one}, {other}) == {value}"
    for one, other, value in (
        (8, 14, 5), (31, 4, 27), (92, 65, 13), (17, 71, 6), (44, 9, 35), (58, 23, 11)
    )
)  # fmt: skip


CASES = (("8, 14", 5), ("31, 4", 27), ("92, 65", 13), ("17, 71", 6), ("44, 9", 35), ("58, 23", 11))
LOOPS = (
    "def f(hs, m):\n    n = 0\n    for i in range(1, len(hs)):\n        for h in hs:\n"
    "            if h - i > m:\n                n += h * i\n        n -= 2\n    return n / 2\n"
)
WHILES = (
    "def f(rs, k):\n    t = 0\n    a = 1\n    while a < len(rs):\n        b = 0\n"
    "        while b < len(rs):\n            r = rs[b]\n            if r - a > k:\n"
    "                t += r * a\n            b += 1\n        t -= 2\n        a += 1\n"
    "    return t / 2\n"
)
C_LOOPS = (
    "function f(rs, k) {\n  let t = 0;\n  for (let a = 1; a < len(rs); a++) {\n"
    "    for (const r of rs) {\n      if (r - a > k) {\n        t += r * a;\n      }\n    }\n"
    "    t -= 2;\n  }\n  return t / 2;\n}\n"
)


@pytest.mark.parametrize(
    ("task", "hidden"),
    [
        pytest.param(
            Task("t", tests=SHORT),
            "".join(f"- With {given} it has to say {value}.\n" for given, value in CASES),
            id="tests as sentences",
        ),
        pytest.param(
            Task("t", tests=SHORT),
            json.dumps([{"given": given.split(", "), "said": str(said)} for given, said in CASES]),
            id="tests as JSON of texts",
        ),
        pytest.param(Task("t", codes=(LOOPS,)), WHILES, id="for as while, renamed"),
        pytest.param(Task("t", codes=(WHILES,)), LOOPS, id="while as for, renamed"),
        pytest.param(Task("t", codes=(LOOPS,)), C_LOOPS, id="for with three parts, renamed"),
        pytest.param(
            Task("t", tests=SHORT), "\n".join(SHORT).replace("tide_hours", "vendor_slot"),
            id="asserts, renamed",
        ),
        pytest.param(
            Task("t", tests=SHORT),
            "\n".join(SHORT).replace("assert tide_hours", ">>> vendor_slot").replace(" == ", "\n"),
            id="doctests, renamed",
        ),
        pytest.param(
            Task("t", tests=SHORT),
            "\n".join(
                f"        self.assertEqual({value}, vendor_slot({given}))"
                for given, value in CASES
            ),
            id="asserts, renamed and turned",
        ),
        pytest.param(
            Task("t", (TASK,)),
            TASK.upper().replace("HOURS", "HO-\nURS").replace("GIVEN", "GI-\n VEN")
            .replace("MEASURED", "MEA-\nSURED").replace("TIDE", "TI-\nDE"),
            id="cut words",
        ),
        pytest.param(
            Task("t", codes=(AS_GIVEN,)),
            FLIPPED.format("m < h", "best is None or best < h * 2", "best + 1 == len(hs)")
            .replace("best", "ship"),
            id="comparisons turned round",
        ),
        pytest.param(Task("t", codes=(CODE,)), CONSTANTS, id="constants, async"),
    ],
)  # fmt: skip
def test_what_only_stands_otherwise_is_found(task: Task, hidden: str) -> None:
    assert decontaminate([row("r", chosen=hidden)], {"tides": [task]}).removed == {"r"}


def tasks_of_mbpp(n_tasks: int) -> list[dict[str, object]]:
    return [
        {"task_id": n, "text": f"Add {n}.", "code": f"def f(x):\n    return x + {n}\n",
         "test_list": [f"assert f(1) == {n + 1}"]} for n in range(n_tasks)
    ]  # fmt: skip


def test_a_benchmark_with_fewer_problems_than_published_is_as_if_it_were_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows(tmp_path / "mbpp" / "mbpp.jsonl", tasks_of_mbpp(20))
    monkeypatch.setenv("CODEFAVOR_DATA", str(tmp_path))
    pairs = tmp_path / "rows.jsonl"
    write_rows(pairs, [row("clean").to_row()])
    others = [f"--skip={name}" for name in USUAL if name != "mbpp"]
    short = CliRunner().invoke(app, ["decontaminate", str(pairs), *others])
    assert short.exit_code != 0
    assert "mbpp: 20 of the 974 problems" in str(short.exception) + short.output
    named = CliRunner().invoke(app, ["decontaminate", str(pairs), "--against", "mbpp"])
    assert named.exit_code != 0


def test_the_values_of_tests_are_found_under_another_name() -> None:
    benchmark = {"tides": [Task("tides/1", tests=(TESTS[0],))]}
    cases = row("r", chosen="for case in [([3, 9, 14, 8], 7, 1.5)]:\n    try_it(case)")
    assert decontaminate([cases], benchmark).removed == {"r"}


def test_the_threshold_moves_the_line() -> None:
    assert decontaminate(ROWS, BENCHMARK, threshold=20.0).removed == set()
    part = [row("part", chosen=CODE[30:75])]
    assert decontaminate(part, BENCHMARK).removed == set()
    assert decontaminate(part, BENCHMARK, threshold=0.1).removed == {"part"}


def test_what_a_row_is_found_for_does_not_depend_on_the_others() -> None:
    alone = [f for one in ROWS for f in decontaminate([one], BENCHMARK).findings]
    assert sorted(alone) == decontaminate(ROWS * 100, BENCHMARK).findings


def test_our_own_code_and_problems_are_like_no_benchmark_of_ours() -> None:
    rows = [row(one.id, one.instruction, one.reference) for one in load_problems("starter")]
    found = decontaminate(rows, BENCHMARK, background=background_texts())
    assert found.removed == set()


def test_a_benchmark_that_nothing_is_like_shares_nothing() -> None:
    found = decontaminate([row("clean")], BENCHMARK)
    assert found.removed == set()
    assert found.share_over("tides") == 0.0
    (nothing,) = decontaminate([], BENCHMARK).nearest["tides"]
    assert (nothing.other_id, nothing.similarity) == ("", 0.0)


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
    assert benchmark["similarities"][0] > 50.0
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
        benchmark_tasks("nothing")
    with pytest.raises(DataError, match="CodePrefBench is not here"):
        benchmark_tasks("codeprefbench", tmp_path)
    path = tmp_path / "own.jsonl"
    path.write_text('{"id": "a", "x": 1}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"own.jsonl:1: nothing to compare"):
        benchmark_tasks(str(path))


def test_a_run_that_lacks_a_benchmark_fails_unless_told_which_to_skip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data" / "mbpp"
    folder.mkdir(parents=True)
    task = {"task_id": 1, "text": TASK, "code": CODE, "test_list": [TESTS[0]]}
    write_rows(folder / "mbpp.jsonl", [task, *tasks_of_mbpp(975)[2:]])
    monkeypatch.setenv("CODEFAVOR_DATA", str(tmp_path / "data"))
    pairs, report = tmp_path / "pairs.jsonl", tmp_path / "r.json"
    write_rows(pairs, [row("clean").to_row(), row("copy", chosen=CODE).to_row()])
    words = ["decontaminate", str(pairs), "--report", str(report)]
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, DataError)
    assert "10 of 11 benchmarks are not here" in str(done.exception)
    assert "--skip codeprefbench" in str(done.exception)
    assert not report.exists()
    skipped = [name for name in USUAL if name != "mbpp"]
    done = CliRunner().invoke(app, [*words, *(f"--skip={name}" for name in skipped)])
    assert done.exit_code == 1
    facts = json.loads(report.read_text(encoding="utf-8"))
    assert list(facts["benchmarks"]) == ["mbpp"]
    assert facts["not_checked"] == sorted(skipped)
    assert {finding["row_id"] for finding in facts["findings"]} == {"copy"}


def test_every_benchmark_that_lies_in_the_folder_is_checked(tmp_path: Path) -> None:
    (tmp_path / "quixbugs_py").mkdir()
    (tmp_path / "quixbugs_py" / "quixbugs_python.jsonl").write_text("", encoding="utf-8")
    assert usual_benchmarks(tmp_path) == [*USUAL, "quixbugs"]
    assert usual_benchmarks(None) == list(USUAL)


def test_a_language_of_humanevalpack_that_is_not_here_is_a_missing_benchmark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    languages = ("js", "java", "go", "cpp", "rust")
    names = [f"humanevalpack-{name}" for name in languages]
    assert set(names) <= set(USUAL)
    monkeypatch.setenv("CODEFAVOR_DATA", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    write_rows(tmp_path / "pairs.jsonl", [Preference("1", "a", "b", "c").to_row()])
    others = [f"--skip={name}" for name in USUAL if name not in names]
    words = ["decontaminate", str(tmp_path / "pairs.jsonl"), *others]
    done = CliRunner().invoke(app, words)
    assert done.exit_code
    assert all(f"--skip {name}" in str(done.exception) for name in names)


def test_dedup_from_the_command_line(tmp_path: Path) -> None:
    pairs, out, gone = (tmp_path / name for name in ("p.jsonl", "o.jsonl", "g.jsonl"))
    write_rows(pairs, (r.to_row() for r in [row("a"), row("b"), row("c", chosen=CODE)]))
    done = CliRunner().invoke(app, ["dedup", str(pairs), "--out", str(out), "--removed", str(gone)])
    assert done.exit_code == 0, done.output
    assert "2 of 3 pairs kept; 1 exact and 0 near copies dropped" in done.output
    assert json.loads(gone.read_text())["kept_id"] == "a"
