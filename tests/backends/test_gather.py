"""Of several errors the one that says most is raised, once all works have ended."""

from __future__ import annotations

import pytest

from codefavor.backends.microbatch import gather_all
from codefavor.engine import RunStopped
from codefavor.engine.ask import RunEnding
from codefavor.errors import BackendError


async def ending(error: Exception, ended: list[Exception]) -> None:
    ended.append(error)
    raise error


async def test_what_ends_the_run_is_not_hidden_by_what_unwinds_a_row() -> None:
    ended: list[Exception] = []
    errors = [RunEnding(), BackendError("503"), RunStopped("20 failed"), RunStopped("later")]
    with pytest.raises(RunStopped, match="20 failed"):
        await gather_all(ending(one, ended) for one in errors)
    assert ended == errors
    with pytest.raises(BackendError):
        await gather_all(ending(one, ended) for one in errors[:2])
