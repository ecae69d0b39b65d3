"""A judge that runs the programs on tests which a model writes without seeing them."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, TypeVar

import msgspec

from codefavor.backends.base import Backend, Request, Response, Sampling, Usage
from codefavor.backends.microbatch import gather_all
from codefavor.errors import ConfigError, Rejected
from codefavor.judges.base import Judge, all_seconds, merge_orders
from codefavor.judges.blind_tests import (
    Bench,
    Draw,
    Evidence,
    differences,
    read_draw,
    signatures_of,
    swap_sides,
    to_rows,
    weigh,
)
from codefavor.judges.llm import Ask, CanAsk, LlmJudge
from codefavor.judges.options import Option
from codefavor.prompts import prompt_sha256, render
from codefavor.records import Comparison, Row, Verdict, canonical_json, content_id
from codefavor.sandbox import Limits, SandboxPool

N_TESTS = 6
N_DRAWS = 5
_MOST_KEPT = 10_000
_NOTHING = Evidence((), (), (), (), (0.0, 0.0))
T = TypeVar("T")


class TestedJudge:
    """A chat model writes tests blind, both programs run on them; in doubt it sees the outputs.

    `judge` is an `LlmJudge`; its model writes `draws` sets of tests from the instruction and the
    names that both programs define (or one does, and the instruction has them). The tests decide
    where the probability that they give one program (see `blind_tests.Evidence`) is at least
    `certainty`. Where they do not, the model is shown inputs on which the programs differ, with
    both outputs, and is asked in both orders as that judge asks; without such inputs it is asked
    as it would be without tests. A verdict does not depend on the order of the programs, and each
    question is paid for once.

    `raw` of a verdict is a JSON object: `decided_by` (tests or model), `why`, `n_tests`,
    `weights`, `tests`, `draws` with their abstentions, `differences`, `model` (its two replies,
    this order's first) and `usage`. The tokens of writing tests are those of all comparisons that
    share them.
    """

    # pytest looks for tests in classes of this name.
    __test__ = False

    def __init__(
        self,
        judge: Judge,
        pool: SandboxPool,
        limits: Limits | None = None,
        *,
        draws: Annotated[int, Option("Sets of tests that the model writes.", low=1)] = N_DRAWS,
        certainty: Annotated[
            float, Option("From this probability on the tests decide alone.", low=0.5, high=1)
        ] = 0.8,
        draw_temperature: Annotated[
            float, Option("Temperature at which tests are written.", low=0)
        ] = 0.8,
        draw_tokens: Annotated[int, Option("Most tokens of a set of tests.", low=1)] = 1024,
        seed: int = 0,
        language: str = "python",
        name: str | None = None,
    ) -> None:
        if not isinstance(judge, LlmJudge):
            raise ConfigError(f"tested: needs a chat model that writes tests, not {judge.name}")
        self.name = name or f"tested {judge.name}"
        self._judge = judge
        self._bench = Bench(pool, limits or Limits())
        self._n_draws = draws
        self._certainty = certainty
        self._sampling = Sampling(temperature=draw_temperature, max_tokens=draw_tokens)
        self._seed = seed
        self._language = language
        self._context: CanAsk | None = None
        self._written: dict[str, asyncio.Task[_Written]] = {}
        self._found: dict[str, asyncio.Task[_Found]] = {}

    def with_context(self, context: CanAsk) -> TestedJudge:
        """The same judge asking through a runner's context."""
        bound = copy.copy(self)
        bound._context = context
        return bound

    @property
    def prompt_sha256(self) -> str:
        """The hash of all prompts' own words."""
        own = (prompt_sha256("blind_tests"), prompt_sha256("differing_outputs"))
        return content_id(*own, self._judge.prompt_sha256)

    async def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """One verdict for each comparison.

        Raises BackendError, or SandboxError where the sandbox failed, once all have ended.
        """
        return await gather_all(self._compare_one(one) for one in comparisons)

    async def _compare_one(self, comparison: Comparison) -> Verdict:
        is_swapped = comparison.code_b < comparison.code_a
        asked = comparison.swap() if is_swapped else comparison
        key = content_id(asked.instruction, asked.criteria, asked.code_a, asked.code_b)
        found = await _once(self._found, key, lambda: self._find(asked))
        return found.verdict(is_swapped)

    async def _find(self, asked: Comparison) -> _Found:
        meter = _Meter(self._judge.backend, self._context)
        codes = (asked.code_a, asked.code_b)
        signatures = (
            signatures_of(codes, asked.instruction) if self._language in ("", "python") else {}
        )
        if not signatures:
            why = "no_common_name" if self._language in ("", "python") else "language"
            return await self._ask_model(asked, meter, _Found(why=why))
        names = list(signatures)
        key = content_id(asked.instruction, signatures)
        written = await _once(
            self._written, key, lambda: self._write(asked.instruction, signatures)
        )
        evidence = await weigh(written.draws, codes, names, self._bench)
        found = _Found(written, evidence, why="tests")
        if evidence.weights[0] != evidence.weights[1]:
            if max(evidence.p_first, 1 - evidence.p_first) >= self._certainty:
                return found
            found = replace(found, why="tests_in_doubt")
        else:
            found = replace(found, why="tests_are_even" if evidence.tests else "no_tests")
        told = await differences(written.draws, evidence, codes, names, self._bench)
        return await self._ask_model(asked, meter, replace(found, differences=tuple(told)))

    async def _write(self, instruction: str, signatures: Mapping[str, str]) -> _Written:
        meter = _Meter(self._judge.backend, self._context)
        question = render(
            "blind_tests",
            instruction=instruction.strip(),
            signatures=list(signatures.values()),
            n_tests=N_TESTS,
        )
        draws = await gather_all(
            self._draw(question, number, signatures, meter) for number in range(self._n_draws)
        )
        return _Written(tuple(draws), meter)

    async def _draw(
        self, question: str, number: int, names: Mapping[str, str], meter: _Meter
    ) -> Draw:
        seed = self._seed_of(question, number)
        sampling = msgspec.structs.replace(self._sampling, seed=seed)
        try:
            reply = await meter.ask(
                [{"role": "user", "content": question}], sampling=sampling, may_be_empty=True
            )
        except Rejected as rejected:
            return Draw(abstains=rejected.reason)
        return read_draw(reply.text, names)

    def _seed_of(self, question: str, number: int) -> int | None:
        # Greedy decoding draws nothing, and not every server takes a seed.
        if not self._sampling.temperature or "seed" not in self._judge.backend.features:
            return None
        return int(content_id(self._seed, question, number)[:7], 16)

    async def _ask_model(self, asked: Comparison, meter: _Meter, found: _Found) -> _Found:
        judge = self._judge.with_context(meter)
        both = (asked, asked.swap())
        if found.differences:
            shown = (found.differences, _swapped(found.differences))
            both = tuple(  # type: ignore[assignment]
                replace(
                    one,
                    instruction=render(
                        "differing_outputs",
                        instruction=one.instruction.strip(),
                        differences=told,
                    ),
                )
                for one, told in zip(both, shown, strict=True)
            )
        first, second = await judge.compare(both)
        return replace(found, replies=(first, second), meter=meter)


@dataclass(frozen=True)
class _Written:
    """Tests of one question, and what they took."""

    draws: tuple[Draw, ...]
    meter: _Meter


@dataclass(frozen=True)
class _Found:
    """All that is known of two programs in one order. `replies` are the model's, in both orders."""

    written: _Written | None = None
    evidence: Evidence = _NOTHING
    why: str = ""
    differences: tuple[Row, ...] = ()
    replies: tuple[Verdict, Verdict] | None = None
    meter: _Meter | None = None

    def verdict(self, is_swapped: bool) -> Verdict:
        """The verdict, for the programs in this order or in the other."""
        one = self._swap() if is_swapped else self
        raw = canonical_json(one._to_row())
        if one.replies is None:
            p_a = one.evidence.p_first
            return Verdict("A" if p_a > 0.5 else "B", p_a, raw)
        first, second = one.replies
        merged = merge_orders(first, second.swap())
        is_cut = first.is_cut or second.is_cut
        return replace(merged, raw=raw, is_cut=is_cut, second=all_seconds(one.replies))

    def _swap(self) -> _Found:
        replies = self.replies and (self.replies[1], self.replies[0])
        return replace(
            self,
            evidence=swap_sides(self.evidence),
            differences=_swapped(self.differences),
            replies=replies,
        )

    def _to_row(self) -> Row:
        written = self.written
        return {
            "decided_by": "model" if self.replies else "tests",
            "why": self.why,
            "n_tests": len(self.evidence.tests),
            **to_rows(written.draws if written else (), self.evidence),
            "differences": list(self.differences),
            "model": [{"choice": one.choice, "raw": one.raw} for one in self.replies or ()],
            "usage": {
                "tests": written.meter.to_row() if written else None,
                "model": self.meter.to_row() if self.meter else None,
            },
        }


class _Meter:
    """Asks through a runner's context, or the backend itself, and adds up what replies take."""

    def __init__(self, backend: Backend, context: CanAsk | None) -> None:
        self._backend = backend
        self._ask: Ask | None = context.through(backend).ask if context else None
        self._n_requests = 0
        self._usage = Usage()

    async def ask(
        self,
        messages: Sequence[Mapping[str, str]],
        *,
        sampling: Sampling,
        may_be_empty: bool = False,
    ) -> Response:
        """The reply, counted."""
        self._n_requests += 1
        if self._ask is None:
            reply = await self._backend.generate(Request(messages, sampling))
        else:
            reply = await self._ask(messages, sampling=sampling, may_be_empty=may_be_empty)
        self._usage += reply.usage
        return reply

    def through(self, backend: Backend) -> _Meter:
        """This one: it asks one model."""
        return self

    def to_row(self) -> dict[str, Any]:
        """Requests and tokens."""
        return {"requests": self._n_requests, **self._usage.to_row()}


def _swapped(differences: Sequence[Row]) -> tuple[Row, ...]:
    return tuple({**one, "outputs": one["outputs"][::-1]} for one in differences)


async def _once(kept: dict[str, asyncio.Task[T]], key: str, make: Callable[[], Awaitable[T]]) -> T:
    """What `make` gives, which is made once a key; what failed is made again when asked again."""
    if key not in kept:
        kept[key] = asyncio.ensure_future(make())
        while len(kept) > _MOST_KEPT:
            del kept[next(iter(kept))]
    try:
        return await kept[key]
    except BaseException:  # a row that was stopped is asked again too
        kept.pop(key, None)
        raise
