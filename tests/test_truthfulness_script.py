"""`scripts/truthfulness_curriculum.sh`: its lines parse, and other settings are refused."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path

import pytest

from tests.kit.commands import run_script
from tests.test_reproduce_script import long_command_line, parse  # noqa: F401  a fixture

SCRIPT = Path(__file__).parent.parent / "scripts" / "truthfulness_curriculum.sh"
OURS = ("DATA", "TEACHER", "MODEL", "RECIPE", "CURRICULUM", "TRUTHFULQA", "LIMIT", "TRAIN", "SMOKE")
script = partial(run_script, SCRIPT, OURS)


@pytest.mark.parametrize(
    ("environment", "verbs"),
    [
        ({}, {"recipes", "pair", "evaluate", "convert", "train", "export", "compare"}),
        ({"SMOKE": "1"}, {"recipes", "pair", "evaluate", "convert", "train", "export", "compare"}),
        (
            {"DATA": "qa.jsonl", "MODEL": "m", "TEACHER": "openai:t"},
            {"synthesise", "pair", "evaluate", "convert", "train", "export", "compare"},
        ),
    ],
    ids=["programs", "smoke", "questions"],
)
def test_every_command_line_parses(tmp_path, environment, verbs, long_command_line):  # noqa: F811
    work = tmp_path / "work"
    work.mkdir()
    done = script(work, PLAN="1", **environment)
    assert done.returncode == 0, done.stderr
    commands = [shlex.split(line) for line in done.stdout.splitlines()]
    for words in commands:
        parse(words)
    assert {words[1] for words in commands} == verbs
    assert not list(work.iterdir())
    curriculum = next(words for words in commands if words[1] == "convert")
    assert "staged.yaml" in curriculum[curriculum.index("--curriculum") + 1]
    benchmarks = {words[2] for words in commands if words[1] == "evaluate"}
    assert benchmarks == ({"pairs"} if "SMOKE" in environment else {"pairs", "truthfulqa-mc"})


def test_without_a_teacher_no_stage_asks_for_hard_pairs(tmp_path):
    done = script(tmp_path / "work", PLAN="1", DATA="qa.jsonl", MODEL="m")
    assert "without_hard.yaml" in done.stdout


def test_other_settings_in_one_folder_are_refused(tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    (work / "settings").write_text("data other\n", encoding="utf-8")
    done = script(work, MODEL="m", DATA="qa.jsonl")
    assert done.returncode == 2
    assert "begun with other settings" in done.stderr
    assert list(work.iterdir()) == [work / "settings"]
