"""The process of the tests: run them against a program's handles and write the verdict."""

from __future__ import annotations

import ast
import gc
import json
import os
import stat
import sys
from collections.abc import Callable

from codefavor.sandbox import cases, trees
from codefavor.sandbox.checks import (
    Recorder,
    Stopped,
    full_error,
    is_check_failure,
    label_error,
    packed,
)
from codefavor.sandbox.handles import JudgeLink, facts_of
from codefavor.sandbox.rewrite import RECORDER, rewrite
from codefavor.sandbox.runner import Plan, Runner, TestNamespace
from codefavor.sandbox.texts import FILE_NAME, SAID, is_cases, parse
from codefavor.sandbox.trees import module_calls, waits_for_exceptions, walk
from codefavor.sandbox.wire import BadFrame, Channel, PeerGone, Unsupported

# In bytes; a pipe takes 65,536.
_LONGEST_VERDICT, _LONGEST_TEXT = 60_000, 1_000


def make_plan(
    tests: str,
    entry_point: str,
    names: list[str],
    modules: list[str],
    *,
    fail_fast: bool = False,
    is_bare: bool = False,
) -> Plan | None:
    """The last step before tests can run; None for inputs and outputs as text.

    Raises SyntaxError or ValueError as `compile` does.
    """
    if is_cases(tests):
        return None
    tree = parse(tests)
    nodes = walk(tree)
    functions = {id(n.func) for n in nodes if isinstance(n, ast.Call)}
    read = {n.id for n in nodes if isinstance(n, ast.Name) and id(n) not in functions}
    late = frozenset(names) - read
    called, catches = module_calls(tree), waits_for_exceptions(nodes)
    sites = rewrite(tree, names)
    code = compile(tree, FILE_NAME, "exec", dont_inherit=True)
    executes = any(trees.called(n) == "exec" for n in nodes)
    return Plan(
        tests, entry_point, code, sites, frozenset(names), late, late | {entry_point},
        set(modules), called, catches, executes, fail_fast, is_bare and not catches,
    )  # fmt: skip


def prepare_process() -> None:
    """Set up the interpreter for tests, once in the life of a process."""
    # Collecting garbage could end a generator, and so ask the program, amid a question.
    gc.disable()
    sys.setrecursionlimit(10_000)


def write_verdict(fd: int, verdict: dict[str, object]) -> None:
    """Send the verdict; after this the process only ends."""
    data = _encoded(verdict)
    if len(data) > _LONGEST_VERDICT and stat.S_ISFIFO(os.fstat(fd).st_mode):
        for name in ("cases", SAID):
            verdict.pop(name, None)
        for name in ("error", "first_error", "failed_assert"):
            verdict[name] = str(verdict.get(name, ""))[:_LONGEST_TEXT]
        data = _encoded(verdict)
    os.write(fd, data)


def _encoded(verdict: dict[str, object]) -> bytes:
    return json.dumps(verdict, ensure_ascii=False).encode("utf-8", "surrogatepass")


def judge_source(
    source: str, find_plan: Callable[[str], Plan | None], channel: Channel, verdict_fd: int
) -> bool:
    """Judge by tests of either kind; whether they left no trace of the program here."""
    try:
        plan = find_plan(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        text = f"the tests do not parse: {type(error).__name__}: {error}"
        write_verdict(verdict_fd, {"outcome": "test_error", "error": text[:2000]})
        return False
    if plan is not None:
        return judge(plan, channel, verdict_fd)
    given = json.loads(source)
    spec, fail_fast = json.loads(given["tests"]), bool(given.get("fail_fast"))
    write_verdict(verdict_fd, cases.judge(spec, JudgeLink(channel), fail_fast=fail_fast))
    return False


def judge(plan: Plan, channel: Channel, verdict_fd: int) -> bool:
    """Run the tests and write the verdict; whether they left no trace of the program here."""
    Unsupported.reasons.clear()
    link = JudgeLink(channel, plan.catches)
    recorder = Recorder(plan.tests, plan.sites, link, fail_fast=plan.fail_fast)
    verdict: dict[str, object] = {}
    is_whole = False
    try:
        verdict.update(_judge(plan, link, recorder))
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
        first = recorder.failure
        if recorder.is_broken:
            # What counts once may have been meant for what never came; wrong answers have no more.
            recorder.abandon()
        if first is not None and not isinstance(first, PeerGone):
            # What failed before a limit was reached is what happened.
            verdict.update(first=label_error(first, False), first_error=full_error(recorder))
        verdict.update(
            total=len(recorder.checks) + recorder.n_missed(),
            # An empty program would have ended such tests at the first call.
            proven=recorder.is_proven or (plan.is_bare and link.has_called),
            own_s=link.own_s,
            failed_assert=recorder.failed_source[:1000],
            checks=packed(recorder.checks),
        )
        write_verdict(verdict_fd, verdict)
    return is_whole and not link.has_handles


def _judge(plan: Plan, link: JudgeLink, recorder: Recorder) -> dict[str, object]:
    try:
        link.ask("load", None)
    except link.fatal:
        raise
    except BaseException as error:  # whatever a program raises while it loads is its outcome
        recorder.fail(error)
        recorder.checks.clear()
        return {"outcome": label_error(error, True), "error": full_error(recorder)}
    namespace = TestNamespace(link, plan)
    namespace[RECORDER] = recorder
    runner = Runner(namespace, recorder, plan.called)
    try:
        runner.run(plan.code, plan.entry_point)
    except Stopped:
        recorder.abandon()
    except (BadFrame, Unsupported) as error:
        recorder.abandon()
        # A check that failed on plain data before: that stands.
        if not recorder.is_certain or isinstance(error, BadFrame):
            raise
        Unsupported.reasons.clear()
    if not link.is_gone:
        _ask_whether_alive(link)
    verdict = _conclude(link, recorder, runner)
    if plan.executes and link.has_handles and verdict["outcome"] == "passed":
        raise Unsupported("an object of the program, while the tests execute text")
    return verdict


def _ask_whether_alive(link: JudgeLink) -> None:
    """The last question: a program that died meanwhile cannot answer it."""
    try:
        link.ask("alive", None)
    except link.fatal:
        raise
    except BaseException:  # no program of ours raises here
        raise BadFrame("the last question was answered with an exception") from None


def _conclude(link: JudgeLink, recorder: Recorder, runner: Runner) -> dict[str, object]:
    failure = recorder.failure
    if link.broken:
        raise BadFrame(link.broken)
    if link.is_gone:
        raise PeerGone
    if Unsupported.reasons and not recorder.is_certain:
        raise Unsupported(Unsupported.reasons[0])
    if failure is not None:
        own = not is_check_failure(failure) and facts_of(failure) is None
        is_handles = link.has_handles or link.is_about_handle(failure)
        if own and (is_handles or isinstance(failure, ImportError | RecursionError)):
            # They stumbled over a handle, a library that is not here, or a limit not the program's.
            raise Unsupported(full_error(recorder))
        return {"outcome": label_error(failure, False), "error": full_error(recorder)}
    missed = recorder.unreached()
    if missed:
        raise Unsupported(f"a check was never evaluated: line {missed[0].lineno}")
    if not recorder.checks:
        return {"outcome": "test_error", "error": "the tests contain no check"}
    if runner.idle:
        return {"outcome": "test_error", "error": f"{runner.idle[0]} checked nothing"}
    return {"outcome": "passed"}
