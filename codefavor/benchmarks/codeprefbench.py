"""CodePrefBench: 1,364 pairs of programs under four criteria.

Source: Liu et al., "Learning Code Preference via Synthetic Evolution" (arXiv 2410.03837);
files datasets/eval/*.jsonl.gz of github.com/amazon-science/llm-code-preference, CC-BY-NC-4.0,
for evaluation only, never for training.
Metric: the paper's accuracy, (right + undecided / 2) / all, in one order; by default ours, the
mean over both orders (see `metrics`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from codefavor.benchmarks.comments import CommentRule, apply_comment_rule
from codefavor.errors import ConfigError, DataError
from codefavor.records import Row, content_id, read_rows
from codefavor.statistics.metrics import PairMetrics

LICENSE = "CC-BY-NC-4.0, research evaluation only, not for training"
REPOSITORY = "https://github.com/amazon-science/llm-code-preference"
# What each aspect asks for, in our words; the order is the paper's.
CRITERIA = {
    "correctness": "The program runs without error and does exactly what the instruction asks.",
    "efficiency": "The program needs little time to run and, after that, little memory.",
    "security": "The program has no vulnerability and withstands hostile input.",
    "human-preference": "The program that an experienced developer would rather have.",
}
ASPECTS = tuple(CRITERIA)
VERIFIABLE = ASPECTS[:3]
# Tasks whose label the tests of EvalPlus do not support; see `docs/evaluation.md`.
KNOWN_DEFECTS: dict[tuple[str, str], str] = {
    ("correctness", "Mbpp/630"): "the program labelled correct fails its tests",
    **{
        ("correctness", f"Mbpp/{number}"): "a program labelled wrong passes all tests"
        for number in (252, 391, 558, 734, 773)
    },
}

# Tasks of whose pairs one sets a program against a line that defines nothing ("import math").
_WITHOUT_PROGRAM = frozenset(
    {"HumanEval/1", "HumanEval/8", "HumanEval/17", "HumanEval/20", "Mbpp/606", "Mbpp/639"}
)


def find_files(folders: Sequence[Path], aspects: Sequence[str] = ASPECTS) -> dict[str, Path]:
    """The file of each aspect, from the first folder that holds it.

    Looks in each folder and its subfolder `codeprefbench`. Raises DataError that says where it
    looked and how to get the files.
    """
    found: dict[str, Path] = {}
    for aspect in aspects:
        if aspect not in CRITERIA:
            raise ConfigError(f"unknown aspect {aspect!r}; known: {', '.join(ASPECTS)}")
        names = [f"{aspect}-alignment.jsonl.gz", f"{aspect}-alignment.jsonl"]
        places = [place for folder in folders for place in (folder / "codeprefbench", folder)]
        paths = [place / name for place in places for name in names]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            looked = ", ".join(str(place) for place in places)
            found_out = f"{names[0]} is in none of {looked}" if looked else "no folder was given"
            raise DataError(
                f"CodePrefBench is not here: {found_out}. Clone "
                f"{REPOSITORY} and set CODEFAVOR_DATA to its folder datasets/eval "
                f"(or pass it as --data). Licence: {LICENSE}"
            )
        found[aspect] = path
    return found


def read_tasks(files: Mapping[str, Path], *, comments: CommentRule | None = None) -> list[Row]:
    """All tasks as input rows of the pairs benchmark, `level` being the aspect.

    Comments are removed for the verifiable aspects and kept for human preference, as in the
    paper; `comments` names the procedure for the former ("strip" unless told).
    """
    items: list[Row] = []
    for aspect, path in files.items():
        rule: CommentRule = (comments or "strip") if aspect in VERIFIABLE else "keep"
        for where, task in read_rows(path):
            items.append(_item(task, aspect, rule, where))
    return items


def _item(task: Row, aspect: str, rule: CommentRule, where: str) -> Row:
    choices, truth = task.get("choices"), task.get("gt_choice")
    if not isinstance(choices, list) or len(choices) != 2 or truth not in (0, 1):
        raise DataError(
            f"{where}: a task needs two 'choices' and 'gt_choice' 0 or 1; "
            f"found the fields {', '.join(sorted(task))}"
        )
    instruction, task_id = str(task.get("instruction", "")), str(task.get("task_id", ""))
    first, second, is_stripped = apply_comment_rule(choices[0], choices[1], rule)
    codes = (first, second)
    return {
        "id": content_id("codeprefbench", aspect, task_id, instruction, choices),
        "problem_id": f"{aspect}:{content_id(instruction)[:16]}",
        "instruction": instruction,
        "criteria": CRITERIA[aspect],
        "chosen": codes[truth],
        "rejected": codes[1 - truth],
        "level": aspect,
        "language": "python",
        "license": LICENSE,
        "is_chosen_first": truth == 0,
        "task_id": task_id,
        "is_stripped": is_stripped,
        "defect": _defect(aspect, task_id, choices[1 - truth]),
    }


def _defect(aspect: str, task_id: str, rejected: str) -> str:
    """What is wrong with a pair's label or sides; "" for nothing known."""
    is_named = aspect == "correctness" and task_id in _WITHOUT_PROGRAM
    if is_named and "def " not in rejected:
        return "the program labelled wrong defines nothing"
    return KNOWN_DEFECTS.get((aspect, task_id), "")


def averages(metrics: PairMetrics) -> Row:
    """Unweighted means of the aspects' accuracies, as the paper averages; null if one is missing.

    `average` is over the three verifiable aspects, `average_of_four` over all.
    """
    values = {
        aspect: metrics.by_level[aspect].accuracy
        for aspect in ASPECTS
        if aspect in metrics.by_level and metrics.by_level[aspect].n_judged
    }

    def mean(aspects: Sequence[str]) -> float | None:
        if any(aspect not in values for aspect in aspects):
            return None
        return sum(values[aspect] for aspect in aspects) / len(aspects)

    return {"average": mean(VERIFIABLE), "average_of_four": mean(ASPECTS)}
