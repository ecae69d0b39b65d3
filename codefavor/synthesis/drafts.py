"""Drafts: several answers of a model to each problem, to be scored by its tests."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from codefavor.backends.base import Backend, Mode, Response, Sampling
from codefavor.engine.context import Context, derived_seed
from codefavor.engine.runner import Step
from codefavor.prompts import prompt_sha256, render
from codefavor.records import Completion, Problem, Row, content_id
from codefavor.scoring.answers import continued, program_of
from codefavor.scoring.blocks import definitions_of
from codefavor.synthesis.conversation import model_spec

STEP_NAME = "drafts"
# After these a base model has left the program; as many as every server takes. Where it continues
# a function they are those of the HumanEval paper and the bigcode harness, where it writes one
# those of that harness for MBPP; a program of its own may print.
_LEFT_FUNCTION = ("\nclass ", "\ndef ", "\n#", "\nif ")
_LEFT_FUNCTIONS = ('\n"""', "\nassert ", "\nprint(", "\nif __name__")
_LEFT_PROGRAM = ('\n"""', "\n```")


def make_drafts_step(sampling: Sampling, form: Mode = "chat") -> Step:
    """A step from a problem row to `{"id", "completions": [...]}` with `sampling.n` drafts.

    The draws depend on the run's seed, the problem and `n` only, where the backend takes seeds.
    One that can continue an answer begins it with the code fence, which keeps small models from
    talking first. A problem to which not one answer has any text is rejected with the reason.
    """

    async def draft(row: Row, context: Context) -> Row:
        problem = Problem.from_row(row, f"problem {row['id']}")
        is_chat = form == "chat"
        fence = f"```{problem.language}" if is_chat and context.can("prefill") else ""
        messages = drafts_messages(problem, fence) if is_chat else _beginning(problem)
        stop = (("\n```",) if fence else ()) if is_chat else _stops(problem)
        seed = None
        if context.can("seed"):
            seed = derived_seed(context.seed, f"{problem.id}/{sampling.n}")
        seeded = msgspec.structs.replace(sampling, seed=seed)
        answers = await context.samples(messages, sampling=seeded, stop=stop)
        model = model_spec(context)
        head = fence if is_chat else messages[0]["content"]
        completions = [
            _completion(problem, answer, index, model=model, sampling=seeded, head=head)
            for index, answer in enumerate(answers)
        ]
        # The next pipeline reads these rows alone: they say what was asked, in which language.
        asked = {name: getattr(problem, name) for name in ("instruction", "language", "license")}
        return {"id": problem.id, "completions": [{**c.to_row(), **asked} for c in completions]}

    return draft


def drafts_messages(problem: Problem, fence: str = "") -> list[dict[str, str]]:
    """The question for one problem; with `fence` the answer already begins with it.

    The empty system message keeps chat templates from adding one of their own.
    """
    question = render(
        "drafts",
        instruction=problem.instruction.strip(),
        entry_point=problem.entry_point,
        language=problem.language,
        prompt=problem.prompt.rstrip(),
    )
    messages = [{"role": "system", "content": ""}, {"role": "user", "content": question}]
    return [*messages, {"role": "assistant", "content": fence}] if fence else messages


def _beginning(problem: Problem) -> list[dict[str, str]]:
    """The beginning of a program for a base model: the given one, else the task as a docstring."""
    text = problem.prompt or f'"""\n{problem.instruction.strip()}\n"""\n'
    return [{"role": "user", "content": text}]


def _stops(problem: Problem) -> tuple[str, ...]:
    """Where a base model has left the program that it was given the beginning of."""
    if not problem.entry_point:
        return _LEFT_PROGRAM
    is_begun = definitions_of(f"{problem.prompt.rstrip()}\n    pass\n", problem.entry_point)
    return _LEFT_FUNCTION if is_begun else _LEFT_FUNCTIONS


def drafts_manifest(backend: Backend, sampling: Sampling, seed: int, form: Mode = "chat") -> Row:
    """The settings that a journal of drafts is bound to."""
    return {
        "step": STEP_NAME,
        "backend": backend.identity,
        "sampling": sampling.to_row(),
        "seed": seed,
        "prompt_sha256": prompt_sha256("drafts"),
        **({"prompt": form} if form != "chat" else {}),
    }


def completions_of(row: Row) -> Iterator[Row]:
    """The completion rows in one result of the step."""
    yield from row["completions"]


def _completion(
    problem: Problem, answer: Response, index: int, *, model: str, sampling: Sampling, head: str
) -> Completion:
    """The program in an answer that begins with `head`: a fence, or the beginning of a program."""
    settings = {**sampling.to_row(), "index": index}
    raw = head + answer.text
    if head and not head.startswith("```"):
        code = continued(head, answer.text, problem.entry_point)
    else:
        code = program_of(
            raw, problem.entry_point, language=problem.language, prompt=problem.prompt
        )
    return Completion(
        id=content_id("draft", problem.id, model, settings, raw),
        problem_id=problem.id,
        code=code,
        raw=raw,
        model=model,
        sampling=settings,
        usage=answer.usage.to_row(),
        finish_reason=answer.finish_reason,
    )
