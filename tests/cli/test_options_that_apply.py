"""An option that would do nothing is refused by name: nobody believes that it was heeded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codefavor.records import Preference
from tests.kit.commands import codefavor

PAIR = Preference("p1", "Add.", "def f(a, b):\n    return a + b\n", "def f(a, b):\n    return b\n")
ASKING = "--model openai:m --set base_url=http://127.0.0.1:9/v1"
EVALUATE = "evaluate pairs --data pairs.jsonl"
COMMIT = f"synthesise commit-instruct --commits commits.jsonl --out o.jsonl {ASKING}"
CRITIC = f"synthesise critic-evol --drafts drafts.jsonl --out o.jsonl {ASKING}"
DRAFTS = f"synthesise drafts --out o.jsonl {ASKING}"
# What says how to ask, for judges of any kind and for chat models.
ANYONES = ("--retry-errors", "--rerun-changed", "--max-error-rate 1", "--fresh", "--dont-write")
ONLY_CHAT = ("--concurrency 5", "--no-cache", "--budget-usd 1", "--batch", "--set a=1")
KEEPING = ("--export e.jsonl", "--fresh", "--retry-errors", "--rerun-changed")
# What is given, and the option that cannot apply beside it.
REFUSED = [
    (f"{EVALUATE} --model shorter --concurrency 5", "--concurrency"),
    (f"{EVALUATE} --model ngram --concurrency 5", "--concurrency"),
    (f"{EVALUATE} --model shorter --no-cache", "--no-cache"),
    (f"{EVALUATE} --model shorter --budget-usd 1", "--budget-usd"),
    (f"{EVALUATE} --model shorter --max-pause 5", "--max-pause"),
    (f"{EVALUATE} --model shorter --dont-write --retry-errors", "--retry-errors"),
    (f"{EVALUATE} --model shorter --dont-write --rerun-changed", "--rerun-changed"),
    (f"{EVALUATE} --model shorter --fresh --retry-errors", "--retry-errors"),
    (f"{EVALUATE} --model shorter --attack-side both", "--attack-side"),
    (f"{EVALUATE} --model shorter --stored x.json", "--stored"),
    (f"{EVALUATE} --model shorter --limit -3", "limit is -3; expected a whole number from 1"),
    (f"{EVALUATE} --model shorter --sample 0", "sample is 0; expected a whole number from 1"),
    *((f"{EVALUATE} --model shorter --rescore {one}", one.split()[0]) for one in ANYONES),
    *((f"{EVALUATE} --model openai:m --rescore {one}", one.split()[0]) for one in ONLY_CHAT),
    (f"{EVALUATE} {ASKING} --no-cache --cache x", "--cache"),
    (f"{EVALUATE} {ASKING} --no-wait", "--no-wait"),
    (f"{EVALUATE} {ASKING} --batch-set a=1", "--batch-set"),
    (f"{EVALUATE} {ASKING} --batch --max-error-rate 1", "--max-error-rate"),
    (f"{EVALUATE} {ASKING} --client-key k.pem", "--client-key"),
    ("rank drafts.jsonl --out o.jsonl --model shorter --concurrency 2", "--concurrency"),
    ("rank drafts.jsonl --out o.jsonl --model shorter --cache x", "--cache"),
    (f"{DRAFTS} --no-cache --cache x", "--cache"),
    (f"{DRAFTS} --fresh --rerun-changed", "--rerun-changed"),
    (f"{CRITIC} --judge-set a=1", "--judge-set"),
    (f"{COMMIT} --judge-model openai:x", "--judge-model"),
    (f"{COMMIT} --verify static --margin 2", "--margin"),
    (f"{COMMIT} --verify static --workers 2", "--workers"),
    (f"{COMMIT} --verify static --sandbox-level L1", "--sandbox-level"),
    ("score drafts.jsonl --out o.jsonl --fresh --retry-errors", "--retry-errors"),
    ("convert pairs.jsonl --format dpo --order random --out o.jsonl", "--order"),
    ("convert pairs.jsonl --format dpo --split test --out o.jsonl", "--split"),
    ("convert pairs.jsonl --format dpo --allow-long drop --out o.jsonl", "--allow-long"),
    ("convert pairs.jsonl --format dpo --max-tokens 9 --out o.jsonl", "--max-tokens"),
    ("convert pairs.jsonl --format reward --system none --out o.jsonl", "--system"),
    ("convert pairs.jsonl --format process --system empty --out o.jsonl", "--system"),
    ("convert pairs.jsonl --format dpo --seed 5 --out o.jsonl", "--seed"),
    ("convert pairs.jsonl --format pairwise --seed 5 --out o.jsonl", "--seed"),
    ("train smollm2-135m/dpo --dry-run --fresh", "--fresh"),
    *((f"evaluate starter {ASKING} --dry-run {one}", one.split()[0]) for one in KEEPING),
    *((f"{DRAFTS} --dry-run {one}", one) for one in KEEPING[1:]),
    *((f"{one} --dry-run --fresh", "--fresh") for one in (COMMIT, CRITIC)),
    ("mine repository --units file --max-lines 1 --out o.jsonl", "--max-lines"),
    ("pair dedup pairs.jsonl --exact-only --near 0.5 --out o.jsonl", "--near"),
    ("pair dedup pairs.jsonl --exact-only --seed 5 --out o.jsonl", "--seed"),
    ("pair tests drafts.jsonl --margin 0.5 --out o.jsonl", "--margin"),
    ("pair tests drafts.jsonl --strategy hardest --may-fail --out o.jsonl", "--may-fail"),
    ("pair tests drafts.jsonl --strategy all --plan", "--strategy"),
    ("evaluate starter --samples-file drafts.jsonl --temperature 1", "--temperature"),
    ("evaluate starter --samples-file drafts.jsonl --budget-usd 1", "--budget-usd"),
    ("evaluate starter --samples-file drafts.jsonl --dry-run", "--dry-run"),
    ("evaluate starter --model fake:echo --only-sampled", "--only-sampled"),
    ("card pairs.jsonl --out folder --public", "--public"),
    ("export run --out folder --public", "--public"),
    ("merge a b --out c --density 0.5", "--density"),
    ("merge a --base b --method ties --out c", "--method"),
    ("merge a --base b --weights 1 --out c", "--weights"),
    ("report leaderboard r.json --benchmark x --out o.html", "--benchmark"),
    *((f"report leaderboard r.json --out r{one}", "r.html") for one in (".csv", ".md", ".json")),
    (f"{EVALUATE} {ASKING} --dry-run --out r", "--out"),
    (f"{EVALUATE} --model openai:m --rescore --dry-run", "--dry-run"),
    ("report demo run --out report.json", "report.html"),
    ("report data pairs.jsonl --out pairs.jsonl", "pairs.html"),
    ("compare r.json s.json --out r.json", "r.html"),
    ("cache prune --all --server x", "--server"),
    ("cache prune --all --older-than-days 3", "--older-than-days"),
    ("sandbox explain starter --entry-point f", "--entry-point"),
    ("recipes rehearse smollm2-135m/dpo --all", "--all"),
    ("recipes rehearse --all --tenth", "--tenth"),
]


@pytest.mark.parametrize(("words", "option"), REFUSED, ids=[words for words, _ in REFUSED])
def test_an_option_that_does_not_apply_is_refused(words: str, option: str, tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text(json.dumps(PAIR.to_row()) + "\n")
    for name, row in (
        ("drafts", {"id": "d", "problem_id": "starter/dates/call-clock", "code": "x = 1"}),
        ("commits", {"old_contents": "x = 1\n", "new_contents": "x = 2\n", "subject": "Make x"}),
    ):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    before = sorted(tmp_path.rglob("*"))
    done = codefavor(*words.split(), home=tmp_path)
    assert done.code == 2, done.stdout
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert option in error
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "words",
    [
        f"{EVALUATE} --model shorter --retry-errors",
        f"{EVALUATE} --model shorter --max-error-rate 1",
        "convert pairs.jsonl --format pairwise --order random --seed 5 --out o.jsonl",
        "convert pairs.jsonl --format dpo --sample 1 --seed 5 --out o.jsonl",
        "convert pairs.jsonl --format kto --seed 5 --out o.jsonl",
        "convert pairs.jsonl --format dpo --system none --out o.jsonl",
        "pair dedup pairs.jsonl --near 0.5 --out o.jsonl",
        "pair dedup pairs.jsonl --exact-only --out o.jsonl",
    ],
)
def test_one_that_applies_is_not(words: str, tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text(json.dumps(PAIR.to_row()) + "\n")
    done = codefavor(*words.split(), home=tmp_path)
    assert done.code == 0, done.stderr
