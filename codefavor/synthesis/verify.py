"""Checking a pair before it is believed: what runs, counts, findings and a blind judge say.

A check that contradicts the label drops the pair with a reason of its own; what was found, or
why nothing could be, stands in the row's `evidence`. Programs run in the sandbox only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from codefavor.engine.context import Context
from codefavor.errors import ConfigError, Rejected
from codefavor.judges.base import bind, in_both_orders
from codefavor.judges.llm import LlmJudge, Mode
from codefavor.judges.tested import TestedJudge
from codefavor.records import Comparison, Execution, Row
from codefavor.sandbox import Limits, SandboxPool
from codefavor.scoring.findings import Bandit, badness
from codefavor.scoring.instructions import METHOD, count_instructions, raise_if_broken
from codefavor.scoring.pair_checks import check_pair
from codefavor.synthesis.pair_rows import PairInProgress
from codefavor.synthesis.teacher_tests import UnusableTests, ask_for_tests
from codefavor.text import comma_list

WAYS = ("static", "evidence", "tests", "judge", "tested")


@dataclass(frozen=True)
class Verifier:
    """How pairs are checked. `ways` (of `WAYS`) add up; the static checks are always done.

    "evidence": tests of the problem, instruction counts, Bandit's findings, where there are any.
    "tests": the teacher is asked for tests where the problem has none; a pair without usable
    ones is dropped. "judge": where none of these decided, a judge is asked blind in both orders
    and must agree. "tested": that judge writes tests of its own first, runs both programs on them
    and sees where they differ (`TestedJudge`). `margin` is how many times more instructions the
    rejected side of an efficiency pair must execute. `bandit` None means: not installed.
    `judge_context` asks another backend than the teacher.
    """

    ways: frozenset[str] = frozenset({"evidence"})
    margin: float = 1.1
    limits: Limits = field(default_factory=Limits)
    bandit: Bandit | None = None
    judge_context: Context | None = None
    max_tokens: int = 1024

    def __post_init__(self) -> None:
        unknown = sorted(self.ways - set(WAYS))
        if unknown or not self.ways:
            found = repr(unknown[0]) if unknown else "nothing"
            raise ConfigError(f"unknown --verify {found}; known: {', '.join(WAYS)}")
        if "static" in self.ways and len(self.ways) > 1:
            raise ConfigError("--verify static checks nothing more; leave it out to add others")
        if self.margin < 1:
            raise ConfigError(f"the margin of instruction counts must be at least 1: {self.margin}")

    @property
    def runs_programs(self) -> bool:
        """Whether a sandbox is needed."""
        return self.ways != {"static"}

    @property
    def asks_judge(self) -> bool:
        """Whether a judge is asked about what nothing else decided."""
        return bool(self.ways & {"judge", "tested"})

    def to_row(self) -> Row:
        """The plain JSON form, for the manifest."""
        judge = self.judge_context.backend if self.judge_context else None
        return {
            "ways": sorted(self.ways),
            "margin": self.margin,
            "bandit": self.bandit.version if self.bandit else "",
            "judge": judge.identity if judge else "",
        }

    async def verify(self, pair: PairInProgress, context: Context) -> None:
        """Fill in the pair's evidence. Raises Rejected where it does not support the label."""
        pair.evidence["static"] = check_pair(pair.chosen, pair.rejected, pair.language)
        if not self.runs_programs:
            pair.evidence["not_run"] = "not_asked"
            return
        is_decided = False
        if pair.language != "python":
            pair.evidence["not_run"] = "language"
            if "tests" in self.ways and not self.asks_judge:
                raise Rejected("tests_unusable:language", f"{pair.language} does not run here")
        else:
            is_decided = await self._by_programs(pair, context)
        if self.asks_judge and not is_decided:
            await self._by_judge(pair, context)

    async def _by_programs(self, pair: PairInProgress, context: Context) -> bool:
        if context.sandbox is None:
            raise ConfigError("verifying by evidence needs a sandbox in the context")
        is_decided = False
        found = await self._tests_for(pair, context, context.sandbox)
        if found is not None:
            tests = found["text"]
            pair.evidence["tests"] = found
            is_decided = await self._by_tests(pair, context.sandbox, tests)
            if pair.aspect == "efficiency":
                is_decided |= await self._by_instructions(pair, context.sandbox, tests)
        if pair.aspect == "security":
            is_decided |= await self._by_findings(pair)
        return is_decided

    async def _tests_for(
        self, pair: PairInProgress, context: Context, sandbox: SandboxPool
    ) -> Row | None:
        if pair.tests.strip():
            return {"origin": "problem", "text": pair.tests}
        if "tests" not in self.ways:
            pair.evidence["not_run"] = "no_tests"
            return None
        try:
            return await ask_for_tests(pair, sandbox, self.limits)
        except UnusableTests as error:
            pair.evidence["not_run"] = f"tests_unusable:{error.reason}"
            if self.asks_judge:
                return None
            raise Rejected(f"tests_unusable:{error.reason}", error.detail) from error

    async def _by_tests(self, pair: PairInProgress, sandbox: SandboxPool, tests: str) -> bool:
        """Whether the runs decide for the label: the chosen side passes and the other fails."""
        runs: list[Execution] = []
        for side, code in (("chosen", pair.chosen), ("rejected", pair.rejected)):
            run = await sandbox.run_async(code, tests, self.limits, entry_point=pair.entry_point)
            raise_if_broken(run)
            pair.evidence[side] = run.to_row()
            if run.no_evidence:
                detail = f"{side}: {run.error[:200]}"
                raise Rejected(f"run_is_no_evidence:{run.no_evidence}", detail)
            runs.append(run)
        chosen, rejected = runs
        if not chosen.is_evidence_of_pass:
            reason = "tests_contradict" if rejected.is_evidence_of_pass else "tests_fail_on_both"
            raise Rejected(reason, f"chosen: {chosen.outcome}: {chosen.error[:200]}")
        if rejected.is_evidence_of_pass and pair.aspect == "correctness":
            raise Rejected("tests_do_not_separate", f"both pass all {chosen.total} checks")
        return not rejected.is_evidence_of_pass

    async def _by_instructions(
        self, pair: PairInProgress, sandbox: SandboxPool, tests: str
    ) -> bool:
        """Whether the rejected side executes more instructions than the chosen, by the margin."""
        chosen = await count_instructions(sandbox, pair.chosen, tests)
        rejected = await count_instructions(sandbox, pair.rejected, tests)
        counts: Row = {"method": METHOD, "margin": self.margin}
        pair.evidence["instructions"] = counts
        if chosen.n is None or rejected.n is None:
            counts["not_run"] = chosen.reason or rejected.reason
            return False
        counts.update(chosen=chosen.n, rejected=rejected.n)
        detail = f"chosen {chosen.n}, rejected {rejected.n}"
        if rejected.n * self.margin <= chosen.n:
            raise Rejected("instructions_contradict", detail)
        if rejected.n < chosen.n * self.margin:
            if self.asks_judge:
                return False
            raise Rejected("instructions_within_margin", detail)
        return True

    async def _by_findings(self, pair: PairInProgress) -> bool:
        """Whether Bandit finds worse in the rejected side than in the chosen."""
        if self.bandit is None:
            pair.evidence["findings"] = {"not_run": "bandit_not_installed"}
            return False
        good, bad = [
            await asyncio.to_thread(self.bandit.find, code) for code in (pair.chosen, pair.rejected)
        ]
        if good is None or bad is None:
            pair.evidence["findings"] = {"not_run": "unread_by_bandit"}
            return False
        pair.evidence["findings"] = {
            "bandit": self.bandit.version,
            "chosen": [finding.to_row() for finding in good],
            "rejected": [finding.to_row() for finding in bad],
        }
        chosen, rejected = badness(good), badness(bad)
        if chosen > rejected:
            raise Rejected("findings_contradict", f"chosen {chosen}, rejected {rejected}")
        return rejected > chosen

    async def _by_judge(self, pair: PairInProgress, context: Context) -> None:
        asking = context
        if self.judge_context is not None:
            asking = self.judge_context.for_row(context.row_id, counted_in=context)
        assert asking.backend is not None
        mode: Mode = "auto"
        if asking is context:
            # The teacher is asked in the form it was found, or told, to take.
            mode = "structured" if pair.settings.answer_format == "json" else "reasoned"
        judge: LlmJudge | TestedJudge = LlmJudge(
            asking.backend, mode=mode, language=pair.language, max_tokens=self.max_tokens
        )
        if "tested" in self.ways and context.sandbox is not None:
            judge = TestedJudge(
                judge,
                context.sandbox,
                self.limits,
                draw_tokens=self.max_tokens,
                seed=context.seed,
                language=pair.language,
            )
        comparison = Comparison(pair.instruction, pair.chosen, pair.rejected, pair.criteria)
        # What is tested is asked in both orders as it is.
        whole = judge if isinstance(judge, TestedJudge) else in_both_orders(judge)
        verdicts = await bind(whole, asking).compare([comparison])
        verdict = verdicts[0]
        pair.evidence["judge"] = {"judge": judge.name, "choice": verdict.choice, "raw": verdict.raw}
        if verdict.second is not None:
            pair.evidence["judge"]["second"] = verdict.second["raw"]
        if verdict.choice != "A":
            heard = "rejected" if verdict.choice == "B" else verdict.choice
            raise Rejected(f"judge_says:{heard}", "asked in both orders")


def parse_ways(words: Sequence[str]) -> frozenset[str]:
    """The ways of `--verify`, given once each or with commas."""
    return frozenset(part for word in words for part in comma_list(word))
