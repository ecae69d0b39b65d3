"""What backs a label: only what ran, and only if it speaks for the label."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from codefavor.cli.main import app
from codefavor.journal_manifest import noted_together
from codefavor.records import Preference, Row, write_rows
from codefavor.scoring.provenance import backing_of

PASSED = {"outcome": "passed", "passed": 4, "total": 4}
FAILED = {"outcome": "wrong_output", "passed": 2, "total": 4}
WORSE = {"outcome": "wrong_output", "passed": 1, "total": 4}
VALID = {"is_valid": True}
ACCEPTED = {"trust": "together", "accepted": "together"}
BROKEN = {"outcome": "infra_error"}
LOW, HIGH = [{"severity": "LOW"}] * 3, [{"severity": "HIGH"}]


@pytest.mark.parametrize(
    ("evidence", "backed"),
    [
        ({}, "none"),
        ({"static": {"parses": True}, "not_run": "language"}, "none"),
        ({"chosen": PASSED, "rejected": FAILED}, "separated: tests"),
        ({"chosen": PASSED, "rejected": FAILED, "tests": {"origin": "teacher"}},
         "none"),
        ({"chosen": PASSED, "rejected": FAILED, "tests": {"origin": "model", "checked": VALID}},
         "validated: tests (model)"),
        ({"chosen": PASSED, "rejected": FAILED,
          "tests": {"origin": "model", "checked": {"is_valid": False}}}, "none"),
        # Weak tests of people's: a program that fails them is wrong all the same.
        ({"chosen": PASSED, "rejected": FAILED,
          "tests": {"origin": "problem", "checked": {"is_valid": False}}},
         "separated: tests (problem)"),
        ({"chosen": {**PASSED, **ACCEPTED}, "rejected": FAILED},
         "separated: tests (together: forgeable)"),
        ({"chosen": {**PASSED, **ACCEPTED}, "tests": {"origin": "problem"}},
         "one-sided: tests (problem, together: forgeable) that the better one passes"),
        ({"chosen": {**PASSED, "trust": "together"}, "rejected": FAILED}, "none"),
        ({"chosen": FAILED, "rejected": WORSE}, "separated: tests, more checks hold"),
        ({"chosen": PASSED, "rejected": PASSED}, "one-sided: tests that both pass"),
        ({"chosen": PASSED}, "one-sided: tests that the better one passes"),
        ({"chosen": PASSED, "rejected": BROKEN}, "one-sided: tests that the better one passes"),
        ({"chosen": BROKEN, "rejected": FAILED}, "none"),
        ({"chosen": FAILED, "rejected": PASSED}, "none"),
        ({"instructions": {"chosen": 100, "rejected": 111, "margin": 1.1}},
         "separated: instruction counts"),
        ({"instructions": {"chosen": 100, "rejected": 109, "margin": 1.1}}, "none"),
        ({"instructions": {"not_run": "tests_are_functions", "margin": 1.1}}, "none"),
        ({"findings": {"chosen": LOW, "rejected": HIGH}}, "separated: static analysis"),
        ({"findings": {"chosen": LOW, "rejected": LOW}}, "none"),
        ({"findings": {"not_run": "bandit_not_installed"}}, "none"),
        ({"judge": {"choice": "A"}}, "judged: a judge, blind, in both orders"),
        ({"judge": {"choice": "tie"}}, "none"),
        ({"judge": {"choice": "A"}, "chosen": PASSED, "rejected": PASSED},
         "one-sided: tests that both pass, a judge, blind, in both orders"),
    ],
)  # fmt: skip
def test_what_did_not_run_or_ties_backs_nothing(evidence: Row, backed: str) -> None:
    assert str(backing_of(evidence)) == backed


@pytest.mark.parametrize(
    ("level", "ids"),
    [
        ("validated", "v"),
        ("separated", "vs"),
        ("one-sided", "vso"),
        ("judged", "vsoj"),
        ("none", "vsojn"),
    ],
)
def test_convert_takes_only_what_is_backed_well_enough(
    tmp_path: Path, level: str, ids: str
) -> None:
    evidence: dict[str, Row] = {
        "v": {"chosen": PASSED, "rejected": FAILED, "tests": {"checked": VALID}},
        "s": {"chosen": PASSED, "rejected": FAILED},
        "o": {"chosen": PASSED, "rejected": PASSED},
        "j": {"judge": {"choice": "A"}},
        "n": {"findings": {"not_run": "bandit_not_installed"}},
    }
    pairs, out = tmp_path / "pairs.jsonl", tmp_path / "dpo.jsonl"
    write_rows(pairs, (
        Preference(key, f"Do {key}.", f"{key} = 1", f"{key} = 2", evidence=found).to_row()
        for key, found in evidence.items()
    ))  # fmt: skip
    words = ["convert", str(pairs), "--format", "dpo", "--out", str(out)]
    done = CliRunner().invoke(app, [*words, "--require-evidence", level])
    assert done.exit_code == 0, done.output
    text = out.read_text(encoding="utf-8")
    assert [key for key in evidence if f"Do {key}." in text] == list(ids)
    assert len(text.splitlines()) == len(ids)
    manifest = json.loads((tmp_path / "dpo.jsonl.manifest.json").read_text(encoding="utf-8"))
    assert manifest["require_evidence"] == level
    assert manifest["rejected"].get("weaker_evidence", 0) == 5 - len(ids)


def test_what_convert_writes_says_how_many_pairs_could_be_forged(tmp_path: Path) -> None:
    pairs, out = tmp_path / "pairs.jsonl", tmp_path / "dpo.jsonl"
    forgeable = {"chosen": {**PASSED, **ACCEPTED}, "rejected": {**FAILED, **ACCEPTED}}
    write_rows(pairs, (
        Preference(f"{n}", f"Do {n}.", f"a = {n}", f"b = {n}", evidence=found).to_row()
        for n, found in enumerate([forgeable, forgeable, {"chosen": PASSED, "rejected": FAILED}])
    ))  # fmt: skip
    words = ["convert", str(pairs), "--format", "dpo", "--out", str(out)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    manifest = json.loads((tmp_path / "dpo.jsonl.manifest.json").read_text(encoding="utf-8"))
    assert manifest["n_together"] == 2
    split = ["pair", "split", str(out), "--share", "0.5", "--out", str(tmp_path / "parts")]
    CliRunner().invoke(app, split, catch_exceptions=False)
    noted = [noted_together(tmp_path / "parts" / f"{side}.jsonl") for side in ("train", "dev")]
    assert sum(noted) >= 2
    again = tmp_path / "again.jsonl"
    done = CliRunner().invoke(app, ["convert", str(out), "--format", "reward", "--out", str(again)])
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "again.jsonl.manifest.json").read_text())["n_together"] == 2
    assert "2 pairs rest on tests of the together lane" in done.stderr
