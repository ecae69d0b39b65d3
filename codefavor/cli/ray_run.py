"""A command's shards as tasks of a Ray cluster; Ray schedules them, and restarts what is lost."""

from __future__ import annotations

import importlib
import logging
import os
import re
import signal
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from codefavor.cli.ray_command import journals_of
from codefavor.cli.ray_earlier import divided_into, refuse_plain_rows, spent_before
from codefavor.cli.ray_nodes import checked_nodes, on_node, output_folder
from codefavor.cli.ray_shards import Run, collect_left
from codefavor.cli.ray_worker import Job
from codefavor.engine import Budget, Limits
from codefavor.engine.coordinator import Coordinator
from codefavor.engine.shards import FOLDER
from codefavor.errors import ConfigError, MissingPackageError
from codefavor.journal import locked
from codefavor.settings import data_folder

_SHARDS_AT_A_TIME = 2
# Ray speaks HTTP/2: after the first bytes of a client, each side says its settings.
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_SETTINGS = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
_ANSWERS_S = 30
_CLIENT_PORT = (
    " (ray:// goes to the port of Ray's client server, 10001 if nothing else was said; to that of "
    "the GCS, 6379, it is --ray HOST:PORT)"
)
_CAPPED = ("requests", "input_tokens", "output_tokens")
# Judges and models that are loaded into the process that asks them.
_LOCAL = re.compile(r"(?:^|[:,])(local|embedded|pairwise|reward|process|likelihood):")
# Options that name the folder of a model.
_FOLDERS = ("truth_judge", "info_judge", "entailment", "embeddings")


def run_shards(
    words: list[str], values: Mapping[str, Any], address: str, n_shards: int | None
) -> None:
    """Run all shards of a command to their end.

    Raises ConfigError before anything is paid for, and CodefavorError with the first shard's error.
    """
    _refuse_own_servers(values)
    _check_cluster(address)
    journals = journals_of(words)
    with ExitStack() as held:
        # As long as the shards run: a second run of this output would have a budget of its own.
        for journal in journals:
            held.enter_context(locked(journal))
        _run_shards(words, values, address, n_shards, journals)


def _run_shards(
    words: list[str],
    values: Mapping[str, Any],
    address: str,
    n_shards: int | None,
    journals: list[Path],
) -> None:
    refuse_plain_rows(journals)
    earlier = divided_into(journals, n_shards)
    has_models = _loads_models(values)
    # Nobody loads models on every node only to see what it would do with them.
    looked_at = [] if has_models else words
    with _cluster(address) as ray, checked_nodes(ray, values, looked_at) as known:
        for name in known.apart.values():
            _say(f"{name} keeps its shards to itself until they end; one that is lost is run again")
        each = {"num_cpus": values.get("workers") or 1, "num_gpus": _gpus(ray) if has_models else 0}
        n_at_once = _n_at_once(ray.nodes(), each, may_grow=known.may_grow)
        n = earlier or _SHARDS_AT_A_TIME * n_at_once
        where = None if data_folder() is None else str(data_folder())
        folder = (output_folder(values) / FOLDER).resolve()
        job = Job(tuple(words), where, n, str(folder), known)
        collect_left(ray, job, fresh=bool(values.get("fresh")))
        options = {"num_cpus": 0, "max_concurrency": 1000, "scheduling_strategy": _near(ray)}
        # A broken connection to it, as on a busy machine, is no loss: Ray asks again.
        holder = ray.remote(Coordinator).options(**options, max_task_retries=-1)
        # With --fresh each shard forgets what it spent before, as a plain run does.
        spent = {} if values.get("fresh") else spent_before(journals)
        coordinator = holder.remote(*_shared(values), n_at_once, spent)
        run = Run(ray, job, coordinator, words[0])
        if has_models:
            run.on_actors(min(n, n_at_once), each)
        else:
            run.as_tasks(each)


def _check_cluster(address: str) -> None:
    """Raise MissingPackageError without Ray, ConfigError for an address where nobody answers."""
    try:
        importlib.import_module("ray")
    except ImportError as error:
        raise MissingPackageError("ray", "cluster", "--ray") from error
    if address.startswith("ray://"):
        try:
            importlib.import_module("grpc")
        except ImportError as error:
            raise MissingPackageError("grpcio", "cluster", "--ray ray://") from error
    _check_address(address)


@contextmanager
def _cluster(address: str) -> Iterator[Any]:
    import ray

    on_term = signal.getsignal(signal.SIGTERM)
    # A cluster that is started here tells nobody about it.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        if address == "local":
            # Next to nothing goes through its store of objects: rows lie in files.
            small: dict[str, Any] = {"object_store_memory": 80_000_000, "include_dashboard": False}
            # Said, so that it is not one that runs here already.
            ray.init(address="local", **small, log_to_driver=False, logging_level=logging.ERROR)
        else:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:
        # Broad on purpose: where a cluster does not start in time, Ray raises a bare Exception.
        ray.shutdown()
        told = _CLIENT_PORT if address.startswith("ray://") else ""
        raise ConfigError(
            f"--ray {address}: Ray does not start or connect: {error}{told}"
        ) from error
    try:
        # Ray puts a handler in the place of Python's that aborts, and at its end the default.
        signal.signal(signal.SIGTERM, on_term)
        yield ray
    finally:
        ray.shutdown()
        signal.signal(signal.SIGTERM, on_term)


def _check_address(address: str) -> None:
    """Raise ConfigError for an address that is not Ray's: it tries for minutes."""
    if address in ("auto", "local"):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigError(f"--ray {address}: expected auto, local, HOST:PORT or ray://HOST:PORT")
    try:
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            # With TLS it says nothing before a handshake.
            if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
                return
            connection.settimeout(_ANSWERS_S)
            connection.sendall(_HELLO + _SETTINGS)
            answer = connection.recv(len(_SETTINGS))
    except OSError as error:
        raise ConfigError(f"--ray {address}: nobody answers there ({error})") from error
    if answer[3:4] != _SETTINGS[3:4]:
        raise ConfigError(f"--ray {address}: what answers there is not Ray")


def _loads_models(values: Mapping[str, Any]) -> bool:
    """Whether the command loads a model into the process that runs it."""
    return any(map(_LOCAL.search, _named(values))) or any(values.get(one) for one in _FOLDERS)


def _named(values: Mapping[str, Any]) -> list[str]:
    """The models and judges that the command names, KIND:NAME."""
    return [str(values.get(one) or "") for one in ("model", "backend", "judge", "judge_backend")]


def _refuse_own_servers(values: Mapping[str, Any]) -> None:
    """Raise ConfigError for a server that each shard would start for itself, and stop again."""
    given = [*(values.get("backend_options") or []), *(values.get("judge_options") or [])]
    has_url = values.get("base_url") or any(one.startswith("base_url=") for one in given)
    if any("vllm:" in one for one in _named(values)) and not has_url:
        raise ConfigError(
            "--ray: vllm: would start a server for every shard; start some once "
            "(scripts/cluster/skypilot_vllm.yaml) and ask these: --set base_url=URL"
        )


def _gpus(ray: Any) -> float:
    """One GPU for each process that holds a model, where the cluster has any."""
    return 1.0 if ray.cluster_resources().get("GPU", 0) > 0 else 0.0


def _near(ray: Any) -> Any:
    """On the node of whoever calls, whose loss ends the run in any case."""
    return on_node(ray.get_runtime_context().get_node_id())


def _n_at_once(nodes: Iterable[Any], each: Mapping[str, float], *, may_grow: bool) -> int:
    """How many shards the cluster runs at a time, as it is now.

    Raises ConfigError where no node has room for one, and none will come that is said to.
    """
    wanted = {"CPU": each["num_cpus"], "GPU": each["num_gpus"]}
    there = [node["Resources"] for node in nodes if node["Alive"]]
    n = sum(
        min(int(has.get(kind, 0) // one) for kind, one in wanted.items() if one) for has in there
    )
    if not n:
        needs = " and ".join(f"{one:g} {kind}s" for kind, one in wanted.items() if one)
        largest = max((has.get("CPU", 0) for has in there), default=0)
        words = (
            f"a shard takes {needs} of one node (--workers says how many CPUs), which no node of "
            f"this cluster has; the largest has {largest:g} CPUs"
        )
        if not may_grow:
            raise ConfigError(f"--ray: {words}; take fewer workers, or larger nodes")
        _say(f"{words}; all wait until the autoscaler brings one that has (Ctrl-C ends)")
    return max(1, n)


def _shared(values: Mapping[str, Any]) -> tuple[Budget, Limits]:
    budget = Budget(values.get("budget_usd"), values.get("budget_tokens"))
    requests, given, written = (values.get(f"{one}_per_min") for one in _CAPPED)
    return budget, Limits(requests, given, written)


def _say(words: str) -> None:
    print(f"--ray: {words}", file=sys.stderr)
