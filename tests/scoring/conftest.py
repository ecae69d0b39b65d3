"""One sandbox for all tests of suites: each pool starts its zygotes anew."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from codefavor.sandbox import SandboxPool


@pytest.fixture(scope="package")
def suite_pool() -> Iterator[SandboxPool]:
    with SandboxPool(2, accept="together", dedupe=False) as pool:
        yield pool
