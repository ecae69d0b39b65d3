"""Which of a model's programs for one problem make pairs: named, pure functions.

Each gets the programs whose runs are evidence, different in normal form, and returns couples
(better, worse); a couple of the same share of checks is never returned.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from codefavor.errors import ConfigError
from codefavor.languages import normalised_tokens
from codefavor.records import Execution, Row


class Scored(NamedTuple):
    """A program with what its run showed."""

    row: Row
    run: Execution

    @property
    def passes(self) -> bool:
        """Whether the run is evidence of a pass."""
        return self.run.is_evidence_of_pass

    @property
    def author(self) -> str:
        """The model that wrote it; "" where its row does not say."""
        return str(self.row.get("model") or "")

    @property
    def share(self) -> float:
        """The share in [0, 1] of the checks that held."""
        return 1.0 if self.passes else self.run.share_of_checks

    @property
    def result(self) -> tuple[object, ...]:
        """What two runs of one program share if it does the same each time."""
        # A verdict that is too long comes without its checks.
        return self.passes, self.run.passed, self.run.total, self.run.asserts

    @property
    def has_no_share(self) -> bool:
        """Whether its run ended at the first failed check."""
        return self.run.outcome == "wrong_output" and not self.run.total

    @property
    def kind(self) -> str:
        """The class of its failure (`scoring/failure_classes.py`), else its outcome."""
        return str(self.row.get("failure") or self.run.outcome)


Couple = tuple[Scored, Scored]
_WITHOUT_SHARES = ("pass-fail", "per-class")


@dataclass(frozen=True)
class Choice:
    """How couples are chosen.

    `margin` is the least difference of shares that the strategy `margin` takes. With
    `may_fail` a failing program may be the better side. `same_author` pairs programs of one
    model only, and none whose row names no model.
    """

    strategy: str = "pass-fail"
    margin: float = 0.1
    may_fail: bool = False
    same_author: bool = False

    def couples(self, programs: Sequence[Scored]) -> list[Couple]:
        """The couples of one problem, in an order that does not depend on chance."""
        if self.strategy not in _WITHOUT_SHARES and any(one.has_no_share for one in programs):
            raise ConfigError(
                f"the strategy {self.strategy} needs the share of checks that held, and these runs "
                "ended at the first failed check (--fail-fast); evaluate without it, or use "
                f"--strategy {' or '.join(_WITHOUT_SHARES)}"
            )
        groups = [list(programs)]
        if self.same_author:
            names = dict.fromkeys(one.author for one in programs if one.author)
            groups = [[one for one in programs if one.author == name] for name in names]
        _, choose = STRATEGIES[self.strategy]
        return [couple for group in groups for couple in choose(group, self)]


def _better(programs: Sequence[Scored], choice: Choice, least: float = 0.0) -> list[Couple]:
    """All couples of which one holds more of the checks, by more than nothing."""
    return [
        (good, bad)
        for good, bad in itertools.permutations(programs, 2)
        if (good.passes or choice.may_fail) and not bad.passes
        and round(good.share - bad.share, 9) >= max(least, 1e-9)
    ]  # fmt: skip


def pass_fail(programs: Sequence[Scored], choice: Choice) -> list[Couple]:
    """Every passing program against every failing one."""
    return [
        (good, bad)
        for good in programs if good.passes
        for bad in programs if not bad.passes
    ]  # fmt: skip


def best_worst(programs: Sequence[Scored], choice: Choice) -> list[Couple]:
    """The best program against the worst: one couple a problem, the widest."""
    couples = _better(programs, choice)
    return [max(couples, key=lambda one: one[0].share - one[1].share)] if couples else []


def margin(programs: Sequence[Scored], choice: Choice) -> list[Couple]:
    """Every two whose shares of checks differ by `--margin` or more."""
    return _better(programs, choice, choice.margin)


def hardest(programs: Sequence[Scored], choice: Choice) -> list[Couple]:
    """Each passing program against the failing one that is nearest to passing."""
    failing = [one for one in programs if not one.passes]
    if not failing:
        return []
    nearest = max(failing, key=lambda one: one.share)
    return [(good, nearest) for good in programs if good.passes]


def per_class(programs: Sequence[Scored], choice: Choice) -> list[Couple]:
    """One failing program of each failure class, against the passing ones in turn."""
    passing = [one for one in programs if one.passes]
    kinds = dict.fromkeys(one.kind for one in programs if not one.passes)
    firsts = [next(p for p in programs if not p.passes and p.kind == kind) for kind in kinds]
    return list(zip(itertools.cycle(passing), firsts, strict=False)) if passing else []


def every(programs: Sequence[Scored], choice: Choice) -> list[Couple]:
    """Every two of which one holds more of the checks."""
    return _better(programs, choice)


Choose = Callable[[Sequence[Scored], Choice], list[Couple]]
STRATEGIES: dict[str, tuple[str, Choose]] = {
    "pass-fail": ("right against wrong; the default", pass_fail),
    "best-worst": ("one clear lesson a problem; keeps problems equal", best_worst),
    "margin": ("graded lessons where checks are many (seed 000's rule)", margin),
    "hardest": ("small mistakes; for a judge or model that is good already", hardest),
    "per-class": ("every kind of mistake alike, however rare", per_class),
    "all": ("everything; cap it with --per-problem", every),
}


def describe_strategies() -> str:
    """All of them, each with what it is for."""
    return "; ".join(f"{name}: {words}" for name, (words, _) in STRATEGIES.items())


def distinct(programs: Sequence[Scored]) -> tuple[list[Scored], int]:
    """The programs that differ in normal form (comments and layout left out), and how many go.

    Of equivalent programs the first stays; if their runs differ in passing or in the checks that
    held, none does.
    """
    groups: dict[object, list[Scored]] = {}
    for one in programs:
        code = str(one.row["code"])
        form = normalised_tokens(code, str(one.row.get("language") or "python"))
        groups.setdefault(tuple(form) if form else code, []).append(one)
    kept = [group[0] for group in groups.values() if len({one.result for one in group}) == 1]
    return kept, len(programs) - len(kept)
