"""One judge on one benchmark from files to a result file: what `codefavor evaluate` does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from codefavor import __version__
from codefavor.backends.base import Backend
from codefavor.benchmarks.attacks import Side, attack_items, robustness
from codefavor.benchmarks.codeprefbench import ASPECTS, averages, find_files, read_tasks
from codefavor.benchmarks.comments import CommentRule
from codefavor.benchmarks.item_tests import tests_of
from codefavor.benchmarks.pairs_benchmark import Orders, judge_step, read_items, why_useless
from codefavor.benchmarks.published import BENCHMARKS, load_items, shown_language
from codefavor.engine.context import Context
from codefavor.engine.counts import Counts
from codefavor.engine.runner import run_sync
from codefavor.errors import ConfigError, DataError
from codefavor.evaluation.controls import judge_now
from codefavor.evaluation.results import rescore, result_of
from codefavor.evaluation.run_usage import is_elsewhere, usage_of
from codefavor.journal import Journal, read_journal, rewrite_journal
from codefavor.journal_manifest import Responses, manifest_path, note_responses
from codefavor.judges.base import BatchJudge, Judge
from codefavor.judges.llm import LlmJudge
from codefavor.judges.ngram import NgramJudge
from codefavor.judges.options import check_choice, check_type
from codefavor.judges.sandboxed import TestBench
from codefavor.judges.spec import JudgeSpec
from codefavor.judges.tested import TestedJudge
from codefavor.records import Choice, Row, content_id
from codefavor.result_file import read_result, rows_path, write_result
from codefavor.statistics.metrics import score
from codefavor.statistics.subgroups import subgroups

Protocol = Literal["both-orders", "paper"]
# Instead of criteria of one's own: no pair states any.
NO_CRITERIA = "none"
NAMES = ("codeprefbench", "pairs", *sorted(BENCHMARKS))


class NothingToAttackError(DataError):
    """An attack applies to none of the pairs: nothing is wrong with them."""


@dataclass(frozen=True)
class Task:
    """What to judge and how.

    `data` is the data file (a folder for codeprefbench), `data_dir` the common data folder.
    `comments` None means the protocol's own rule. `sample` draws so many pairs by the hash of
    `seed` and id, `limit` takes the first so many (of those). `criteria` replaces those of the
    pairs ("none": they are left out), `group_by`
    names fields to report apart.
    `attack` changes one side of every pair without changing its meaning (see `attacks`).
    """

    benchmark: str
    data: Path | None = None
    data_dir: Path | None = None
    aspects: tuple[str, ...] = ASPECTS
    protocol: Protocol = "both-orders"
    orders: Orders | None = None
    comments: CommentRule | None = None
    limit: int | None = None
    sample: int | None = None
    seed: int = 0
    has_style_control: bool = False
    criteria: str = ""
    group_by: tuple[str, ...] = ()
    attack: str = ""
    attack_side: Side = "rejected"

    def __post_init__(self) -> None:
        """Raise ConfigError for a value that a setting cannot have."""
        words = {
            "protocol": (self.protocol, get_args(Protocol)),
            "orders": (self.orders, (None, *get_args(Orders))),
            "comments": (self.comments, (None, *get_args(CommentRule))),
            "attack_side": (self.attack_side, get_args(Side)),
        }
        for name, (value, known) in words.items():
            if value not in known:
                expected = ", ".join(str(one) for one in known if one is not None)
                raise ConfigError(f"{name} is {value!r}; expected one of: {expected}")
        for name in ("criteria", "attack"):
            check_type(name, getattr(self, name), str)
        for name in ("aspects", "group_by"):
            check_type(name, getattr(self, name), tuple[str, ...])
        check_type("has_style_control", self.has_style_control, bool)
        for aspect in self.aspects:
            check_choice("aspect", aspect, Literal[ASPECTS])
        for name, low in (("limit", 1), ("sample", 1), ("seed", 0)):
            number = getattr(self, name)
            is_whole = isinstance(number, int) and not isinstance(number, bool)
            if not (is_whole and number >= low) and (number is not None or name == "seed"):
                raise ConfigError(f"{name} is {number!r}; expected a whole number from {low}")

    def idle(self) -> dict[str, str]:
        """Why each setting that means nothing in this task does not, by name."""
        found = {}
        if not self.attack:
            found["attack_side"] = "belongs to --attack, which is not given"
        if self.benchmark != "codeprefbench":
            why = f"is for codeprefbench, and this is {self.benchmark}"
            found |= {"aspects": why, "comments": why}
        return found

    @property
    def shown_orders(self) -> Orders:
        """The orders asked: both, unless told otherwise or under the paper's protocol."""
        return self.orders or ("one" if self.protocol == "paper" else "both")

    @property
    def comment_rule(self) -> CommentRule:
        """What happens to comments (of CodePrefBench's verifiable aspects)."""
        return self.comments or ("paper" if self.protocol == "paper" else "strip")

    def settings(self) -> Row:
        """What a result file and a manifest say about the task."""
        row: Row = {"protocol": self.protocol, "orders": self.shown_orders}
        if self.benchmark == "codeprefbench":
            row |= {"comments": self.comment_rule, "aspects": list(self.aspects)}
        if self.criteria:
            row["criteria"] = self.criteria
        if self.sample is not None:
            row |= {"sample": self.sample, "seed": self.seed}
        if self.limit is not None:
            row["limit"] = self.limit
        if self.attack:
            row |= {"attack": self.attack, "attack_side": self.attack_side}
        return row


def load_task(task: Task) -> list[Row]:
    """The labelled pairs of a task; raises ConfigError or DataError saying what is missing."""
    if task.benchmark not in NAMES:
        raise ConfigError(f"unknown benchmark {task.benchmark!r}; known: {', '.join(NAMES)}")
    if task.benchmark == "codeprefbench":
        folders = [folder for folder in (task.data, task.data_dir) if folder is not None]
        items = read_tasks(find_files(folders, task.aspects), comments=task.comment_rule)
    elif task.benchmark == "pairs":
        if task.data is None:
            raise ConfigError("evaluate pairs needs the file of pairs: --data FILE.jsonl")
        items = read_items(task.data)
    else:
        items = load_items(task.benchmark, data=task.data, data_dir=task.data_dir)
    if task.criteria:
        criteria = "" if task.criteria == NO_CRITERIA else task.criteria
        items = [{**item, "criteria": criteria} for item in items]
    if task.sample is not None and task.sample < len(items):
        # By hash of seed and id: a smaller sample lies within a larger one, whatever the order.
        order = sorted(items, key=lambda item: content_id(task.seed, item["id"]))
        drawn = {item["id"] for item in order[: task.sample]}
        items = [item for item in items if item["id"] in drawn]
    if task.limit is not None:
        items = items[: task.limit]
    if task.attack:
        items, _ = attack_items(items, task.attack, task.attack_side)
        if not items:
            raise NothingToAttackError(f"the attack {task.attack} applies to none of the pairs")
    return items


def task_of(result: Row, *, data: Path | None = None, data_dir: Path | None = None) -> Task:
    """The task that a result file is of, for finding its pairs again."""
    settings = result["settings"]
    aspects = tuple(settings.get("aspects", ASPECTS))
    stated = {**settings, "aspects": aspects}
    return Task(result["benchmark"], data=data, data_dir=data_dir, **stated)


def result_path(folder: Path, task: Task, spec: JudgeSpec) -> Path:
    """The result file of a task and a judge."""
    parts = [spec.file_name()]
    if task.protocol == "paper":
        parts.append("paper")
    if task.criteria:
        is_none = task.criteria == NO_CRITERIA
        parts.append("no-criteria" if is_none else f"criteria-{content_id(task.criteria)[:6]}")
    if task.attack:
        parts.append(f"{task.attack}-{task.attack_side}")
    return folder / f"{task.benchmark}.{re.sub(r'[^A-Za-z0-9._+-]+', '-', '-'.join(parts))}.json"


@dataclass
class Kept:
    """What several tasks of one judge share: local models are loaded, and their texts scored,
    once; a server is started once. Close it at the end."""

    judges: dict[JudgeSpec, Judge] = field(default_factory=dict)
    backends: dict[JudgeSpec, dict[str, Backend]] = field(default_factory=dict)

    def backends_of(
        self, spec: JudgeSpec, backend_options: Mapping[str, Any] | None
    ) -> dict[str, Backend]:
        """The backends of a judge, made when it is first met."""
        if spec not in self.backends:
            self.backends[spec] = spec.make_backends(backend_options)
        return self.backends[spec]

    def close(self) -> None:
        """Close all backends: a server that was started ends."""
        for backends in self.backends.values():
            for backend in backends.values():
                asyncio.run(backend.close())


def run_task(
    task: Task,
    spec: JudgeSpec,
    out: Path,
    *,
    backend_options: Mapping[str, Any] | None = None,
    make_context: Any = None,
    run: Callable[..., Counts] | None = None,
    in_batch: bool = False,
    kept: Kept | None = None,
) -> tuple[Row, Counts]:
    """Judge all pairs (those not yet in its journal) and write the result file.

    `make_context` makes the runner's context from a backend (default: a plain one), `run` runs
    as `run_sync` does; while rows wait for a batch, and of a shard, there is no result: an empty
    one comes back. `in_batch` means the prices of batch mode. `kept` is for several calls that
    share their judges.
    """
    items = load_task(task)
    spec = fitted(spec, task, items)
    kept = kept or Kept()
    backends = kept.backends_of(spec, backend_options)
    backend = next(iter(backends.values()), None)
    with contextlib.ExitStack() as stack:
        bench = _test_bench(task, spec, items, stack)
        judge = kept.judges.get(spec) or spec.make_judge(backends, items, bench)
        if isinstance(judge, BatchJudge):
            kept.judges[spec] = judge
        described = spec.describe(judge, backends)
        if bench is not None:
            described |= {"tests_sha256": content_id(bench.digest()), "level": bench.pool.level}
        manifest = _manifest(task, described)
        context = make_context(backend) if make_context is not None else Context(backend=backend)
        context.others = tuple(backends.values())[1:]
        started = time.process_time()
        with Journal.open(rows_path(out), manifest) as journal:
            counts = (run or run_sync)(
                judge_step(judge, orders=task.shown_orders),
                items,
                journal,
                context=context,
                label=f"judge: {judge.name}",
                useless=why_useless,
            )
    if not counts.is_whole:
        return {}, counts
    cpu_s = time.process_time() - started
    judged = {item["id"] for item in items}
    ended = (record for record in read_journal(rows_path(out)) if record["id"] in judged)
    records = _as_given(ended, items)
    note_responses(rows_path(out), Responses(records))
    result = _finish(task, items, records, described)
    if isinstance(judge, LlmJudge | TestedJudge):
        result["prompt_sha256"] = judge.prompt_sha256
    # Of merged shards nobody measured it.
    timed = None if counts.shard or is_elsewhere(spec, backends.values()) else cpu_s
    result["usage"] = usage_of(records, counts, judge, context, timed, in_batch=in_batch)
    _add_robustness(result, task, spec, out, records)
    write_result(out, result)
    return result, counts


def _as_given(records: Iterable[Row], items: Sequence[Row]) -> list[Row]:
    """The records in the order of the items: resampling hangs on it, and rows end in any order."""
    places = {item["id"]: place for place, item in enumerate(items)}
    return sorted(records, key=lambda record: places.get(record["id"], len(places)))


def _manifest(task: Task, judge: Row) -> Row:
    return {
        "step": "evaluate",
        "benchmark": task.benchmark,
        "judge": judge,
        "settings": task.settings(),
        "code_version": __version__,
    }


def _test_bench(
    task: Task, spec: JudgeSpec, items: Sequence[Row], stack: contextlib.ExitStack
) -> TestBench | None:
    """The tests and the sandbox of a judge that runs programs; None for the others."""
    if "pool" not in spec.needs():
        return None
    sandbox = spec.sandbox()
    problems = {}
    if "problems" in spec.needs():
        problems = tests_of(
            task.benchmark, items, problems=sandbox.sets, data=task.data, data_dir=task.data_dir
        )
    return TestBench(problems, stack.enter_context(sandbox.make_pool()), sandbox.limits)


def rescore_task(task: Task, spec: JudgeSpec, out: Path, *, stored: Path | None = None) -> Row:
    """Read all stored replies again, recompute every number, write the result; asks nobody.

    `stored` is another result file whose rows are read (a likelihood run, for another
    reduction of the same scores); they are kept beside `out` too.
    """
    journal_path = rows_path(stored or out)
    if not journal_path.is_file():
        raise DataError(
            f"{journal_path}: no stored replies; run the same command without --rescore"
        )
    items = load_task(task)
    manifest: Row = {"judge": {"name": spec.name or out.stem, "kind": spec.kind}}
    if manifest_path(journal_path).is_file():
        manifest = json.loads(manifest_path(journal_path).read_text(encoding="utf-8"))
    judge = manifest["judge"]
    if judge["kind"] == "likelihood":
        reduction = spec.value_or("reduction", judge.get("reduction"))
        if judge.get("reduction") != reduction and not spec.name:
            judge["name"] = f"likelihood ({reduction})"
        judge["reduction"] = reduction
    judge["name"] = spec.name or judge["name"]
    records = _as_given(rescore(read_journal(journal_path), judge), items)
    rewrite_journal(rows_path(out), manifest, records)
    old = read_result(out) if out.is_file() else {}
    result = _finish(task, items, records, judge)
    result |= {key: old[key] for key in ("usage", "prompt_sha256") if key in old}
    _add_robustness(result, task, spec, out, records)
    write_result(out, result)
    return result


def _add_robustness(
    result: Row, task: Task, spec: JudgeSpec, out: Path, records: Sequence[Row]
) -> None:
    base = rows_path(result_path(out.parent, replace(task, attack=""), spec))
    if task.attack and base.is_file():
        before = read_journal(base)
        found = robustness(before, records, attack=task.attack, side=task.attack_side)
        result["robustness"] = found.to_row()


def fitted(spec: JudgeSpec, task: Task, items: Sequence[Row]) -> JudgeSpec:
    """The judge's spec as the protocol and the data want them."""
    ties: Choice = "B" if task.protocol == "paper" else spec.ties
    return replace(spec.fitted({shown_language(item) for item in items}), ties=ties)


def _finish(task: Task, items: Sequence[Row], records: list[Row], judge: Row) -> Row:
    style = None
    if task.has_style_control:
        style = judge_now(NgramJudge(items), items)
    result = result_of(
        records,
        items,
        benchmark=task.benchmark,
        judge=judge,
        settings=task.settings(),
        style_records=style,
        seed=task.seed,
    )
    data = task.data if task.benchmark == "pairs" else None
    result["subgroups"] = subgroups(records, items, task.group_by, data=data, seed=task.seed)
    if task.benchmark == "codeprefbench":
        result["averages"] = averages(score(records, {i["id"]: i for i in items}, n_resamples=2))
    return result
