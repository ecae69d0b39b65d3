"""A model answers questions, another says of each answer whether it is true; both resumable.

The answers and what was said of them lie in journals of their own, so that a second judge costs
nothing at the first model, and measures that are read from the texts are computed anew each time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from codefavor import __version__
from codefavor.backends.base import Backend, Message, Sampling
from codefavor.engine.context import Context
from codefavor.engine.counts import Counts
from codefavor.engine.runner import Step
from codefavor.errors import ConfigError, Rejected
from codefavor.evaluation.item_results import IN_PART, ItemScores, Measures, item_result, unscored
from codefavor.journal import Journal, ok_rows
from codefavor.records import Row, content_id
from codefavor.result_file import rows_path, write_result
from codefavor.sections import without_thinking

_CHECK_TOKENS = 512
# Why an answer has no judgement, where the reply states none in a form that is read.
UNDECIDED = "undecided"
CUT_OFF = "undecided: cut off"
# The same to the rule that stops a run.
NO_JUDGEMENT = "no_judgement"


@dataclass(frozen=True)
class AnswerTask:
    """What is asked, and what is read from an answer.

    `ask` makes the messages of an item; `measure` gives the measures of an item and its answer.
    Items of one `cluster` share a question. `settings` say how it is asked, `measured_by` with what
    answers are measured: results that differ in either cannot be compared, and answers only
    depend on the first. `trivial` are figures of models that do nothing. `undecided` gives the
    measures, all None, of an item whose answer cannot be measured or is not there: where the
    answers are judgements (`are_judgements`: one that was cut off is none), and where `measure`
    raises Rejected. `n_parts` is how many values an item's measures of several parts have.
    """

    benchmark: str
    license: str
    items: Sequence[Row]
    ask: Callable[[Row], list[Message]]
    measure: Callable[[Row, str], Measures]
    stop: tuple[str, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)
    settings: Mapping[str, Any] = field(default_factory=dict)
    measured_by: Mapping[str, Any] = field(default_factory=dict)
    trivial: Mapping[str, Row] = field(default_factory=dict)
    undecided: Callable[[Row], Measures] | None = None
    are_judgements: bool = False
    n_parts: Callable[[Row], int] = lambda row: 1
    seed: int = 0


@dataclass(frozen=True)
class Check:
    """Who says of an answer whether it is true: a chat model, or a model in this process.

    `step` goes from an item with its `answer` to a row that keeps the answer and what was found;
    `read` gives the measures in that row, None for what it does not say.
    """

    name: str
    identity: Row
    step: Step
    read: Callable[[Row], Measures]
    measures: tuple[str, ...]
    backend: Backend | None = None


@dataclass(frozen=True)
class Runner:
    """How rows are run: a context for a backend, and the engine's loop."""

    make_context: Callable[[Backend | None, Path], Context]
    run: Callable[..., Counts]


def chat_check(
    judge: Backend,
    ask: Callable[[Row], list[Message]],
    read: Callable[[str], Measures],
    measures: tuple[str, ...],
) -> Check:
    """A chat model that is asked about each answer; `read` finds the measures in its reply."""

    async def step(row: Row, context: Context) -> Row:
        # What was cut off may have gone on to say the opposite.
        sampling = Sampling(max_tokens=_CHECK_TOKENS)
        response = await context.ask(ask(row), sampling=sampling, accept=("stop",))
        return {"id": row["id"], "answer": row["answer"], "reply": response.text}

    identity = {"backend": judge.identity, "prompt": ask_id(ask)}
    return Check(judge.spec, identity, step, lambda row: read(row["reply"]), measures, judge)


def ask_id(ask: Callable[[Row], list[Message]]) -> str:
    """What tells one way of asking from another: the prompt it makes of a made-up item."""
    probe = {"id": "", "task": "", "context": "c", "question": "q", "answer": "a",
             "true": ["t"], "false": ["f"]}  # fmt: skip
    return content_id(ask(probe))[:16]


def evaluate_answers(
    task: AnswerTask,
    name: str,
    out: Path,
    backend: Backend,
    runner: Runner,
    *,
    check: Check | None = None,
) -> tuple[Row, Counts]:
    """Ask for the answers (those not yet in the journal), have them judged, write the result file:
    `out`, or beside it one of the judge's own (`judged_path`).

    While rows wait for a batch, and of a shard, there is no result: an empty one comes back.
    """
    if not task.items:
        raise ConfigError("no items are left to ask about; check --limit and --sample")
    by_id = {str(one["id"]): one for one in task.items}
    path = rows_path(out)
    asked = path, _asked(task, backend)
    why = partial(_why_none, task, by_id)
    counts = _run(_answer_step(task), task.items, asked, backend, runner, label=name, useless=why)
    if counts.n_pending:
        return {}, counts
    answers = {one["id"]: one for one in ok_rows(path) if one["id"] in by_id}
    scores = ItemScores(reasons=unscored(path, list(by_id)))
    settings = _settings(task, backend)
    judged: dict[str, Measures] = {}
    if check is not None:
        settings |= _judge_settings(check)
        judged, scores.unjudged, pending = _judged(check, by_id, answers, out, runner)
        if pending is not None:
            return {}, pending
    if not counts.is_whole:
        return {}, counts
    for key, one in answers.items():
        scores.texts[key] = one["answer"]
        measures, reason = _measured(task, by_id[key], one)
        scores.measures[key] = {**judged.get(key, {}), **measures}
        if reason:
            scores.unjudged[key] = reason
    scores.clusters = {key: str(row.get("cluster", key)) for key, row in by_id.items()}
    scores.n_parts = {key: task.n_parts(row) for key, row in by_id.items()}
    if task.undecided is not None:
        scores.measures |= {key: task.undecided(by_id[key]) for key in scores.reasons}
    result = item_result(
        task.items,
        scores,
        benchmark=task.benchmark,
        model={"name": name, **backend.identity},
        settings=settings,
        license=task.license,
        seed=task.seed,
        trivial=task.trivial,
    )
    result["metrics"]["n_cut_off"] = sum(
        one["finish_reason"] == "length" for one in answers.values()
    )
    write_result(judged_path(out, check), result)
    return result, counts


def _settings(task: AnswerTask, backend: Backend) -> Row:
    """All that changes what was asked, and what it is measured with."""
    identity = backend.identity
    told: Row = {name: identity[name] for name in ("mode", "extra") if name in identity}
    return {
        **task.settings,
        "prompt_id": ask_id(task.ask),
        **told,
        **_sampling_row(task.sampling),
        **task.measured_by,
    }


def _judge_settings(check: Check) -> Row:
    weights = check.identity.get("weights")
    return {
        "judge": check.name,
        "judge_prompt_id": check.identity.get("prompt"),
        **({"judge_weights": content_id(weights)[:16]} if weights else {}),
    }


def _why_none(task: AnswerTask, by_id: Mapping[str, Row], found: Row) -> str:
    """Why an answer has no measure, in the words of the rule that stops a run; "" if it has."""
    reason = _measured(task, by_id[found["id"]], found)[1]
    return {CUT_OFF: "truncated_answer", UNDECIDED: NO_JUDGEMENT}.get(reason, reason)


def _measured(task: AnswerTask, item: Row, found: Row) -> tuple[Measures, str]:
    """The measures of an answer, and why they are none ("" where they are some)."""
    if task.undecided is None:
        return task.measure(item, found["answer"]), ""
    nothing = task.undecided(item)
    if task.are_judgements and found["finish_reason"] == "length":
        return nothing, CUT_OFF
    try:
        measures = task.measure(item, found["answer"])
    except Rejected as error:
        return nothing, error.reason
    return measures, UNDECIDED if measures == nothing else ""


def judged_path(out: Path, check: Check | None) -> Path:
    """The result file of answers as one judge sees them: each judge has its own; without one `out`.

    A folder is named by its last part.
    """
    if check is None:
        return out
    name = re.sub(r"[^A-Za-z0-9._+-]+", "-", re.sub(r"[^\s,:]*/", "", check.name))
    return out.with_name(f"{out.stem}.by-{name}-{_judge_id(check)}.json")


def _judge_id(check: Check) -> str:
    """What tells judges of one name apart: server, prompt, options."""
    return content_id(check.identity)[:8]


def _judged(
    check: Check,
    by_id: Mapping[str, Row],
    answers: Mapping[str, Row],
    out: Path,
    runner: Runner,
) -> tuple[dict[str, Measures], dict[str, str], Counts | None]:
    """What the check says of each answer, and why it says nothing (or not all) of others."""
    path = rows_path(out.with_name(f"{out.stem}.by-{_judge_id(check)}.json"))
    rows = [{**by_id[key], "answer": one["answer"]} for key, one in answers.items()]
    manifest = {"step": "check answers", **check.identity, "code_version": __version__}
    label = f"check by {check.name}"
    counts = _run(
        check.step, rows, (path, manifest), check.backend, runner, label=label,
        useless=lambda row: "" if any(v is not None for v in check.read(row).values())
        else NO_JUDGEMENT,
    )  # fmt: skip
    if not counts.is_whole:
        return {}, {}, counts
    found: dict[str, Measures] = dict.fromkeys(answers, dict.fromkeys(check.measures))
    reasons = unscored(path, list(answers))
    for one in ok_rows(path):
        if one["id"] in found and one["answer"] == answers[one["id"]]["answer"]:
            found[one["id"]] = said = check.read(one)
            if None in said.values():
                is_half = any(value is not None for value in said.values())
                reasons[one["id"]] = f"{UNDECIDED}{IN_PART if is_half else ''}"
    return found, {key: f"judge: {reason}" for key, reason in reasons.items()}, None


def _run(
    step: Step,
    rows: Sequence[Row],
    journal_of: tuple[Path, Row],
    backend: Backend | None,
    runner: Runner,
    *,
    label: str,
    useless: Callable[[Row], str],
) -> Counts:
    """Run the rows into the journal of a path and a manifest."""
    context = runner.make_context(backend, journal_of[0])
    try:
        with Journal.open(*journal_of) as journal:
            return runner.run(step, rows, journal, context=context, label=label, useless=useless)
    finally:
        if context.cache is not None:
            context.cache.close()


def _asked(task: AnswerTask, backend: Backend) -> Row:
    return {
        "step": "answers",
        "benchmark": task.benchmark,
        "backend": backend.identity,
        "prompt": ask_id(task.ask),
        "code_version": __version__,
        "seed": task.seed,
        "sampling": task.sampling.to_row(),
        **task.settings,
    }


def _sampling_row(sampling: Sampling) -> Row:
    return {name: getattr(sampling, name) for name in ("temperature", "top_p", "max_tokens")}


def _answer_step(task: AnswerTask) -> Step:
    """A step from an item to `{"id", "answer", "finish_reason"}`; no text is no answer."""

    async def step(row: Row, context: Context) -> Row:
        if "flaw" in row:
            raise Rejected(row["flaw"], "nobody was asked")
        response = await context.ask(
            task.ask(row), sampling=task.sampling, stop=task.stop, accept=("stop", "length")
        )
        text = without_thinking(response.text)
        for mark in task.stop:
            text = text.partition(mark)[0]
        if not text.strip():
            raise Rejected("empty_answer", "nothing but thoughts or a stop sequence")
        return {"id": row["id"], "answer": text.strip(), "finish_reason": response.finish_reason}

    return step
