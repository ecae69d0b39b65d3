"""The process of the tests: run them against a program's handles and write the verdict."""

from __future__ import annotations

import ast
import gc
import json
import os
import sys
import types
from typing import Any, NamedTuple, NoReturn

from codefavor.sandbox import cases
from codefavor.sandbox.checks import (
    Recorder,
    facts_of,
    full_error,
    is_check_failure,
    label_error,
    run_lengths,
)
from codefavor.sandbox.handles import JudgeLink
from codefavor.sandbox.lane import FILE_NAME, is_cases, parse
from codefavor.sandbox.rewrite import RECORDER, Site, module_calls, rewrite
from codefavor.sandbox.runner import Runner, TestNamespace
from codefavor.sandbox.wire import BadFrame, Channel, PeerGone, Unsupported

_LONGEST_VERDICT = 48_000


class Plan(NamedTuple):
    """Tests ready to run, as often as needed: code objects do not change."""

    code: types.CodeType
    sites: list[Site]
    names: frozenset[str]
    only_called: frozenset[str]
    modules: set[str]
    called: frozenset[str]


def make_plan(tests: str, names: list[str], modules: list[str]) -> Plan:
    """The last step before tests can run; raises SyntaxError or ValueError as `compile` does.

    `names` and `modules` are the program's, as the lane of the tests says.
    """
    tree = parse(tests)
    functions = {id(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}
    read = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and id(n) not in functions}
    called = module_calls(tree)
    sites = rewrite(tree, names)
    code = compile(tree, FILE_NAME, "exec", dont_inherit=True)
    return Plan(code, sites, frozenset(names), frozenset(names) - read, set(modules), called)


def prepare_process() -> None:
    """Set up the interpreter for tests, once in the life of a process."""
    # Collecting garbage could end a generator, and so ask the program, amid a question.
    gc.disable()
    sys.setrecursionlimit(10_000)


def run_tests_process(
    channel_fd: int, verdict_fd: int, source: dict[str, Any], reply_bytes: int
) -> NoReturn:
    """Judge the program at the other end of the channel; never returns."""
    prepare_process()
    link = JudgeLink(Channel(channel_fd, reply_bytes))
    tests, entry_point = source["tests"], source["entry_point"]
    try:
        if is_cases(tests):
            write_verdict(verdict_fd, cases.judge(json.loads(tests), link))
            os._exit(0)
        plan = make_plan(tests, source["names"], source["modules"])
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        text = f"the tests do not parse: {type(error).__name__}: {error}"
        write_verdict(verdict_fd, {"outcome": "test_error", "error": text[:2000]})
        os._exit(0)
    try:
        judge(plan, entry_point, link, verdict_fd)
    finally:
        os._exit(0)


def write_verdict(fd: int, verdict: dict[str, object]) -> None:
    """Send the verdict; after this the process only ends."""
    data = json.dumps(verdict)
    if len(data) > _LONGEST_VERDICT:
        verdict.update(checks=[], error=str(verdict.get("error", ""))[:4000])
        data = json.dumps(verdict)
    os.write(fd, f"{data}\n".encode())


def judge(plan: Plan, entry_point: str, link: JudgeLink, verdict_fd: int) -> bool:
    """Run the tests and write the verdict; whether the conversation came to its proper end."""
    recorder = Recorder(plan.sites, link)
    verdict: dict[str, object] = {}
    is_whole = False
    try:
        verdict.update(_judge(plan, entry_point, link, recorder))
        is_whole = not link.is_gone
    except PeerGone:
        verdict.update(outcome="gone", error="the program ended before the tests did")
    except BadFrame as error:
        verdict.update(outcome="bad_frame", error=f"the program's answer was no answer ({error})")
    except Unsupported as error:
        verdict.update(outcome="unsupported", error=f"the tests need the together lane: {error}")
    except BaseException as error:  # nothing may end this process without its reason
        verdict.update(outcome="test_error", error=f"judging failed: {error!r}"[:2000])
    finally:
        missed = len(recorder.unreached())
        first = recorder.failure
        if first is not None and not isinstance(first, PeerGone):
            # What failed before a limit was reached is what happened.
            verdict.update(first=label_error(first, False), first_error=full_error(recorder))
        verdict.update(
            passed=sum(recorder.checks),
            total=len(recorder.checks) + missed,
            proven=recorder.is_proven,
            failed_assert=recorder.failed_source[:1000],
            checks=run_lengths(recorder.checks),
        )
        write_verdict(verdict_fd, verdict)
    return is_whole


def _judge(plan: Plan, entry_point: str, link: JudgeLink, recorder: Recorder) -> dict[str, object]:
    try:
        link.ask("load", None)
    except link.fatal:
        raise
    except BaseException as error:  # whatever a program raises while it loads is its outcome
        recorder.fail(error)
        return {"stage": "load", "outcome": label_error(error, True), "error": full_error(recorder)}
    namespace = TestNamespace(link, plan.names, plan.only_called | {entry_point}, plan.modules)
    namespace[RECORDER] = recorder
    runner = Runner(namespace, recorder, plan.called)
    try:
        runner.run(plan.code, entry_point)
    except Unsupported:
        # A check that failed before it failed on plain data: that stands.
        if recorder.failure is None:
            raise
    if not link.is_gone:
        link.ask("alive", None)  # the last answer: a program that died meanwhile cannot give it
    return _conclude(link, recorder, runner)


def _conclude(link: JudgeLink, recorder: Recorder, runner: Runner) -> dict[str, object]:
    failure = recorder.failure
    if link.broken:
        raise BadFrame(link.broken)
    if link.is_gone:
        return {"outcome": "gone", "error": "the program ended before the tests did"}
    if failure is not None:
        own = not is_check_failure(failure) and facts_of(failure) is None
        if own and (link.has_handles or isinstance(failure, ImportError)):
            # The tests stumbled over a handle, or over a library that is not installed.
            return {"outcome": "unsupported", "error": full_error(recorder)}
        return {"outcome": label_error(failure, False), "error": full_error(recorder)}
    if link.unsupported:
        return {"outcome": "unsupported", "error": link.unsupported}
    if not recorder.checks:
        return {"outcome": "test_error", "error": "the tests contain no check"}
    if runner.idle:
        return {"outcome": "test_error", "error": f"{runner.idle[0]} checked nothing"}
    missed = recorder.unreached()
    if missed:
        text = f"a check was never evaluated: line {missed[0].lineno}: {missed[0].source}"
        return {"outcome": "unsupported", "error": text}
    return {"outcome": "passed"}
