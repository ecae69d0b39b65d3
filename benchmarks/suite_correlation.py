"""Rank correlation of a suite's score with the share of hidden wrong programs that it catches.

    .venv/bin/python benchmarks/suite_correlation.py --n 20 --out rows.jsonl --html plot.html

Hidden are programs that the score never saw: the failing samples of StarCoder2, the buggy versions
of HumanEvalPack, the buggy programs of QuixBugs, and the worse sides of CodePrefBench; each is
shown to be wrong by the problem's tests (HumanEval+'s, MBPP+'s, QuixBugs'). The suites of a
problem are made of its own base checks as pytest functions: none but the first, growing shares,
a few vacuous and thin ones. Beside the score stand line and branch coverage of the same suites.

Prints Spearman's rho over all suites, and the mean of the problems' own rhos where a problem's
suites differ. Problems differ in how subtle their hidden programs are, which no score of a suite
can know; so beside them stand what others reach: one half of the hidden programs for the other
half; a perfect order of each problem's suites without knowledge of the problem; the score with
each problem's mean given. With `known` half of the hidden programs are told to the score, and the
rho is with the other half. Odd and even problems (by the hash of their ids) are apart, for whoever
tunes a score.
"""

from __future__ import annotations

import argparse
import ast
import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from scipy.stats import rankdata, spearmanr

from codefavor.errors import Rejected
from codefavor.records import Problem, content_id, read_rows, write_text
from codefavor.reports.charts import Plot, Point, Series
from codefavor.reports.page import environment
from codefavor.reports.suite_page import share_of
from codefavor.sandbox import Limits, SandboxPool
from codefavor.scoring.answers import defines
from codefavor.scoring.by_suites import SuiteScorer
from codefavor.scoring.suite_quality import quality_of
from codefavor.scoring.suite_runs import CAUGHT, SuiteRunner
from codefavor.scoring.suite_target import Target, Wrong, plain_program
from codefavor.settings import data_folder
from codefavor.sources.problems import load_problems

SETS = {"humaneval": "humaneval+", "mbpp": "mbpp+", "quixbugs": "quixbugs"}


def suites_of(problem: Problem, rng: random.Random) -> list[str]:
    """Suites of growing worth of the checks of a problem; none where they are no plain asserts."""
    tree = ast.parse(problem.tests)
    check = next((n for n in tree.body if getattr(n, "name", "") == "check"), None)
    block = check.body if isinstance(check, ast.FunctionDef) else tree.body
    checks = [n for n in block if isinstance(n, ast.Assert)]
    asserts = [ast.unparse(n) for n in checks if any(isinstance(c, ast.Call) for c in ast.walk(n))]
    if len(asserts) < 2:
        return []
    rng.shuffle(asserts)
    name = "candidate" if check is not None else problem.entry_point
    head = f"import math\nfrom solution import {problem.entry_point} as {name}\n"
    sizes = sorted({1, 2, len(asserts) // 2, len(asserts)} - {0})
    call = next(n for n in ast.walk(ast.parse(asserts[0])) if isinstance(n, ast.Call))
    bodies = [asserts[:size] for size in sizes]
    bodies += [[f"assert {ast.unparse(call)} is not NotImplemented"], asserts[-1:]]
    return [head + "def test_it():\n" + "".join(f"    {line}\n" for line in one) for one in bodies]


def hidden_programs(folder: Path) -> Iterator[tuple[str, str, str]]:
    """(problem set, problem id, code) of programs that may be wrong."""
    for path in sorted((folder / "sc2instruct_evalplus").glob("**/*.jsonl*")):
        kind = "humaneval" if "humaneval" in path.name.lower() else "mbpp"
        for _, row in read_rows(path):
            yield kind, str(row["task_id"]), row.get("solution") or row["completion"]
    for path in sorted((folder / "humanevalpack").glob("*python*.jsonl*")):
        for _, row in read_rows(path):
            name = str(row["task_id"]).replace("Python/", "HumanEval/")
            yield "humaneval", name, row["prompt"] + row["buggy_solution"]
    for path in sorted((folder / "quixbugs_py").glob("*.jsonl*")):
        for _, row in read_rows(path):
            yield "quixbugs", f"QuixBugs/{row['name']}", row["buggy_program"]
    for path in sorted((folder / "codeprefbench").glob("correctness*.jsonl*")):
        for _, row in read_rows(path):
            kind = "humaneval" if row["task_id"].startswith("HumanEval") else "mbpp"
            yield kind, row["task_id"], row["choices"][1 - int(row["gt_choice"])]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=0, help="problems of each set at most; 0 for all")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--html", type=Path, help="a page with the plot")
    parser.add_argument("--rows", type=Path, help="measure nothing: the rows of an earlier --out")
    options = parser.parse_args()
    rows = [row for _, row in read_rows(options.rows)] if options.rows else measured(options.n)
    report(rows)
    if options.out:
        options.out.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    if options.html:
        write_text(options.html, [page_of(rows)])


def measured(n: int) -> list[dict[str, Any]]:
    """The rows of at most `n` problems of each set."""
    folder = data_folder()
    assert folder is not None
    hidden: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for kind, name, code in hidden_programs(Path(folder)):
        hidden[kind, name].add(code)
    rng = random.Random(0)
    rows: list[dict[str, Any]] = []
    with (
        SandboxPool(2, accept="together", dedupe=False) as pool,
        SuiteScorer(pool) as scorer,
    ):
        runner = SuiteRunner(pool)
        for kind, strict in SETS.items():
            base = {one.id: one for one in load_problems(kind, data_dir=folder)}
            judges = {one.id: one for one in load_problems(strict, data_dir=folder)}
            n_left = n or len(base)
            names = sorted(base.keys() & judges.keys())
            rng.shuffle(names)
            for name in names:
                if not n_left:
                    break
                problem = base[name]
                codes = sorted(
                    code if defines(code, problem.entry_point) else problem.prompt + code
                    for code in hidden.get((kind, name), ())
                )
                wrong = [c for c in codes if is_wrong(c, judges[name], pool)]
                found = measure(base[name], wrong, scorer, runner, rng) if wrong else []
                n_left -= bool(found)
                rows += found
            print(f"{kind}: {len(rows)} suites so far", flush=True)
        runner.close()
    return rows


def is_wrong(code: str, problem: Problem, pool: SandboxPool) -> bool:
    """Whether the tests fail this program for a wrong answer or an exception."""
    limits = Limits(cpu_s=5.0, wall_s=60.0)
    run = pool.run(
        code, problem.tests, limits, entry_point=problem.entry_point, setup=problem.setup
    )
    return run.outcome in ("wrong_output", "runtime_error") and not run.no_evidence


def measure(
    problem: Problem,
    wrong: list[str],
    scorer: SuiteScorer,
    runner: SuiteRunner,
    rng: random.Random,
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
    for suite in suites_of(problem, rng):
        seen = quality_of(suite, target, runner)
        hidden = quality_of(suite, unseen, runner).ends
        caught = [letter in CAUGHT for letter in hidden] or [False] * len(known)
        rows.append(
            {
                "problem": problem.id, "score": seen.score, "defect": seen.defect,
                "line": seen.parts.get("line_coverage", 0.0),
                "branch": seen.parts.get("branch_coverage", 0.0),
                "caught": sum(caught) / len(caught), "hidden": "".join("01"[one] for one in caught),
            }
        )  # fmt: skip
    return rows


Rows = Sequence[dict[str, Any]]


def rho(rows: Rows, values: Sequence[float], caught: Sequence[float]) -> str:
    """Over all suites, and the mean within a problem."""
    by_problem: defaultdict[str, list[int]] = defaultdict(list)
    for n, row in enumerate(rows):
        by_problem[row["problem"]].append(n)
    own = []
    for places in by_problem.values():
        a, b = [values[n] for n in places], [caught[n] for n in places]
        if len(set(b)) > 1:
            own.append(spearmanr(a, b).statistic if len(set(a)) > 1 else 0.0)
    mean = sum(own) / len(own) if own else float("nan")
    return f"{spearmanr(values, caught).statistic:.3f}; within a problem {mean:.3f} (n={len(own)})"


def report(rows: Rows) -> None:
    """Print the correlations: of all problems, and of the odd and the even ones."""
    part_of = {row["problem"]: int(content_id(row["problem"])[-1], 16) % 2 for row in rows}
    for name, parts in (("all", (0, 1)), ("even", (0,)), ("odd", (1,))):
        chosen = [row for row in rows if part_of[row["problem"]] in parts]
        if not chosen:
            continue
        n_hidden = {row["problem"]: len(row["hidden"]) for row in chosen}
        print(
            f"{name} problems: {len(chosen)} suites of {len(n_hidden)} problems, "
            f"{sum(n_hidden.values())} hidden programs"
        )
        for label, (values, caught) in measures(chosen).items():
            print(f"  {label:42} rho {rho(chosen, values, caught)}")
        several = [row for row in chosen if len(row["hidden"]) > 1]
        if several:
            n = len({row["problem"] for row in several})
            print(f"  of the {n} problems with two hidden programs and more:")
            for label, (values, caught) in halves(several).items():
                print(f"  {label:42} rho {rho(several, values, caught)}")


Measures = dict[str, tuple[list[float], list[float]]]


def measures(rows: Rows) -> Measures:
    """Each measure beside the share of hidden programs caught."""
    caught = [row["caught"] for row in rows]
    score = [row["score"] for row in rows]
    places: defaultdict[str, list[int]] = defaultdict(list)
    for n, row in enumerate(rows):
        places[row["problem"]].append(n)
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
