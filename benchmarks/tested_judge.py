"""Accuracy of `tested:` against the skill of its model, beside the plain judge of the same skill.

    CODEFAVOR_DATA=... .venv/bin/python benchmarks/tested_judge.py --sample 200

The pairs are those of CodePrefBench about correctness; the model is a function that knows the right
program. It writes tests of inputs of the problem's base checks, each value right with probability
p, and says which program is better, in each order, right with probability p too. A wrong value is
either what the wrong program gives (`--shared 1`: the worst case, as errors then vote for it) or
the right value of another input (`--shared 0`: the errors of the model and of the program are
independent). Ties and undecided ones count one half.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

from codefavor.backends.base import Request
from codefavor.backends.fake import FakeBackend
from codefavor.benchmarks.codeprefbench import find_files, read_tasks
from codefavor.judges.base import Judge, in_both_orders
from codefavor.judges.blind_tests import Bench, signatures_of
from codefavor.judges.llm import LlmJudge
from codefavor.judges.tested import N_TESTS, TestedJudge
from codefavor.prompts.chat import solution_text
from codefavor.records import Comparison, Problem, Row, content_id
from codefavor.sandbox import Limits, SandboxPool
from codefavor.settings import data_folder
from codefavor.sources.problems import load_problems

_MOST_CALLS = 8


@dataclass(frozen=True)
class Known:
    """A pair, and calls with what the right and the wrong program give: (call, right, wrong)."""

    item: Row
    calls: tuple[tuple[str, str, str], ...]


def calls_of(problem: Problem, name: str) -> list[str]:
    """The calls in a problem's checks, with its arguments written out."""
    found = {}
    for node in ast.walk(ast.parse(problem.tests)):
        is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if not is_call or node.func.id not in ("candidate", name):
            continue
        arguments = ", ".join(map(ast.unparse, [*node.args, *node.keywords]))
        found[f"{name}({arguments})"] = None
    return list(found)[:_MOST_CALLS]


async def learn(item: Row, problem: Problem, bench: Bench) -> Known:
    """Run both programs on the problem's inputs; what is no literal is left out."""
    names = list(signatures_of([item["chosen"]]))
    calls = []
    for call in calls_of(problem, problem.entry_point):
        right, wrong = await asyncio.gather(
            *(bench.output(item[side], call, [], names) for side in ("chosen", "rejected"))
        )
        try:
            ast.literal_eval(right)
        except (ValueError, SyntaxError):
            continue
        calls.append((call, right, wrong))
    return Known(item, tuple(calls))


def model(known: dict[str, Known], p: float, shared: float) -> Callable[[Request], str]:
    """The function that answers with skill p, and always the same to the same question."""

    def answer(request: Request) -> str:
        said = request.messages[-1]["content"]
        rng = random.Random(content_id(p, said, request.sampling.seed))
        one = next(k for instruction, k in known.items() if instruction.strip() in said)
        if "but no solution" not in said:
            is_a = f"Program A:\n{solution_text(one.item['chosen'])}\n" in said
            return "[RESULT] A" if is_a == (rng.random() < p) else "[RESULT] B"
        drawn = rng.sample(one.calls, min(N_TESTS, len(one.calls)))
        lines = [f"assert {call} == {_value(call, one, rng, p, shared)}" for call, _, _ in drawn]
        return "```python\n" + "\n".join([*lines, *(c for c, _, _ in one.calls)]) + "\n```"

    return answer


def _value(call: str, one: Known, rng: random.Random, p: float, shared: float) -> str:
    right, wrong = next((right, wrong) for c, right, wrong in one.calls if c == call)
    if rng.random() < p:
        return right
    if rng.random() < shared and _is_literal(wrong):
        return wrong
    others = [other for _, other, _ in one.calls if other != right]
    return rng.choice(others) if others else "'something else'"


def _is_literal(text: str) -> bool:
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return False
    return True


async def points(judge: Judge, items: list[Row]) -> tuple[float, list[str]]:
    """The mean of 1 for the right side, 1/2 for a tie; and the raw replies."""
    asked = [_comparison(item) for item in items]
    verdicts = await judge.compare(asked)
    worth = {"tie": 0.5, "undecided": 0.5}
    found = [
        worth.get(verdict.choice, float((verdict.choice == "A") == _is_chosen_first(item)))
        for verdict, item in zip(verdicts, items, strict=True)
    ]
    return sum(found) / len(found), [verdict.raw for verdict in verdicts]


def _is_chosen_first(item: Row) -> bool:
    return int(item["id"], 16) % 2 == 0


def _comparison(item: Row) -> Comparison:
    sides = (item["chosen"], item["rejected"])
    first, second = sides if _is_chosen_first(item) else sides[::-1]
    return Comparison(item["instruction"], first, second, item["criteria"], item["id"])


async def measure(arguments: argparse.Namespace) -> None:
    folder = data_folder()
    assert folder is not None, "set CODEFAVOR_DATA"
    items = read_tasks(find_files([folder], ("correctness",)), comments="strip")
    items = sorted(items, key=lambda item: content_id(0, item["id"]))[: arguments.sample]
    sets = ("humaneval", "mbpp")
    problems = {one.id: one for name in sets for one in load_problems(name, data_dir=folder)}
    with SandboxPool(2) as pool:
        bench = Bench(pool, Limits(cpu_s=2.0, wall_s=20.0))
        known = {i["instruction"]: await learn(i, problems[i["task_id"]], bench) for i in items}
        items = [one.item for one in known.values() if one.calls]
        differ = sum(any(r != w for _, r, w in one.calls) for one in known.values())
        print(f"{len(items)} pairs, {differ} differ on an input of the base checks")
        print("| p | shared | plain | tested | decided by tests |\n|---|---|---|---|---|")
        for p in arguments.p:
            for shared in arguments.shared:
                backend = FakeBackend("skill", function=model(known, p, shared))
                chat = LlmJudge(backend, mode="reasoned")
                plain, _ = await points(in_both_orders(chat), items)
                tested, raw = await points(TestedJudge(chat, pool, bench.limits), items)
                n = sum('"decided_by":"tests"' in one for one in raw)
                told = f"| {p} | {shared:g} | {100 * plain:.1f} | {100 * tested:.1f} |"
                print(f"{told} {100 * n / len(items):.0f}% |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sample", type=int, default=200)
    parser.add_argument("--p", type=float, nargs="+", default=[0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    parser.add_argument("--shared", type=float, nargs="+", default=[0.0, 1.0])
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
