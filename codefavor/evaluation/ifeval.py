"""Instruction following: instructions that a program can verify, as an answer task.

Source: Zhou et al. 2023, "Instruction-Following Evaluation for Large Language Models".
Metric: lm-evaluation-harness's four: the share of prompts whose instructions are all followed and
of all instructions, strictly and loosely.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from codefavor.backends.base import Sampling
from codefavor.errors import MissingPackageError, Rejected
from codefavor.evaluation.answers import AnswerTask
from codefavor.evaluation.item_results import Measures
from codefavor.judges.answer_text import n_words
from codefavor.records import Row

_KINDS = ("strict", "loose")


def ifeval_task(items: Sequence[Row], sampling: Sampling, *, seed: int = 0) -> AnswerTask:
    """IFEval; a prompt with an instruction that cannot be verified here counts with the reason.

    Verified by lm-evaluation-harness. Raises MissingPackageError without it.
    """
    try:
        from lm_eval.tasks.ifeval import instructions_registry, utils
    except ImportError as error:
        raise MissingPackageError("lm_eval", "train", "IFEval's checks") from error
    from langdetect import DetectorFactory

    # It draws: the same answer was once English and once not.
    DetectorFactory.seed = 0
    known = instructions_registry.INSTRUCTION_DICT

    def measure(row: Row, answer: str) -> Measures:
        asked = utils.InputExample(
            row["key"], row["instruction_id_list"], row["prompt"], row["kwargs"]
        )
        measures: dict[str, float | Sequence[float] | None] = {}
        for kind in _KINDS:
            followed = _followed(
                getattr(utils, f"test_instruction_following_{kind}"), asked, answer
            )
            measures[f"prompts, {kind}"] = float(all(followed))
            measures[f"instructions, {kind}"] = followed
        return {**measures, "words": n_words(answer)}

    def undecided(row: Row) -> Measures:
        return {f"{what}, {kind}": None for kind in _KINDS for what in ("prompts", "instructions")}

    return AnswerTask(
        benchmark="ifeval",
        license="Apache-2.0",
        items=[_with_flaw(row, known) for row in items],
        ask=lambda row: [{"role": "user", "content": row.get("prompt", "")}],
        measure=measure,
        undecided=undecided,
        n_parts=lambda row: len(row["instruction_id_list"]),
        sampling=sampling,
        seed=seed,
    )


def _with_flaw(row: Row, known: Mapping[str, Any]) -> Row:
    """The row, with the reason for which it cannot be verified and nobody is asked about it."""
    for name, arguments in zip(row["instruction_id_list"], row["kwargs"], strict=True):
        if name not in known:
            return {**row, "flaw": f"unknown instruction {name}"}
        # As the checks do, to which nothing, "" and 0 are no argument.
        given = {key: value for key, value in arguments.items() if value}
        instruction = known[name](name)
        try:
            instruction.build_description(**given)
        except (TypeError, ValueError, AttributeError) as error:
            return {**row, "flaw": f"arguments of {name}: {error}"[:200]}
        # What is not given would be drawn, and is not what the prompt asks for.
        if drawn := sorted((instruction.get_instruction_args() or {}).keys() - given.keys()):
            return {**row, "flaw": f"arguments of {name}: no {', '.join(drawn)}"}
    return row


def _followed(check: Any, asked: Any, answer: str) -> list[float]:
    """Whether each instruction is followed; raises Rejected where NLTK lacks what that needs."""
    try:
        return [float(one) for one in check(asked, answer).follow_instruction_list]
    except (KeyError, IndexError):
        raise  # LookupErrors too, but no missing data
    except LookupError as error:
        raise Rejected("NLTK's data is missing", str(error)[:200]) from error
