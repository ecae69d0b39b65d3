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


def test_a_level_without_pairs_is_said_and_left_out_of_the_curriculum(tmp_path):
    """A teacher was asked for hard pairs, and none is left; a stub stands in for the commands."""
    home, work = tmp_path / "home", tmp_path / "work"
    (home / "scripts").mkdir(parents=True)
    command = home / ".venv" / "bin" / "codefavor"
    command.parent.mkdir(parents=True)
    command.write_text(
        '#!/bin/bash\nif [ "$1" = pair ] && [ "$2" = split ]; then mkdir -p "$5"; '
        'echo \'{"level": "easy"}\' | tee "$5/dev.jsonl" > "$5/train.jsonl"; fi\n'
        '[ "$1" = evaluate ] && { mkdir -p "${@: -1}"; touch "${@: -1}/$2.x.json"; }\nexit 0\n'
    )
    command.chmod(0o755)
    for name in ("walk.sh", SCRIPT.name):
        (home / "scripts" / name).write_text((SCRIPT.parent / name).read_text())
    settings = {"DATA": "qa.jsonl", "MODEL": "m", "TEACHER": "openai:t"}
    done = run_script(home / "scripts" / SCRIPT.name, OURS, work, **settings)
    assert done.returncode == 0, done.stderr
    assert "No pair to train on is hard" in done.stderr
    assert "curricula/without_hard.yaml" in done.stderr
    assert "staged.yaml" not in done.stderr


def test_other_settings_in_one_folder_are_refused(tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    (work / "settings").write_text("data other\n", encoding="utf-8")
    done = script(work, MODEL="m", DATA="qa.jsonl")
    assert done.returncode == 2
    assert "begun with other settings" in done.stderr
    assert list(work.iterdir()) == [work / "settings"]
