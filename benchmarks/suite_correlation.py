"""Rank correlation of a suite's score with the share of hidden wrong programs that it catches.

    .venv/bin/python benchmarks/suite_correlation.py --n 20 --out rows.jsonl --html plot.html
    .venv/bin/python benchmarks/suite_correlation.py --written generated_data --part odd --least 6

Hidden are programs that the score never saw, each shown to be wrong by the problem's stricter tests
(HumanEval+'s, MBPP+'s, QuixBugs'): the failing samples of StarCoder2, the buggy versions of
HumanEvalPack, the buggy programs of QuixBugs, the worse sides of CodePrefBench. They are at most
four a problem; with `--written` (see written_samples.py) some that CodeGen wrote come to them.
The suites of a problem are of many kinds: one of its own checks (twice), two, half of them, all;
1, 2, 4, 8 or 16 of EvalPlus' further inputs, compared with a copy of the right program; a vacuous
one; and with `--written` those that CodeGen wrote, without the checks that the right program fails.
Line and branch coverage of the same suites stand beside the score. `--part` takes the problems with
even or odd numbers: what is chosen on the even ones is shown on the odd ones.

Prints Spearman's rho over all suites, over those without a defect, those that a model wrote, and
over the kinds (each as a writer, by the mean over its problems), and the mean of the problems' own
rhos where a problem's suites differ; with 95 % intervals that resample problems. Beside them stand
what others reach: one half of the hidden programs for the other half, and what follows for the
whole (the ceiling: what the true share would reach, by Spearman and Brown); a perfect order of each
problem's suites without knowledge of the problem; the score with each problem's mean given.
"""

from __future__ import annotations

import argparse
import ast
import itertools
import json
import os
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import written_samples
from scipy.stats import rankdata
from suite_material import Suites, further_inputs, hidden_programs, suites_of

from codefavor.errors import Rejected
from codefavor.records import Problem, content_id, read_rows, write_text
from codefavor.reports.charts import Plot, Point, Series
from codefavor.reports.page import environment
from codefavor.reports.suite_page import share_of
from codefavor.sandbox import Limits, SandboxPool
from codefavor.scoring.blocks import defines
from codefavor.scoring.by_suites import SuiteScorer
from codefavor.scoring.suite_quality import quality_of
from codefavor.scoring.suite_runs import CAUGHT, SuiteRunner
from codefavor.scoring.suite_target import Target, Wrong, plain_program
from codefavor.settings import data_folder
from codefavor.sources.problems import load_problems

_MOST_HIDDEN, _MOST_WRITTEN = 32, 6
SETS = {"humaneval": "humaneval+", "mbpp": "mbpp+", "quixbugs": "quixbugs"}


def written_suites(row: Any, problem: Problem, pool: SandboxPool, rng: random.Random) -> Suites:
    """Some of what a model wrote for a problem."""
    found = written_samples.suites(row, problem, pool)
    head = f"from solution import {problem.entry_point}\ndef test_it():\n"
    texts = [head + "".join(f"    {line}\n" for line in lines) for lines in found]
    return [("written", text) for text in rng.sample(texts, min(_MOST_WRITTEN, len(texts)))]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=0, help="problems of each set to try; 0 for all")
    parser.add_argument("--least", type=int, default=1, help="hidden programs a problem at least")
    parser.add_argument("--written", type=Path, help="the folder of CodeT's generated_data")
    parser.add_argument("--part", choices=("all", "even", "odd"), default="all")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--html", type=Path, help="a page with the plot")
    parser.add_argument("--rows", type=Path, help="measure nothing: the rows of an earlier --out")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    if options.rows:
        rows = [row for _, row in read_rows(options.rows)]
    else:
        with open(options.out or os.devnull, "w", encoding="utf-8") as file:
            for row in measured(options):
                rows.append(row)
                print(json.dumps(row), file=file, flush=True)
    report([row for row in rows if len(row["hidden"]) >= options.least])
    if options.html:
        write_text(options.html, [page_of(rows)])


def measured(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The rows of problems with at least so many hidden programs, of `n` of each set tried."""
    n, least = options.n, options.least
    folder = data_folder()
    assert folder is not None
    hidden: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for kind, name, code in hidden_programs(Path(folder)):
        hidden[kind, name].add(code)
    inputs = further_inputs(Path(folder))
    tests: dict[str, Any] = {}
    if options.written:
        known = {one.id: one for one in load_problems("humaneval", data_dir=folder)}
        tests = dict(written_samples.rows_of(options.written, "test_case", known))
        for name, code in written_samples.programs(options.written, known):
            hidden["humaneval", name].add(code)
    jobs: list[list[tuple[Problem, Problem, set[str]]]] = []
    for kind, strict in SETS.items():
        base = {one.id: one for one in load_problems(kind, data_dir=folder)}
        judges = {one.id: one for one in load_problems(strict, data_dir=folder)}
        names = sorted(one for one in base.keys() & judges if len(hidden[kind, one]) >= least)
        if options.part != "all":
            names = [one for one in names if (one[-1] in "13579") == (options.part == "odd")]
        random.Random(0).shuffle(names)
        if not options.written:
            # Those with most candidates first: one hidden program makes a share of 0 or 1.
            names.sort(key=lambda one: -len(hidden[kind, one]))
        jobs.append([(base[one], judges[one], hidden[kind, one]) for one in names[: n or None]])
    with (
        SandboxPool(2, accept="together", dedupe=False) as pool,
        SuiteScorer(pool) as scorer,
        ThreadPoolExecutor(3) as threads,
    ):
        runner = SuiteRunner(pool)

        def rows_of(job: tuple[Problem, Problem, set[str]]) -> list[dict[str, Any]]:
            problem, judge, found = job
            codes = sorted(c if defines(c, judge.entry_point) else judge.prompt + c for c in found)
            rng = random.Random(content_id(problem.id))
            if options.written:
                codes = sorted({plain_program(code) for code in codes if parses(code)})
                codes = rng.sample(codes, min(_MOST_HIDDEN, len(codes)))
            wrong = [code for code in codes if is_wrong(code, judge, pool)]
            if len(wrong) < least or not wrong:
                return []
            suites = suites_of(problem, inputs.get(problem.id, ()), rng)
            if problem.id in tests:
                suites += written_suites(tests[problem.id], problem, pool, rng)
            return measure(problem, suites, wrong, scorer, runner) if suites else []

        # Sets by turns, so that what is there when somebody stops it has all of them.
        mixed = [job for row in itertools.zip_longest(*jobs) for job in row if job]
        # As they come: one slow problem holds up no other.
        for done in as_completed([threads.submit(rows_of, job) for job in mixed]):
            yield from done.result()
        runner.close()


def parses(code: str) -> bool:
    """Whether it is Python."""
    try:
        ast.parse(code)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return True


def is_wrong(code: str, problem: Problem, pool: SandboxPool) -> bool:
    """Whether the tests fail this program for a wrong answer or an exception."""
    limits = Limits(cpu_s=1.0, wall_s=60.0)
    run = pool.run(
        code, problem.tests, limits, entry_point=problem.entry_point, setup=problem.setup
    )
    return run.outcome in ("wrong_output", "runtime_error") and not run.no_evidence


def measure(
    problem: Problem,
    suites: Suites,
    wrong: list[str],
    scorer: SuiteScorer,
    runner: SuiteRunner,
) -> list[dict[str, Any]]:
    """One row a suite of a problem: score, coverage, share of the hidden programs caught."""
    try:
        target = scorer.target_of(problem)
    except Rejected as error:
        print(f"{problem.id} left out: {error.reason}")
        return []
    known = tuple(Wrong(plain_program(code), "known") for code in dict.fromkeys(wrong))
    names = (target.right, target.names, target.imported, known, target.hollow)
    unseen = Target(*names, trust="tests")
    rows: list[dict[str, Any]] = []
    for kind, suite in suites:
        seen = quality_of(suite, target, runner)
        hidden = quality_of(suite, unseen, runner).ends
        caught = [letter in CAUGHT for letter in hidden] or [False] * len(known)
        rows.append(
            {
                "problem": problem.id, "kind": kind, "score": seen.score, "defect": seen.defect,
                "line": seen.parts.get("line_coverage", 0.0),
                "branch": seen.parts.get("branch_coverage", 0.0),
                "caught": sum(caught) / len(caught), "hidden": "".join("01"[one] for one in caught),
                "ends": seen.ends, "operators": [one.operator for one in target.wrong],
            }
        )  # fmt: skip
    return rows


Rows = Sequence[dict[str, Any]]
_RESAMPLES = 500


def rho(rows: Rows, values: Sequence[float], caught: Sequence[float]) -> str:
    """Over all suites, over the kinds, and the mean within a problem, with 95 % intervals."""
    x, y = np.array(values), np.array(caught)
    rng = np.random.default_rng(0)
    groups = [np.array(one) for one in _by(rows, "problem").values()]
    pooled = []
    for _ in range(_RESAMPLES):
        drawn = np.concatenate([groups[n] for n in rng.integers(0, len(groups), len(groups))])
        pooled.append(_spearman(x[drawn], y[drawn]))
    low, high = np.nanpercentile(pooled, [2.5, 97.5])
    text = f"{_spearman(x, y):.3f} ({low:.2f} to {high:.2f})"
    own = np.array([_within(x[one], y[one]) for one in groups])
    own = own[~np.isnan(own)]
    if len(own):
        means = own[rng.integers(0, len(own), (_RESAMPLES, len(own)))].mean(axis=1)
        low, high = np.percentile(means, [2.5, 97.5])
        text += f"; within a problem {own.mean():.3f} ({low:.2f} to {high:.2f}, n={len(own)})"
    # Each kind by its mean over the problems that have all kinds.
    kinds = _by(rows, "kind")
    whole = [one for one in groups if len(one) == len(kinds)]
    if len(kinds) > 2 and whole:
        kept = set(np.concatenate(whole))
        places = [[n for n in one if n in kept] for one in kinds.values()]
        found = _spearman(*(np.array([v[one].mean() for one in places]) for v in (x, y)))
        text += f"; of {len(kinds)} kinds {found:.3f} ({len(whole)} problems)"
    return text


def _spearman(x: Any, y: Any) -> float:
    """NaN where one of them is flat."""
    a, b = rankdata(x), rankdata(y)
    return float(np.corrcoef(a, b)[0, 1]) if np.ptp(a) and np.ptp(b) else float("nan")


def _within(x: Any, y: Any) -> float:
    """The rho of a problem's suites: NaN where all of them catch the same, 0 where x is flat."""
    if len(set(y)) < 2:
        return float("nan")
    return _spearman(x, y) if len(set(x)) > 1 else 0.0


def _by(rows: Rows, name: str) -> dict[str, list[int]]:
    found: defaultdict[str, list[int]] = defaultdict(list)
    for n, row in enumerate(rows):
        found[row[name]].append(n)
    return found


def report(rows: Rows) -> None:
    """Print the correlations, from all suites to those of problems with more hidden programs."""
    sound = [row for row in rows if not row["defect"]]
    for name, chosen in (
        ("all suites", rows),
        ("suites without a defect", sound),
        ("those that a model wrote", [row for row in sound if row["kind"] == "written"]),
        *((f"these, with {n} hidden programs and more",
           [row for row in sound if len(row["hidden"]) >= n]) for n in (2, 3)),
    ):  # fmt: skip
        if not chosen:
            continue
        n_hidden = {row["problem"]: len(row["hidden"]) for row in chosen}
        print(
            f"{name}: {len(chosen)} suites of {len(n_hidden)} problems, "
            f"{sum(n_hidden.values())} hidden programs"
        )
        for label, (values, caught) in measures(chosen).items():
            print(f"  {label:38} rho {rho(chosen, values, caught)}")
        if min(n_hidden.values()) > 1:
            for label, (values, caught) in halves(chosen).items():
                print(f"  {label:38} rho {rho(chosen, values, caught)}")
            of_half = _spearman(*map(np.array, halves(chosen)["the first half, for the second"]))
            print(f"  {'ceiling':38} rho {(2 * of_half / (1 + of_half)) ** 0.5:.3f}")
    print(
        f"defects: {dict(Counter((row['kind'], row['defect']) for row in rows if row['defect']))}"
    )


Measures = dict[str, tuple[list[float], list[float]]]


def measures(rows: Rows) -> Measures:
    """Each measure beside the share of hidden programs caught."""
    caught = [row["caught"] for row in rows]
    score = [row["score"] for row in rows]
    places = _by(rows, "problem")
    order, given = [0.0] * len(rows), [0.0] * len(rows)
    for own in places.values():
        ranks = rankdata([caught[n] for n in own])
        shift = sum(caught[n] - score[n] for n in own) / len(own)
        for n, rank in zip(own, ranks, strict=True):
            order[n], given[n] = (rank - 0.5) / len(own), score[n] + shift
    return {
        "score": (score, caught),
        "line coverage": ([row["line"] for row in rows], caught),
        "branch coverage": ([row["branch"] for row in rows], caught),
        "a perfect order within each problem": (order, caught),
        "score, each problem's mean given": (given, caught),
    }


def halves(rows: Rows) -> Measures:
    """What one half of the hidden programs, told to the score, says of the other half."""
    rng = random.Random(0)
    order: dict[str, list[int]] = {}
    for row in rows:
        n = len(row["hidden"])
        order.setdefault(row["problem"], rng.sample(range(n), n))
    known, rest = [], []
    for row in rows:
        places, cut = order[row["problem"]], len(row["hidden"]) // 2
        flags = [row["hidden"][place] == "1" for place in places]
        known.append(0.0 if row["defect"] else sum(flags[:cut]) / cut)
        rest.append(sum(flags[cut:]) / (len(flags) - cut))
    score = [row["score"] for row in rows]
    both = [(a + b) / 2 for a, b in zip(score, known, strict=True)]
    return {
        "score, for the second half": (score, rest),
        "the first half, for the second": (known, rest),
        "score with the first half known": (both, rest),
    }


def page_of(rows: Rows) -> str:
    """The plot as a page."""

    def plot(name: str, label: str) -> Plot:
        places = Counter((row[name], row["caught"]) for row in rows)
        marks = [
            Point(x, y, f"{n} suites: {x:.2f}, {y:.2f}", min(3.0, 0.6 * n**0.5))
            for (x, y), n in places.items()
        ]
        series = [Series("suites", "trained", marks, is_line=False)]
        return Plot(label, series, share_of(label), share_of("hidden wrong programs caught"))

    plots = [plot("score", "score"), plot("line", "line coverage")]
    values = {name: rho(rows, *pair) for name, pair in measures(rows).items()}
    return environment().from_string(_PAGE).render(plots=plots, values=values, n=len(rows))


_PAGE = """{% extends "page.html.j2" %}{% import "charts.html.j2" as charts %}
{% block title %}Score beside hidden wrong programs{% endblock %}
{% block content %}<section class="lead"><p class="eyebrow">Test suites</p>
<h1>Score beside hidden wrong programs</h1>
<p class="standfirst">{{ n }} suites; one mark for each place, larger ones for more suites.</p>
<div class="plots">{% for one in plots %}<figure>{{ charts.plot(one) }}</figure>{% endfor %}</div>
<div class="scroll"><table class="small"><tbody>{% for name, value in values.items() %}
<tr><th scope="row">{{ name }}</th><td>rho {{ value }}</td></tr>{% endfor %}</tbody></table></div>
</section>{% endblock %}{% block script %}{% endblock %}"""


if __name__ == "__main__":
    main()
