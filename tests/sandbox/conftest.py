"""One pool for each level, shared by the tests of the sandbox."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from codefavor.errors import SandboxError
from codefavor.sandbox import SandboxPool

LEVELS = ("L3", "L2")


@pytest.fixture(scope="session")
def pools() -> Iterator[dict[str, SandboxPool]]:
    """A pool of each level this machine reaches."""
    made: dict[str, SandboxPool] = {}
    for level in LEVELS:
        try:
            made[level] = SandboxPool(2, required_level=level, highest_level=level)
        except SandboxError as error:
            if level == "L2":
                pytest.fail(f"the sandbox does not even reach L2: {error}")
    yield made
    for pool in made.values():
        pool.close()


@pytest.fixture(scope="session")
def both_lanes() -> Iterator[SandboxPool]:
    """A pool that also believes what tests and program decide together."""
    with SandboxPool(2, accept="together") as made:
        yield made


@pytest.fixture(params=LEVELS)
def pool(request: pytest.FixtureRequest, pools: dict[str, SandboxPool]) -> SandboxPool:
    """The pool of one level; skipped where the system refuses that level."""
    if request.param not in pools:
        pytest.skip(f"this system refuses level {request.param} (codefavor sandbox check)")
    return pools[request.param]
