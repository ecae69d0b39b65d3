"""What a row of a pair pipeline may ask after its first question, for the bound of a dry run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from codefavor.backends.base import Backend, Request, Sampling
from codefavor.engine.plan import Later, Question
from codefavor.judges.blind_tests import LONGEST_SHOWN, MOST_SHOWN
from codefavor.judges.llm import SCHEMA, LlmJudge
from codefavor.judges.tested import N_DRAWS, N_TESTS
from codefavor.prompts import render
from codefavor.prompts.chat import second_question
from codefavor.records import Comparison, Row
from codefavor.synthesis.forms import Form
from codefavor.synthesis.pair_rows import PairSettings
from codefavor.synthesis.teacher_tests import N_ASSERTS
from codefavor.synthesis.verify import Verifier

# The turns after the first of a pipeline's conversation: what is asked, in which form.
Turns = Callable[[Row], Sequence[tuple[str, Form]]]
_N_ORDERS = 2


def later_questions(
    turns: Turns, settings: PairSettings, verifier: Verifier, judge: Backend
) -> Later:
    """All that may follow: the other turns, the teacher's tests, the judge twice in both orders,
    and the tests that a judge writes.

    Each stands with the first question's text, which it may quote (the task, the draft).
    """
    is_json = settings.answer_format == "json"

    def later(row: Row, first: Request) -> Iterator[Question]:
        messages = list(first.messages)
        for text, form in turns(row):
            messages = [*messages, {"role": "user", "content": text}]
            schema = form.schema() if is_json else None
            sampling = msgspec.structs.replace(settings.sampling, json_schema=schema)
            yield Question(Request(messages, sampling))
        if "tests" in verifier.ways:
            unknown = {"instruction": "", "signatures": [], "aspect": "efficiency"}
            text = render("write_tests", n_asserts=N_ASSERTS, **unknown)
            asked = [*first.messages, {"role": "user", "content": text}]
            yield Question(Request(asked, settings.sampling))
        if "tested" in verifier.ways:
            text = render("blind_tests", instruction="", signatures=[], n_tests=N_TESTS)
            asked = [*first.messages, {"role": "user", "content": text}]
            for _ in range(N_DRAWS):
                sampling = Sampling(max_tokens=verifier.max_tokens)
                yield Question(Request(asked, sampling), judge)
        if verifier.asks_judge:
            for request in _judge_requests(first, verifier, judge) * _N_ORDERS:
                yield Question(request, judge)

    return later


def _judge_requests(first: Request, verifier: Verifier, judge: Backend) -> list[Request]:
    """The judge's question, and the second one where its reply cannot be read."""
    asked = LlmJudge(judge, max_tokens=verifier.max_tokens).messages(Comparison("", "", ""))
    asked += [dict(message) for message in first.messages if message["role"] != "system"]
    if "tested" in verifier.ways:
        longest = "x" * LONGEST_SHOWN
        shown = [{"call": longest, "outputs": [longest] * 2}] * MOST_SHOWN
        text = render("differing_outputs", instruction="", differences=shown)
        asked.append({"role": "user", "content": text})
    sampling = Sampling(max_tokens=verifier.max_tokens, json_schema=SCHEMA)
    again = second_question(asked, "reply", as_json=True)
    return [Request(asked, sampling), Request(again, sampling)]
