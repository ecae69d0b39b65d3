"""Published benchmarks are read in the form they are published in."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from codefavor.benchmarks.published import BENCHMARKS, load_items, shown_language
from codefavor.errors import ConfigError, DataError
from codefavor.records import write_rows
from codefavor.sources.locate import files_in
from codefavor.statistics.metrics import score

FENCED = "Here:\n```python\n{}\n```\nIt works."


def read(tmp_path, name, *rows):
    write_rows(tmp_path / "rows.jsonl", rows)
    return load_items(name, data=tmp_path / "rows.jsonl")


def test_humanevalpack_sets_the_canonical_against_the_buggy_program(tmp_path):
    row = {
        "task_id": "JavaScript/3", "declaration": "const f = (x) => {\n", "instruction": "Add one.",
        "canonical_solution": "  return x + 1\n}", "buggy_solution": "  return x - 1\n}",
    }  # fmt: skip
    (item,) = read(tmp_path, "humanevalpack", row)
    assert item["chosen"] == "const f = (x) => {\n  return x + 1\n}"
    assert item["rejected"] == "const f = (x) => {\n  return x - 1\n}"
    assert (item["language"], item["license"]) == ("javascript", "MIT")


def test_rewardbench_takes_its_code_subsets_only(tmp_path):
    base = {"prompt": "Add.", "chosen": "a + b", "rejected": "a - b", "id": 1}
    (item,) = read(
        tmp_path, "rewardbench", {**base, "subset": "hep-cpp"}, {**base, "subset": "math-prm"}
    )
    assert (item["level"], item["language"]) == ("hep-cpp", "cpp")
    # Reward models were scored on this text behind this prompt, with nothing around either.
    assert (item["instruction"], item["criteria"], item["chosen"]) == ("Add.", "", "a + b")
    assert shown_language(item) == "markdown"


def test_rewardbench2_pairs_every_right_answer_that_holds_code(tmp_path):
    row = {
        "id": "7", "prompt": "Add.", "subset": "Precise IF", "chosen": [FENCED.format("a + b")],
        "rejected": [FENCED.format("a - b"), "no code", FENCED.format("b")],
    }  # fmt: skip
    items = read(tmp_path, "rewardbench2", row)
    wrong = [FENCED.format("a - b"), FENCED.format("b")]
    assert sorted(item["rejected"] for item in items) == wrong
    assert {item["chosen"] for item in items} == {FENCED.format("a + b")}


def test_pairs_that_say_nothing_new_are_counted(tmp_path, caplog):
    row = {"subset": "hep-go", "prompt": "Add.", "chosen": "a + b", "rejected": "a - b", "id": 1}
    same = {**row, "rejected": " a + b\n"}
    items = read(tmp_path, "rewardbench", row, row, same, {**row, "id": 2}, same, row)
    # Published numbers count a pair of two equal sides.
    assert sorted(bool(item.get("defect")) for item in items) == [False, False, True]
    (said,) = caplog.messages
    assert said.startswith("rewardbench: 3 pairs that repeat another are left out; 1 pairs of two")


def rm_bench(**more):
    fenced = "```rust\nfn {}\n```"
    return {
        "id": 1, "domain": "code", "prompt": "Add.",
        "chosen": ["c0", "c1", fenced.format("c2")], "rejected": ["r0", "r1", fenced.format("r2")],
        **more,
    }  # fmt: skip


def test_rm_bench_gives_nine_pairs_of_three_levels(tmp_path):
    items = read(tmp_path, "rm-bench", rm_bench(), rm_bench(domain="math"))
    kinds = {(item["chosen"][-1], item["rejected"][-1]): item for item in items}
    assert len(kinds) == 9
    found = {
        (i[:1], j[:1]): (item["level"], item["styles"])
        for item in items
        for i, j in [item["styles"].split(" against ")]
    }
    # The chosen answer is the plainer one against a more elaborate wrong one: hard.
    assert found["c", "m"] == ("hard", "concise against markdown")
    assert found["d", "d"] == ("normal", "detailed against detailed")
    assert found["m", "c"] == ("easy", "markdown against concise")


def test_rm_bench_answers_stay_whole_and_keep_their_language(tmp_path):
    items = read(tmp_path, "rm-bench", rm_bench())
    assert {item["chosen"] for item in items} == {"c0", "c1", "```rust\nfn c2\n```"}
    assert {(item["language"], shown_language(item)) for item in items} == {("rust", "markdown")}


def test_rm_bench_is_read_as_it_is_published_a_json_array_of_the_code_domain(tmp_path):
    row = rm_bench(language="cpp", subset="bigcode/humanevalpack")
    del row["domain"]
    (tmp_path / "code_filtered.json").write_text(json.dumps([row]), encoding="utf-8")
    items = load_items("rm-bench", data=tmp_path / "code_filtered.json")
    assert {item["language"] for item in items} == {"cpp"}
    assert len(items) == 9


def judgebench(**more):
    return {
        "pair_id": "p", "source": "livecodebench", "question": "Add.", "label": "B>A",
        "response_A": FENCED.format("a - b"), "response_B": FENCED.format("a + b"), **more,
    }  # fmt: skip


def test_judgebench_reads_its_label_and_keeps_whole_answers(tmp_path):
    (item,) = read(tmp_path, "judgebench", judgebench(), judgebench(source="mmlu-pro-law"))
    assert (item["chosen"], item["rejected"]) == (FENCED.format("a + b"), FENCED.format("a - b"))
    assert (item["form"], item["language"]) == ("answers", "python")
    with pytest.raises(DataError, match=r"rows.jsonl:1: 'label'"):
        read(tmp_path, "judgebench", judgebench(label="A=B"))


def test_a_folder_is_read_as_it_is_cloned_whichever_part_of_it_is_named(tmp_path):
    folder = tmp_path / "judgebench" / "data"
    folder.mkdir(parents=True)
    for model in "ab":
        write_rows(
            folder / f"response_model={model}.jsonl",
            [judgebench(response_model=model, pair_id=model)],
        )
    write_rows(tmp_path / "judgebench" / "outputs.jsonl", [{"not": "read"}])
    for data in (tmp_path, tmp_path / "judgebench", folder):
        items = load_items("judgebench", data=data)
        assert sorted(item["level"] for item in items) == ["a", "b"]
    assert len(load_items("judgebench", data_dir=tmp_path)) == 2
    with pytest.raises(DataError, match="no llmbar"):
        load_items("llmbar", data=folder)


def test_themis_states_the_criterion_of_the_aspect(tmp_path):
    row = {
        "id": "t", "prompt": "Sort.", "chosen": "a", "rejected": "b", "language": "CSharp",
        "aspect": "Memory_Efficiency", "subset": "S",
    }  # fmt: skip
    (item,) = read(tmp_path, "themis-coderewardbench", row)
    assert "memory" in item["criteria"]
    assert (item["level"], item["language"]) == ("Memory_Efficiency", "csharp")
    with pytest.raises(DataError, match="Charm"):
        read(tmp_path, "themis-coderewardbench", {**row, "aspect": "Charm"})


def test_codejudgebench_reads_its_three_tasks_of_every_model(tmp_path):
    base = {
        "question_id": "q", "question_content": "Add.", "difficulty": "hard",
        "pos_response": FENCED.format("a + b"), "neg_response": "I cannot.",
    }  # fmt: skip
    failed = {"error_code": -2, "inputs": "1 2", "output": "-1", "expected": "3"}
    rows = {
        "codegen/claude_3.7_sonnet": base,
        "codegen/gemini_2.5_pro": base,
        "coderepair/gemini_2.5_pro": {**base, "wrong_code": "a - b", "wrong_meta": failed},
        "testgen/gemini_2.5_pro": {**base, "pos_input": "1 2", "neg_input": "3 4"},
    }
    for name, row in rows.items():
        path = tmp_path / f"{name}.jsonl"
        path.parent.mkdir(exist_ok=True)
        write_rows(path, [row])
    items = load_items("codejudgebench", data=tmp_path)
    assert Counter(item["level"] for item in items) == {"codegen": 2, "coderepair": 1, "testgen": 1}
    by_task = {item["level"]: item for item in items}
    assert (by_task["codegen"]["chosen"], by_task["codegen"]["rejected"]) == (
        base["pos_response"],
        base["neg_response"],
    )
    assert by_task["testgen"]["chosen"].startswith("Input:\n```\n1 2\n```")
    assert "a - b" in by_task["coderepair"]["instruction"]
    assert "Expected output:\n3" in by_task["coderepair"]["instruction"]
    assert {item["responder"] for item in items} == {"claude_3.7_sonnet", "gemini_2.5_pro"}


def test_debugbench_is_read_in_both_its_forms(tmp_path):
    row = {
        "slug": "two-sum", "description": "Find two.", "examples": ["Input: 1"],
        "constraints": "n > 1", "oracle_code": "return a", "buggy_code": "return b",
        "level": "easy",
    }  # fmt: skip
    folder = tmp_path / "debugbench" / "benchmark"
    folder.mkdir(parents=True)
    shard = folder / "cpp_missing colons.json"
    shard.write_text(json.dumps([row]), encoding="utf-8")
    (item,) = load_items("debugbench", data=tmp_path / "debugbench")
    assert (item["chosen"], item["rejected"]) == ("return a", "return b")
    assert (item["level"], item["bug"], item["language"]) == (
        "syntax error",
        "missing colons",
        "cpp",
    )
    assert item["instruction"] == "Find two.\n\nInput: 1\n\nConstraints:\nn > 1"
    hub = {
        **row, "question": row["description"], "solution": row["oracle_code"],
        "language": "python3", "category": "logic error", "subtype": "condition error",
    }  # fmt: skip
    (item,) = read(tmp_path, "debugbench", hub)
    assert (item["level"], item["bug"], item["language"]) == (
        "logic error",
        "condition error",
        "python",
    )
    assert (item["difficulty"], shown_language(item)) == ("easy", "python")


def test_llmbar_is_read_by_its_folders(tmp_path):
    row = {"input": "Add.", "output_1": "1", "output_2": "2", "label": 2}
    for folder in ("Natural", "Adversarial/Manual"):
        path = tmp_path / "Dataset" / "LLMBar" / folder / "dataset.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps([row]), encoding="utf-8")
    items = load_items("llmbar", data=tmp_path)
    assert {item["level"] for item in items} == {"Natural", "Adversarial_Manual"}
    assert {(item["chosen"], item["rejected"], item["form"]) for item in items} == {
        ("2", "1", "answers")
    }


def test_pairs_published_to_train_on_are_measured_on_and_no_contamination(tmp_path):
    row = {"id": 3, "instruction": "Add.", "input": "", "chosen": FENCED, "rejected": "no"}
    (item,) = read(tmp_path, "acecodepair", row)
    assert (item["chosen"], item["language"]) == (FENCED, "python")
    assert BENCHMARKS["acecodepair"].is_for_training
    assert BENCHMARKS["codeultrafeedback"].is_for_training


@pytest.mark.parametrize("folder", ["", "AceCodePair"])
def test_a_folder_with_a_file_that_is_called_as_the_split_is_is_read(tmp_path, folder):
    row = {"id": 3, "instruction": "Add.", "input": "", "chosen": FENCED, "rejected": "no"}
    write_rows(tmp_path / folder / "train.jsonl", [row])
    (item,) = load_items("acecodepair", data=tmp_path / folder)
    assert item["chosen"] == FENCED
    for name in ("codeultrafeedback", "bigcodereward"):
        (path,) = files_in(BENCHMARKS[name].locations[0], tmp_path / folder)
        assert path.name == "train.jsonl"


def test_codeultrafeedback_pairs_answers_of_different_ratings(tmp_path):
    ratings = {"a": "3", "b": "5", "c": "N/A", "d": "3"}
    row = {
        "instruction": "Sort.", "preference": "readability", "models": [*ratings],
        "responses": [{"model": m, "response": f"answer of {m}"} for m in ratings],
        "annotations": [{"model": m, "rating": r, "rationale": ""} for m, r in ratings.items()],
    }  # fmt: skip
    items = read(tmp_path, "codeultrafeedback", row)
    sides = {(item["chosen"][-1], item["rejected"][-1]) for item in items}
    assert sides == {("b", "a"), ("b", "d")}
    assert {item["level"] for item in items} == {"readability"}


def test_bigcodereward_takes_the_last_answers_of_the_votes_for_one(tmp_path):
    def state(text):
        return {"messages": [["Human", "Draw."], ["Assistant", text]]}

    row = {
        "chat_session_id": "s", "instruction": "Draw.", "category_name": "web_design",
        "states": {"model_A": state("```js\na\n```"), "model_B": state("b")},
    }  # fmt: skip
    votes = ("vote_model_B", "vote_tie", "vote_both_bad")
    (item,) = read(tmp_path, "bigcodereward", *({**row, "human_vote": vote} for vote in votes))
    assert (item["chosen"], item["rejected"]) == ("b", "```js\na\n```")
    assert (item["level"], item["language"]) == ("web_design", "javascript")
    with pytest.raises(DataError, match="vote_model_A"):
        read(tmp_path, "bigcodereward", {**row, "human_vote": "left"})


def test_missing_fields_and_unknown_names_are_one_error(tmp_path):
    with pytest.raises(DataError, match=r"rows.jsonl:1: expected the field 'prompt'"):
        read(tmp_path, "rewardbench", {"subset": "hep-go", "chosen": "a", "rejected": "b"})
    with pytest.raises(ConfigError, match="humanevalpack"):
        load_items("humaneval")


def real(name, **options):
    folder = os.environ.get("CODEFAVOR_DATA")
    if not folder or not BENCHMARKS[name].is_here(Path(folder)):
        pytest.skip(f"the data folder has no {name}")
    return load_items(name, data_dir=Path(folder), **options)


@pytest.mark.parametrize(
    ("name", "n", "languages"),
    [
        ("humanevalpack", 164, {"python": 164}),
        ("humanevalpack-js", 164, {"javascript": 164}),
        # 4,253 rows, of which 17 repeat another.
        ("debugbench", 4236, {"cpp": 1437, "java": 1400, "python": 1399}),
        # 42 of GPT-4o and 31 of Claude 3.5 Sonnet.
        ("judgebench", 73, {"python": 73}),
    ],
)
def test_real_files_have_the_published_rows(name, n, languages):
    items = real(name)
    assert len(items) == n
    assert Counter(item["language"] for item in items) == languages


def test_llmbars_published_judge_has_the_published_accuracy():
    """GPT-4's replies that lie beside the data, scored by us, give the accuracies beside them."""
    items = {
        (item["level"], item["instruction"], frozenset((item["chosen"], item["rejected"]))): item
        for item in real("llmbar")
    }
    folder = Path(os.environ["CODEFAVOR_DATA"]) / "llmbar" / "Dataset" / "LLMBar"
    rows, published = [], {}
    for path in sorted(folder.glob("**/evaluators/GPT-4/Vanilla/result.json")):
        place = path.parents[3]
        level = place.name if place.name == "Natural" else f"Adversarial_{place.name}"
        stated = json.loads((path.parent / "statistics.json").read_text(encoding="utf-8"))
        published[level] = float(stated["correct_average"].rstrip("%"))
        for row in json.loads(path.read_text(encoding="utf-8")):
            sides = frozenset((row["output_1"], row["output_2"]))
            item = items[level, row["input"], sides]
            verdicts = {}
            for order, one in zip(("plain", "swapped"), row["results"][0].items(), strict=True):
                is_first = (str(row["label"]) == "1") == (order == "plain")
                is_right = one[1]["winner"] == str(row["label"])
                shown = "chosen_first" if is_first else "rejected_first"
                verdicts[shown] = {"choice": "A" if is_right == is_first else "B"}
            rows.append({**item, "verdicts": verdicts})
    found = score(rows, n_resamples=2).by_level
    assert len(rows) == 419
    assert {k: round(100 * v.accuracy, 6) for k, v in found.items()} == {
        k: round(v, 6) for k, v in published.items()
    }
