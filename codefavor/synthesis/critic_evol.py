"""Critic-Evol: a teacher criticises drafts of a weaker model and improves what deserves it.

Source: the idea and its stages are those of CodeFavor (Liu et al. 2024, "Learning Code Preference
via Synthetic Evolution"); prompts, examples, parsing and checks are this project's own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from codefavor.backends.base import Backend
from codefavor.engine.context import Context
from codefavor.engine.runner import Step
from codefavor.errors import Rejected
from codefavor.languages import language_name
from codefavor.prompts import data_sha256, data_text, prompt_sha256, render
from codefavor.prompts.chat import solution_text
from codefavor.records import Row, content_id
from codefavor.synthesis.conversation import Conversation, model_spec
from codefavor.synthesis.forms import (
    ASPECTS,
    AnswerFormat,
    Field,
    Form,
    read_choice,
    require,
)
from codefavor.synthesis.pair_rows import (
    PairInProgress,
    PairSettings,
    make_pair_step,
    pair_manifest,
)
from codefavor.synthesis.verify import Verifier

SOURCE = "critic-evol"
PROMPTS = ("critic_evol", "critic_evol_item")
EXAMPLES = "critic_evol_examples.jsonl"
N_EXAMPLES = 4
# The file has three examples that are good enough, and at most half of those shown are.
MAX_EXAMPLES = 6
GOOD_ENOUGH = "good_enough"
VERDICTS = (GOOD_ENOUGH, "improve")
CRITIQUE = Form(
    (
        Field("reflection"),
        Field("verdict", choices=VERDICTS),
        Field("aspect"),
        Field("criteria", aliases=("criterion",)),
        Field("improved_code", is_code=True, aliases=("improved",)),
        Field("feedback"),
    )
)


def make_critic_evol_step(
    settings: PairSettings, verifier: Verifier, *, n_examples: int = N_EXAMPLES
) -> Step:
    """A step from a draft row to a pair, or to a row of kind "good_enough".

    `n_examples` (0 to `MAX_EXAMPLES`) worked examples stand before each question.
    """

    def begin(row: Row, context: Context) -> PairInProgress:
        language = language_name(row.get("language") or "python")
        examples = choose_examples(context, language, n_examples)
        return PairInProgress(
            source=SOURCE,
            input_id=row["id"],
            language=language,
            license=row.get("license") or "",
            settings=settings,
            talk=Conversation(
                context,
                settings.sampling,
                settings.answer_format,
                example_turns(examples, settings.answer_format),
            ),
            problem_id=row.get("problem_id") or "",
            entry_point=row.get("entry_point") or "",
            tests=row.get("tests") or "",
            instruction=row["instruction"],
            rejected=row["code"],
            meta={
                "model": model_spec(context),
                "draft": {"id": row["id"], "model": row.get("model") or ""},
                "examples": [example["id"] for example in examples],
            },
        )

    return make_pair_step(begin, _criticise, verifier.verify)


async def _criticise(pair: PairInProgress, row: Row) -> Row | None:
    """Ask for the critique; the result if the draft is good enough, else the pair is complete."""
    if not pair.rejected.strip():
        raise Rejected("empty_draft", "the draft has no code")
    answer_format = pair.settings.answer_format
    question = item_text(pair.instruction, pair.rejected, pair.language)
    if not pair.meta["examples"]:
        question = with_rules(question, answer_format)
    reply = await pair.talk.ask(question, form=CRITIQUE)
    values = CRITIQUE.read(reply, answer_format, pair.language)
    pair.meta["reflection"] = values.get("reflection", "")
    pair.criteria = values.get("criteria", "")
    pair.chosen = values.get("improved_code", "")
    require(values, ("reflection", "verdict"))
    verdict = read_choice(values["verdict"], VERDICTS)
    if not verdict:
        raise Rejected("verdict_unclear", values["verdict"][:200])
    if verdict == GOOD_ENOUGH:
        if pair.chosen:
            raise Rejected("verdict_contradicts", "good enough, and improved all the same")
        return _good_enough_row(pair)
    require(values, ("criteria", "improved_code", "feedback"))
    pair.aspect = read_choice(values.get("aspect", ""), ASPECTS) or "other"
    pair.add_feedback(values["feedback"])
    return None


def _good_enough_row(pair: PairInProgress) -> Row:
    """The row of a draft that needs nothing: no pair, and no failure either."""
    return {
        "id": content_id(SOURCE, GOOD_ENOUGH, pair.input_id, pair.rejected),
        "kind": GOOD_ENOUGH,
        "instruction": pair.instruction,
        "code": pair.rejected,
        "source": SOURCE,
        "problem_id": pair.problem_id,
        "language": pair.language,
        "license": pair.license,
        "meta": pair.meta_row(GOOD_ENOUGH),
    }


def is_pair(row: Row) -> bool:
    """Whether a result of the step is a pair, not a draft that was good enough."""
    return row.get("kind") != GOOD_ENOUGH


def item_text(instruction: str, draft: str, language: str) -> str:
    """One task and its draft as the teacher sees them."""
    return render(
        "critic_evol_item",
        instruction=instruction.strip(),
        draft=solution_text(draft, language),
    )


def with_rules(question: str, answer_format: AnswerFormat) -> str:
    """The first question of a conversation: what is asked for stands before it."""
    return f"{render('critic_evol', format=answer_format)}\n\n{question}"


@lru_cache(maxsize=1)
def load_examples() -> tuple[Row, ...]:
    """The examples that the package brings, written by this project."""
    return tuple(json.loads(line) for line in data_text(EXAMPLES).splitlines())


def choose_examples(context: Context, language: str, n_examples: int = N_EXAMPLES) -> list[Row]:
    """Examples in an order that follows from the run's seed and the row's id alone.

    Those of the row's language come before others; of two or more at least one is good enough as
    it is, and at most half, so that neither verdict looks like the rule. A single one is either.
    """
    rng = context.rng(f"examples/{context.row_id}")
    shuffled = list(load_examples())
    rng.shuffle(shuffled)
    shuffled.sort(key=lambda example: example["language"] != language)
    good = [example for example in shuffled if example["verdict"] == GOOD_ENOUGH]
    other = [example for example in shuffled if example["verdict"] != GOOD_ENOUGH]
    n_good = rng.choice((min(1, n_examples), n_examples // 2))
    chosen = good[:n_good] + other[: n_examples - n_good]
    rng.shuffle(chosen)
    return chosen


def example_turns(examples: Sequence[Row], answer_format: AnswerFormat) -> list[dict[str, str]]:
    """The rules, then the examples as turns of their own, which nothing in a text can break."""
    turns: list[dict[str, str]] = []
    for example in examples:
        question = item_text(example["instruction"], example["draft"], example["language"])
        if not turns:
            question = with_rules(question, answer_format)
        turns.append({"role": "user", "content": question})
        turns.append({"role": "assistant", "content": example_answer(example, answer_format)})
    return turns


def example_answer(example: Row, answer_format: AnswerFormat) -> str:
    """An example's answer, in the form that is asked for."""
    values: dict[str, Any] = {field.name: example[field.name] for field in CRITIQUE.fields}
    if answer_format == "json":
        return json.dumps(values, ensure_ascii=False)
    parts = []
    for field in CRITIQUE.fields:
        value = values[field.name].strip("\n")
        if value:
            text = solution_text(value, example["language"]) if field.is_code else value
            parts.append(f"[{field.name.upper()}]\n{text}")
    return "\n\n".join(parts)


def critic_evol_manifest(
    backend: Backend,
    settings: PairSettings,
    verifier: Verifier,
    seed: int,
    *,
    n_examples: int = N_EXAMPLES,
) -> Row:
    """The settings that a journal of this pipeline is bound to."""
    prompts = {name: prompt_sha256(name) for name in PROMPTS} | {EXAMPLES: data_sha256(EXAMPLES)}
    manifest = pair_manifest(
        SOURCE, backend, settings, verifier.to_row(), seed=seed, prompts=prompts
    )
    return {**manifest, "n_examples": n_examples}
