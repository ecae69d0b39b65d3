"""Programs to be tested for a problem: its solution and, by level, wrong ones of the same author.

easy: the solution of another problem under this problem's name, or a hollow program.
medium: a coarse mutant. hard: a one-operator mutant. All of them go through one printer.
Which of them are really wrong is decided by the problem's tests, not here.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Sequence
from itertools import zip_longest
from typing import NamedTuple

from codefavor.languages.python_code import rename
from codefavor.pairs.balance import Cues
from codefavor.pairs.edit_cues import edit_cues
from codefavor.records import Problem, Row, content_id
from codefavor.scoring.hallucinations import EASY, FLAWS, hallucinations
from codefavor.scoring.mutants import mutants_of, print_code
from codefavor.scoring.operators import HARD, MEDIUM


class Candidate(NamedTuple):
    """A program for a problem, with how it was made (`kind`) and the level of its mistake."""

    problem_id: str
    code: str
    kind: str
    level: str

    def to_row(self) -> Row:
        """The plain JSON form; its id is the content's."""
        return {
            "id": content_id(self.problem_id, self.code),
            "problem_id": self.problem_id,
            "code": self.code,
            "kind": self.kind,
            "level": self.level,
        }


def candidates_of(
    problem: Problem, others: Sequence[Problem], *, per_level: int, seed: int
) -> list[Candidate]:
    """The printed reference first (level "reference"), then up to `per_level` a level.

    Distinct programs only. `others` lend the wrong solutions of the easy level; those nearest
    in length are taken, as many longer as shorter. The same arguments give the same list.
    """
    reference = print_code(problem.reference)
    rng = random.Random(content_id(seed, problem.id))
    found = [Candidate(problem.id, reference, "reference", "reference")]
    seen = {reference}
    for candidate in [
        *_easy(problem, reference, others, per_level, rng),
        *_mutants(problem, reference, per_level, rng),
    ]:
        if candidate.code not in seen:
            seen.add(candidate.code)
            found.append(candidate)
    return found


def _easy(
    problem: Problem, reference: str, others: Sequence[Problem], per_level: int, rng: random.Random
) -> list[Candidate]:
    half = max(1, (per_level - 1) // 2)
    lenders = [other for other in others if other.id != problem.id]
    rng.shuffle(lenders)
    lenders.sort(key=lambda other: abs(len(other.reference) - len(reference)))
    longer: list[Candidate] = []
    shorter: list[Candidate] = []
    for other in lenders:
        side = longer if len(other.reference) > len(reference) else shorter
        if len(side) < half:
            code = _renamed(other.reference, other.entry_point, problem.entry_point)
            side.append(Candidate(problem.id, code, "other_problem", "easy"))
    hollow = hollow_of(reference, problem.entry_point)
    return [*longer, *shorter, Candidate(problem.id, hollow, "hollow", "easy")]


def _mutants(
    problem: Problem, reference: str, per_level: int, rng: random.Random
) -> list[Candidate]:
    mutants = mutants_of(reference)
    chosen = []
    for level in ("medium", "hard"):
        # Longer and shorter mutants in turn, so that the later choice of pairs can balance them.
        pool = [m for m in mutants if m.level == level]
        rng.shuffle(pool)
        longer = [m for m in pool if len(m.code) > len(reference)]
        shorter = [m for m in pool if len(m.code) < len(reference)]
        same = [m for m in pool if len(m.code) == len(reference)]
        third = max(1, per_level // 3)
        picked = [*longer[:third], *shorter[:third], *same[:third]]
        rest = [*longer[third:], *shorter[third:], *same[third:]]
        picked += rest[: max(0, per_level - len(picked))]
        chosen += [Candidate(problem.id, m.code, m.operator, level) for m in picked]
    return chosen


def hollow_of(code: str, entry_point: str) -> str:
    """The same program with an entry point that looks at nothing: it returns its first argument.

    A function without arguments returns None.
    """
    tree = ast.parse(code)
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == entry_point:
            names = [a.arg for a in (*node.args.posonlyargs, *node.args.args)]
            value = ast.Name(id=names[0], ctx=ast.Load()) if names else ast.Constant(value=None)
            node.body = [ast.Return(value=value)]
    return ast.unparse(ast.fix_missing_locations(tree))


def hallucinated_of(problems: Sequence[Problem], *, per_level: int, seed: int) -> list[Candidate]:
    """Of each problem the printed reference, and up to `per_level` programs a level that use what
    does not exist or do what was not asked (see `hallucinations`), the kinds in turn.

    But for the easy level only such edits of which some other program has the opposite one.
    """
    pools = {one.id: _hallucinated(one, seed) for one in problems}
    seen = {shown for pool in pools.values() for _, shown in pool}
    found = []
    for problem in problems:
        reference = print_code(problem.reference)
        found.append(Candidate(problem.id, reference, "reference", "reference"))
        fit = [one for one, shown in pools[problem.id] if shown is None or shown.mirrored in seen]
        for level in (EASY, MEDIUM, HARD):
            by_kind = [[m for m in fit if m.kind == kind and m.level == level] for kind in FLAWS]
            in_turn = [m for round_ in zip_longest(*by_kind) for m in round_ if m is not None]
            found += in_turn[:per_level]
    return found


def _hallucinated(problem: Problem, seed: int) -> list[tuple[Candidate, Cues | None]]:
    """All of one problem in an order by the seed, and what shows of each; of an easy one None."""
    reference = print_code(problem.reference)
    pool = mutants_of(reference, edits=hallucinations)
    random.Random(content_id(seed, problem.id, "hallucinations")).shuffle(pool)
    return [
        (
            Candidate(problem.id, m.code, m.operator, m.level),
            None if m.level == EASY else edit_cues(problem.instruction, reference, m.code),
        )
        for m in pool
    ]


def _renamed(code: str, old: str, new: str) -> str:
    tree = ast.parse(code)
    rename(tree, {old: new})
    return ast.unparse(tree)
