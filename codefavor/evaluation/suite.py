"""One judge on one benchmark from files to a result file: what `codefavor evaluate` does."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from codefavor import __version__
from codefavor.engine.context import Context
from codefavor.engine.runner import Counts, run_sync
from codefavor.errors import ConfigError, DataError
from codefavor.evaluation.attacks import Side, attack_items, robustness
from codefavor.evaluation.benchmarks import BENCHMARKS, load_items
from codefavor.evaluation.codeprefbench import ASPECTS, averages, find_files, read_tasks
from codefavor.evaluation.comments import CommentRule
from codefavor.evaluation.controls import judge_now
from codefavor.evaluation.judge_options import JudgeOptions
from codefavor.evaluation.metrics import score
from codefavor.evaluation.pairs_benchmark import Orders, judge_step, read_items
from codefavor.evaluation.results import items_sha256, rescore, result_of, write_result
from codefavor.journal import Journal, manifest_path, read_journal
from codefavor.judges.base import make_judge
from codefavor.records import Row

Protocol = Literal["both-orders", "paper"]
NAMES = ("codeprefbench", "pairs", *sorted(BENCHMARKS))


@dataclass(frozen=True)
class Task:
    """What to judge and how.

    `data` is the data file (a folder for codeprefbench), `data_dir` the common data folder.
    `comments` None means the protocol's own rule. `limit` draws so many pairs by `seed`.
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
    seed: int = 0
    has_style_control: bool = False
    attack: str = ""
    attack_side: Side = "rejected"

    @property
    def shown_orders(self) -> Orders:
        """The orders asked: both, unless told otherwise or under the paper's protocol."""
        return self.orders or ("one" if self.protocol == "paper" else "both")

    @property
    def comment_rule(self) -> CommentRule:
        """What happens to comments (of CodePrefBench's verifiable aspects)."""
        return self.comments or ("paper" if self.protocol == "paper" else "removed")

    def settings(self) -> Row:
        """What a result file and a manifest say about the task."""
        row: Row = {"protocol": self.protocol, "orders": self.shown_orders}
        if self.benchmark == "codeprefbench":
            row |= {"comments": self.comment_rule, "aspects": list(self.aspects)}
        if self.limit is not None:
            row |= {"limit": self.limit, "seed": self.seed}
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
    if task.limit is not None and task.limit < len(items):
        drawn = set(random.Random(task.seed).sample(range(len(items)), task.limit))
        items = [item for number, item in enumerate(items) if number in drawn]
    if task.attack:
        items, _ = attack_items(items, task.attack, task.attack_side)
        if not items:
            raise DataError(f"the attack {task.attack} applies to none of the pairs")
    return items


def result_path(folder: Path, task: Task, options: JudgeOptions) -> Path:
    """The result file of a task and a judge."""
    name = "-".join(
        part
        for part in (
            options.name or options.model_type,
            "" if options.name else Path(options.model_id).name,
            "" if options.name or not options.adapter else options.adapter.name,
            "" if options.name or options.model_type != "likelihood" else options.reduction,
            "paper" if task.protocol == "paper" else "",
            f"{task.attack}-{task.attack_side}" if task.attack else "",
        )
        if part
    )
    return folder / f"{task.benchmark}.{re.sub(r'[^A-Za-z0-9._+-]+', '-', name)}.json"


def rows_path(out: Path) -> Path:
    """The journal of a result file: in the folder `rows` beside it, out of the way of *.json."""
    return out.parent / "rows" / f"{out.stem}.jsonl"


def run_task(
    task: Task,
    options: JudgeOptions,
    out: Path,
    *,
    backend_options: Mapping[str, Any] | None = None,
    make_context: Any = None,
    run_options: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> tuple[Row, Counts]:
    """Judge all pairs (those not yet in its journal) and write the result file.

    `make_context` makes the runner's context from a backend (default: a plain one).
    """
    items = load_task(task)
    options = _fitted(options, task, items)
    backend = options.make_backend(backend_options)
    judge = options.make_judge(items, backend)
    described = options.describe(judge, backend)
    manifest = {
        "step": "evaluate",
        "benchmark": task.benchmark,
        "judge": described,
        "settings": task.settings(),
        "items_sha256": items_sha256(items),
        "code_version": __version__,
    }
    journal_path = rows_path(out)
    if overwrite:
        for path in (journal_path, manifest_path(journal_path)):
            path.unlink(missing_ok=True)
    context = make_context(backend) if make_context is not None else Context(backend=backend)
    with Journal.open(journal_path, manifest) as journal:
        counts = run_sync(
            judge_step(judge, orders=task.shown_orders),
            items,
            journal,
            context=context,
            label=f"judge: {judge.name}",
            **dict(run_options or {}),
        )
    result = _finish(task, items, list(read_journal(journal_path)), described, out)
    result["usage"] = {
        "input_tokens": counts.input_tokens,
        "output_tokens": counts.output_tokens,
        "usd": counts.usd if backend is not None else None,
    }
    base = rows_path(result_path(out.parent, replace(task, attack=""), options))
    if task.attack and base.is_file():
        found = robustness(
            read_journal(base),
            read_journal(journal_path),
            attack=task.attack,
            side=task.attack_side,
        )
        result["robustness"] = found.to_row()
    write_result(out, result)
    return result, counts


def rescore_task(task: Task, options: JudgeOptions, out: Path) -> Row:
    """Read all stored replies again, recompute every number, write the result; asks nobody."""
    journal_path = rows_path(out)
    if not journal_path.is_file():
        raise DataError(
            f"{journal_path}: no stored replies; run the same command without --rescore"
        )
    items = load_task(task)
    described: Row = {"name": options.name or out.stem, "kind": options.kind}
    manifest = manifest_path(journal_path)
    if manifest.is_file():
        described = json.loads(manifest.read_text(encoding="utf-8")).get("judge", described)
    records = rescore(read_journal(journal_path), str(described.get("mode", "")))
    return _finish(task, items, records, described, out)


def _fitted(options: JudgeOptions, task: Task, items: Sequence[Row]) -> JudgeOptions:
    """The judge's options as the protocol and the data want them."""
    languages = {item["language"] for item in items}
    language = languages.pop() if len(languages) == 1 else ""
    ties = "B" if task.protocol == "paper" else options.length_ties
    return replace(options, language=language, length_ties=ties)


def _finish(task: Task, items: Sequence[Row], records: list[Row], judge: Row, out: Path) -> Row:
    style = None
    if task.has_style_control:
        style = judge_now(make_judge("ngram", items=items), items)
    result = result_of(
        records,
        items,
        benchmark=task.benchmark,
        judge=judge,
        settings=task.settings(),
        style_records=style,
        seed=task.seed,
    )
    if task.benchmark == "codeprefbench":
        result["averages"] = averages(score(records, {i["id"]: i for i in items}, n_resamples=2))
    write_result(out, result)
    return result
