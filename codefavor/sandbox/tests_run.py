"""The process of the tests: run them against the program's mirror and write the verdict."""

from __future__ import annotations

import builtins
import gc
import importlib
import json
import os
import sys
import types
from typing import Any, NamedTuple, NoReturn

from codefavor.sandbox import pytest_shim
from codefavor.sandbox.free_names import FreeNames
from codefavor.sandbox.instrument import FILE_NAME, RECORDER, Instrumented, instrument
from codefavor.sandbox.judging import CandidateAssertion, CandidateExit, JudgeBridge
from codefavor.sandbox.mirror import Mirror
from codefavor.sandbox.recorder import CheckFailed, Recorder, describe_error, text_of
from codefavor.sandbox.seccomp import REFUSED
from codefavor.sandbox.styles import ImportOfProgram, MissingEntryPoint, run_test_functions
from codefavor.sandbox.wire import BadFrame, Channel, PeerGone

MODULE_NAME = "tests"
_LONGEST_VERDICT = 48_000


class TestNamespace(dict[str, Any]):
    """The tests' globals: a name they do not define is looked up in the program.

    Builtins, and libraries that the tests use by name alone, are not: a program that defines
    its own `all` or `math` would decide what the tests find.
    """

    __test__ = False

    def __init__(self, bridge: JudgeBridge, free: FreeNames) -> None:
        super().__init__()
        self._bridge = bridge
        self._free = free
        self._names: frozenset[str] = frozenset()
        self._wanted: frozenset[str] = frozenset()

    def open(self, names: frozenset[str], wanted: frozenset[str]) -> None:
        """`names` are the program's globals, `wanted` what it uses without defining it."""
        self._names, self._wanted = names, wanted

    def __missing__(self, name: str) -> Any:
        is_programs = name in self._names and self._free.may_be_the_programs(name)
        if not is_programs and (hasattr(builtins, name) or name.startswith("__")):
            raise KeyError(name)
        library = self._free.libraries.get(name) if name in self._names else None
        if library is not None:
            found = _own_library(library)
            dict.__setitem__(self, name, found)
            return found
        try:
            value = self._bridge.ask("getattr", 0, (name,))
        except AttributeError:
            raise KeyError(name) from None
        if isinstance(value, Mirror | types.FunctionType | types.ModuleType):
            dict.__setitem__(self, name, value)
        return value

    def __setitem__(self, name: str, value: Any) -> None:
        dict.__setitem__(self, name, value)
        # A program may use what only the tests define (a node class, a patched `input`).
        if name in self._wanted:
            self._bridge.ask("setattr", 0, (name, value))


def _own_library(name: str) -> types.ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        # Not here, so what the program calls by its name is something else.
        raise KeyError(name) from error


class Verdict:
    """What the tests' process reports, written once, as the last thing it does."""

    def __init__(self, progress_fd: int) -> None:
        self.fd = progress_fd
        self.values: dict[str, object] = {"stage": "tests", "outcome": "test_error"}

    def write(self, recorder: Recorder, *, is_weak: bool) -> None:
        """Send the verdict; after this the process only ends."""
        held = sum(recorder.checks)
        self.values.update(
            passed=held,
            total=len(recorder.checks),
            weak=is_weak,
            proven=recorder.is_proven,
            failed_assert=recorder.failed_source[:1000],
            checks=_run_lengths(recorder.checks),
        )
        data = json.dumps(self.values, ensure_ascii=True)
        if len(data) > _LONGEST_VERDICT:
            self.values["checks"] = []
            self.values["error"] = str(self.values.get("error", ""))[:4000]
            data = json.dumps(self.values, ensure_ascii=True)
        os.write(self.fd, f"\n{data}\n".encode())


def _run_lengths(checks: list[bool]) -> list[int]:
    """Lengths of alternating runs, beginning with passed ones."""
    runs, value = [0], True
    for check in checks:
        if check is not value:
            runs.append(0)
            value = check
        runs[-1] += 1
    return runs


class Plan(NamedTuple):
    """Tests ready to run, as often as needed: code objects do not change."""

    tests: Instrumented
    code: types.CodeType


def compile_plan(tests: Instrumented) -> Plan:
    """The last step before tests can run; raises SyntaxError or ValueError as `compile` does."""
    return Plan(tests, compile(tests.tree, FILE_NAME, "exec", dont_inherit=True))


def prepare_process() -> None:
    """Set up the interpreter for tests, once in the life of a process."""
    # Collecting garbage could ask the program something in the middle of a question.
    gc.disable()
    sys.setrecursionlimit(10_000)


def run_tests_process(
    channel_fd: int, verdict_fd: int, tests: str, entry_point: str, reply_bytes: int
) -> NoReturn:
    """Judge the program at the other end of the channel; never returns."""
    prepare_process()
    try:
        plan = compile_plan(instrument(tests, entry_point))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        verdict = Verdict(verdict_fd)
        verdict.values["error"] = f"the tests do not parse: {type(error).__name__}: {error}"[:2000]
        verdict.write(Recorder([], lambda: 0, verdict_fd), is_weak=False)
        os._exit(0)
    bridge = JudgeBridge(Channel(channel_fd, reply_bytes), plan.tests.declared, MODULE_NAME)
    try:
        judge(plan, entry_point, bridge, verdict_fd)
    finally:
        os._exit(0)


def judge(plan: Plan, entry_point: str, bridge: JudgeBridge, verdict_fd: int) -> bool:
    """Run the tests and write the verdict; whether the conversation came to its proper end."""
    verdict = Verdict(verdict_fd)
    recorder = Recorder(plan.tests.sites, lambda: bridge.n_asked, verdict_fd)
    is_whole = False
    try:
        _judge(plan, entry_point, bridge, recorder, verdict)
        is_whole = True
    except PeerGone:
        verdict.values.update(outcome="gone", error="the program ended before the tests did")
    except BadFrame as error:
        message = f"the program's answer was no answer ({error})"
        verdict.values.update(outcome="bad_frame", error=message)
    except BaseException as error:  # noqa: BLE001  nothing may end this process without its reason
        verdict.values.update(outcome="test_error", error=f"judging failed: {error!r}"[:2000])
    finally:
        verdict.write(recorder, is_weak=bridge.is_weak)
    return is_whole


def _judge(
    plan: Plan,
    entry_point: str,
    bridge: JudgeBridge,
    recorder: Recorder,
    verdict: Verdict,
) -> None:
    namespace = TestNamespace(bridge, plan.tests.names)
    try:
        loaded = bridge.ask("load", 0)
    except (PeerGone, BadFrame):
        raise
    except BaseException as error:  # noqa: BLE001  whatever a program raises while it loads is its outcome
        verdict.values.update(
            stage="load", outcome=label_error(error, True), error=full_error(error)
        )
        return
    names, wanted = _read_names(loaded)
    namespace.open(names, wanted)
    finder = _introduce(namespace, plan.tests, bridge, recorder, names)
    try:
        exec(plan.code, namespace, namespace)
        run_test_functions(namespace, plan.tests, entry_point, recorder)
    except (PeerGone, BadFrame):
        raise
    except MissingEntryPoint as error:
        verdict.values.update(outcome=error.outcome, error=str(error))
        return
    except BaseException as error:  # noqa: BLE001  whatever ends the tests early is the result
        recorder.fail(error)
    finally:
        sys.meta_path.remove(finder)
        del sys.modules[MODULE_NAME]
    bridge.ask("names", 0)  # the last answer: a program that died meanwhile cannot give it
    conclude_checks(recorder, verdict)


def _introduce(
    namespace: TestNamespace,
    tests: Instrumented,
    bridge: JudgeBridge,
    recorder: Recorder,
    names: frozenset[str],
) -> ImportOfProgram:
    """Make the tests a module of their own; what they import last is the program."""
    module = types.ModuleType(MODULE_NAME)
    sys.modules[MODULE_NAME] = module
    vars(module)["recorder"] = recorder
    dict.update(namespace, __name__=MODULE_NAME, __builtins__=builtins, **{RECORDER: recorder})
    if "pytest" in tests.imports:
        sys.modules["pytest"] = pytest_shim.make_module()
    finder = ImportOfProgram(bridge, names - tests.names.starless, tests.imports)
    sys.meta_path.append(finder)
    return finder


def _read_names(loaded: object) -> tuple[frozenset[str], frozenset[str]]:
    if type(loaded) is not list or len(loaded) != 2:
        raise BadFrame("a malformed list of names")
    for names in loaded:
        if type(names) is not list or not all(type(name) is str for name in names):
            raise BadFrame("a malformed list of names")
    return frozenset(loaded[0]), frozenset(loaded[1])


def conclude_checks(recorder: Recorder, verdict: Verdict) -> None:
    if recorder.failure is not None:
        outcome = label_error(recorder.failure, False)
        verdict.values.update(outcome=outcome, error=full_error(recorder.failure, recorder))
    elif not recorder.checks:
        verdict.values.update(outcome="test_error", error="the tests contain no check")
    else:
        verdict.values.update(outcome="passed")


def full_error(error: BaseException, recorder: Recorder | None = None) -> str:
    text = recorder.failed_text if recorder is not None else describe_error(error)
    if recorder is not None and recorder.failed_source and not isinstance(error, CheckFailed):
        text = f"{text} in {recorder.failed_source[:300]}"
    detail = _detail(error)
    return f"{text} [{detail}]" if detail else text


def _detail(error: BaseException) -> str:
    """What kind of mistake the message shows: a missing name, or an API used wrongly."""
    text = text_of(error) if not isinstance(error, CheckFailed) else ""
    if isinstance(error, NameError):
        return "missing name"
    if isinstance(error, AttributeError) and "has no attribute" in text:
        return "API misuse"
    if isinstance(error, TypeError) and ("argument" in text or "takes" in text):
        return "API misuse"
    return ""


def label_error(error: BaseException, loading: bool) -> str:
    """The outcome that an uncaught exception stands for."""
    if isinstance(error, CheckFailed):
        return "wrong_output"
    if isinstance(error, AssertionError) and not isinstance(error, CandidateAssertion):
        return "wrong_output"
    if isinstance(error, SyntaxError) and loading:
        return "syntax_error"
    if isinstance(error, ImportError):
        return "import_error"
    if isinstance(error, MemoryError):
        return "memory"
    if isinstance(error, OSError) and error.errno == REFUSED:
        return "sandbox_violation"
    if type(error).__name__ == "FrameTooLarge":
        return "output_limit"
    if isinstance(error, SystemExit) and not isinstance(error, CandidateExit):
        return "runtime_error" if loading else "test_error"
    return "runtime_error"
