"""What the references of EvalPlus problems answer: computed once in the jail, and kept on disk."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import tempfile
from collections import OrderedDict, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from codefavor.records import content_id
from codefavor.sandbox import Limits
from codefavor.sandbox.lane import SPLIT, choose_lane
from codefavor.sources.evalplus_answers import (
    MOST_SECONDS,
    answering_text,
    executing_text,
    with_answers,
)

if TYPE_CHECKING:
    from codefavor.sandbox import SandboxPool

logger = logging.getLogger(__name__)
_LIMITS = Limits(cpu_s=MOST_SECONDS, wall_s=120.0)
# A program may take as many times what the reference takes on this machine, as with EvalPlus.
_TIMES = 4.0
_MOST_KEPT = 64


class ReferenceAnswers:
    """Puts the answers of the reference into tests that would compute them for each program.

    `folder` keeps them between runs (None: only this object does). A file is named by the digest
    of the script that computes, of the Python version and of the form; it is written whole. What
    others than this user may write is neither read nor written.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._kept: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def put_into(
        self, tests: str, pool: SandboxPool, limits: Limits | None
    ) -> tuple[str, Limits]:
        """The tests with answers; as they are if they compute none, or none that is plain data.

        With the limits of a program: these, with four times the CPU seconds of the reference
        where that is more, and wall time in proportion. What the reference does may be no
        question for two processes (the size of an object, say): such tests keep their lane.
        """
        limits, script = limits or Limits(), answering_text(tests)
        if not script or choose_lane(executing_text(tests), "f").name != SPLIT:
            return tests, limits
        key = content_id("answers 2", sys.version, script)
        async with self._locks[key]:
            if key not in self._kept:
                self._kept[key] = await self._answered(tests, script, key, pool)
                while len(self._kept) > _MOST_KEPT:
                    old, _ = self._kept.popitem(last=False)
                    self._locks.pop(old, None)
            answered, seconds = self._kept[key]
        more = max(1.0, _TIMES * seconds / limits.cpu_s)
        return answered, replace(limits, cpu_s=more * limits.cpu_s, wall_s=more * limits.wall_s)

    async def _answered(
        self, tests: str, script: str, key: str, pool: SandboxPool
    ) -> tuple[str, float]:
        path = self._place(key)
        with contextlib.suppress(OSError, ValueError):
            if path is not None:
                return with_answers(tests, path.read_text(encoding="utf-8"))
        said = await asyncio.to_thread(pool.said_by, script, _LIMITS)
        try:
            answered = with_answers(tests, said)
        except ValueError:
            return tests, 0.0  # it took too long
        if path is not None:
            _write_whole(path, said)
        return answered

    def _place(self, key: str) -> Path | None:
        """The file of a key, in a folder that only this user can write to; None without one."""
        if self._folder is None:
            return None
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            facts = self._folder.stat()
        except OSError as error:
            logger.warning("answers of references are not kept: %s", error)
            return None
        is_ours = facts.st_uid == os.geteuid() and not facts.st_mode & 0o022
        return self._folder / f"{key}.json" if is_ours else None


def _write_whole(path: Path, text: str) -> None:
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as f:
            f.write(text)
        Path(f.name).replace(path)
    except OSError as error:
        logger.warning("answers of references are not kept: %s", error)
