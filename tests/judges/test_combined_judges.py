"""Baselines, juries, cascades, rankings, the test run and the n-gram classifier as judges."""

from __future__ import annotations

import pytest

from codefavor.errors import BackendError, ConfigError
from codefavor.judges.base import in_both_orders
from codefavor.judges.baselines import CopiedJudge, LongerJudge, RandomJudge, ShorterJudge
from codefavor.judges.execution import ExecutionJudge
from codefavor.judges.jury import Cascade, Jury
from codefavor.judges.ngram import NgramJudge
from codefavor.judges.ranking import knock_out, round_robin
from codefavor.judges.spec import parse_judge
from codefavor.records import Comparison, Execution, Problem, Verdict

PAIR = Comparison("Add.", "a + b", "a + b + 0", id="1")


class Fixed:
    """A judge with prepared verdicts by the first code's text; it counts what it is asked."""

    def __init__(self, name, verdicts):
        self.name, self._verdicts, self.n_asked = name, verdicts, 0

    async def compare(self, comparisons):
        self.n_asked += len(comparisons)
        return [self._verdicts[one.code_a] for one in comparisons]


class ByNumber:
    """Prefers the program that is the larger number; equal numbers tie."""

    name = "by number"

    async def compare(self, comparisons):
        def choice(a, b):
            return "tie" if a == b else "A" if a > b else "B"

        return [Verdict(choice(int(c.code_a), int(c.code_b))) for c in comparisons]


async def test_shorter_and_longer_are_opposites_and_tie_on_equal_lengths():
    equal = Comparison("x", "ab", "cd")
    shorter = await ShorterJudge().compare([PAIR, PAIR.swap(), equal])
    longer = await LongerJudge().compare([PAIR, PAIR.swap(), equal])
    assert [one.choice for one in shorter] == ["A", "B", "tie"]
    assert [one.choice for one in longer] == ["B", "A", "tie"]
    second = await LongerJudge(ties="B").compare([equal])
    assert second[0].choice == "B"


async def test_random_is_a_fair_coin_of_seed_and_content():
    pairs = [Comparison("x", "a", "b", id=str(i)) for i in range(2000)]
    first = await RandomJudge().compare(pairs)
    assert first == await RandomJudge().compare(pairs)
    assert first != await RandomJudge(seed=1).compare(pairs)
    # 2000 fair coins: four standard deviations are 89.
    assert abs(sum(one.choice == "A" for one in first) - 1000) < 90


def test_an_unknown_judge_or_option_names_the_known_ones():
    with pytest.raises(ConfigError, match="likelihood"):
        parse_judge("guess")
    with pytest.raises(ConfigError, match="no option --min-confidance; it has: --min-confidence"):
        parse_judge("cascade:random,shorter", {"min_confidance": 1})
    with pytest.raises(ConfigError, match="write likelihood:FOLDER"):
        parse_judge("likelihood")


async def test_both_orders_merge_to_a_tie_on_disagreement_and_undecided_on_doubt():
    async def merged(first, second):
        judge = Fixed("fixed", {"a": first, "b": second})
        return (await in_both_orders(judge).compare([Comparison("x", "a", "b")]))[0]

    assert (await merged(Verdict("A", 0.9), Verdict("B", 0.3))).choice == "A"
    assert (await merged(Verdict("A", 0.9), Verdict("B", 0.3))).p_a == pytest.approx(0.8)
    assert (await merged(Verdict("A"), Verdict("A"))).choice == "tie"
    assert (await merged(Verdict("A"), Verdict("undecided"))).choice == "undecided"


async def test_a_jury_weighs_votes_and_leaves_abstentions_out():
    def fixed(choice, p_a=None):
        return Fixed(choice, {"a + b": Verdict(choice, p_a)})

    async def choice(*judges, **options):
        return (await Jury(judges, **options).compare([PAIR]))[0]

    assert (await choice(fixed("A"), fixed("A"), fixed("B"))).choice == "A"
    assert (await choice(fixed("A"), fixed("B"))).choice == "tie"
    assert (await choice(fixed("A"), fixed("B"), weights=[1, 3])).p_a == pytest.approx(0.25)
    assert (await choice(fixed("undecided"), fixed("B"))).choice == "B"
    assert (await choice(fixed("undecided"))).choice == "undecided"
    sure, unsure = fixed("A", 0.95), fixed("B", 0.4)
    assert (await choice(sure, unsure, by_probability=True)).p_a == pytest.approx(0.675)


def test_a_jury_refuses_weights_that_mean_nothing():
    with pytest.raises(ConfigError, match="as many weights"):
        Jury([ByNumber()], weights=[1.0, 2.0])
    with pytest.raises(ConfigError, match="at least one"):
        Jury([])


async def test_a_cascade_asks_the_costly_judge_only_on_doubt():
    pairs = [Comparison("x", code, "z") for code in ("sure", "unsure", "tied")]
    cheap = Fixed(
        "cheap",
        {"sure": Verdict("A", 0.95), "unsure": Verdict("B", 0.45), "tied": Verdict("tie", 0.5)},
    )
    costly = Fixed("costly", {"unsure": Verdict("A", 0.6), "tied": Verdict("tie")})
    cascade = Cascade([cheap, costly], min_confidence=0.8)
    verdicts = await cascade.compare(pairs)
    assert [one.choice for one in verdicts] == ["A", "A", "tie"]
    assert costly.n_asked == 2
    assert cascade.asked == [3, 2]


@pytest.mark.parametrize("codes", [["3"], ["1", "3", "2"], ["5", "1", "4", "2", "3", "5"]])
async def test_best_of_n_finds_the_best_and_keeps_the_earlier_of_equals(codes):
    ranking = await knock_out(ByNumber(), "x", codes)
    assert ranking.standings[0].index == codes.index(max(codes))


async def test_best_of_n_needs_n_minus_one_comparisons_in_both_orders():
    judge = Fixed("a", {code: Verdict("A") for code in "abcdefg"})
    await knock_out(judge, "x", "abcdefg")
    assert judge.n_asked == 2 * 6


async def test_a_tournament_ranks_by_points():
    standings = (await round_robin(ByNumber(), "x", ["2", "1", "3", "1"])).standings
    assert [one.index for one in standings] == [2, 0, 1, 3]
    assert [one.points for one in standings] == [3, 2, 0.5, 0.5]


class FakePool:
    """Says that a program passes as many asserts as it has lines."""

    async def run_async(self, code, tests, limits=None, *, entry_point="", setup=""):
        n = len(code.splitlines())
        return Execution("passed" if n == 3 else "wrong_output", passed=n, total=3)


async def test_execution_prefers_the_program_that_passes_more():
    problems = {
        "Add.": Problem("p", "Add.", "assert True", "f"),
        "No tests.": Problem("q", "", "", ""),
    }
    judge = ExecutionJudge(problems, FakePool())
    cases = [
        Comparison("Add.", "1\n2\n3", "1\n2"),
        Comparison("Add.", "1", "1\n2"),
        Comparison("Add.", "1", "2"),
        Comparison("No tests.", "1", "2"),
        Comparison("Unknown.", "1", "2"),
    ]
    verdicts = await judge.compare(cases)
    assert [one.choice for one in verdicts] == ["A", "B", "tie", "undecided", "undecided"]


def style_items(n_problems, leak):
    """Pairs whose chosen program is marked by a habit (or, without leak, by nothing)."""
    items = []
    for number in range(n_problems):
        chosen = f"def f{number}(x):\n{'  ' if leak else '    '}return x + {number}"
        rejected = f"def f{number}(x):\n    return x - {number}"
        items.append(
            {
                "id": str(number),
                "problem_id": f"p{number // 2}",
                "chosen": chosen,
                "rejected": rejected,
            }
        )
    return items


async def test_the_ngram_judge_finds_a_leak_of_style_on_problems_it_was_not_fitted_on():
    items = style_items(60, leak=True)
    judge = NgramJudge(items, n_folds=5)
    pairs = [Comparison("", i["chosen"], i["rejected"], id=i["id"]) for i in items]
    verdicts = await judge.compare([*pairs, *(pair.swap() for pair in pairs)])
    assert all(one.choice == "A" for one in verdicts[:60])
    assert all(one.choice == "B" for one in verdicts[60:])


def test_the_ngram_judge_keeps_a_problem_in_one_fold():
    judge = NgramJudge(style_items(40, leak=True), n_folds=4)
    folds = {}
    for item in style_items(40, leak=True):
        folds.setdefault(item["problem_id"], set()).add(judge._fold_of[item["id"]])
    assert all(len(found) == 1 for found in folds.values())
    assert len({fold for found in folds.values() for fold in found}) == 4


async def test_an_error_of_one_judge_is_the_jurys_error():
    class Broken:
        name = "broken"

        async def compare(self, comparisons):
            raise BackendError("down", retryable=True)

    with pytest.raises(BackendError):
        await Jury([ByNumber(), Broken()]).compare([Comparison("x", "1", "2")])


async def test_copied_prefers_what_stands_in_the_instruction_then_more_of_its_word_pairs():
    text = "The mill was built in 1704, by Anna Weiss."
    cases = [("Anna Weiss", "Karl Brandt", "A"), ("in 1704", "1704 in", "A"), ("was", "is", "A"),
             ("in 1811 by Anna", "of 1704 by Anna", "B"), ("Anna", "1704", "tie"),
             ("the MILL was", "built in 1704", "tie"), ("", "Karl", "tie")]  # fmt: skip
    judged = await CopiedJudge().compare([Comparison(text, a, b) for a, b, _ in cases])
    assert [one.choice for one in judged] == [choice for _, _, choice in cases]
