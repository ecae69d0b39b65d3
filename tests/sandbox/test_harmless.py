"""Files, threads, events, time zones and the like work in the jail as on the user's desk."""

from __future__ import annotations

import pytest

from codefavor.sandbox import Limits, SandboxPool
from codefavor.sandbox.selftest import prove
from tests.sandbox.escapes import run_split
from tests.sandbox.harmless import HARMLESS, is_refused, program_of

_LIMITS = Limits(cpu_s=20.0, wall_s=120.0)


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_things_work(pool: SandboxPool, name: str) -> None:
    if is_refused(name, pool.level):
        pytest.skip("not promised at this level")
    result = pool.run(program_of(HARMLESS[name]), "assert f() == 1", _LIMITS)
    assert result.outcome == "passed", result.error


def test_a_jailed_process_of_the_tests_has_nowhere_to_write(pool: SandboxPool) -> None:
    program = "import os\ndef f():\n    open('planted.py', 'w').close()\n    return os.getcwd()"
    tests = """
import os
place = f()
for attempt in (lambda: open('x', 'w'), lambda: open(place + '/x', 'w'),
                lambda: open(place + '/planted.py'),
                lambda: os.listdir(place + '/.')[0], lambda: os.mkdir('d')):
    try:
        attempt()
    except (OSError, IndexError):
        continue
    raise ValueError(attempt)
assert f() == place
"""
    worker, _ = prove(pool.level, pool.level)
    try:
        result = run_split(worker, program, tests)
    finally:
        worker.close()
    assert result.outcome == "passed", result.error


def test_only_what_the_jail_refused_is_a_violation(pool: SandboxPool) -> None:
    own = "raise PermissionError(1, 'the business rule says no')"
    file = "open('/root/.ssh/id_rsa')"
    former = "raise OSError(132, 'what the filter once answered')"
    for code in (own, file, former):
        assert pool.run(code, "assert f() == 1").outcome == "runtime_error"
    refused = pool.run("import os\nos.fork()", "assert f() == 1")
    assert refused.outcome == "sandbox_violation"
    assert "OSError: the jail refused the call" in refused.error
