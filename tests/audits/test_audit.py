"""The audit finds the cues that were put in, and finds none where there are none."""

from __future__ import annotations

import gzip
import json
import os
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from codefavor.audits.audit import (
    audit_facts,
    audit_pairs,
    authors_of,
    balanced_for_audit,
)
from codefavor.benchmarks.comments import apply_comment_rule
from codefavor.cli.pair import app
from codefavor.errors import DataError
from codefavor.pairs import style_features
from codefavor.records import Preference, write_rows

WORDS = ["tide", "gauge", "buoy", "wharf", "ferry", "quay", "keel", "mast", "rope", "anchor"]


def program(rng: random.Random) -> str:
    """A function whose words and length are drawn; nothing in it tells one side from the other."""
    lines = [
        f"    {rng.choice(WORDS)} = {rng.choice(WORDS)} + {rng.randint(0, 99)}"
        for _ in range(rng.randint(2, 6))
    ]
    body = "\n".join(lines)
    return (
        f"def {rng.choice(WORDS)}({rng.choice(WORDS)}):\n{body}\n    return {rng.choice(WORDS)}\n"
    )


def made(
    n: int, *, chosen=lambda code: code, rejected=lambda code: code, **fields
) -> list[Preference]:  # type: ignore[no-untyped-def]
    rng = random.Random(5)
    return [
        Preference(str(i), f"Task {i // 2}", chosen(program(rng)), rejected(program(rng)), **fields)
        for i in range(n)
    ]


def test_pairs_without_a_cue_are_at_chance() -> None:
    audit = audit_pairs(made(400))
    assert (audit.n, audit.n_groups) == (400, 200)
    for cue in audit.cues.values():
        assert 0.4 < cue.accuracy.mean < 0.6, cue
        assert not cue.is_leak or cue.accuracy.low < 0.55
    assert audit.cues["author"].n_silent == 400
    assert audit.cues["comments"].n_silent == 400


CUES = {
    "comments": lambda code: code.replace("\n    return", "\n    # done\n    return"),
    "white space": lambda code: code.replace(" + ", "+"),
    "lengths": lambda code: code + code,
    "token n-grams": lambda code: code.replace("return ", "return 0 or "),
    "character n-grams": lambda code: code.replace("return ", "return 0 or "),
}


@pytest.mark.parametrize("name", list(CUES))
def test_a_cue_that_was_put_in_is_found_by_its_classifier(name: str) -> None:
    audit = audit_pairs(made(120, rejected=CUES[name]))
    cue = audit.cues[name]
    assert cue.accuracy.mean > 0.95
    assert cue.is_leak
    assert cue.recovered > 0.9
    turned = audit_pairs(made(120, chosen=CUES[name]))
    assert turned.cues[name].accuracy.mean > 0.95  # whichever side has it


def test_the_length_cue_by_hand_and_after_balancing() -> None:
    # Chosen shorter in 3, longer in 1: "shorter" is right in 3/4 of them.
    pairs = [
        Preference(str(i), f"Task {i}", "x = 1" * (1 + (i % 4 == 0) * 2), "y = 1" * 2)
        for i in range(80)
    ]
    audit = audit_pairs(pairs)
    assert audit.cues["shorter"].accuracy.mean == pytest.approx(0.75)
    assert audit.cues["longer"].accuracy.mean == pytest.approx(0.25)
    assert audit.cues["shorter"].recovered == pytest.approx(0.5)
    kept = balanced_for_audit(pairs)
    assert len(kept) in (40, 41)  # a surplus of one may stay
    found = audit_pairs(kept).cues["shorter"].accuracy
    assert found.mean == pytest.approx(0.5, abs=0.02)
    facts = audit_facts(audit, audit_pairs(kept))
    assert facts["shorter"]["plain"].startswith("75.0% (")
    assert audit_facts(audit, None)["shorter"]["balanced"] == "not measured"


def test_pairs_of_one_instruction_are_in_one_fold() -> None:
    # Each task has its own word, which tells the sides apart within the task only.
    pairs = [
        Preference(f"{i}", f"Task {i // 4}", f"a{i // 4:03} = 1\n", f"b{i // 4:03} = 1\n")
        if i // 4 % 2
        else Preference(f"{i}", f"Task {i // 4}", f"b{i // 4:03} = 1\n", f"a{i // 4:03} = 1\n")
        for i in range(240)
    ]
    assert audit_pairs(pairs).cues["token n-grams"].accuracy.mean < 0.65


def test_the_author_of_each_side_is_read_from_the_rows() -> None:
    kinds = Preference("1", "T", "x", "y", meta={"chosen_kind": "reference", "rejected_kind": "m"})
    critique = Preference("1", "T", "x", "y", meta={"model": "t", "draft": {"model": "w"}})
    commit = Preference("1", "T", "x", "y", meta={"model": "t", "commit": "0" * 40})
    assert authors_of(kinds) == ("reference", "m")
    # What is wrong with the rejected side alone is no author.
    assert authors_of(replace(kinds, meta={"rejected_kind": "off_by_one"})) == ("", "")
    assert authors_of(critique) == ("t", "w")
    assert authors_of(commit) == ("t", "t")
    audit = audit_pairs(made(60, meta=critique.meta))
    assert audit.cues["author"].accuracy.mean == 1.0
    assert audit_pairs(made(60, meta=commit.meta)).cues["author"].n_silent == 60


def test_a_sample_takes_whole_instructions_and_one_instruction_is_not_enough() -> None:
    audit = audit_pairs(made(60), max_pairs=20)
    assert (audit.n, audit.n_given, audit.n_groups) == (20, 60, 10)
    assert audit.to_row() == audit_pairs(made(60), max_pairs=20).to_row()
    with pytest.raises(DataError, match="two different instructions at least, found 1"):
        audit_pairs(made(2))


def test_the_fit_is_the_minimum_of_its_loss() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(loc=[0.5, 0, -0.2], size=(50, 3))
    w = style_features.fit_direction(x, penalty=0.1)

    def loss(v):  # type: ignore[no-untyped-def]
        return np.log1p(np.exp(-(x @ v))).mean() + 0.05 * (v @ v)

    for step in np.eye(3) * 0.01:
        assert loss(w) < loss(w + step)
        assert loss(w) < loss(w - step)


def test_hashed_ngrams_count_what_is_there() -> None:
    one, two, empty = style_features.character_ngrams(["abab", "baba", ""], longest=2)
    # a, b twice each; ab twice, ba once against ab once, ba twice.
    assert one.nnz == two.nnz == 4
    assert empty.nnz == 0
    weights = np.asarray([1 + np.log(2)] * 3 + [1.0])
    assert np.sort(one.data) == pytest.approx(np.sort(weights / np.linalg.norm(weights)))
    assert style_features.token_ngrams(["a+b"]).nnz == 5  # a, +, b, "a +", "+ b"
    assert (
        abs(style_features.token_ngrams(["a +  b"]) - style_features.token_ngrams(["a+b"])).nnz == 0
    )


def test_the_command_prints_a_table_writes_json_and_can_fail(tmp_path: Path) -> None:
    path, out = tmp_path / "pairs.jsonl", tmp_path / "audit.json"
    write_rows(path, (pair.to_row() for pair in made(40, rejected=CUES["comments"])))
    run = CliRunner().invoke(app, ["audit", str(path), "--out", str(out), "--fail-above", "0.8"])
    assert run.exit_code == 1
    assert "comments            100.0%" in run.output
    assert "above 80.0%: " in run.output
    row = json.loads(out.read_text(encoding="utf-8"))
    assert row["plain"]["cues"]["comments"]["accuracy"]["mean"] == 1.0
    kept = tmp_path / "kept.jsonl"
    run = CliRunner().invoke(app, ["balance", str(path), "--out", str(kept)])
    assert run.exit_code == 0, run.output
    assert "pairs kept; 'shorter' is right in" in run.output


# Measured independently (scikit-learn, 10 folds, 1- to 4-grams) when the benchmark was studied.
PUBLISHED = {"correctness": (65.9, 88.2), "security": (32.9, 99.8)}


@pytest.mark.parametrize("aspect", list(PUBLISHED))
def test_codeprefbench_gives_away_what_others_measured(aspect: str) -> None:
    folder = os.environ.get("CODEFAVOR_DATA")
    if not folder:
        pytest.skip("CODEFAVOR_DATA is not set: the real benchmark is not here")
    pairs = []
    path = Path(folder) / "codeprefbench" / f"{aspect}-alignment.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            right = row["gt_choice"]
            better, worse = row["choices"][right], row["choices"][1 - right]
            better, worse, _ = apply_comment_rule(better, worse, "paper")
            pairs.append(Preference(row["task_id"], row["instruction"], better, worse))
    cues = audit_pairs(pairs).cues
    shorter, ngrams = PUBLISHED[aspect]
    assert 100 * cues["shorter"].accuracy.mean == pytest.approx(shorter, abs=0.5)
    assert 100 * cues["character n-grams"].accuracy.mean == pytest.approx(ngrams, abs=3)
