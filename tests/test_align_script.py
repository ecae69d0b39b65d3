"""`scripts/align_from_tests.sh`: its lines parse; it stops, resumes and chooses as it says."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_reproduce_script import long_command_line, option, parse  # noqa: F401  a fixture

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "scripts" / "align_from_tests.sh"

# In the place of `codefavor`: writes down what it is called with, and what each verb leaves. The
# model of a round scores what RATES says; the verb named by FAIL fails once it was written down.
STUB = """\
import json, os, sys
from pathlib import Path
words = sys.argv[1:]
with open(os.environ["CALLS"], "a") as log:
    log.write(json.dumps(words) + "\\n")
def option(name):
    return words[words.index(name) + 1]
if words[0] == os.environ.get("FAIL"):
    sys.exit(1)
if words[0] == "evaluate":
    name, split = option("--name"), option("--split")
    out = Path(option("--out"))
    (out / "rows").mkdir(parents=True, exist_ok=True)
    path = f"{words[1]}.{name}-t{option('--temperature')}-n{option('--samples')}.json"
    rate = json.loads(os.environ["RATES"])[int(name.removeprefix("round"))]
    result = {"metrics": {"pass_at_k": {"1": {"mean": rate}}}}
    (out / path).write_text(json.dumps(result))
    (out / "rows" / (path + "l")).write_text("{}")
if words[:2] == ["pair", "tests"]:
    assert Path(words[2]).is_file(), words
    Path(option("--out")).parent.mkdir(parents=True, exist_ok=True)
    Path(option("--out")).write_text(pairs := os.environ.get("PAIRS", "{}\\n"))
    sys.exit(0 if pairs else 1)
if words[0] == "export":
    model = Path(option("--out"))
    model.mkdir()
    (model / "config.json").write_text("{}")
if words[0] == "compare":
    assert Path(words[1]).is_file() and Path(words[2]).is_file(), words
"""


@pytest.fixture
def house(tmp_path):
    """A checkout whose `codefavor` is the stub, with a model folder."""
    (tmp_path / "scripts").mkdir()
    for script in (SCRIPT, SCRIPT.with_name("walk.sh")):
        shutil.copy(script, tmp_path / "scripts")
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "stub.py").write_text(STUB)
    (programs / "codefavor").write_text(
        f'#!/bin/sh\nexec {sys.executable} {programs}/stub.py "$@"\n'
    )
    (programs / "codefavor").chmod(0o755)
    (programs / "python").symlink_to(sys.executable)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    return tmp_path


def walk(house: Path, rates: list[float], **environment: str) -> tuple[int, str, list[list[str]]]:
    """Exit code, what was said, and the calls of `codefavor` so far."""
    done = subprocess.run(
        ["bash", "scripts/align_from_tests.sh"],
        cwd=house,
        env={
            **os.environ, "MODEL": "model", "RECIPE": "r.yaml", "SMOKE": "", "PLAN": "",
            "WORK": "work", "CALLS": str(house / "calls"), "RATES": json.dumps(rates),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )  # fmt: skip
    calls = [json.loads(line) for line in (house / "calls").read_text().splitlines()]
    return done.returncode, done.stderr, calls


def models(calls: list[list[str]], split: str) -> list[str]:
    return [
        option(words, "--model")
        for words in calls
        if words[0] == "evaluate" and option(words, "--split") == split
    ]


def test_every_command_line_parses(tmp_path, long_command_line):  # noqa: F811
    done = subprocess.run(
        ["bash", str(SCRIPT)],
        env={**os.environ, "PLAN": "1", "SMOKE": "", "WORK": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    commands = [shlex.split(line) for line in done.stdout.splitlines()]
    for words in commands:
        parse(words)
    assert {words[1] for words in commands} == {
        "recipes", "evaluate", "pair", "train", "export", "compare",
    }  # fmt: skip
    assert not list(tmp_path.iterdir())


def test_a_smoke_run_does_not_train_at_the_rate_0_of_a_warm_up():
    done = subprocess.run(
        ["bash", str(SCRIPT)],
        env={**os.environ, "PLAN": "1", "SMOKE": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    (trained,) = [line for line in done.stdout.splitlines() if line.startswith("codefavor train")]
    assert "--set warmup_steps=0" in trained


def test_rounds_go_on_while_dev_gets_better_and_the_best_is_compared(house):
    code, said, calls = walk(house, [0.1, 0.2, 0.15, 0.9])
    assert code == 0, said
    first, second = "local:work/round1/model", "local:work/round2/model"
    assert models(calls, "dev") == ["local:model", first, second]
    # Sampled are the training problems alone, by the newest model; the third round never began.
    assert models(calls, "train") == ["local:model", first]
    assert models(calls, "test") == ["local:model", first]
    trained = [words for words in calls if words[0] == "train"]
    assert [words[words.index("--set") + 1] for words in trained] == [
        "base_model=model",
        "base_model=work/round1/model",
    ]
    assert "the model is work/round1/model" in said


def test_where_nothing_helps_the_model_as_it_was_is_the_result(house):
    code, said, calls = walk(house, [0.3, 0.3])
    assert code == 0, said
    assert models(calls, "test") == ["local:model", "local:work/round1/model"]
    assert "No round was better" in said
    assert said.rstrip().endswith("the model is model")


def test_a_run_that_was_cut_short_goes_on(house):
    assert walk(house, [0.1, 0.2, 0.1], FAIL="export")[0] == 1
    (house / "calls").unlink()
    code, said, calls = walk(house, [0.1, 0.2, 0.1])
    assert code == 0, said
    (house / "calls").unlink()
    # Finished: the verbs that keep their own journal are asked again, nothing is trained twice.
    code, said, calls = walk(house, [0.1, 0.2, 0.1])
    assert code == 0, said
    assert not [words for words in calls if words[0] in ("train", "export")]


def test_other_settings_in_one_folder_are_refused(house):
    walk(house, [0.1, 0.1])
    code, said, _ = walk(house, [0.1, 0.1], TEMPERATURE="0.2")
    assert code == 2
    assert "temperature 0.2" in said


def test_a_round_without_pairs_says_so(house):
    code, said, calls = walk(house, [0.1, 0.2], PAIRS="")
    assert code == 1
    assert "has no pairs" in said
    assert not [words for words in calls if words[0] in ("train", "compare")]


def test_a_model_that_is_no_folder_is_refused(house):
    (house / "calls").touch()
    code, said, calls = walk(house, [0.1], MODEL="some/hub-id")
    assert code == 2
    assert "some/hub-id" in said
    assert not calls
