"""`codefavor convert`: the order is stated, lengths are shown, no long row is cut in silence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from codefavor.cli import convert as verb
from codefavor.errors import ConfigError, DataError
from codefavor.pairs.split import split_of
from tests.training.words import save_word_tokenizer

SHORT = {"id": "short", "instruction": "Add.", "chosen": "a + b", "rejected": "a - b"}
LONG = {**SHORT, "id": "long", "chosen": " ".join(["word"] * 400)}


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in (SHORT, LONG)))
    return path


def convert(pairs: Path, *words: object, form: str = "pairwise"):
    import typer

    app = typer.Typer()
    app.command()(verb.command)
    out = pairs.with_name("out.jsonl")
    arguments = [pairs, "--format", form, "--out", out, *words]
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    manifest = json.loads(out.with_name("out.jsonl.manifest.json").read_text())
    return rows, manifest, result


def test_the_manifest_states_order_and_seed(pairs):
    rows, manifest, _ = convert(pairs, "--order", "random", "--seed", "7")
    assert len(rows) == 2
    assert (manifest["order"], manifest["seed"], manifest["format"]) == ("random", 7, "pairwise")
    rows, manifest, _ = convert(pairs)
    assert (len(rows), manifest["order"], manifest["n_rows"]) == (4, "both", 4)


def test_the_table_of_lengths_is_printed(pairs, tmp_path):
    folder = save_word_tokenizer(tmp_path / "words")
    _, manifest, result = convert(pairs, "--tokenizer", folder)
    head, values = result.stdout.splitlines()[1:3]
    assert head.split() == ["rows", "min", "mean", "median", "p80", "p90", "p95", "max"]
    assert values.split()[0] == "4"
    (lengths,) = manifest["lengths"].values()
    assert lengths["max"] - lengths["min"] == 400 - 3


def test_a_row_is_long_if_it_is_by_any_tokenizer(pairs, tmp_path):
    plain = save_word_tokenizer(tmp_path / "plain")
    template = "{% for m in messages %}{{ m.content }}{{ ' x' * 5000 }}{% endfor %}"
    wordy = save_word_tokenizer(tmp_path / "wordy", template)
    words = ("--tokenizer", plain, "--tokenizer", wordy, "--max-tokens", "1000")
    _, manifest, _ = convert(pairs, *words, "--allow-long", "keep")
    assert sorted(manifest["long"]) == ["long", "short"]
    assert [table["n_over"] for table in manifest["lengths"].values()] == [0, 4]


def test_long_rows_stop_the_conversion_and_are_named(pairs, tmp_path):
    folder = save_word_tokenizer(tmp_path / "words")
    with pytest.raises(DataError, match="2 of 4 rows, of 1 records, have more than 300 tokens"):
        convert(pairs, "--tokenizer", folder, "--max-tokens", "300")
    assert not pairs.with_name("out.jsonl").exists()


@pytest.mark.parametrize(("rule", "n_rows"), [("drop", 2), ("keep", 4)])
def test_long_rows_are_dropped_or_kept_whole_and_listed(pairs, tmp_path, rule, n_rows):
    folder = save_word_tokenizer(tmp_path / "words")
    words = ("--tokenizer", folder, "--max-tokens", "300", "--allow-long", rule)
    rows, manifest, result = convert(pairs, *words)
    assert len(rows) == n_rows
    assert list(manifest["long"]) == ["long"]
    assert "over 300 tokens: long" in result.stderr


def test_rows_of_the_benchmark_are_refused_in_either_order(pairs, tmp_path, monkeypatch):
    task = {"task_id": "t", "instruction": "Add.", "choices": ["a  + b", "a - b\n"], "gt_choice": 1}
    folder = tmp_path / "data" / "codeprefbench"
    folder.mkdir(parents=True)
    for aspect in ("correctness", "efficiency", "security", "human-preference"):
        (folder / f"{aspect}-alignment.jsonl").write_text(json.dumps(task) + "\n")
    monkeypatch.setenv("CODEFAVOR_DATA", str(tmp_path / "data"))
    rows, manifest, result = convert(pairs)
    assert len(rows) == 2
    assert (manifest["n_records"], manifest["rejected"]) == (2, {"benchmark_row": 1})
    assert "refused: 1 rows of codeprefbench" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--max-tokens", "5"), "--max-tokens needs --tokenizer"),
        (("--order", "ab"), "--order is 'ab'; expected both or random"),
        (
            ("--tokenizer", "t", "--max-tokens", "9", "--allow-long", "cut"),
            "--allow-long is 'cut'; expected drop or keep",
        ),
        (("--allow-long", "drop"), "--allow-long belongs to --max-tokens"),
        (("--tokenizer", "t", "--allow-long", "keep"), "--allow-long belongs to --max-tokens"),
        (("--split", "dev"), r"--split is for problems \(grpo\)"),
    ],
)
def test_wrong_settings_are_refused(pairs, words, message):
    with pytest.raises(ConfigError, match=message):
        convert(pairs, *words)


@pytest.mark.parametrize("form", ["dpo", "kto", "sft", "reward", "process", "grpo"])
def test_an_order_is_refused_where_rows_have_none(pairs, form):
    with pytest.raises(ConfigError, match=f"--order is for pairwise formats; {form} has no order"):
        convert(pairs, "--order", "random", form=form)


def test_a_sample_is_drawn_by_the_seed_and_lies_within_a_larger_one(pairs):
    lines = [{**SHORT, "id": str(n), "chosen": f"a + {n}"} for n in range(40)]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in lines))

    def drawn(n: int, seed: int) -> list[str]:
        rows, manifest, _ = convert(pairs, "--sample", n, "--seed", seed, form="dpo")
        assert (manifest["sample"], manifest["n_rows"]) == (n, n)
        assert (manifest["n_records"], manifest["rejected"]) == (40, {"not_sampled": 40 - n})
        return [json.dumps(row) for row in rows]

    assert drawn(10, 0) == drawn(20, 0)[:10]
    assert set(drawn(10, 0)) != set(drawn(10, 1))
    # Another order of the file is the same sample.
    first = drawn(10, 0)
    pairs.write_text("".join(json.dumps(row) + "\n" for row in lines[::-1]))
    assert drawn(10, 0) == first


def test_the_manifest_names_the_split_that_all_problems_of_the_pairs_are_of(tmp_path):
    def split_in_manifest(of: tuple[str, ...]) -> str:
        pairs = [
            {
                "id": f"{n}", "instruction": f"Add {n}.", "chosen": f"x + {n}", "rejected": "x",
                "problem_id": f"p{n}",
            }
            for n in range(60)
            if split_of(f"p{n}") in of
        ]  # fmt: skip
        path = tmp_path / "pairs.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in pairs))
        _, manifest, _ = convert(path, form="dpo")
        return manifest.get("split", "")

    assert split_in_manifest(("test",)) == "test"
    assert split_in_manifest(("train",)) == "train"
    assert split_in_manifest(("train", "test")) == ""


def test_grpo_takes_problems_of_the_training_split_alone(tmp_path):
    rows = [
        {"id": f"p{n}", "instruction": "Add.", "tests": "assert f(1) == 2", "entry_point": "f"}
        for n in range(40)
    ]
    problems = tmp_path / "problems.jsonl"
    problems.write_text(
        "".join(json.dumps(row | {"instruction": f"Add {n}."}) + "\n" for n, row in enumerate(rows))
    )
    train = {f"Add {n}." for n in range(40) if split_of(f"p{n}") == "train"}
    made, manifest, result = convert(problems, form="grpo")
    assert {row["prompt"][-1]["content"] for row in made} == train
    assert 0 < len(made) < 40
    assert manifest["rejected"] == {"other_split": 40 - len(made)}
    assert "other_split" in result.output
    everything, manifest, _ = convert(problems, "--split", "all", form="grpo")
    assert len(everything) == 40 and manifest["split"] == "all"
