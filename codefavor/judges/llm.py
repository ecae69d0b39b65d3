"""A chat model as judge: what it does not state in the form asked for, it is asked once more."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol

import msgspec

from codefavor.backends.base import Backend, Feature, Request, Response, Sampling, TokenLogprob
from codefavor.backends.microbatch import gather_all
from codefavor.backends.registry import make_backend
from codefavor.errors import ConfigError
from codefavor.judges.options import Option, SystemOption, check_choice
from codefavor.judges.verdict_reader import Asked, read_verdict, visible_text
from codefavor.prompts.chat import AnswerForm, comparison_messages, second_question
from codefavor.records import Comparison, Verdict, canonical_json, content_id

Mode = Literal["auto", "structured", "reasoned", "scores", "letter", "logprobs"]
Ask = Callable[..., Awaitable[Response]]

# What a mode asks of a backend beyond text.
_NEEDS: Mapping[str, Feature] = {"structured": "json_schema", "logprobs": "logprobs"}
# The modes whose replies are text, and how these are read.
_READ_AS: Mapping[str, Asked] = {
    "structured": "line",
    "reasoned": "line",
    "scores": "scores",
    "letter": "line",
}
_ANSWERS: Mapping[str, AnswerForm] = {"reasoned": "reasoned", "scores": "scores"}
_LETTER_TOKENS = 8
# The modes whose replies have no room for words: nobody sets how long they are.
_SHORT: Mapping[str, int] = {"letter": _LETTER_TOKENS, "logprobs": 1}
_REPLY_TOKENS = 1024
# A small object, with room for a model that indents it.
_OBJECT_TOKENS = 64
# The label's log-probabilities must be among the likeliest tokens that a server reports.
_N_LOGPROBS = 20
_STRUCTURED = (
    "\n\nWrite the answer as one JSON object and nothing else: "
    '{"feedback": "what differs, in a few sentences", "winner": "A", "B" or "tie"}.'
)
_WINNER = {"type": "string", "enum": ["A", "B", "tie"]}
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"feedback": {"type": "string"}, "winner": _WINNER},
    "required": ["feedback", "winner"],
    "additionalProperties": False,
}
_SECOND_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"winner": _WINNER},
    "required": ["winner"],
    "additionalProperties": False,
}


class CanAsk(Protocol):
    """What an LLM judge needs of a runner's context: asking with its limits and its store."""

    @property
    def ask(self) -> Ask: ...

    def through(self, backend: Backend) -> CanAsk: ...


def reply_tokens(mode: str, max_tokens: int | None = None) -> int:
    """The most tokens that a reply in this mode is asked for."""
    return _SHORT.get(mode) or max_tokens or _REPLY_TOKENS


class LlmJudge:
    """A chat model is asked which of the two programs is better.

    `backend` may be written: "openai:gpt-4o".

    `mode`: "structured" (JSON by schema, feedback first), "reasoned" (feedback, then [RESULT]),
    "scores" (feedback, then a score of each: the higher one wins), "letter" (one letter),
    "logprobs" (one token; the log-probabilities of A and B decide and give `p_a`), or "auto":
    structured where the backend can, else reasoned.

    Where a reply cannot be read, the same conversation is asked once more for the verdict alone,
    by schema where the backend can (not in mode "logprobs", whose answer is no text). What cannot
    be read then either is undecided. Both replies are kept whole in the verdict.
    """

    def __init__(
        self,
        backend: Backend | str,
        *,
        mode: Annotated[Mode, Option("How it is asked and how its reply is read.")] = "auto",
        max_tokens: Annotated[
            int | None,
            Option(
                f"Most tokens of a reply, where it is no letter [{_REPLY_TOKENS}].",
                also=("--max-new-tokens",),
                low=1,
            ),
        ] = None,
        temperature: Annotated[float, Option("0 is greedy decoding.", low=0)] = 0.0,
        seed: int | None = None,
        language: str = "python",
        system: SystemOption = "none",
        name: str | None = None,
    ) -> None:
        check_choice("mode", mode, Mode)
        if isinstance(backend, str):
            backend = make_backend(backend)
        self.backend = backend
        if mode == "auto":
            mode = "structured" if "json_schema" in backend.features else "reasoned"
        needed = _NEEDS.get(mode)
        if needed is not None and needed not in backend.features:
            raise ConfigError(
                f"--mode {mode} needs a backend with {needed}, and {backend.name} has none; use "
                "reasoned or letter (or name what the server can do with --set features=...)"
            )
        if mode in _SHORT and max_tokens is not None:
            raise ConfigError(
                f"--max-tokens means nothing to --mode {mode}, whose replies have "
                f"{_SHORT[mode]}; a model that writes or thinks first takes --mode reasoned"
            )
        self.mode: Mode = mode
        self.name = name or f"{backend.name}:{backend.model} ({mode})"
        self._language = language
        self._system = system
        self._sampling = Sampling(
            temperature=temperature,
            max_tokens=reply_tokens(mode, max_tokens),
            # Greedy decoding draws nothing, and not every server takes a seed.
            seed=seed if temperature and "seed" in backend.features else None,
            logprobs=_N_LOGPROBS if mode == "logprobs" else None,
            json_schema=SCHEMA if mode == "structured" else None,
        )
        self._ask: Ask | None = None

    def with_context(self, context: CanAsk) -> LlmJudge:
        """The same judge asking through a runner's context (limits, budget, cached responses)."""
        bound = copy.copy(self)
        bound._ask = context.through(self.backend).ask
        return bound

    async def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """One verdict for each comparison, all asked at once.

        Raises BackendError, or Rejected for an answer that was withheld, once all have ended. With
        a runner's context its caps and retries hold, and what was paid for is kept; without one
        each is sent once and kept nowhere.
        """
        asked = [self.messages(comparison) for comparison in comparisons]
        is_text = self.mode in _READ_AS
        replies = await self._ask_all(
            [(messages, self._sampling) for messages in asked], may_be_empty=not is_text
        )
        if not is_text:
            return [verdict_of_logprobs(reply) for reply in replies]
        verdicts = [
            read_replies(Verdict("undecided", None, reply.text, is_cut(reply)), self.mode)
            for reply in replies
        ]
        # After all the first ones, in their order: a run that goes on asks the same as n-th again.
        unread = [index for index, one in enumerate(verdicts) if one.choice == "undecided"]
        seconds = await self._ask_all(
            [self._second(asked[index], replies[index]) for index in unread], may_be_empty=True
        )
        for index, reply in zip(unread, seconds, strict=True):
            second = {"raw": reply.text, "is_cut": is_cut(reply)}
            verdict = dataclasses.replace(verdicts[index], second=second)
            verdicts[index] = read_replies(verdict, self.mode)
        return verdicts

    def messages(self, comparison: Comparison) -> list[dict[str, str]]:
        """What the backend is asked."""
        messages = comparison_messages(
            comparison,
            language=self._language,
            system=self._system,
            answer=_ANSWERS.get(self.mode, "letter"),
        )
        if self.mode == "structured":
            last = messages[-1]
            messages[-1] = {**last, "content": last["content"] + _STRUCTURED}
        return messages

    @property
    def prompt_sha256(self) -> str:
        """The hash of the prompts' own words: of the questions without any program."""
        question = self.messages(Comparison("instruction", "a", "b", "criteria"))
        if self.mode == "logprobs":
            return content_id(question)
        return content_id(second_question(question, "reply", as_json=self._is_by_schema))

    @property
    def _is_by_schema(self) -> bool:
        return "json_schema" in self.backend.features

    def _second(
        self, question: list[dict[str, str]], reply: Response
    ) -> tuple[list[dict[str, str]], Sampling]:
        said = visible_text(reply.text)
        messages = second_question(question, said, as_json=self._is_by_schema)
        thinks = bool(reply.reasoning) or said != reply.text.strip()
        if self._is_by_schema:
            # The schema ends the reply; what a model thinks before it counts too.
            max_tokens = max(_OBJECT_TOKENS, self._sampling.max_tokens)
        else:
            max_tokens = self._sampling.max_tokens if thinks else _LETTER_TOKENS
        schema = _SECOND_SCHEMA if self._is_by_schema else None
        return messages, msgspec.structs.replace(
            self._sampling, max_tokens=max_tokens, json_schema=schema
        )

    async def _ask_all(
        self, questions: Sequence[tuple[list[dict[str, str]], Sampling]], *, may_be_empty: bool
    ) -> list[Response]:
        """A reply to each; the first error once all have ended."""
        return await gather_all(self._ask_one(*question, may_be_empty) for question in questions)

    async def _ask_one(
        self, messages: list[dict[str, str]], sampling: Sampling, may_be_empty: bool
    ) -> Response:
        if self._ask is None:
            return await self.backend.generate(Request(messages, sampling))
        return await self._ask(messages, sampling=sampling, may_be_empty=may_be_empty)


def verdict_of_logprobs(response: Response) -> Verdict:
    """The likelier label at the first token; undecided where neither is surely the likelier.

    Servers report only the likeliest tokens. A label among them has the sum of its spellings
    ("A", " A"); one that is missing has at most the probability of the least likely token
    reported, and at most what all of them leave over. A verdict needs the other label to be
    above that bound, and `p_a` is then the bound on the safe side.
    """
    first = response.logprobs[0] if response.logprobs else None
    top = {token: value for token, value in first.top.items() if _is_number(value)} if first else {}
    chosen = first.token if first else ""
    if first is not None and _is_number(first.logprob):
        top.setdefault(chosen, first.logprob)
    raw = canonical_json({"top": top, "chosen": chosen})
    found = {label: _label_mass(top, label) for label in ("A", "B")}
    mass_a, mass_b = found["A"], found["B"]
    if mass_a is None and mass_b is None:
        return Verdict("undecided", None, raw)
    bound = _unreported_mass(top, chosen)
    is_bounded = mass_a is None or mass_b is None
    mass_a, mass_b = (bound if one is None else one for one in (mass_a, mass_b))
    if mass_a + mass_b == 0 or (is_bounded and (found["A"] or found["B"] or 0.0) <= bound):
        return Verdict("undecided", None, raw)
    p_a = mass_a / (mass_a + mass_b)
    if mass_a == mass_b:
        return Verdict("tie", 0.5, raw)
    return Verdict("A" if mass_a > mass_b else "B", p_a, raw)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not math.isnan(value)


def _label_mass(top: Mapping[str, float], label: str) -> float | None:
    """The probability of all reported spellings of a label, None where there are none."""
    # Servers write the space before a word as it is, or as their tokenizer does.
    values = [value for token, value in top.items() if token.strip().strip("▁Ġ") == label]
    return math.fsum(math.exp(value) for value in values) if values else None


def _unreported_mass(top: Mapping[str, float], chosen: str) -> float:
    """The most that one token which is not reported can have."""
    # A sampled token may stand beside the likeliest ones without being one of them.
    likeliest = [value for token, value in top.items() if token != chosen] or list(top.values())
    left_over = 1.0 - math.fsum(math.exp(value) for value in top.values())
    return max(0.0, min(math.exp(min(likeliest)), left_over))


def is_cut(response: Response) -> bool:
    """Whether the reply ended because it was as long as it may be."""
    return response.finish_reason == "length"


def read_replies(verdict: Verdict, mode: str) -> Verdict:
    """The verdict with the choice that its reply states, or else its second one."""
    choice = read_verdict(verdict.raw, _READ_AS[mode], is_cut=verdict.is_cut)
    if choice is None and verdict.second is not None:
        second = verdict.second
        choice = read_verdict(second["raw"], is_cut=second["is_cut"])
    return dataclasses.replace(verdict, choice=choice or "undecided")


def reread(verdict: Verdict, mode: str) -> Verdict:
    """The verdict that today's reading gives for the stored replies; nobody is asked.

    Verdicts without a stored reply, and those of modes that are not text, stay as they are.
    """
    if not verdict.raw and verdict.second is None:
        return verdict
    if mode in _READ_AS:
        return read_replies(verdict, mode)
    if mode == "logprobs":
        stored_raw = json.loads(verdict.raw)
        top = stored_raw["top"]
        if not top:
            return verdict
        likeliest = max(top, key=lambda one: top[one])
        token = stored_raw["chosen"] if stored_raw.get("chosen") in top else likeliest
        stored = (TokenLogprob(token, top[token], top),)
        return verdict_of_logprobs(Response(text=token, logprobs=stored))
    return verdict
