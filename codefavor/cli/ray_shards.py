"""The shards of a run, given to the processes of a Ray cluster and waited for."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from codefavor.cli.ray_nodes import on_node
from codefavor.cli.ray_worker import (
    Ended,
    Files,
    Job,
    ShardActor,
    has_all,
    left_here,
    read_files,
    remove_own,
    run_shard,
    write_files,
)
from codefavor.engine import TerminalProgress
from codefavor.errors import CodefavorError

# How often Ray runs a shard again whose process was lost.
_RESTARTS = 20
_REMOVING_S = 15.0

# Starts a shard, with its files where they are to be sent along; what Ray says it can be waited by.
Start = Callable[[int, Files | None], Any]


def collect_left(ray: Any, job: Job, *, fresh: bool) -> None:
    """Bring here what nodes with storage of their own kept of a run of this command that was lost.

    Not where something else is recorded here by now. `fresh` forgets it.
    """
    come: dict[str, list[int]] = {}
    for node in job.known.apart:
        task = ray.remote(left_here).options(num_cpus=0, scheduling_strategy=on_node(node))
        for index, files in ray.get(task.remote(job)).items():
            folder = job.folder(index)
            if not fresh:
                if not has_all(files, read_files(folder) if folder.is_dir() else {}):
                    continue
                write_files(folder, files)
            come.setdefault(node, []).append(index)
    _remove_own(ray, job, come)


def _remove_own(ray: Any, job: Job, come: Mapping[str, list[int]]) -> None:
    """Have nodes remove from their own storage what is here; who is late keeps it."""
    asked = [
        ray.remote(remove_own)
        .options(num_cpus=0, scheduling_strategy=on_node(node))
        .remote(job, indices)
        for node, indices in come.items()
    ]
    if asked:
        ray.wait(asked, num_returns=len(asked), timeout=_REMOVING_S)


@dataclass
class Run:
    """One run of a command: its job on a cluster."""

    ray: Any
    job: Job
    coordinator: Any
    verb: str
    # By node, the shards of which its own storage has what has come here.
    _come: dict[str, list[int]] = field(default_factory=dict)

    def as_tasks(self, each: Mapping[str, float]) -> None:
        """Hand all shards to Ray at once; `each` is what one takes of a machine."""
        task = self.ray.remote(run_shard).options(
            **each, max_retries=_RESTARTS, name="codefavor shard"
        )

        def start(index: int, files: Files | None) -> Any:
            return task.remote(self.job, index, files, self.coordinator)

        self._wait(deque([start] * self.job.n_shards))

    def on_actors(self, n: int, each: Mapping[str, float]) -> None:
        """Run the shards on n processes, each of which loads its models once."""
        actor = self.ray.remote(ShardActor).options(
            **each, max_restarts=_RESTARTS, max_task_retries=_RESTARTS
        )

        def make() -> Start:
            made = actor.remote(self.coordinator)
            return lambda index, files: made.run.remote(self.job, index, files)

        self._wait(deque(make() for _ in range(n)))

    def _wait(self, starts: deque[Start]) -> None:
        """Show how far all are until the last has ended; the first error ends the run."""
        started, n = time.monotonic(), self.job.n_shards
        progress = TerminalProgress()
        progress.start(f"{self.verb} in {n} shards", None)
        waiting, running = deque(range(n)), dict[Any, tuple[int, Start]]()
        sums: dict[str, Any] = {"n": 0, "restarts": 0, "fields": {}}
        try:
            while waiting or running:
                self._start(waiting, starts, running)
                done, _ = self.ray.wait(list(running), timeout=1.0)
                n_shown, sums = sums["n"], self.ray.get(self.coordinator.progress.remote())
                n_ended = n - len(waiting) - len(running) + len(done)
                fields = {"shards": f"{n_ended}/{n}", **sums["fields"]}
                progress.advance(sums["n"] - n_shown, **fields)
                for one in done:
                    starts.append(running[one][1])
                    self._take(running.pop(one)[0], one)
        except BaseException as error:
            # Broad on purpose: however it ends, what is in flight is paid for.
            progress.say(
                f"ending: waiting for the answers in flight of {len(running)} shards, which are "
                "paid for (Ctrl-C or SIGTERM now ends at once)"
            )
            self._end(running)
            _remove_own(self.ray, self.job, self._come)
            if isinstance(error, self.ray.exceptions.RayError):
                raise CodefavorError(
                    "--ray: the coordinator, which holds the budget of all shards, was lost with "
                    f"its process or node ({type(error).__name__}); what is done is kept; the same "
                    "command goes on from here"
                ) from error
            raise
        finally:
            progress.finish()
        _remove_own(self.ray, self.job, self._come)
        seconds = time.monotonic() - started
        print(
            f"{n} shards, {sums['n']} rows in {seconds:.0f} s ({sums['n'] / seconds:.0f} a second)"
            f", {sums['restarts']} restarts",
            file=sys.stderr,
        )

    def _start(
        self, waiting: deque[int], free: deque[Start], running: dict[Any, tuple[int, Start]]
    ) -> None:
        """Start the shards that wait, as many as there are free to run them.

        Who gets no more is let go: an actor that is lost can only come up again where another
        leaves it the room.
        """
        while waiting and free:
            index, start = waiting.popleft(), free.popleft()
            running[start(index, self._files(index))] = index, start
        if not waiting:
            free.clear()

    def _files(self, index: int) -> Files | None:
        """What was recorded of a shard before, where a node may not see it."""
        if not self.job.known.apart:
            return None
        folder = self.job.folder(index)
        return read_files(folder) if folder.is_dir() else None

    def _take(self, index: int, done: Any) -> None:
        """Keep what came of a shard. Raises CodefavorError for one that went wrong."""
        try:
            ended: Ended = self.ray.get(done)
        except self.ray.exceptions.RayError as error:
            ended = Ended(f"lost too often, or broken: {error}", None)
        if ended.files is not None:
            write_files(self.job.folder(index), ended.files)
            self._come.setdefault(ended.node, []).append(index)
        if ended.error:
            raise CodefavorError(
                f"shard {index}/{self.job.n_shards}: {ended.error} (what is done is kept; the same "
                "command goes on from here)"
            )

    def _end(self, running: Mapping[Any, tuple[int, Start]]) -> None:
        """End all shards, each of which waits for what it has in flight; a signal ends the wait."""
        self.coordinator.end.remote()
        for one in running:
            self.ray.cancel(one, force=False)
        left = list(running)
        while left:
            ended, left = self.ray.wait(left, timeout=1.0)
            for one in ended:
                # Why the run ends is known; what comes back of a shard is kept.
                with contextlib.suppress(CodefavorError):
                    self._take(running[one][0], one)
