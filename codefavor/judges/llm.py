"""A chat model as judge: structured where the backend can, strictly parsed text otherwise."""

from __future__ import annotations

import asyncio
import copy
import json
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, get_args

from codefavor.backends.base import Backend, Request, Response, Sampling, TokenLogprob
from codefavor.backends.registry import make_backend
from codefavor.errors import ConfigError
from codefavor.judges.base import raise_errors
from codefavor.judges.verdict_parser import parse_verdict
from codefavor.prompts.chat import SystemTurn, comparison_messages
from codefavor.records import Comparison, Verdict, canonical_json

Mode = Literal["auto", "structured", "reasoned", "letter", "logprobs"]
Ask = Callable[..., Awaitable[Response]]

# The label's log-probabilities must be among the likeliest tokens that a server reports.
_N_LOGPROBS = 20
_STRUCTURED = (
    "\n\nWrite the answer as one JSON object and nothing else: "
    '{"feedback": "what differs, in a few sentences", "winner": "A", "B" or "tie"}.'
)
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "feedback": {"type": "string"},
        "winner": {"type": "string", "enum": ["A", "B", "tie"]},
    },
    "required": ["feedback", "winner"],
    "additionalProperties": False,
}


class CanAsk(Protocol):
    """What an LLM judge needs of a runner's context: asking with its limits and its store."""

    @property
    def ask(self) -> Ask: ...


class LlmJudge:
    """Asks a backend (or the backend of a spec such as "openai:gpt-4o") which is better.

    `mode`: "structured" (JSON by schema, feedback first), "reasoned" (feedback, then [RESULT]),
    "letter" (one letter), "logprobs" (one token; the log-probabilities of A and B decide and
    give `p_a`), or "auto": structured where the backend can, else reasoned. Replies are kept
    whole in `raw`; what they do not plainly say is undecided.
    """

    def __init__(
        self,
        backend: Backend | str,
        *,
        mode: Mode = "auto",
        max_tokens: int = 1024,
        temperature: float = 0.0,
        seed: int | None = None,
        language: str = "python",
        system: SystemTurn = "none",
        name: str | None = None,
    ) -> None:
        if mode not in get_args(Mode):
            raise ConfigError(f"unknown mode {mode!r}; known: {', '.join(get_args(Mode))}")
        if isinstance(backend, str):
            backend = make_backend(backend)
        self.backend = backend
        if mode == "auto":
            mode = "structured" if "json_schema" in backend.features else "reasoned"
        self.mode: Mode = mode
        self.name = name or f"{backend.name}:{backend.model} ({mode})"
        self._language = language
        self._system = system
        is_short = mode in ("letter", "logprobs")
        self._sampling = Sampling(
            temperature=temperature,
            max_tokens=1 if mode == "logprobs" else 8 if is_short else max_tokens,
            seed=seed,
            logprobs=_N_LOGPROBS if mode == "logprobs" else None,
            json_schema=SCHEMA if mode == "structured" else None,
        )
        self._ask: Ask | None = None

    def with_context(self, context: CanAsk) -> LlmJudge:
        """The same judge asking through a runner's context (limits, budget, stored answers)."""
        bound = copy.copy(self)
        bound._ask = context.ask
        return bound

    async def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """One verdict for each comparison, all asked at once (a runner's context has its caps).

        Raises BackendError, or Rejected for an answer that was withheld, once all have ended:
        what was paid for is kept.
        """
        answers = await asyncio.gather(
            *(self._compare_one(comparison) for comparison in comparisons), return_exceptions=True
        )
        return [raise_errors(answer) for answer in answers]

    def messages(self, comparison: Comparison) -> list[dict[str, str]]:
        """What the backend is asked."""
        messages = comparison_messages(
            comparison,
            language=self._language,
            system=self._system,
            reasoned=self.mode == "reasoned",
        )
        if self.mode == "structured":
            last = messages[-1]
            messages[-1] = {**last, "content": last["content"] + _STRUCTURED}
        return messages

    async def _compare_one(self, comparison: Comparison) -> Verdict:
        messages = self.messages(comparison)
        if self._ask is not None:
            response = await self._ask(messages, sampling=self._sampling)
        else:
            response = await self.backend.generate(Request(messages, self._sampling))
        if self.mode == "logprobs":
            return verdict_of_logprobs(response)
        return parse_verdict(response.text)


def verdict_of_logprobs(response: Response) -> Verdict:
    """The likelier label at the first token, undecided where neither is reported there.

    A label that is missing counts as no more likely than the least likely token reported, so
    `p_a` is then a bound on the safe side.
    """
    top = dict(response.logprobs[0].top) if response.logprobs else {}
    if response.logprobs:
        top.setdefault(response.logprobs[0].token, response.logprobs[0].logprob)
    labels = {
        label: [value for token, value in top.items() if token.strip().strip("▁Ġ") == label]
        for label in ("A", "B")
    }
    raw = canonical_json({"top": top})
    if not labels["A"] and not labels["B"]:
        return Verdict("undecided", None, raw)
    floor = min(top.values())
    mass = {
        label: sum(math.exp(value) for value in values) or math.exp(floor)
        for label, values in labels.items()
    }
    p_a = mass["A"] / (mass["A"] + mass["B"])
    if mass["A"] == mass["B"]:
        return Verdict("tie", 0.5, raw)
    return Verdict("A" if mass["A"] > mass["B"] else "B", p_a, raw)


def reread(verdict: Verdict, mode: str) -> Verdict:
    """The verdict that today's reading gives for a stored reply; nobody is asked.

    Verdicts without a stored reply, and those of modes that are not text, stay as they are.
    """
    if not verdict.raw:
        return verdict
    if mode in ("structured", "reasoned", "letter"):
        return parse_verdict(verdict.raw)
    if mode == "logprobs":
        top = json.loads(verdict.raw)["top"]
        if not top:
            return verdict
        token = max(top, key=lambda one: top[one])
        stored = (TokenLogprob(token, top[token], top),)
        return verdict_of_logprobs(Response(text=token, logprobs=stored))
    return verdict
