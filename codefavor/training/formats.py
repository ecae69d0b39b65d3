"""Preferences and problems as the exact rows that one Axolotl dataset type reads."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from codefavor.errors import ConfigError, Rejected
from codefavor.judges.verdict_reader import read_verdict
from codefavor.prompts.chat import (
    SystemTurn,
    assistant_turn,
    code_steps,
    comparison_messages,
    process_prompt,
    solution_messages,
    solution_text,
)
from codefavor.records import Comparison, Labelled, Preference, Problem, Row, content_id
from codefavor.sandbox.lane import choose_lane
from codefavor.scoring.suite_prompt import suite_question
from codefavor.scoring.suite_target import check_measurable
from codefavor.training.feedback import Letter, reasoning

Order = Literal["both", "random"]
Task = Literal["programs", "tests"]
# Our own reader, see preference_rows.py.
PREFERENCES_TYPE = "codefavor.preferences"


@dataclass(frozen=True)
class FormatOptions:
    """How rows are written.

    `order`: "both" writes each pairwise question twice, once with either code first; "random"
    writes it once, the order drawn from `seed` and the pair's id. `system` is explained in
    `prompts.chat.system_turn`; formats whose Axolotl type cannot carry an empty system message
    write none (the recipe's chat template supplies the same text). `task` is what a GRPO question
    asks for: programs, or tests of the problem's reference.
    """

    order: Order = "both"
    seed: int = 0
    system: SystemTurn = "empty"
    task: Task = "programs"


@dataclass(frozen=True)
class Format:
    """One training format: what it reads, the Axolotl `type`s that read it, and the function.

    `columns` gives the type of each column of a row: rows of two formats can differ in that alone.
    """

    name: str
    reads: type[Preference] | type[Problem]
    axolotl_types: tuple[str, ...]
    columns: Mapping[str, type]
    function: Callable[[Any, FormatOptions], list[Row]]

    def __call__(
        self, record: Preference | Labelled | Problem, options: FormatOptions | None = None
    ) -> list[Row]:
        """The rows of one record, each with an `id`; raises Rejected if it can give none."""
        return self.function(record, options or FormatOptions())


@dataclass(frozen=True)
class Conversion:
    """The rows of a whole set, and what became of every record that gave none.

    `record_ids` names the record of each row, in the order of the rows. `n_duplicates` counts
    rows dropped because an equal row was there before.
    """

    rows: tuple[Row, ...]
    record_ids: tuple[str, ...]
    n_records: int
    n_duplicates: int
    rejected: Mapping[str, int] = field(default_factory=dict)


def convert(
    records: Iterable[Preference | Labelled] | Iterable[Problem],
    name: str,
    options: FormatOptions | None = None,
    *,
    keep_repeats: bool = False,
) -> Conversion:
    """All rows of a set in one format, each row once, in the order of the records.

    `keep_repeats` keeps a row that stands again, as the stages of a curriculum repeat theirs.
    KTO rows are shuffled by the seed: its KL term pairs every completion with the prompt of its
    neighbour, so neighbours must not be the two completions of one prompt.
    """
    form = get_format(name)
    chosen_options = options or FormatOptions()
    if keep_repeats and name == "kto":
        raise ConfigError("KTO rows are shuffled; a curriculum has no meaning for them")
    seen: set[str] = set()
    rows: list[tuple[Row, str]] = []
    rejected: Counter[str] = Counter()
    n_records = n_rows = 0
    for record in records:
        n_records += 1
        try:
            new_rows = form(record, chosen_options)
        except Rejected as reason:
            rejected[reason.reason] += 1
            continue
        n_rows += len(new_rows)
        for row in new_rows:
            if keep_repeats or row["id"] not in seen:
                rows.append((row, record.id))
            seen.add(row["id"])
    if name == "kto":
        random.Random(chosen_options.seed).shuffle(rows)
    return Conversion(
        rows=tuple(row for row, _ in rows),
        record_ids=tuple(record_id for _, record_id in rows),
        n_records=n_records,
        n_duplicates=n_rows - len(rows),
        rejected=dict(rejected),
    )


def get_format(name: str) -> Format:
    """The format of this name; raises ConfigError that lists the known ones."""
    if name not in FORMATS:
        raise ConfigError(f"unknown training format {name!r}; known: {', '.join(sorted(FORMATS))}")
    return FORMATS[name]


def _row(name: str, **columns: Any) -> Row:
    return {"id": content_id(name, columns), **columns}


def _check_asked(record: Preference | Labelled) -> None:
    if not record.instruction.strip():
        raise Rejected("empty_prompt", record.id)


def _check_sides(preference: Preference) -> None:
    _check_asked(preference)
    for side in ("chosen", "rejected"):
        if not getattr(preference, side).strip():
            raise Rejected(f"empty_{side}", preference.id)
    if preference.chosen.strip() == preference.rejected.strip():
        raise Rejected("equal_sides", preference.id)


def _question(preference: Preference | Labelled, options: FormatOptions) -> list[dict[str, str]]:
    criteria = "" if isinstance(preference, Labelled) else preference.criteria
    question = solution_messages(
        preference.instruction, criteria, system=options.system, history=preference.history
    )
    # A chat stays as it was said; a task for programs is put as it is at inference.
    if not criteria and (isinstance(preference, Labelled) or preference.language == "markdown"):
        question[-1] = {**question[-1], "content": preference.instruction}
    return question


def _user_text(preference: Preference) -> str:
    """The question as one text, for the Axolotl types that read no conversation."""
    if preference.history:
        raise Rejected("several_turns", preference.id)
    question = solution_messages(preference.instruction, preference.criteria, system="none")
    return question[0]["content"]


def _both_texts(preference: Preference) -> tuple[str, str]:
    _check_sides(preference)
    language = preference.language
    return (
        solution_text(preference.chosen, language),
        solution_text(preference.rejected, language),
    )


def _orders(preference: Preference, options: FormatOptions) -> list[Letter]:
    """The letters under which the chosen code is shown, one per row to write."""
    if options.order == "both":
        return ["A", "B"]
    rng = random.Random(f"{options.seed}:{preference.id}")
    return [rng.choice(("A", "B"))]


def _comparison(preference: Preference, letter: Letter) -> Comparison:
    comparison = Comparison(
        instruction=preference.asked,
        code_a=preference.chosen,
        code_b=preference.rejected,
        criteria=preference.criteria,
    )
    return comparison if letter == "A" else comparison.swap()


def to_pairwise(preference: Preference, options: FormatOptions) -> list[Row]:
    """The A/B question and its letter; only the letter and the end of turn are trained on."""
    _check_sides(preference)
    rows = []
    for letter in _orders(preference, options):
        question = comparison_messages(
            _comparison(preference, letter), language=preference.language, system=options.system
        )
        rows.append(_row("pairwise", messages=[*question, assistant_turn(letter)]))
    return rows


def to_pairwise_cot(preference: Preference, options: FormatOptions) -> list[Row]:
    """The A/B question answered by reasoning and then the letter."""
    _check_sides(preference)
    rows = []
    for letter in _orders(preference, options):
        question = comparison_messages(
            _comparison(preference, letter),
            language=preference.language,
            system=options.system,
            answer="reasoned",
        )
        told = reasoning(preference, letter)
        # A sentence without its full stop would run on into the verdict.
        answer = f"{told}{'.' if told[-1:].isalnum() else ''}\n[RESULT] {letter}"
        # What the judge's own parser would not read as this letter must not be trained on.
        if read_verdict(answer) != letter:
            raise Rejected("unreadable_answer", preference.id)
        rows.append(_row("pairwise_cot", messages=[*question, assistant_turn(answer)]))
    return rows


def to_sft(preference: Preference, options: FormatOptions) -> list[Row]:
    """The instruction answered by the chosen code."""
    chosen, _ = _both_texts(preference)
    return [_row("sft", messages=[*_question(preference, options), assistant_turn(chosen)])]


def to_dpo(preference: Preference, options: FormatOptions) -> list[Row]:
    """One question with its two answers (DPO and its losses, SimPO, ORPO, DPOP)."""
    chosen, rejected = _both_texts(preference)
    return [
        _row(
            "dpo",
            messages=_question(preference, options),
            chosen=assistant_turn(chosen),
            rejected=assistant_turn(rejected),
        )
    ]


def to_kto(preference: Preference | Labelled, options: FormatOptions) -> list[Row]:
    """Two rows, one answer each, with a label.

    An answer that has its label already, and need not have a counterpart, is one row.
    """
    question = _question(preference, options)
    if isinstance(preference, Labelled):
        _check_asked(preference)
        if not preference.completion.strip():
            raise Rejected("empty_completion", preference.id)
        answer = assistant_turn(preference.completion)
        return [_row("kto", messages=question, completion=answer, label=preference.label)]
    chosen, rejected = _both_texts(preference)
    return [
        _row("kto", messages=question, completion=assistant_turn(chosen), label=True),
        _row("kto", messages=question, completion=assistant_turn(rejected), label=False),
    ]


def to_reward(preference: Preference, options: FormatOptions) -> list[Row]:
    """One question with two answers for a Bradley-Terry model.

    Axolotl's reader fails without the column `system`, and writes an empty turn when it is "",
    unless the recipe says `drop_system_message`.
    """
    chosen, rejected = _both_texts(preference)
    return [
        _row("reward", system="", input=_user_text(preference), chosen=chosen, rejected=rejected)
    ]


def to_process(preference: Preference, options: FormatOptions) -> list[Row]:
    """Both programs line by line, each line labelled; the rejected one ends at its fault.

    Only pairs that differ in one place tell which line that is (mutants do): at least half of
    the rejected program's lines must be the chosen one's, before or behind the difference.
    Source of the rule that labels end at the first fault: Lightman et al. 2023 (PRM800K).
    """
    _check_sides(preference)
    if preference.language == "markdown" or preference.history:
        raise Rejected("not_a_program", preference.id)
    aspect = str(preference.meta.get("aspect") or preference.criteria).strip().lower()
    if aspect in ("efficiency", "security", "readability"):
        # A slow or an insecure line is not a wrong one.
        raise Rejected("not_about_correctness", preference.id)
    good, bad = code_steps(preference.chosen), code_steps(preference.rejected)
    n_before = _common_prefix(good, bad)
    n_behind = _common_prefix(good[n_before:][::-1], bad[n_before:][::-1])
    if 2 * (n_before + n_behind) < len(bad):
        raise Rejected("not_one_fault", preference.id)
    # A program that lost its end shows the fault at its last line.
    n_steps = min(n_before + 1, len(bad))
    prompt = process_prompt(preference.instruction, preference.criteria)
    labels = [True] * (n_steps - 1) + [False]
    return [
        _row("process", prompt=prompt, completions=good, labels=[True] * len(good)),
        _row("process", prompt=prompt, completions=bad[:n_steps], labels=labels),
    ]


def _common_prefix(left: Sequence[str], right: Sequence[str]) -> int:
    """How many lines two programs share from their first on."""
    n_lines = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        n_lines += 1
    return n_lines


def to_grpo(problem: Problem, options: FormatOptions) -> list[Row]:
    """A question and the tests by which the reward judges what the model samples.

    For the task "tests" it asks for a suite, and has the column `reference`: the program on which,
    and on whose mutants, `rewards.test_quality` runs the suite. Its tests verify the mutants. Which
    messages a suite may expect stands in `instruction`, the text of the task with its prompt.
    A problem on which no suite can be measured is rejected as far as that shows without a run.
    """
    if options.task == "tests":
        check_measurable(problem)
        question = solution_messages(suite_question(problem), system=options.system)
        own = {n: getattr(problem, n) for n in ("reference", "tests", "entry_point", "setup")}
        task = problem.instruction + problem.prompt
        return [_row("grpo", prompt=question, instruction=task, **own)]
    if not problem.tests.strip():
        raise Rejected("no_tests", problem.id)
    if not problem.may_label:
        raise Rejected("tests_not_validated", f"{problem.id}: codefavor pair check-tests")
    lane = choose_lane(problem.tests, problem.entry_point, problem.setup)
    if lane.name != "split":
        raise Rejected("tests_need_the_together_lane", f"{problem.id}: {lane.reason}")
    question = solution_messages(problem.instruction, system=options.system)
    return [
        _row(
            "grpo",
            prompt=question,
            tests=problem.tests,
            entry_point=problem.entry_point,
            setup=problem.setup,
        )
    ]


# What a row of "grpo" has besides, where a suite is asked for.
TESTS_COLUMNS: Mapping[str, type] = {"instruction": str, "reference": str}
FORMATS: dict[str, Format] = {
    form.name: form
    for form in (
        Format("pairwise", Preference, ("chat_template",), {"messages": list}, to_pairwise),
        Format("pairwise_cot", Preference, ("chat_template",), {"messages": list}, to_pairwise_cot),
        Format("sft", Preference, ("chat_template",), {"messages": list}, to_sft),
        Format(
            "dpo",
            Preference,
            (PREFERENCES_TYPE, "chat_template.default", "chat_template"),
            {"messages": list, "chosen": dict, "rejected": dict},
            to_dpo,
        ),
        Format(
            "kto",
            Preference,
            (PREFERENCES_TYPE,),
            {"messages": list, "completion": dict, "label": bool},
            to_kto,
        ),
        Format(
            "reward",
            Preference,
            ("bradley_terry.chat_template",),
            {"system": str, "input": str, "chosen": str, "rejected": str},
            to_reward,
        ),
        Format(
            "process",
            Preference,
            ("stepwise_supervised",),
            {"prompt": str, "completions": list, "labels": list},
            to_process,
        ),
        Format(
            "grpo",
            Problem,
            (),  # Axolotl leaves rows of a data set without a type as they are
            {"prompt": list, "tests": str, "entry_point": str, "setup": str},
            to_grpo,
        ),
    )
}
