"""A chat model as judge: structured where the backend can, strictly parsed text otherwise."""

from __future__ import annotations

import asyncio
import copy
import json
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol, get_args

from codefavor.backends.base import Backend, Feature, Request, Response, Sampling, TokenLogprob
from codefavor.backends.registry import make_backend
from codefavor.errors import ConfigError
from codefavor.judges.base import raise_errors
from codefavor.judges.options import Option, SystemOption
from codefavor.judges.verdict_parser import parse_verdict
from codefavor.prompts.chat import comparison_messages
from codefavor.records import Comparison, Verdict, canonical_json, content_id

Mode = Literal["auto", "structured", "reasoned", "letter", "logprobs"]
Ask = Callable[..., Awaitable[Response]]

# What a mode asks of a backend beyond text.
_NEEDS: Mapping[str, Feature] = {"structured": "json_schema", "logprobs": "logprobs"}
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

    def through(self, backend: Backend) -> CanAsk: ...


class LlmJudge:
    """A chat model is asked which of the two programs is better.

    `backend` may be written: "openai:gpt-4o".

    `mode`: "structured" (JSON by schema, feedback first), "reasoned" (feedback, then [RESULT]),
    "letter" (one letter), "logprobs" (one token; the log-probabilities of A and B decide and
    give `p_a`), or "auto": structured where the backend can, else reasoned. Replies are kept
    whole in `raw`; what they do not plainly say is undecided.
    """

    def __init__(
        self,
        backend: Backend | str,
        *,
        mode: Annotated[Mode, Option("How it is asked and how its reply is read.")] = "auto",
        max_tokens: Annotated[
            int, Option("Most tokens of a reply.", also=("--max-new-tokens",), low=1)
        ] = 1024,
        temperature: Annotated[float, Option("0 is greedy decoding.", low=0)] = 0.0,
        seed: int | None = None,
        language: str = "python",
        system: SystemOption = "none",
        name: str | None = None,
    ) -> None:
        if mode not in get_args(Mode):
            raise ConfigError(f"unknown mode {mode!r}; known: {', '.join(get_args(Mode))}")
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
        self.mode: Mode = mode
        self.name = name or f"{backend.name}:{backend.model} ({mode})"
        self._language = language
        self._system = system
        is_short = mode in ("letter", "logprobs")
        self._sampling = Sampling(
            temperature=temperature,
            max_tokens=1 if mode == "logprobs" else 8 if is_short else max_tokens,
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

    @property
    def prompt_sha256(self) -> str:
        """The hash of the prompt's own words: of a question without any program."""
        return content_id(self.messages(Comparison("instruction", "a", "b", "criteria")))

    async def _compare_one(self, comparison: Comparison) -> Verdict:
        messages = self.messages(comparison)
        if self._ask is not None:
            # The log-probabilities are the answer, whatever the one token says.
            is_free = self.mode == "logprobs"
            response = await self._ask(messages, sampling=self._sampling, may_be_empty=is_free)
        else:
            response = await self.backend.generate(Request(messages, self._sampling))
        if self.mode == "logprobs":
            return verdict_of_logprobs(response)
        return parse_verdict(response.text)


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


def reread(verdict: Verdict, mode: str) -> Verdict:
    """The verdict that today's reading gives for a stored reply; nobody is asked.

    Verdicts without a stored reply, and those of modes that are not text, stay as they are.
    """
    if not verdict.raw:
        return verdict
    if mode in ("structured", "reasoned", "letter"):
        return parse_verdict(verdict.raw)
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
