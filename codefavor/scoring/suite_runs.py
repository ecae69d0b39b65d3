"""Runs suites on the programs of a target, in jails, and brings back what was seen.

The verdict of one process is believed about nothing but its own run: each run of a suite on a
program has a new process in a jail of its own, where all programs have the same name, path and
form, in an order drawn anew. Nothing is left there by an earlier run, and nothing tells which
program it is. Whether the right one passed and the wrong ones failed is counted here, outside.
"""

from __future__ import annotations

import ast
import base64
import importlib.util
import json
import marshal
import random
import secrets
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

from codefavor.errors import MissingPackageError, SandboxError
from codefavor.records import Execution
from codefavor.sandbox import Limits, SandboxPool
from codefavor.sandbox.conclude import WAITED
from codefavor.scoring.suite_target import Target
from codefavor.scoring.suite_text import SuiteText, names_chance

# One letter of a program: how the suite ended on it.
LETTERS = {
    "P": "passed",
    "A": "assertion",
    "X": "exception of the program",
    "V": "exception on the program's answer",
    "T": "out of time",
    "M": "out of memory",
    "E": "fault of the suite",
    "N": "nothing ran",
    "D": "ended the process",
}
# Letters by which a suite caught a wrong program, for a reason that is the program's.
CAUGHT = frozenset("AXVTM")
# Those by which nothing failed, as unittest says OK where there is no test or each was skipped.
ENDS_OK = frozenset("PN")


class Rung(NamedTuple):
    """When a program is out of time: lines of it that ran, or CPU seconds of the whole run.

    Seconds are longer on a busy machine, so that lines decide wherever lines run.
    """

    lines: int
    seconds: float


# Where the right program needs more than the first, every program has the second.
_RUNGS = (Rung(1_500_000, 2.0), Rung(20_000_000, 6.0))
# The right program as written (twice), reversed, shuffled; and shuffled where chance has a part.
_N_BASE, _N_MORE = 4, 20
_MORE_WALL = 10
_DRIVERS = ("suite_trace", "suite_watch", "suite_collect", "suite_driver", "suite_pytest")
_BOOT = """\
import base64, marshal, sys, types
payload = marshal.loads(base64.b64decode({payload!r}))
for name in ('codefavor', 'codefavor.scoring'):
    sys.modules[name] = types.ModuleType(name)
for name, code in payload.pop('drivers'):
    module = sys.modules['codefavor.scoring.' + name] = types.ModuleType(name)
    exec(code, vars(module))
main = module.main
for name in [name for name in sys.modules if name.startswith('codefavor')]:
    del sys.modules[name]
main(payload)
"""


@dataclass(frozen=True)
class Ended:
    """How a suite ended on one program: a letter of LETTERS and the number of the test, or -1."""

    letter: str
    test: int = -1


@dataclass
class SuiteRuns:
    """All that was seen of one suite. `right` holds one run an order and hash seed, `ran` the
    places in `target.lines` of the lines that ran.
    """

    right: list[Ended] = field(default_factory=list)
    wrong: list[Ended] = field(default_factory=list)
    hollow: list[Ended] = field(default_factory=list)
    twins: list[Ended] = field(default_factory=list)
    tests: int = 0
    reached: int = 0
    lines: int = 0
    branches: int = 0
    error: str = ""
    seen: dict[str, str] = field(default_factory=dict)
    ran: set[int] = field(default_factory=set)
    engine: str = ""

    def keep(self, said: dict[str, Any]) -> None:
        """Take what a run on the right program said."""
        self.error = self.error or said.get("error", "")
        self.tests = max(self.tests, said.get("tests", 0))
        self.reached = max(self.reached, said.get("n_reached", 0))
        self.ran |= _bits(said.get("lines", 0))
        self.lines = len(self.ran)
        self.branches = max(self.branches, len(_bits(said.get("branches", 0))))

    def sort_out(self, ends: list[Ended], target: Target) -> None:
        """Take how the suite ended on the programs that follow the right one, in their order."""
        n_wrong, n_hollow = len(target.wrong), len(target.hollow)
        self.wrong, self.hollow = ends[:n_wrong], ends[n_wrong : n_wrong + n_hollow]
        self.twins = ends[n_wrong + n_hollow :]


class SuiteRunner:
    """Two pools of jails whose interpreters have different hash seeds.

    `pool` must accept the together lane; `order` draws the order of the programs, by default from
    what no text of a suite can foresee. The second one has one worker and is started when the
    first suite has passed on the right program in the first.
    """

    def __init__(self, pool: SandboxPool, order: random.Random | None = None) -> None:
        if importlib.util.find_spec("pytest") is None:
            raise MissingPackageError(
                "pytest", "dev", "running test suites", install="pip install pytest"
            )
        self.pool = pool
        self._order = order or random.SystemRandom()
        self._other: SandboxPool | None = None
        self._lock = threading.Lock()

    def close(self) -> None:
        """End the second pool; the first is its owner's."""
        if self._other is not None:
            self._other.close()
            self._other = None

    def run(self, suite: SuiteText, target: Target, rng: random.Random) -> SuiteRuns:
        """Run a suite whose text has no defect. Raises SandboxError if the sandbox fails."""
        found = None if suite.why_pytest else self._measure("plain", suite, target, rng)
        return found or self._measure("pytest", suite, target, rng) or SuiteRuns()

    def ends_ok(self, suite: SuiteText, target: Target) -> bool:
        """Whether nothing fails on the right program, of a suite whose text has a defect."""
        pair = _Pair("pytest", suite, target)
        return self._one(self.pool, pair, _Job(0, 0, 0, 0), _RUNGS[0])[1].letter in ENDS_OK

    def _measure(
        self, engine: str, suite: SuiteText, target: Target, rng: random.Random
    ) -> SuiteRuns | None:
        """None where the small runner has no equal for what pytest does with this suite."""
        found, pair = SuiteRuns(engine=engine), _Pair(engine, suite, target)
        waiting = _jobs(suite, target, rng, self._order)
        ends: dict[_Job, Ended] = {}
        late: list[_Job] = []
        rung = _RUNGS[0]
        while waiting:
            job = waiting.popleft()
            said, ended = self._one(self.pool, pair, job, rung)
            if engine == "plain" and "unlike" in said:
                return None
            if ended.letter == "T" and rung == _RUNGS[0]:
                # More seconds are of use to what computes.
                if job.program == 0 and "waited" not in said:
                    rung, waiting, late = _RUNGS[1], deque([job, *late, *waiting]), []
                    continue
                late.append(job)
                # What is late decides little before it is known whether the right one is.
                waiting = deque(sorted(waiting, key=lambda one: one[:2] != (0, 0)))
            found.seen |= said.get("seen", {})
            ends[job] = ended
            if job.program == 0:
                found.keep(said)
                if ended.letter != "P":
                    # It earns nothing; the other orders tell why.
                    rest = (one for one in waiting if one.program == 0 and one.run < _N_BASE)
                    waiting = deque(rest if ended.letter not in "TM" else ())
        rights = sorted((job.run, ended) for job, ended in ends.items() if job.program == 0)
        found.right = [ended for _, ended in rights]
        others = {job.program: ended for job, ended in ends.items() if job.program}
        if all(one.letter == "P" for one in found.right):
            found.sort_out([others[n] for n in sorted(others)], target)
            # No text tells whether an order or a number hangs on the seed of hashes.
            found.right.append(self._with_other_seed(pair, rng))
        return found

    def _with_other_seed(self, pair: _Pair, rng: random.Random) -> Ended:
        with self._lock:
            if self._other is None:
                self._other = SandboxPool(
                    1, required_level=self.pool.level, accept="together", dedupe=False, hash_seed=1
                )
        job = _Job(0, -1, 0, rng.getrandbits(30))
        return self._one(self._other, pair, job, _RUNGS[1])[1]

    def _one(
        self, pool: SandboxPool, pair: _Pair, job: _Job, rung: Rung
    ) -> tuple[dict[str, Any], Ended]:
        engine, suite, target = pair
        is_plain = engine == "plain"
        payload = {
            "aliases": list(suite.aliases), "injected": list(suite.injected),
            "lines": _lines(target), "branches": _branches(target),
            "program": _codes(target)[job.program], "order": job.order, "seed": job.seed,
            "stir": secrets.randbits(30),
            "most_lines": rung.lines, "seconds": rung.seconds, "drivers": _drivers(is_plain),
        }  # fmt: skip
        if is_plain:
            payload["suite"] = compile(_tree(suite), "<suite>", "exec", dont_inherit=True)
        else:
            payload["text"] = _text(suite)
        # What the timer cannot end, as a loop within a C function, ends with the process.
        limits = Limits(cpu_s=rung.seconds + 1, wall_s=max(20.0, 6 * rung.seconds))
        run = self._send(pool, payload, limits)
        said = _said(run)
        if said is not None:
            return said, Ended(*said["one"])
        letter = {"timeout": "T", "memory": "M"}.get(run.outcome, "D")
        if run.outcome == "sandbox_violation" or "jail" in run.error:
            seen = {"starts_processes": run.outcome}
            return {"seen": seen, "error": run.error}, Ended("D")
        waited = {"waited": True} if WAITED in run.error else {}
        return {"error": run.error, **waited}, Ended(letter)

    def _send(self, pool: SandboxPool, payload: dict[str, Any], limits: Limits) -> Execution:
        """Run a payload. Wall time alone says nothing: what computed until its end runs again."""
        text = _BOOT.format(payload=base64.b64encode(marshal.dumps(payload)).decode())
        run = pool.run("pass", text, limits)
        if run.no_evidence == "wall_timeout":
            more = 1 if WAITED in run.error else _MORE_WALL
            run = pool.run("pass", text, replace(limits, wall_s=more * limits.wall_s))
            if run.no_evidence == "wall_timeout" and WAITED not in run.error:
                raise SandboxError("the machine is too busy: the wall time ran out twice")
        if run.outcome == "infra_error":
            raise SandboxError(run.error)
        return run


class _Job(NamedTuple):
    """One run: the place of the program in `_codes`, the number of the run, its order, its seed."""

    program: int
    run: int
    order: int
    seed: int


class _Pair(NamedTuple):
    """A suite and what it is measured on, by one of the two engines."""

    engine: str
    suite: SuiteText
    target: Target


def _jobs(
    suite: SuiteText, target: Target, rng: random.Random, order: random.Random
) -> deque[_Job]:
    """All runs: those of the right program lie anywhere among the others.

    All programs meet what the suite draws in the first run on the right one, so that no text can
    be chosen whose draws tell them apart.
    """
    n_more = _N_MORE if suite.is_random or _names_chance(target.right) else 0
    orders = [0, 0, -1, *(rng.getrandbits(30) + 1 for _ in range(_N_BASE - 3 + n_more))]
    right = [_Job(0, n, order, rng.getrandbits(30)) for n, order in enumerate(orders)]
    jobs = [*right, *(_Job(n, 0, 0, right[0].seed) for n in range(1, len(_codes(target))))]
    order.shuffle(jobs)
    return deque(jobs)


def _bits(number: int) -> set[int]:
    return {n for n in range(number.bit_length()) if number >> n & 1}


def _said(run: Execution) -> dict[str, Any] | None:
    """What a run said; None where it said nothing that the drivers say: a suite can write, too."""
    name, _, text = run.error.partition(": ")
    if name != "Said":
        return None
    try:
        found = json.loads(text)
        if isinstance(found.get("unlike"), str):
            return {"unlike": found["unlike"], "one": ["D", -1]}
        letter, test = found["one"]
        numbers = {name: found[name] for name in ("tests", "n_reached", "lines", "branches")}
        is_whole = all(type(one) is int and one >= 0 for one in numbers.values())
        if not is_whole or type(test) is not int or letter not in LETTERS:
            return None
        seen = {str(what): str(how) for what, how in found["seen"].items()}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return {"one": [letter, test], "error": str(found.get("error", "")), "seen": seen, **numbers}


def _tree(suite: SuiteText) -> ast.Module:
    return suite.tree or ast.Module([], [])


def _text(suite: SuiteText) -> str:
    """The suite as a file that imports what it uses of the program without saying so."""
    tree = _tree(suite)
    if not suite.injected:
        return ast.unparse(tree)
    is_first = [
        isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body
    ]
    names = [ast.alias(name) for name in suite.injected]
    line = ast.ImportFrom(module="solution", names=names, level=0)
    place = sum(is_first)
    body = [*tree.body[:place], line, *tree.body[place:]]
    return ast.unparse(ast.fix_missing_locations(ast.Module(body=body, type_ignores=[])))


@cache
def _drivers(is_plain: bool) -> list[tuple[str, CodeType]]:
    """Those of _DRIVERS that an engine needs, each with its code object."""
    found = []
    for name in _DRIVERS[: -1 if is_plain else None]:
        text = (Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8")
        found.append((name, compile(text, f"<{name}>", "exec", dont_inherit=True)))
    return found


@lru_cache(maxsize=256)
def _codes(target: Target) -> list[CodeType]:
    """Right, wrong, hollow, twins: compiled under one file name."""
    wrong = (one.code for one in target.wrong)
    texts: Iterable[str] = (target.right, *wrong, *target.hollow, *target.twins)
    return [compile(text, "<solution>", "exec", dont_inherit=True) for text in texts]


@lru_cache(maxsize=256)
def _lines(target: Target) -> list[int]:
    return target.lines


@lru_cache(maxsize=256)
def _branches(target: Target) -> list[tuple[int, int, bool]]:
    return [(one.line, one.body, one.is_body) for one in target.branches]


@lru_cache(maxsize=256)
def _names_chance(code: str) -> bool:
    return names_chance(code)
