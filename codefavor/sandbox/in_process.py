"""Program and tests in one process: faster, and any hostile program can forge its verdict.

The jail is the same; only who decides differs. Results are marked `in_process`.
"""

from __future__ import annotations

import os
import sys
import types
from typing import NoReturn

from codefavor.sandbox import pytest_shim
from codefavor.sandbox.instrument import (
    FILE_NAME,
    RECORDER,
    Instrumented,
    instrument,
    needs_program,
)
from codefavor.sandbox.program import MODULE_NAME as PROGRAM_NAME
from codefavor.sandbox.program import compile_program
from codefavor.sandbox.recorder import Recorder
from codefavor.sandbox.styles import MissingEntryPoint, run_test_functions
from codefavor.sandbox.tests_run import (
    MODULE_NAME,
    Verdict,
    conclude_checks,
    full_error,
    label_error,
)


class _Recorder(Recorder):
    """No channel tells here whether the program was asked: the writing of an assert does."""

    tests: Instrumented

    def _held(self, number: int) -> bool:
        site = self.sites[number]
        if not self.is_proven and not site.is_guarded and needs_program(site, self.tests):
            self.is_proven = True
        return super()._held(number)


def run_in_process(code: str, tests: str, entry_point: str, verdict_fd: int) -> NoReturn:
    """Load the program, run the tests beside it, write the verdict; never returns."""
    verdict = Verdict(verdict_fd)
    recorder = _Recorder([], lambda: 0, verdict_fd)
    try:
        plan = recorder.tests = instrument(tests, entry_point)
        recorder.sites = plan.sites
        _judge(code, plan, entry_point, recorder, verdict)
    except BaseException as error:  # noqa: BLE001  the tests do not parse, or judging failed
        verdict.values["error"] = f"{type(error).__name__}: {error}"[:2000]
    finally:
        verdict.write(recorder, is_weak=False)
        os._exit(0)


def _judge(
    code: str, plan: Instrumented, entry_point: str, recorder: Recorder, verdict: Verdict
) -> None:
    module = types.ModuleType(PROGRAM_NAME)
    namespace = module.__dict__
    namespace["__builtins__"] = __builtins__
    sys.modules[PROGRAM_NAME] = sys.modules["__main__"] = module
    try:
        exec(compile_program(code), namespace)
    except BaseException as error:  # noqa: BLE001  whatever a program raises is its outcome
        outcome = label_error(error, True)
        verdict.values.update(stage="load", outcome=outcome, error=full_error(error))
        return
    beside = sys.modules[MODULE_NAME] = types.ModuleType(MODULE_NAME)
    vars(beside)["recorder"] = recorder
    if "pytest" in plan.imports:
        sys.modules["pytest"] = pytest_shim.make_module()
    namespace.update({"__name__": MODULE_NAME, RECORDER: recorder})
    try:
        exec(compile(plan.tree, FILE_NAME, "exec", dont_inherit=True), namespace)
        run_test_functions(namespace, plan, entry_point, recorder)
    except MissingEntryPoint as error:
        verdict.values.update(outcome=error.outcome, error=str(error))
        return
    except BaseException as error:  # noqa: BLE001  whatever ends the tests early is the result
        recorder.fail(error)
    conclude_checks(recorder, verdict)
