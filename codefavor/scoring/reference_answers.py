"""What the references of EvalPlus problems answer: computed once in the jail, and kept on disk."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import tempfile
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from codefavor.records import content_id
from codefavor.sandbox import Limits
from codefavor.sandbox.lane import SPLIT, choose_lane
from codefavor.sources.evalplus_answers import answering_text, executing_text, with_answers

if TYPE_CHECKING:
    from codefavor.sandbox import SandboxPool

logger = logging.getLogger(__name__)
# More than one program has: it is done once, and what takes longer is left to each run.
_LIMITS = Limits(cpu_s=20.0, wall_s=120.0)
_MOST_KEPT = 64


class ReferenceAnswers:
    """Puts the answers of the reference into tests that would compute them for each program.

    `folder` keeps them between runs (None: only this object does). A file is named by the digest
    of the script that computes, of the Python version and of the form; it is written whole. What
    others than this user may write is neither read nor written.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._kept: OrderedDict[str, str] = OrderedDict()
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def put_into(self, tests: str, pool: SandboxPool) -> str:
        """The tests with answers; as they are if they compute none, or none that is plain data.

        What the reference does may be no question for two processes (the size of an object, say):
        such tests keep their lane.
        """
        script = answering_text(tests)
        if not script or choose_lane(executing_text(tests), "f").name != SPLIT:
            return tests
        key = content_id("answers 1", sys.version, script)
        async with self._locks[key]:
            if key not in self._kept:
                self._kept[key] = await self._answered(tests, script, key, pool)
                while len(self._kept) > _MOST_KEPT:
                    old, _ = self._kept.popitem(last=False)
                    self._locks.pop(old, None)
            return self._kept[key]

    async def _answered(self, tests: str, script: str, key: str, pool: SandboxPool) -> str:
        path = self._place(key)
        with contextlib.suppress(OSError, ValueError):
            if path is not None:
                return with_answers(tests, path.read_text(encoding="utf-8"))
        said = await asyncio.to_thread(pool.said_by, script, _LIMITS)
        try:
            answered = with_answers(tests, said)
        except ValueError:
            return tests  # it took too long
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
