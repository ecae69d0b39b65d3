"""Pairs that set an answer against "The text does not say."."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from codefavor.sources.answered import Answered
from codefavor.synthesis.answer_pair import pair_of
from codefavor.synthesis.level_judges import shares_of, unsaid_shares
from codefavor.synthesis.truth_levels import simple_pairs
from tests.kit.commands import codefavor
from tests.synthesis.test_truth_levels import read, write

NOTHING = "The text does not say."


def asked(word: str, numbers: range, *, is_answered: bool) -> list[dict[str, Any]]:
    """Questions with a word, each about a text of its own."""
    return [
        {
            "question": f"Who {word} sold mill {n}?",
            "context": f"The owner of mill {n} was Bo Ray, who had it from a miller.",
            **(
                {"answers": ["Bo Ray"]}
                if is_answered
                else {"answers": [], "plausible_answers": ["Bo Ray"]}
            ),
        }
        for n in numbers
    ]


def test_the_words_of_a_question_do_not_tell_whether_its_text_answers_it(tmp_path: Path) -> None:
    """Those who wrote the questions without an answer like one word more than the others do."""
    rows = [
        *asked("really", range(40), is_answered=False),
        *asked("once", range(40, 60), is_answered=False),
        *asked("really", range(60, 80), is_answered=True),
        *asked("once", range(80, 120), is_answered=True),
    ]
    data, out = write(tmp_path / "qa.jsonl", rows), tmp_path / "pairs.jsonl"
    words = ["--data", data, "--levels", "medium", "--out", out]
    done = codefavor("synthesise", "levels", *words, home=tmp_path)
    assert done.code == 0, done.stderr
    told = Counter(
        ("really" in pair["meta"]["question"], pair["chosen"] == NOTHING) for pair in read(out)
    )
    assert told == dict.fromkeys([(a, b) for a in (False, True) for b in (False, True)], 20)
    assert "'question words' in " in done.stdout


def test_a_level_that_a_judge_without_understanding_sees_through_is_no_success() -> None:
    """Off by more than 3 points, and not by chance: the command ends with it and is no success."""
    rows = [
        *(Answered(str(n), f"Who really sold {n}?", f"A text {n}.", ()) for n in range(60)),
        *(Answered(str(n), f"Who once sold {n}?", f"A {n}.", ("Bo",)) for n in range(60, 120)),
    ]
    pairs = [
        pair_of(row, *(("Bo", NOTHING) if row.answers else (NOTHING, "Bo")), "medium", "no answer")
        for row in rows
    ]
    off = {one.judge for one in unsaid_shares(pairs, rows) if one.is_off}
    assert off == {"question words", "question and answer words"}
    assert not [one for one in shares_of(pairs, rows) if one.is_off]


def test_a_name_that_the_text_lacks_tells_nothing() -> None:
    """Who looks only whether a name or number of the question is in the text learns nothing."""
    text = "The owner was Bo Ray, who had it from a miller."
    rows = [
        *(Answered(f"n{n}", f"Who sold Oslo {n}00?", text, (), ("Bo Ray",)) for n in range(6)),
        *(Answered(f"f{n}", "Who sold it?" + " " * n, text, (), ("Bo Ray",)) for n in range(6)),
        *(Answered(f"a{n}", "Who came?" + " " * n, text, ("Bo Ray",)) for n in range(9)),
    ]
    pairs, _ = simple_pairs(rows, levels=["medium"])
    assert {one.problem_id[0] for one in pairs} == {"f", "a"}
    assert len(pairs) == 12
