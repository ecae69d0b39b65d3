"""CodePrefBench: the trivial baselines give the published protocol's numbers exactly."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from pathlib import Path

import pytest

from codefavor.benchmarks.codeprefbench import ASPECTS, averages, find_files, read_tasks
from codefavor.benchmarks.pairs_benchmark import judge_step
from codefavor.engine.context import Context
from codefavor.errors import ConfigError, DataError
from codefavor.judges.baselines import LongerJudge, ShorterJudge
from codefavor.statistics.metrics import score


def _data() -> Path:
    folder = os.environ.get("CODEFAVOR_DATA")
    if not folder:
        pytest.skip("CODEFAVOR_DATA is not set: the real benchmark is not here")
    return Path(folder)


@pytest.mark.parametrize(
    ("judge", "expected"),
    [
        (ShorterJudge(ties="B"), [65.9, 63.6, 32.9, 38.6]),
        (LongerJudge(ties="B"), [33.9, 36.4, 67.6, 61.4]),
    ],
)
async def test_length_baselines_score_as_measured_under_the_papers_protocol(judge, expected):
    items = read_tasks(find_files([_data()]), comments="paper")
    step = judge_step(judge, orders="one")
    rows = [await step(item, Context()) for item in items]
    metrics = score(rows, n_resamples=10)
    assert [metrics.by_level[aspect].n for aspect in ASPECTS] == [660, 352, 207, 145]
    assert [round(100 * metrics.by_level[a].accuracy, 1) for a in ASPECTS] == expected


def test_real_tasks_have_distinct_ids_and_the_stated_number_of_instructions():
    items = read_tasks(find_files([_data()]), comments="keep")
    assert len({item["id"] for item in items}) == len(items) == 1364
    clusters = {item["problem_id"] for item in items if item["level"] == "correctness"}
    assert len(clusters) == 330


def test_pairs_whose_wrong_side_defines_nothing_are_known_defects(tmp_path):
    row = {"task_id": "Mbpp/606", "instruction": "Turn degrees into radians.", "gt_choice": 0}
    choices = [["def f(d): ...", "import math"], ["def f(d): ...", "def f(d): return 1"]]
    text = "".join(f"{json.dumps({**row, 'choices': two})}\n" for two in choices)
    (tmp_path / "correctness-alignment.jsonl").write_text(text, encoding="utf-8")
    items = read_tasks(find_files([tmp_path], ["correctness"]))
    assert [item["defect"] for item in items] == ["the program labelled wrong defines nothing", ""]


def test_real_defects_are_those_that_were_found():
    items = read_tasks(find_files([_data()]))
    found = Counter(item["defect"] for item in items if item["defect"])
    assert found["the program labelled wrong defines nothing"] == 6
    assert sum(found.values()) == 18


def test_a_missing_file_is_one_error_that_says_how_to_get_it(tmp_path):
    with pytest.raises(DataError, match="CODEFAVOR_DATA"):
        find_files([tmp_path])


def test_an_unknown_aspect_lists_the_known_ones(tmp_path):
    with pytest.raises(ConfigError, match="correctness, efficiency"):
        find_files([tmp_path], ["speed"])


def test_a_task_without_a_truth_names_its_line(tmp_path):
    path = tmp_path / "security-alignment.jsonl.gz"
    with gzip.open(path, "wt") as handle:
        handle.write(json.dumps({"task_id": "x", "instruction": "i", "choices": ["a", "b"]}) + "\n")
    with pytest.raises(DataError, match=r"security-alignment.jsonl.gz:1: .*gt_choice"):
        read_tasks(find_files([tmp_path], ["security"]))


async def test_averages_are_unweighted_means_of_the_aspects():
    rows = []
    for aspect, n_right, n in zip(ASPECTS, (1, 2, 3, 0), (2, 2, 4, 1), strict=True):
        for index in range(n):
            choice = "A" if index < n_right else "B"
            verdicts = {"chosen_first": {"choice": choice}}
            rows.append({"id": f"{aspect}{index}", "level": aspect, "verdicts": verdicts})
    found = averages(score(rows, n_resamples=10))
    assert found["average"] == pytest.approx((0.5 + 1.0 + 0.75) / 3)
    assert found["average_of_four"] == pytest.approx((0.5 + 1.0 + 0.75 + 0.0) / 4)
