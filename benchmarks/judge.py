"""Pairwise judging against the plain way: one prompt at a time, logits at every position.

Both ways run interleaved in one process on the same tasks of CodePrefBench; CPU seconds are the
measure, so other load on the machine disturbs little. Prints the sequences per CPU-second, the
ratios, the largest difference of the A-B margin, and the share of the measured matrix peak, by the
linear layers alone and with the attention's products.

    CODEFAVOR_DATA=... python benchmarks/judge.py [--tasks 24] [--model FOLDER] [--threads 1]
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from codefavor.backends.embedded import ensure_embedded_model
from codefavor.benchmarks.codeprefbench import find_files, read_tasks
from codefavor.judges.pairwise import PairwiseJudge
from codefavor.judges.token_rows import TokenRow, pack_shared
from codefavor.records import Comparison, Row, content_id


def plain_margin(judge: PairwiseJudge, comparison: Comparison) -> float:
    """The margin of the logits of A and B by the model's own forward pass over one prompt."""
    model = judge.scorer.model
    ids = torch.tensor([judge.question_ids(comparison)[0]]).to(model.device)
    with torch.inference_mode():
        logits = model(input_ids=ids).logits[0, -1]
    label_a, label_b = judge._label_ids
    return float(logits[label_a] - logits[label_b])


def plain_margins(judge: PairwiseJudge, comparisons: list[Comparison]) -> list[float]:
    """The margins one after another."""
    return [plain_margin(judge, comparison) for comparison in comparisons]


def our_margins(judge: PairwiseJudge, comparisons: list[Comparison]) -> list[float]:
    """The margins of a whole batch by the judge."""
    margins = []
    for answer in judge.answer(comparisons):
        stated = json.loads(answer.raw)  # type: ignore[union-attr]
        margins.append(stated["logit_a"] - stated["logit_b"])
    return margins


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What the work returns, and the CPU seconds (wall seconds on an accelerator) it took."""
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    start = clock()
    found = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return found, clock() - start


def matrix_peak() -> float:
    """GFLOP per CPU-second of a matrix product of the size that the model's layers use."""
    left, right = torch.randn(2048, 576), torch.randn(576, 1536)
    best = 0.0
    for _ in range(3):
        _, seconds = timed(lambda: [left @ right for _ in range(20)])
        best = max(best, 20 * 2 * 2048 * 576 * 1536 / max(seconds, 1e-9) / 1e9)
    return best


def linear_flops(judge: PairwiseJudge) -> float:
    """Floating point operations of one token in the linear layers below the head."""
    decoder = judge.scorer.base.get_decoder()
    weights = [m.weight for m in decoder.modules() if isinstance(m, torch.nn.Linear)]
    return 2.0 * sum(weight.numel() for weight in weights)


def attention_flops(judge: PairwiseJudge, rows: list[TokenRow]) -> float:
    """Floating point operations of the attention's two products, over visible pairs only."""
    n_pairs = sum(depth + 1 for row in rows for depth in row.depths)
    config = judge.scorer.config
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 4.0 * n_pairs * config.num_hidden_layers * config.num_attention_heads * size


def load_pairs(n_tasks: int) -> list[Comparison]:
    """About so many tasks of CodePrefBench, whole problems drawn by hash, alike ones together.

    A problem has up to four tasks with one instruction: drawing single tasks would hide what the
    judge shares between them on the whole set.
    """
    folder = os.environ.get("CODEFAVOR_DATA")
    items = read_tasks(find_files([Path(folder)] if folder else []), comments="strip")
    order = sorted(items, key=lambda item: (content_id(item["problem_id"]), item["id"]))
    drawn: list[Row] = []
    for _, tasks in itertools.groupby(order, key=lambda item: item["problem_id"]):
        if len(drawn) >= n_tasks:
            break
        drawn += tasks
    return [
        Comparison(i["instruction"], i["chosen"], i["rejected"], i["criteria"], i["id"])
        for i in drawn
    ]


@dataclass
class Measured:
    """Seconds of each way, and what came out."""

    plain_s: float = 0.0
    one_order_s: float = 0.0
    both_orders_s: float = 0.0
    n_plain_tokens: int = 0
    n_one_tokens: int = 0
    n_both_tokens: int = 0
    attention_flops: float = 0.0
    peaks: list[float] = field(default_factory=list)
    plain: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)


def measure(judge: PairwiseJudge, pairs: list[Comparison], group_size: int) -> Measured:
    """The three ways in turn on one group of tasks after the other."""
    found = Measured()
    scorer = judge.scorer
    for start in range(0, len(pairs), group_size):
        group = pairs[start : start + group_size]
        both = [*group, *(one.swap() for one in group)]
        margins, seconds = timed(partial(plain_margins, judge, group))
        found.plain += margins
        found.plain_s += seconds
        n_before = scorer.n_computed_tokens
        margins, seconds = timed(partial(our_margins, judge, group))
        found.ours += margins
        found.one_order_s += seconds
        n_between = scorer.n_computed_tokens
        found.both_orders_s += timed(partial(our_margins, judge, both))[1]
        found.n_one_tokens += n_between - n_before
        found.n_both_tokens += scorer.n_computed_tokens - n_between
        prompts = [judge.question_ids(one)[0] for one in group]
        found.n_plain_tokens += sum(map(len, prompts))
        rows = pack_shared(prompts, scorer.token_budget)
        found.attention_flops += attention_flops(judge, rows)
        if scorer.device.type == "cpu":
            found.peaks.append(matrix_peak())
    return found


def report(judge: PairwiseJudge, found: Measured) -> None:
    """One line a way."""
    n = len(found.ours)
    differences = [abs(a - b) for a, b in zip(found.plain, found.ours, strict=True)]
    same = sum((a > 0) == (b > 0) for a, b in zip(found.plain, found.ours, strict=True))
    print(f"plain, one order   {n / found.plain_s:.3f} sequences per second")
    ratio = found.plain_s / found.one_order_s
    print(f"ours, one order    {n / found.one_order_s:.3f}  {ratio:.2f}x")
    print(
        f"ours, both orders  {2 * n / found.both_orders_s:.3f}  "
        f"{2 * found.plain_s / found.both_orders_s:.2f}x twice the plain way; "
        f"{found.both_orders_s / found.one_order_s:.2f}x the time of one order"
    )
    print(
        f"tokens computed: plain {found.n_plain_tokens}, one order {found.n_one_tokens}, "
        f"both orders {found.n_both_tokens} "
        f"({found.n_both_tokens / found.n_one_tokens:.2f}x one order)"
    )
    print(f"largest margin difference {max(differences):.1e}; equal decisions {same}/{n}")
    if judge.scorer.device.type == "cpu":
        peak = statistics.median(found.peaks)
        linear = found.n_one_tokens * linear_flops(judge)
        for name, flops in (
            ("linear layers", linear),
            ("all matrix products", linear + found.attention_flops),
        ):
            rate = flops / found.one_order_s / 1e9
            print(f"{name} {rate:.0f} of {peak:.0f} GFLOP per CPU-second ({rate / peak:.0%})")


def main() -> None:
    """Measure, and print one line a way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=24)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--model", type=Path, default=Path("outputs/models/smollm2-135m-instruct"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pairs = load_pairs(options.tasks)
    if not (options.model / "config.json").is_file():
        ensure_embedded_model(options.model)
    judge = PairwiseJudge(options.model)
    measure(judge, pairs[:1], 1)  # the first pass of a process is slower
    print(f"{len(pairs)} tasks, {options.threads} thread(s), model on {judge.scorer.device}")
    report(judge, measure(judge, pairs, options.group))


if __name__ == "__main__":
    main()
