"""`scripts/train_test_writer.sh`: its lines parse, and other settings are refused."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path

import pytest

from tests.kit.commands import run_script
from tests.test_reproduce_script import long_command_line, parse  # noqa: F401  a fixture

SCRIPT = Path(__file__).parent.parent / "scripts" / "train_test_writer.sh"
OURS = ("SMOKE", "PLAN", "MODEL", "SFT", "DPO", "GRPO", "PROBLEMS", "TEACHER", "LIMIT", "FIRST")
script = partial(run_script, SCRIPT, OURS)


@pytest.mark.parametrize(
    ("environment", "stages"),
    [
        ({"SMOKE": "1"}, ["sft", "dpo", "grpo"]),
        ({"MODEL": "m", "TEACHER": "openai:t", "PROBLEMS": "p.jsonl"}, ["sft", "dpo", "grpo"]),
        ({"MODEL": "m", "GRPO": "none"}, ["sft", "dpo"]),
    ],
    ids=["smoke", "teacher", "without grpo"],
)
def test_every_command_line_parses(tmp_path, environment, stages, long_command_line):  # noqa: F811
    work = tmp_path / "work"
    work.mkdir()
    done = script(work, PLAN="1", **environment)
    assert done.returncode == 0, done.stderr
    commands = [shlex.split(line) for line in done.stdout.splitlines()]
    for words in commands:
        parse(words)
    assert not list(work.iterdir())
    exported = [words[-1] for words in commands if words[1] == "export"]
    assert exported == [f"{work}/{stage}" for stage in stages]
    # Each stage begins where the one before ended, and all of them and the model are compared.
    bases = [words[words.index("--base") + 1] for words in commands if words[1] == "export"]
    assert bases[1:] == exported[:-1]
    measured = [words[words.index("--name") + 1] for words in commands if words[1] == "evaluate"]
    assert measured == ["base", *stages]
    compared = commands[-1][2:-2]
    names = ["base", *stages]
    assert [path.split("test-writing.")[1].split("-t")[0] for path in compared] == names


def test_other_settings_in_one_folder_are_refused(tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    (work / "settings").write_text("model other\n", encoding="utf-8")
    done = script(work, MODEL="m")
    assert done.returncode == 2
    assert "begun with other settings" in done.stderr
    assert list(work.iterdir()) == [work / "settings"]
