"""The HTML reports: they show the numbers given, escape everything and load nothing."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from codefavor.errors import DataError
from codefavor.evaluation.suite import Task, run_task
from codefavor.judges.spec import parse_judge
from codefavor.records import Execution, Preference, Problem, write_rows, write_text
from codefavor.reports.demo_report import SYSTEMS, build_report, demo_html, summary
from codefavor.reports.pair_view import compare_lines, script_json
from tests.reports.synthetic_report import make_report

ATTACK = "x = '</script><script>alert(1)</script><img src=y onerror=alert(2)>' # <!-- \u2028 &lt;"


class Page(HTMLParser):
    """What a browser's parser sees: tags with attributes, and the text of each script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self._in_script = False
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self._in_script = True
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        self._in_script = self._in_script and tag != "script"

    def handle_data(self, data: str) -> None:
        if self._in_script:
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)
        else:
            self.text += " " + data

    def pairs(self) -> dict[str, Any]:
        [text] = [text for attrs, text in self.scripts if attrs.get("id") == "pairs-data"]
        found: dict[str, Any] = json.loads(text)
        return found


def squeeze(text: str) -> str:
    return re.sub(r"\s+", " ", text.replace("\u2009", ""))


def test_first_screen_states_gain_interval_and_n() -> None:
    text = squeeze(Page(demo_html(make_report())).text)
    assert "The trained judge is right 8.7 points more often than the best untrained one." in text
    assert "interval of the gain +3.1 to +14.2 points" in text
    assert "n = 412 pairs of 84 problems" in text
    assert "McNemar p = 0.002" in text


@pytest.mark.parametrize(
    ("gain", "low", "high", "words"),
    [
        (0.02, -0.01, 0.05, "cannot be told apart: +2.0 points"),
        (-0.04, -0.07, -0.01, "4.0 points less often"),
        (None, None, None, "The gain of training was not measured"),
    ],
    ids=["interval holds zero", "a loss", "not measured"],
)
def test_headline_claims_no_more_than_the_interval(
    gain: float | None, low: float | None, high: float | None, words: str
) -> None:
    report = make_report(n_items=1)
    report["headline"] |= {"gain": gain, "low": low, "high": high}
    assert words in squeeze(Page(demo_html(report)).text)


def test_programs_with_markup_are_shown_and_never_run() -> None:
    plain, report = make_report(n_items=3), make_report(n_items=3)
    for name in ("instruction", "chosen", "rejected", "failed_assert", "error", "problem_id"):
        report["items"][1][name] = ATTACK
    report["title"] = report["systems"][0]["name"] = report["checks"][0]["detail"] = ATTACK
    report["settings"]["note"] = ATTACK
    page = Page(demo_html(report))
    expected = Page(demo_html(plain))
    assert len(page.scripts) == len(expected.scripts)
    assert not [tag for tag, _ in page.tags if tag == "img"]
    item = page.pairs()["items"][1]
    assert item["instruction"] == ATTACK
    assert "".join(text for text, _ in item["lines"][0][0]) == ATTACK
    assert "alert(1)" in page.text


def test_the_file_loads_nothing_from_elsewhere() -> None:
    text = demo_html(make_report(n_items=2))
    page = Page(text)
    for tag, attributes in page.tags:
        for name in ("src", "href", "action", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:")), (tag, name, value)
    assert not re.search(r"url\((?!#)|@import|https?://|fetch\(|XMLHttpRequest|innerHTML", text)


def test_every_image_has_a_text_or_is_hidden_from_readers() -> None:
    for found in re.findall(r"<svg[^>]*>(?:<title>)?", demo_html(make_report())):
        named = found.endswith("<title>")
        assert named or "aria-hidden" in found or 'class="mark' in found, found


def test_compare_lines_marks_only_what_differs() -> None:
    rows = compare_lines("a = 1\nif a < 2:\n    go()\n", "a = 1\nif a <= 2:\n    go()")
    assert rows == [
        ([("a = 1", False)], [("a = 1", False)]),
        (
            [("if a <", False), (" 2:", False)],
            [("if a <", False), ("=", True), (" 2:", False)],
        ),
        ([("    go()", False)], [("    go()", False)]),
    ]


def test_compare_lines_keeps_every_character_of_both_sides() -> None:
    left, right = "x\ny\nz\n\tq = 'é'", "x\nz\n\tq = 'e'\nw"
    rows = compare_lines(left, right)
    for side, text in ((0, left), (1, right)):
        lines = ["".join(part for part, _ in row[side]) for row in rows if row[side] is not None]
        assert "\n".join(lines) == text


def test_script_json_round_trips_and_holds_no_markup() -> None:
    value = {"code": ATTACK, "lone": "\ud800", "n": [1, None, 0.5]}
    text = script_json(value)
    assert not set("<>&\u2028\u2029") & set(text)
    text.encode("utf-8")
    assert json.loads(text) == value


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a finished run, small: six pairs whose better program is the shorter one.

    The "trained" judge is the one that prefers the shorter, all others prefer the longer one.
    """
    execution = Execution("passed", 2, 2).to_row()
    failed = Execution("wrong_output", 1, 2, failed_assert="assert f(1) == 2").to_row()
    pairs = [
        Preference(
            f"pair{n}", "Return x.", "def f(x):\n    return x\n", "def f(x):\n    return x + 1\n",
            evidence={"chosen": execution, "rejected": failed}, level=("easy", "hard")[n % 2],
            problem_id=f"p{n}", meta={"chosen_kind": "reference", "rejected_kind": "off_by_one"},
        )
        for n in range(6)
    ]  # fmt: skip
    problems = [Problem(pair.problem_id, "Return x.", "assert f(1) == 1", "f") for pair in pairs]
    for name, rows in (("pairs/test.jsonl", pairs), ("problems.jsonl", problems)):
        write_rows(tmp_path / name, (row.to_row() for row in rows))
    write_rows(tmp_path / "data/train.jsonl", [{"id": n} for n in range(3)])
    for file, _, _ in SYSTEMS:
        model = "shorter" if file == "trained" else "longer"
        task = Task("pairs", data=tmp_path / "pairs/test.jsonl")
        run_task(task, parse_judge(model), tmp_path / "judged/test" / f"pairs.{file}.json")
    facts = {
        "settings.json": {"split": "test", "recipe": "/x/recipes/smollm2-135m/simpo.yaml",
                          "seed": 0, "train_seed": 1, "n_train": 3},
        "stages.json": {"pairs": {"seconds": 2.5, "command": "codefavor pair mutants"}},
        "leaks.json": {"detail": "nearest instruction 40 of 100"},
        "pairs/programs.jsonl.manifest.json": {"sandbox_level": "L2"},
        "pairs/summary.json": {
            "n_problems": 6, "n_failed": 6, "n_pairs": 9, "n_kept": {"train": 3, "test": 6},
            "outcomes": {"easy": {"wrong_output": 5, "passed": 1}}, "rejected": {"same program": 2},
            "balance": [{"split": "test", "level": "easy", "n": 6, "n_problems": 6,
                         "shorter": 1.0, "longer": 0.0}],
        },
        "train/run.json": {"versions": {"torch": "2"}, "config": {"rl": "simpo"},
                           "hardware": {"cores": 2, "memory_gib": 8.0, "system": "Linux"}},
    }  # fmt: skip
    for name, content in facts.items():
        write_text(tmp_path / name, [json.dumps(content)])
    logs = [{"step": 5, "loss": 0.5, "rewards/margins": 0.25}, {"step": 5, "train_runtime": 12.5}]
    write_rows(tmp_path / "train/metrics.jsonl", logs)
    return tmp_path


def test_a_report_is_computed_from_the_files_of_its_run(run: Path) -> None:
    report = build_report(run)
    assert (report["headline"]["accuracy"], report["headline"]["against_accuracy"]) == (1.0, 0.0)
    assert (report["headline"]["gain"], report["headline"]["n_problems"]) == (1.0, 6)
    # Six of six against none: 2 * 0.5 ** 6.
    assert report["headline"]["p"] == pytest.approx(2 * 0.5**6)
    assert [check["ok"] for check in report["checks"]] == [True, False]
    assert report["training"]["seconds"] == 12.5
    assert [point["margin"] for point in report["training"]["points"]] == [0.25]
    [trained] = [one for one in report["systems"] if one["name"] == "trained"]
    assert {level: one["n"] for level, one in trained["by_level"].items()} == {"easy": 3, "hard": 3}
    assert all(item["verdicts"]["trained"]["score"] == 1 for item in report["items"])
    text = squeeze(Page(demo_html(report)).text)
    assert "The trained judge is right 100.0 points more often" in text
    assert report["training"]["method"] == "simpo"
    assert "recipes/smollm2-135m/simpo.yaml" in text
    assert next(iter(summary(report))).startswith("random")


def test_an_unfinished_run_is_named(run: Path) -> None:
    (run / "judged/test/pairs.trained.json").unlink()
    with pytest.raises(DataError, match=r"pairs\.trained\.json: no such file"):
        build_report(run)
