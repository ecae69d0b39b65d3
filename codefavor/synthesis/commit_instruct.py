"""Commit-Instruct: preference pairs from commits, by asking a teacher what each one improved.

Source: the idea and its stages are those of CodeFavor (Liu et al. 2024, "Learning Code Preference
via Synthetic Evolution"); prompts, parsing and checks are this project's own.
"""

from __future__ import annotations

from codefavor.backends.base import Backend
from codefavor.engine.context import Context
from codefavor.engine.runner import Step
from codefavor.errors import Rejected
from codefavor.languages import language_name, language_title
from codefavor.prompts import prompt_sha256, render
from codefavor.prompts.chat import solution_text
from codefavor.records import Row
from codefavor.sources.commit_rows import Commit
from codefavor.synthesis.conversation import EVEN_CUT, Conversation, model_spec
from codefavor.synthesis.forms import ASPECTS, Field, Form, read_choice, require
from codefavor.synthesis.pair_rows import (
    PairInProgress,
    PairSettings,
    make_pair_step,
    pair_manifest,
)
from codefavor.synthesis.verify import Verifier

SOURCE = "commit-instruct"
PROMPTS = ("commit_reason", "commit_gate", "commit_construct")
GATE = Form(
    (
        Field("reason"),
        Field("answer", choices=("yes", "no")),
        Field("aspect", choices=ASPECTS),
    )
)
CONSTRUCT = Form(
    (
        Field("instruction"),
        Field("criteria", aliases=("criterion",)),
        Field("rejected_code", is_code=True, aliases=("rejected",)),
        Field("chosen_code", is_code=True, aliases=("chosen",)),
        Field("feedback"),
    )
)
CONSTRUCT_NAMES = tuple(field.name for field in CONSTRUCT.fields)


def make_commit_instruct_step(settings: PairSettings, verifier: Verifier) -> Step:
    """A step from a commit row to a pair: reason about the change, gate, construct, verify."""

    def begin(row: Row, context: Context) -> PairInProgress:
        commit = Commit.from_row(row, f"commit {row['id']}")
        names = ("id", "commit", "source", "path", "name", "message")
        return PairInProgress(
            source=SOURCE,
            input_id=commit.id,
            language=language_name(commit.language),
            license=commit.license,
            settings=settings,
            talk=Conversation(context, settings.sampling, settings.answer_format),
            meta={
                "model": model_spec(context),
                "commit": {name: getattr(commit, name) for name in names},
            },
        )

    return make_pair_step(begin, _ask, verifier.verify)


async def _ask(pair: PairInProgress, row: Row) -> None:
    await _reason(pair, Commit.from_row(row))
    await _gate(pair)
    await _construct(pair)


async def _reason(pair: PairInProgress, commit: Commit) -> None:
    question = render(
        "commit_reason",
        language=pair.title,
        message=commit.message.strip(),
        context=solution_text(commit.context, pair.language) if commit.context.strip() else "",
        before=solution_text(commit.old_code, pair.language),
        after=solution_text(commit.new_code, pair.language),
    )
    await pair.talk.ask(question, accept=EVEN_CUT)


async def _gate(pair: PairInProgress) -> None:
    """Stop here unless the change is plainly an improvement."""
    answer_format = pair.settings.answer_format
    question = render("commit_gate", format=answer_format)
    reply = await pair.talk.ask(question, form=GATE, accept=EVEN_CUT)
    values = GATE.read(reply, answer_format, pair.language)
    # Models that were asked for headers often answer the question itself first.
    plain = reply if answer_format == "sections" else ""
    answer = read_choice(values.get("answer", plain), ("yes", "no"))
    if not answer:
        raise Rejected("gate_unclear", reply.strip()[:200])
    if answer == "no":
        raise Rejected("gate_no", values.get("reason", reply.strip())[:200])
    pair.aspect = read_choice(values.get("aspect", ""), ASPECTS) or "other"


async def _construct(pair: PairInProgress) -> None:
    answer_format = pair.settings.answer_format
    question = render("commit_construct", format=answer_format, language=pair.title)
    reply = await pair.talk.ask(question, form=CONSTRUCT)
    values = CONSTRUCT.read(reply, answer_format, pair.language)
    pair.instruction = values.get("instruction", "")
    pair.criteria = values.get("criteria", "")
    pair.rejected = values.get("rejected_code", "")
    pair.chosen = values.get("chosen_code", "")
    require(values, CONSTRUCT_NAMES)
    pair.add_feedback(values["feedback"])


def commit_instruct_turns(settings: PairSettings, row: Row) -> list[tuple[str, Form]]:
    """The questions after the first, which do not depend on its answer."""
    answer_format = settings.answer_format
    title = language_title(language_name(row["language"]))
    return [
        (render("commit_gate", format=answer_format), GATE),
        (render("commit_construct", format=answer_format, language=title), CONSTRUCT),
    ]


def commit_instruct_manifest(
    backend: Backend, settings: PairSettings, verifier: Verifier, seed: int
) -> Row:
    """The settings that a journal of this pipeline is bound to."""
    prompts = {name: prompt_sha256(name) for name in PROMPTS}
    return pair_manifest(SOURCE, backend, settings, verifier.to_row(), seed=seed, prompts=prompts)
