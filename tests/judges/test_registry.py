"""What a judge's signature says becomes its flags, its help, its row in a result; nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from codefavor.cli.evaluate import app
from codefavor.cli.judge_flags import complete_model
from codefavor.errors import ConfigError
from codefavor.judges.registry import JUDGES, all_options, judge_kind
from codefavor.judges.spec import RENAMED, parse_judge
from codefavor.records import Preference, write_rows

NEW_JUDGE = '''
from typing import Annotated
from codefavor.judges.options import Option
from codefavor.records import Verdict

class FirstJudge:
    """The program whose first character sorts first."""

    def __init__(self, letter: Annotated[str, Option("The letter.", is_name=True, shown="LETTER")],
                 *, stubbornness: Annotated[int, Option("How stubborn it is.", high=9)] = 3):
        self.name = "first " + letter

    async def compare(self, comparisons):
        return [Verdict("A" if one.code_a < one.code_b else "B") for one in comparisons]
'''
# What a user of the new judge types, with the one line that the registry gets.
WITH_IT = """
import sys
from codefavor.judges.registry import JUDGES
JUDGES["first"] = "new_judge:FirstJudge"
from codefavor.cli.main import main
sys.argv = ["codefavor", *sys.argv[1:]]
main()
"""


def pairs_file(folder):
    rows = [Preference(f"p{n}", "Do it.", f"a{n}", f"b{n}", problem_id=f"q{n}") for n in range(3)]
    write_rows(folder / "pairs.jsonl", [row.to_row() for row in rows])
    return folder / "pairs.jsonl"


def test_a_new_judge_is_one_file_and_one_line(tmp_path):
    (tmp_path / "new_judge.py").write_text(NEW_JUDGE)

    def codefavor(*words):
        done = subprocess.run(
            [sys.executable, "-c", WITH_IT, *words],
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "120"},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    evaluate = ["evaluate", "pairs", "--data", str(pairs_file(tmp_path))]
    code, output = codefavor(*evaluate, "--model", "first:x", "--stubbornness", "4")
    assert code == 0, output
    result = json.loads((tmp_path / "results" / "pairs.first-x.json").read_text())
    assert result["judge"] == {
        "name": "first x", "kind": "first", "model": "first:x", "letter": "x", "stubbornness": 4,
    }  # fmt: skip
    assert result["metrics"]["overall"]["accuracy"] == 1
    code, output = codefavor(*evaluate, "--model", "first:x", "--help")
    assert "How stubborn it is." in output and "sorts first" in output and "--mode " not in output
    assert "first:LETTER" in codefavor(*evaluate, "--help")[1]
    code, output = codefavor(*evaluate, "--model", "first:x", "--stubbornness", "10")
    assert code == 2 and "--stubbornness is 10" in output
    assert (
        "the judge random has no option --stubbornness"
        in codefavor(*evaluate, "--model", "random", "--stubbornness", "1")[1]
    )


def test_options_of_one_name_are_one_flag():
    for name, kinds in all_options().items():
        shapes = {(option.plain_type, option.choices) for _, option in kinds}
        assert len(shapes) == 1, f"--{name} means different things"


def test_every_option_and_judge_says_what_it_is():
    for name in JUDGES:
        kind = judge_kind(name)
        assert kind.help.endswith(".") and len(kind.help) < 100, name
        for option in kind.options.values():
            assert option.spec.help.endswith("."), (name, option.name)


@pytest.mark.parametrize("old", sorted(RENAMED))
def test_an_old_name_is_refused_with_the_new_one(old):
    with pytest.raises(ConfigError, match=f"is called {RENAMED[old]!r}"):
        parse_judge(f"{old}:x")


def refused(tmp_path, *words):
    fixed = ["pairs", "--data", pairs_file(tmp_path), "--out", tmp_path / "r"]
    found = CliRunner().invoke(app, [str(word) for word in (*fixed, *words)])
    assert found.exit_code != 0
    assert not (tmp_path / "r").exists()
    return found.output + str(found.exception)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--model shorter --mode letter", "the judge shorter has no option --mode"),
        ("--model shorter --budget-usd 1", "--budget-usd is for chat models"),
        ("--model shorter --set a=b", "--set is for chat models"),
        ("--model jury:shorter,longer --no-cache", "--no-cache is for chat models"),
        ("--model pairwise:x --reduction sum", "no option --reduction"),
        ("--model openai:m --adapter x", "no option --adapter"),
        ("--model openai:m --mode x", "is not one of"),
        (
            "--model cascade:shorter,execution --min-confidence 0.2",
            "expected a number from 0.5 to 1",
        ),
        ("--model random --aspects security", "--aspects"),
        ("--model random --comments keep", "--comments"),
        ("--model random --attack-side both", "belongs to --attack"),
        ("--model random --stored x.json", "belongs to --rescore"),
        ("--model random --rescore --fresh", "does not go with --rescore"),
        ("--model random --model-type random", "give --model, or the original's"),
        ("--model jury:shorter", "two members or more"),
        ("--model jury:jury:a,shorter", "cannot have a jury as a member"),
    ],
)
def test_what_does_not_apply_is_refused_and_nothing_is_written(words, message, tmp_path):
    assert message in " ".join(refused(tmp_path, *words.split()).split())


@pytest.mark.parametrize(
    ("judge", "shown", "hidden"),
    [
        ("likelihood:x", ["--reduction", "--adapter"], ["--mode", "--budget-usd", "--cpu-s"]),
        ("openai:x", ["--mode", "--base-url", "--budget-usd"], ["--adapter", "--reduction"]),
        ("cascade:shorter,execution", ["--min-confidence", "--cpu-s"], ["--mode", "--weights"]),
    ],
)
def test_help_behind_a_judge_shows_the_options_of_that_judge(judge, shown, hidden):
    output = CliRunner(env={"COLUMNS": "120"}).invoke(app, ["pairs", "-m", judge, "--help"]).output
    listed = set(re.findall(r"^│\s+(--[\w-]+)", output, re.MULTILINE))
    assert set(shown) <= listed
    assert not set(hidden) & listed


def test_a_shell_is_offered_the_kinds_of_judges():
    assert ("likelihood:", judge_kind("likelihood").help) in complete_model("l")
    assert {name for name, _ in complete_model("sh")} == {"shorter"}


def test_no_other_file_lists_the_judges():
    """The two places that once had to know every judge are gone, and none took their place."""
    package = Path(__file__).parents[2] / "codefavor"
    for path in package.rglob("*.py"):
        # The demo is what a user would type, judge by judge.
        if path.name in ("registry.py", "demo.py") or "judges" in path.parts:
            continue
        text = path.read_text(encoding="utf-8")
        assert not ('"likelihood"' in text and '"pairwise"' in text and '"reward"' in text), path
