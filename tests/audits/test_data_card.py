"""The facts of a card, counted by hand from a few rows and a small journal."""

from __future__ import annotations

import json

import pytest
import yaml
from markdown_it import MarkdownIt

from codefavor.audits.data_card import (
    count_rows,
    describe_overlap,
    describe_run,
    hub_metadata,
    prompt_hashes,
    render_card,
)
from codefavor.errors import DataError
from codefavor.records import Preference

PASSED, FAILED = {"outcome": "passed"}, {"outcome": "wrong_output"}


def pair(n: int, **fields) -> Preference:
    return Preference(id=str(n), instruction="i", chosen="a", rejected="b", **fields)


ROWS = [
    pair(1, license="MIT", evidence={"chosen": PASSED, "rejected": FAILED}, problem_id="p"),
    pair(2, license="mit", evidence={"judge": {"choice": "A"}}, problem_id="p", language="go"),
    pair(3, license="apache-2.0", meta={"model": "openai:m", "aspect": "security"}),
]


def facts(**changes):
    base = {"codefavor": "1", "runs": [], "audit": {}, "contamination": []}
    return {**count_rows({"train": ROWS[:2], "test": ROWS[2:]}), **base, **changes}


def test_licences_are_counted_in_one_spelling():
    assert facts()["counts"]["license"] == {"mit": 2, "apache-2.0": 1}


def test_rows_say_what_their_label_rests_on():
    assert facts()["counts"]["label"] == {
        "separated: tests": 1, "judged: a judge, blind, in both orders": 1, "none": 1,
    }  # fmt: skip


def test_the_card_says_how_many_rows_a_program_could_have_forged():
    accepted = {**PASSED, "trust": "together", "accepted": "together"}
    forgeable = pair(4, evidence={"chosen": accepted, "rejected": {**FAILED, **accepted}})
    found = {**facts(), **count_rows({"train": [*ROWS, forgeable]})}
    assert found["n_together"] == 1
    assert "1 of 4 rows rest on test runs of the `together` lane" in render_card(found, "Pairs")
    assert "together" not in render_card(facts(), "Pairs")


def test_splits_problems_and_models_are_counted():
    found = facts()
    assert (found["n_rows"], found["n_problems"]) == (3, 2)
    assert found["splits"] == {"train": 2, "test": 1}
    assert found["models"] == {"openai:m": 1}


def write_journal(tmp_path):
    path = tmp_path / "ci.jsonl.journal"
    records = [
        {"id": "1", "status": "ok", "reason": "", "row": {"meta": {"kind": "pair"}}},
        {"id": "2", "status": "ok", "reason": "", "row": {"meta": {"kind": "good_enough"}}},
        {"id": "3", "status": "rejected", "reason": "gate_no", "row": None},
        {"id": "4", "status": "error", "reason": "rate_limited", "row": None},
        {"id": "4", "status": "rejected", "reason": "gate_no", "row": None},
        {"id": "5", "status": "error", "reason": "rate_limited", "row": None},
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    manifest = {"step": "commit_instruct", "prompts": {"gate": "ab" * 32}, "seed": 0}
    path.with_name(path.name + ".manifest.json").write_text(json.dumps(manifest))
    path.with_name(path.name + ".spent").write_text("100 20 0 0.5\n10 2 0 0.25\n7 to")
    return path


def test_a_run_is_described_with_every_record_counted_once(tmp_path):
    run = describe_run(write_journal(tmp_path))
    assert (run["n"], run["n_ok"], run["n_rejected"], run["n_error"]) == (5, 2, 2, 1)
    assert (run["rejected"], run["errors"]) == ({"gate_no": 2}, {"rate_limited": 1})
    assert run["kinds"] == {"pair": 1, "good_enough": 1}
    assert (run["tokens"]["input_tokens"], run["tokens"]["output_tokens"]) == (110, 22)
    assert run["usd"] == 0.75


def test_a_run_without_records_is_an_error(tmp_path):
    (tmp_path / "x.journal").write_text("")
    with pytest.raises(DataError, match="no records"):
        describe_run(tmp_path / "x.journal")


def test_prompt_hashes_are_found_wherever_the_manifest_keeps_them():
    manifest = {"prompt_sha256": "aa", "prompts": {"gate": "bb"}, "settings": {"prompt": "cc"}}
    assert prompt_hashes(manifest) == {"prompt_sha256": "aa", "gate": "bb", "prompt": "cc"}


def test_the_header_names_every_licence_and_split():
    header = hub_metadata(facts(), "Pairs")
    assert header["license"] == ["apache-2.0", "mit"]
    assert header["configs"][0]["data_files"] == [
        {"split": "train", "path": "data/train-*.parquet"},
        {"split": "test", "path": "data/test-*.parquet"},
    ]


def test_an_unknown_licence_is_never_given_a_known_name():
    rows = {"train": [pair(1), pair(2, license="my own")]}
    header = hub_metadata({**facts(), **count_rows(rows)}, "x")
    assert header["license"] == ["other", "unknown"]
    assert header["license_name"] == "see-the-column-license"


def test_the_card_shows_yields_rejections_prompts_and_costs(tmp_path):
    card = render_card(facts(runs=[describe_run(write_journal(tmp_path))]), "Pairs")
    _, header, body = card.split("---\n", 2)
    assert yaml.safe_load(header)["pretty_name"] == "Pairs"
    assert "5 inputs: 2 ended well (40.0 %), 2 were rejected, 1 failed." in body
    assert "| gate_no | 2 | 40.0 % |" in body
    assert "| failed: rate_limited | 1 | 20.0 % |" in body
    assert f"| gate | `{'ab' * 32}` |" in body
    assert "110 input and 22 output tokens, 0.75 US dollars" in body
    assert "| mit | 2 | 66.7 % |" in body
    assert "Not audited." in body


def test_the_card_shows_what_was_like_a_benchmark(tmp_path):
    report = {
        "n_rows": 20,
        "n_removed": 1,
        "limits": {"similarity": 50.0, "threshold": 1.0},
        "not_checked": ["mbpp+"],
        "benchmarks": {
            "humaneval": {
                "n_snippets": 164, "n_short": 3, "similarities": [83.25, 41.0],
                "rows": {"code": 1, "words in a row": 1},
            },
            "mbpp": {"n_snippets": 0, "n_short": 9, "similarities": [], "rows": {}},
        },
    }  # fmt: skip
    path = tmp_path / "overlap.json"
    path.write_text(json.dumps(report))
    card = render_card(facts(contamination=[describe_overlap(path)]), "Pairs")
    assert "was looked for in 20 rows" in card
    assert "1 held one and were removed" in card
    assert "a row is removed:\n50.0, with 1.0 times the usual evidence" in card
    assert "Not looked for: mbpp+." in card
    assert "| humaneval | 164 | 3 | 83.2 | 2 |" in card
    assert "| mbpp | 0 | 9 | - | 0 |" in card


def test_another_file_is_no_report_of_overlap(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("[]")
    with pytest.raises(DataError, match="not a report of"):
        describe_overlap(path)


def test_no_text_of_a_row_or_a_run_is_mark_up_of_the_card(tmp_path):
    hostile = "<img src=x onerror=a> [l](http://e) *b* _i_"
    rows = {"train": [pair(1, source=hostile, level=hostile, meta={"model": hostile})]}
    run = {**describe_run(write_journal(tmp_path)), "manifest": {"step": hostile}}
    card = render_card({**facts(runs=[run]), **count_rows(rows)}, hostile)
    html = MarkdownIt("commonmark").enable("table").render(card.split("---\n", 2)[2])
    assert html.count("&lt;img src=x onerror=a&gt; [l](http://e) *b* _i_") == 5
    assert "<img" not in html


def test_text_of_rows_cannot_break_a_table():
    rows = {"train": [pair(1, source="a|b\nc")]}
    assert "| a\\|b c | 1 | 100.0 % |" in render_card({**facts(), **count_rows(rows)}, "x")
