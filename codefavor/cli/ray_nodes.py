"""Before anything is paid for: do all nodes of a Ray cluster see and run what this machine does?"""

from __future__ import annotations

import hashlib
import os
import socket
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from codefavor.cli.ray_command import settings_of
from codefavor.cli.storage_flags import OUTPUTS
from codefavor.engine.shards import FOLDER, code_sha256
from codefavor.errors import CodefavorError, ConfigError
from codefavor.journal_manifest import differences
from codefavor.originals import with_originals
from codefavor.settings import DATA_VARIABLE, data_folder
from codefavor.synthesis.verify import Verifier, parse_ways

# Of a larger file its ends are compared, and its size.
_WHOLE_BYTES = 64 << 20
_END_BYTES = 1 << 20
_ANSWER_S = 300.0
# By these Ray tells that KubeRay, or `ray up`, has started a node: more may come by an autoscaler.
_KUBERAY, _RAY_UP = "RAY_USAGE_STATS_KUBERAY_IN_USE", "~/ray_bootstrap_config.yaml"


@dataclass(frozen=True)
class NodeCheck:
    """What every node must have, what this machine has of it, and the nodes that have it too.

    `seen` is a file beside the shards, there as long as the run: who does not see it has storage
    of his own.
    """

    wanted: Mapping[str, Any]
    own: Mapping[str, Any]
    seen: str
    nodes: frozenset[str] = frozenset()
    # Of these nodes, the names of those with storage of their own.
    apart: Mapping[str, str] = field(default_factory=dict)
    # Whether an autoscaler may bring more.
    may_grow: bool = False

    def error_here(self) -> str:
        """What is wrong with this node, on which a shard is to run; "" for nothing."""
        import ray

        node = ray.get_runtime_context().get_node_id()
        if node in self.nodes or node in _checked:
            return ""
        try:
            compare(f"{socket.gethostname()} ({node[:6]})", self.own, examine(self.wanted))
        except ConfigError as error:
            return str(error)
        _checked.add(node)
        return ""

    def is_shared_here(self) -> bool:
        """Whether this node sees what others write beside the outputs."""
        return _sees(Path(self.seen))


# Nodes that joined the cluster later, and were found to be like the others.
_checked: set[str] = set()


@contextmanager
def checked_nodes(ray: Any, values: Mapping[str, Any], words: Sequence[str]) -> Iterator[NodeCheck]:
    """Raise ConfigError if a node has other code or data, does not see a path, or is no sandbox.

    Also if the command, whose `words` these are (none: it is not looked at), has other settings
    there: its environment has a say in whom is asked.
    """
    base = output_folder(values) / FOLDER
    base.mkdir(parents=True, exist_ok=True)
    seen = base / f".seen-{uuid.uuid4().hex}"
    seen.touch()
    wanted: dict[str, Any] = {
        "folder": str(Path.cwd()),
        "seen": str(seen.resolve()),
        "files": [str(path) for path in _files(values)],
        "data": None if data_folder() is None else str(data_folder()),
        "level": _needed_level(values),
        "words": list(words),
        "out": "out" if is_folder(values) else Path(values["out"]).name,
    }
    try:
        own = examine(wanted)
        found = _ask(ray, wanted)
        for (_, name), theirs in found.items():
            compare(name, own, theirs)
        apart = {node: name for (node, name), one in found.items() if not one["is_shared"]}
        nodes = frozenset(node for node, _ in found)
        may_grow = any(one["may_grow"] for one in found.values())
        yield NodeCheck(wanted, own, wanted["seen"], nodes, apart, may_grow)
    finally:
        seen.unlink(missing_ok=True)


def _sees(path: Path) -> bool:
    """Whether a file is in its folder, which is read: that a name is not there may be cached."""
    with suppress(OSError):
        return path in path.parent.iterdir()
    return False


def _needed_level(values: Mapping[str, Any]) -> str | None:
    """The isolation that the command insists on; None where it runs no program."""
    if "verify" in values:
        ways = parse_ways(values["verify"] or ["evidence"])
        if not Verifier(ways=ways).runs_programs:
            return None
    level: str | None = values.get("sandbox_level") if values.get("workers") is not None else None
    return level


def output_folder(values: Mapping[str, Any]) -> Path:
    """The folder of a command's output: of its file, or of its results."""
    out = Path(values["out"])
    return out if is_folder(values) else out.parent


def is_folder(values: Mapping[str, Any]) -> bool:
    """Whether the output is a folder of results, as that of `evaluate` is."""
    params = click.get_current_context().command.params
    return any("--evalroot" in one.opts for one in params if one.name == "out")


def _files(values: Mapping[str, Any]) -> Iterable[Path]:
    """The files that the command reads; what lies on storage each node brings for itself."""
    for name, value in values.items():
        if name in ("out", *OUTPUTS):
            continue
        for one in value if isinstance(value, list) else [value]:
            if not isinstance(one, str | Path) or not one or with_originals(str(one)) != str(one):
                continue
            if Path(one).is_file():
                yield Path(one)


def examine(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What this machine has of the wanted; on a node of the cluster it is called there."""
    found: dict[str, Any] = {"code": code_sha256(), "files": {}, "level": "", "missing": []}
    found |= {"settings": {}, "refused": ""}
    found["is_shared"] = _sees(Path(wanted["seen"]))
    found["may_grow"] = _KUBERAY in os.environ or Path(_RAY_UP).expanduser().is_file()
    if not Path(wanted["folder"]).exists():
        found["missing"].append(wanted["folder"])
        return found
    os.chdir(wanted["folder"])
    for path in wanted["files"]:
        if Path(path).is_file():
            found["files"][path] = _digest(Path(path))
        else:
            found["missing"].append(path)
    if wanted["data"] is not None:
        found["files"][wanted["data"]] = _digest_of_folder(Path(wanted["data"]))
        os.environ[DATA_VARIABLE] = wanted["data"]
    if wanted["level"]:
        found["level"] = _level(wanted["level"])
    if wanted["words"] and not found["missing"]:
        try:
            found["settings"] = settings_of(wanted["words"], wanted["out"])
        except CodefavorError as error:
            found["refused"] = str(error)
    return found


def _level(required: str) -> str:
    """The proven isolation, or why there is not enough."""
    from codefavor.errors import SandboxError
    from codefavor.sandbox import SandboxPool

    try:
        with SandboxPool(1, required_level=required) as pool:
            return str(pool.level)
    except SandboxError as error:
        return f"none ({error})"


def _digest(path: Path) -> str:
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with open(path, "rb") as handle:
        if size <= _WHOLE_BYTES:
            while block := handle.read(_END_BYTES):
                digest.update(block)
        else:
            digest.update(handle.read(_END_BYTES))
            handle.seek(-_END_BYTES, os.SEEK_END)
            digest.update(handle.read())
    return digest.hexdigest()[:16]


def _digest_of_folder(folder: Path) -> str:
    """Of the names and sizes in the common data folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    words = [f"{path.relative_to(folder)} {path.stat().st_size}" for path in files]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]


def _ask(ray: Any, wanted: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """What each living node answers, by its id and name."""
    nodes = [node for node in ray.nodes() if node["Alive"]]
    probe = _make_probe()
    asked = {
        probe.options(num_cpus=0, scheduling_strategy=on_node(node["NodeID"])).remote(
            dict(wanted)
        ): (
            node["NodeID"],
            f"{node['NodeManagerHostname']} ({node['NodeID'][:6]})",
        )
        for node in nodes
    }
    ready, late = ray.wait(list(asked), num_returns=len(asked), timeout=_ANSWER_S)
    if late:
        raise ConfigError(f"--ray: {asked[late[0]][1]} does not answer within {_ANSWER_S:.0f} s")
    return {asked[one]: ray.get(one) for one in ready}


def on_node(node: str) -> Any:
    """To be run on this node and no other."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node, soft=False)


def _make_probe() -> Any:
    """A task that is sent as its own source: a node may have no codefavor, or another one."""
    import ray

    def probe(wanted: dict[str, Any]) -> dict[str, Any]:
        try:
            from codefavor.cli.ray_nodes import examine
        except ImportError as error:
            return {"error": f"cannot import codefavor ({error})"}
        return examine(wanted)

    made: Any = ray.remote(max_retries=1)(probe)
    return made


def compare(node: str, own: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    """Raise ConfigError if a node differs from this machine."""
    if error := theirs.get("error"):
        raise ConfigError(f"--ray: the node {node} {error}; install the same version there")
    if theirs["code"] != own["code"]:
        raise ConfigError(
            f"--ray: the node {node} has another version of the code ({theirs['code']}, here "
            f"{own['code']}); install the same version there"
        )
    if theirs["missing"]:
        raise ConfigError(
            f"--ray: the node {node} does not see {theirs['missing'][0]}; inputs must lie "
            "in storage that all nodes share, under the same path"
        )
    for path, digest in own["files"].items():
        if theirs["files"].get(path) != digest:
            raise ConfigError(f"--ray: the node {node} has other data at {path} than this machine")
    if theirs["level"] != own["level"]:
        raise ConfigError(
            f"--ray: the node {node} has sandbox level {theirs['level']}, this machine "
            f"{own['level']}; results would not be of one level"
        )
    if own["level"].startswith("none"):
        raise ConfigError(f"--ray: no sandbox here: {own['level']}")
    if theirs["refused"]:
        raise ConfigError(f"--ray: the node {node} cannot run this: {theirs['refused']}")
    for name, settings in own["settings"].items():
        if others := differences(theirs["settings"].get(name, {}), settings):
            raise ConfigError(
                f"--ray: the node {node} would run this under other settings, by the environment "
                f"of its Ray processes: {'; '.join(others)}"
            )
