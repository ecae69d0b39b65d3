"""Runs suites on the programs of a target, in jails, and brings back what was seen.

The verdict of one process is never believed about more than its own programs: a closed suite
(see `suite_closed`) cannot know which program it meets, because its text shows that it can neither
look nor remember; any other one has a new process for each program, where all programs have the
same name, path and form, in an order drawn anew. Whether the right one passed and the wrong ones
failed is counted here, outside.
"""

from __future__ import annotations

import ast
import base64
import importlib.util
import json
import marshal
import random
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path
from types import CodeType
from typing import Any

from codefavor.errors import MissingPackageError, SandboxError
from codefavor.records import Execution
from codefavor.sandbox import Limits, SandboxPool
from codefavor.sandbox.conclude import WAITED
from codefavor.scoring.suite_target import Target
from codefavor.scoring.suite_text import SuiteText, has_hash

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
_SECONDS = 1.0
# A loop inside a C function ends with the process alone; then each program has one of its own.
_LIMITS = Limits(cpu_s=15.0, wall_s=60.0)
_OPEN_LIMITS = Limits(cpu_s=5.0, wall_s=20.0)
_MORE_WALL = 10
_DRIVERS = ("suite_trace", "suite_collect", "suite_driver", "suite_pytest")
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
    seen: set[str] = field(default_factory=set)
    ran: set[int] = field(default_factory=set)
    engine: str = "closed"

    def sort_out(self, ends: list[Ended], target: Target) -> None:
        """Take how the suite ended on the programs that follow the right one, in their order."""
        n_wrong, n_hollow = len(target.wrong), len(target.hollow)
        self.wrong, self.hollow = ends[:n_wrong], ends[n_wrong : n_wrong + n_hollow]
        self.twins = ends[n_wrong + n_hollow :]


class SuiteRunner:
    """Two pools of jails whose interpreters have different hash seeds.

    `pool` must accept the together lane. The second one has one worker and is started when the
    first suite or program has something that hangs on the seed.
    """

    def __init__(self, pool: SandboxPool) -> None:
        if importlib.util.find_spec("pytest") is None:
            raise MissingPackageError(
                "pytest", "dev", "running test suites", install="pip install pytest"
            )
        self.pool = pool
        self._other: SandboxPool | None = None
        self._lock = threading.Lock()

    def close(self) -> None:
        """End the second pool; the first is its owner's."""
        if self._other is not None:
            self._other.close()
            self._other = None

    def run(self, suite: SuiteText, target: Target, rng: random.Random) -> SuiteRuns:
        """Run a suite whose text has no defect. Raises SandboxError if the sandbox fails."""
        found = self._closed(suite, target, rng) if suite.is_closed else None
        if found is None:
            found = self._open(suite, target, rng)
        hangs_on_seed = suite.hash_bound or _has_hash(target.right)
        if hangs_on_seed and all(one.letter == "P" for one in found.right):
            found.right.append(self._with_other_seed(suite, target))
        return found

    def _closed(self, suite: SuiteText, target: Target, rng: random.Random) -> SuiteRuns | None:
        codes = _codes(target)
        others = list(range(len(codes) - 1))
        rng.shuffle(others)
        payload = {
            **_common(suite, target), "suite": compile(_tree(suite), "<suite>", "exec"),
            "right": codes[0], "others": [codes[1 + n] for n in others], "right_s": _SECONDS,
            "orders": _orders(suite, target, rng), "drivers": _drivers(3),
            "seed": rng.getrandbits(30),
        }  # fmt: skip
        run = self._send(self.pool, payload, _LIMITS)
        said = _said(run)
        if said is None or "open" in said:
            return None  # it died, or has what only real pytest has: each program by itself
        found = SuiteRuns(
            [Ended(*one) for one in said["right"]], tests=said["tests"], reached=said["n_reached"],
            lines=len(said["lines"]), branches=len(said["branches"]), error=said["error"],
            ran=set(said["lines"]),
        )  # fmt: skip
        ends = [Ended("P")] * len(others)
        for place, one in zip(others, said["others"], strict=False):
            ends[place] = Ended(*one)
        if said["others"]:
            found.sort_out(ends, target)
        return found

    def _open(self, suite: SuiteText, target: Target, rng: random.Random) -> SuiteRuns:
        """Each program in a process of its own; the right one three times, at unknown places."""
        codes = _codes(target)
        first = [(0, 0), (0, rng.getrandbits(30) + 1), (0, rng.getrandbits(30) + 1)]
        rest = [(n, rng.choice((0, rng.getrandbits(30) + 1))) for n in range(1, len(codes))]
        found = SuiteRuns(engine="pytest")
        ends: dict[int, Ended] = {}
        # Whether the right one comes early is drawn: most bad suites need not meet all others.
        jobs = [*first, *rest] if rng.random() < 0.5 else _shuffled([*first, *rest], rng)
        for number, order in jobs:
            drawn = (order, rng.getrandbits(30))
            said, ended = self._one(self.pool, suite, target, codes[number], drawn)
            found.seen.update(said.get("seen", ()))
            if number:
                ends[number] = ended
                continue
            found.right.append(ended)
            found.error = found.error or said.get("error", "")
            found.tests = max(found.tests, said.get("tests", 0))
            found.reached = max(found.reached, said.get("n_reached", 0))
            found.ran.update(said.get("lines", ()))
            found.lines = max(found.lines, len(said.get("lines", ())))
            found.branches = max(found.branches, len(said.get("branches", ())))
            if ended.letter != "P":
                return found
        found.sort_out([ends[n] for n in range(1, len(codes))], target)
        return found

    def _with_other_seed(self, suite: SuiteText, target: Target) -> Ended:
        with self._lock:
            if self._other is None:
                self._other = SandboxPool(
                    1, required_level=self.pool.level, accept="together", dedupe=False, hash_seed=1
                )
        return self._one(self._other, suite, target, _codes(target)[0], (0, 0))[1]

    def _one(
        self,
        pool: SandboxPool,
        suite: SuiteText,
        target: Target,
        code: CodeType,
        drawn: tuple[int, int],
    ) -> tuple[dict[str, Any], Ended]:
        order, seed = drawn
        payload = {
            **_common(suite, target), "text": _text(suite), "program": code, "order": order,
            "drivers": _drivers(4), "seed": seed,
        }  # fmt: skip
        run = self._send(pool, payload, _OPEN_LIMITS)
        said = _said(run)
        if said is not None:
            return said, Ended(*said["one"])
        letter = {"timeout": "T", "memory": "M"}.get(run.outcome, "D")
        if run.outcome == "sandbox_violation" or "jail" in run.error:
            return {"seen": ["starts_processes"], "error": run.error}, Ended("D")
        return {"error": run.error}, Ended(letter)

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


def _orders(suite: SuiteText, target: Target, rng: random.Random) -> list[int]:
    """Orders for more runs on the right program: many where chance has a part in it."""
    is_random = suite.is_random or "random" in target.imported
    return [rng.getrandbits(30) + 1 for _ in range(20 if is_random else 1)]


def _shuffled(jobs: list[tuple[int, int]], rng: random.Random) -> list[tuple[int, int]]:
    rng.shuffle(jobs)
    return jobs


def _common(suite: SuiteText, target: Target) -> dict[str, Any]:
    return {
        "aliases": list(suite.aliases),
        "injected": list(suite.injected),
        "lines": _lines(target),
        "branches": _branches(target),
    }


def _said(run: Execution) -> dict[str, Any] | None:
    name, _, text = run.error.partition(": ")
    if name != "Said":
        return None
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError:
        return None
    return found


def _tree(suite: SuiteText) -> ast.Module:
    assert suite.tree is not None
    return suite.tree


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
def _drivers(count: int) -> list[tuple[str, CodeType]]:
    """The first of _DRIVERS, each with its code object."""
    found = []
    for name in _DRIVERS[:count]:
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
def _has_hash(code: str) -> bool:
    return has_hash(code)
