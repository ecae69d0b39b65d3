"""One sandbox for all tests of suites: each pool starts its zygotes anew."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from codefavor.sandbox import SandboxPool
from codefavor.scoring.suite_runs import SuiteRunner


@pytest.fixture(scope="package")
def suite_pool() -> Iterator[SandboxPool]:
    with SandboxPool(2, accept="together", dedupe=False) as pool:
        yield pool


@pytest.fixture(scope="package")
def suite_runner(suite_pool: SandboxPool) -> Iterator[SuiteRunner]:
    runner = SuiteRunner(suite_pool)
    yield runner
    runner.close()
