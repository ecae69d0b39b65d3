"""A command's shards as tasks of a Ray cluster; Ray schedules them, and restarts what is lost."""

from __future__ import annotations

import os
import re
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from codefavor.cli.ray_nodes import check_nodes, is_folder, output_folder
from codefavor.cli.ray_worker import Job, run_shard
from codefavor.engine import Budget, Limits, TerminalProgress
from codefavor.engine.budget import Amount
from codefavor.engine.coordinator import Coordinator
from codefavor.engine.ledger import read_ledger
from codefavor.engine.shards import FOLDER
from codefavor.errors import CodefavorError, ConfigError, MissingPackageError
from codefavor.settings import data_folder

# How often Ray runs a shard again whose process was lost.
_RESTARTS = 20
_SHARDS_AT_A_TIME = 4
_CAPPED = ("requests", "input_tokens", "output_tokens")
# Judges and models that are loaded into the process that asks them.
_LOCAL = re.compile(r"(?:^|[:,])(local|pairwise|reward|process|likelihood):")


def run_shards(
    words: list[str], values: Mapping[str, Any], address: str, n_shards: int | None
) -> None:
    """Run all shards of a command to their end.

    Raises ConfigError before anything is paid for, and CodefavorError with the first shard's error.
    """
    with _cluster(address) as ray:
        check_nodes(ray, values)
        cpus = values.get("workers") or 1
        gpus = _gpus(ray, values)
        n_at_once = max(1, int(ray.cluster_resources().get("CPU", 1) // cpus))
        n = _n_shards(values, n_shards) or _SHARDS_AT_A_TIME * n_at_once
        where = None if data_folder() is None else str(data_folder())
        job = Job(tuple(words), str(Path.cwd()), where, n, n_at_once)
        coordinator = (
            ray.remote(Coordinator)
            .options(num_cpus=0, max_concurrency=1000)
            .remote(*_shared(values), n_at_once, _spent(values))
        )
        task = ray.remote(run_shard).options(
            num_cpus=cpus, num_gpus=gpus, max_retries=_RESTARTS, name="codefavor shard"
        )
        asked = {task.remote(job, index, coordinator): index for index in range(n)}
        _wait(ray, asked, coordinator, words[0])


@contextmanager
def _cluster(address: str) -> Iterator[Any]:
    try:
        import ray
    except ImportError as error:
        raise MissingPackageError("ray", "cluster", "--ray") from error
    _check_address(address)
    # A cluster that is started here tells nobody about it.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        if address == "local":
            # Next to nothing goes through its store of objects: rows lie in files.
            small: dict[str, Any] = {"object_store_memory": 80_000_000, "include_dashboard": False}
            small["address"] = "local"  # left out, it is a cluster that runs here
            ray.init(**small, log_to_driver=False, logging_level="error")
        else:
            ray.init(address=address, log_to_driver=False, logging_level="error")
    except Exception as error:
        # Broad on purpose: where a cluster does not start in time, Ray raises a bare Exception.
        ray.shutdown()
        raise ConfigError(f"--ray {address}: Ray does not start or connect: {error}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_address(address: str) -> None:
    """Raise ConfigError for an address where nobody answers: Ray itself tries for minutes."""
    if address in ("auto", "local"):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigError(f"--ray {address}: expected auto, local, HOST:PORT or ray://HOST:PORT")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise ConfigError(f"--ray {address}: nobody answers there ({error})") from error


def _gpus(ray: Any, values: Mapping[str, Any]) -> float:
    """One GPU a shard whose model is loaded into its process, where the cluster has any."""
    model = str(values.get("model") or values.get("backend") or "")
    has_any = ray.cluster_resources().get("GPU", 0) > 0
    return 1.0 if has_any and _LOCAL.search(model) else 0.0


def _n_shards(values: Mapping[str, Any], wanted: int | None) -> int | None:
    """Into how many shards this output is divided: those there are; None for a new one."""
    folders = (output_folder(values) / FOLDER).glob("*-of-*")
    found = [one for one in folders if any(one.rglob(f"{_name(values)}*"))]
    earlier = int(found[0].name.partition("-of-")[2]) if found else None
    if wanted and earlier and wanted != earlier and not is_folder(values):
        raise ConfigError(
            f"--shards {wanted}: {found[0].parent} holds shards of {earlier} of this output; leave "
            "the option out to go on with them, or move them away"
        )
    return wanted or earlier


def _name(values: Mapping[str, Any]) -> str:
    """What the names of all files of this output begin with; "" for a folder of results."""
    return "" if is_folder(values) else Path(values["out"]).name


def _shared(values: Mapping[str, Any]) -> tuple[Budget, Limits]:
    budget = Budget(values.get("budget_usd"), values.get("budget_tokens"))
    requests, given, written = (values.get(f"{one}_per_min") for one in _CAPPED)
    return budget, Limits(requests, given, written)


def _spent(values: Mapping[str, Any]) -> dict[str, Amount]:
    """What the ledgers of the shards came to before, by their names."""
    ledgers = (output_folder(values) / FOLDER).glob(f"*-of-*/**/{_name(values)}*.spent")
    return {str(path.resolve()): read_ledger(path).most() for path in ledgers}


def _wait(ray: Any, asked: dict[Any, int], coordinator: Any, verb: str) -> None:
    """Show how far all are until the last has ended; the first error ends the run."""
    started, n, shown = time.monotonic(), len(asked), 0
    progress = TerminalProgress()
    progress.start(f"{verb} in {n} shards", None)
    pending = list(asked)
    sums: dict[str, Any] = {"n": 0, "restarts": 0, "fields": {}}
    try:
        while pending:
            done, pending = ray.wait(pending, timeout=1.0)
            sums = ray.get(coordinator.progress.remote())
            fields = {"shards": f"{n - len(pending)}/{n}", **sums["fields"]}
            progress.advance(sums["n"] - shown, **fields)
            shown = sums["n"]
            for one in done:
                _raise_for(ray, asked[one], n, one)
    except BaseException as error:
        # What is in flight is paid for: a shard that is cancelled waits for it.
        for one in pending:
            ray.cancel(one, force=False)
        ray.wait(pending, num_returns=len(pending), timeout=60.0)
        if isinstance(error, ray.exceptions.RayError):
            raise CodefavorError(
                "--ray: the coordinator, which holds the budget of all shards, was lost with its "
                f"process or node ({type(error).__name__}); what is done is kept; the same command "
                "goes on from here"
            ) from error
        raise
    finally:
        progress.finish()
    seconds = time.monotonic() - started
    print(
        f"{n} shards, {sums['n']} rows in {seconds:.0f} s ({sums['n'] / seconds:.0f} a second), "
        f"{sums['restarts']} restarts",
        file=sys.stderr,
    )


def _raise_for(ray: Any, index: int, n: int, done: Any) -> None:
    try:
        words = ray.get(done)
    except ray.exceptions.RayError as error:
        words = f"lost too often, or broken: {error}"
    if words:
        raise CodefavorError(
            f"shard {index}/{n}: {words} (what is done is kept; the same command goes on from here)"
        )
