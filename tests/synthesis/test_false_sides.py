"""What is no false side, since the text may call it as right as the answer."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from codefavor.sources.answered import Answered
from codefavor.synthesis.truth_levels import simple_pairs
from tests.kit.commands import codefavor
from tests.synthesis.test_truth_levels import read, write


def medium_of(question: str, answer: str, other: str, text: str) -> list[tuple[str, str]]:
    """The medium pairs of a question, in whose text another one of the same word has an answer."""
    again = "How many others?" if other[0].isdigit() else re.sub(r"\\w+\\?$", "others?", question)
    rows = [
        Answered("1", question, text, (answer,)),
        Answered("2", f"{again} and then?", text, (other,)),
    ]
    pairs, _ = simple_pairs(rows, levels=["medium"])
    return [(one.chosen, one.rejected) for one in pairs if one.problem_id == "1"]


@pytest.mark.parametrize(
    ("question", "answer", "other", "text"),
    [
        ("How much was lost?", "$3.5 million", "€3.1 million",
         "A loss of $3.5 million/€3.1 million was told."),
        ("How much was lost?", "$3.5 million", "€3.1 million",
         "A loss of $3.5 million was told. The gain was €3.1 million."),
        ("How much was lost?", "$5 million", "$5,000,000",
         "A loss of $5 million was told. Its $5,000,000 were gone."),
        ("When did it end?", "May 1945", "8 May", "It ended in May 1945. On 8 May they signed."),
        ("How high is it?", "8,848", "29,029", "It rises 8,848 metres (29,029 feet) above all."),
        ("How many rooms has it?", "two", "2", "It has two rooms. In the 2 rooms is light."),
        ("Who did not come?", "Ann Lee", "Bo Ray", "Ann Lee stayed at home. Bo Ray was there."),
        ("Who founded it?", "Ann Lee", "Bo Ray", "Ann Lee began it. The partner was Bo Ray."),
        ("Name a gas that is noble, which?", "Helium", "Argon", "Helium is noble. So is Argon."),
        ("Which gas is an example?", "Helium", "Argon", "Helium is noble. So is Argon."),
        ("Which gas is noble?", "Helium", "Argon", "Helium is noble. Argon, too, belongs here."),
        ("Who wrote it down?", "Mark Twain", "Sam Clemens",
         "Mark Twain was a pen name. Sam Clemens, known by it, went home."),
        ("Who wrote it down?", "Mark Twain", "Sam Clemens", "Mark Twain (Sam Clemens) went home."),
        ("Which war was it?", "World War II", "Second World War",
         "World War II ended. He came from the Second World War."),
        ("When did she win a prize?", "1903", "1911", "In 1903 she won one. In 1911 she won it."),
        ("In which year did they win?", "1958", "1962", "They won in 1958. They won again, 1962."),
    ],
)  # fmt: skip
def test_what_the_text_may_call_as_right_is_no_false_side(
    question: str, answer: str, other: str, text: str
) -> None:
    assert medium_of(question, answer, other, text) == []


@pytest.mark.parametrize(
    ("question", "answer", "other", "text"),
    [
        ("How much was lost?", "$3.5 million", "$4 million",
         "A loss of $3.5 million was told. The gain was $4 million."),
        ("When did it end?", "8 May 1945", "9 June 1946",
         "It ended on 8 May 1945. On 9 June 1946 they signed."),
        ("Who came?", "Ann Lee", "Bo Ray", "Ann Lee was there. Bo Ray stayed at home."),
    ],
)  # fmt: skip
def test_what_the_text_says_of_something_else_is_a_false_side(
    question: str, answer: str, other: str, text: str
) -> None:
    assert medium_of(question, answer, other, text) == [(answer, other)]


def test_an_answer_that_its_text_does_not_hold_gives_no_pair_with_the_text(tmp_path: Path) -> None:
    """As in retrieval: "The text does not say." would be true there."""
    text = "A city is a large settlement. Its lord was Bo Ray, its first mayor Cy Young."
    data = write(
        tmp_path / "qa.jsonl",
        [
            {"question": "Who painted it?", "context": text, "answers": ["Leonardo"]},
            {"question": "Who was lord?", "context": text, "answers": ["Bo Ray"]},
            {"question": "Who owns a settlement?", "context": text, "answers": [],
             "plausible_answers": ["Cy Young"]},
        ],
    )  # fmt: skip
    out = tmp_path / "pairs.jsonl"
    done = codefavor("synthesise", "levels", "--data", data, "--out", out, home=tmp_path)
    assert done.code == 0, done.stderr
    medium = [one for one in read(out) if one["level"] == "medium"]
    assert medium
    assert "Leonardo" not in {one["chosen"] for one in medium}
    assert "the answer does not stand in the text 1" in done.stdout


def test_where_a_place_is_asked_for_only_what_is_no_place_is_false() -> None:
    """Lyon is in Europe too, and in whatever else its own text names."""
    text = "Lyon lies in France. It is 2 km from here. Ann Lee of Lyon rules it."
    asked = [
        ("Where is Lyon?", "France"), ("What is the larger one?", "Europe"),
        ("In what desert is Lyon?", "Sahara"), ("Who rules it?", "Ann Lee"),
        ("What is old?", "Earth"), ("How many are there?", "700"),
    ]  # fmt: skip
    rows = [Answered(str(n), one, text, (known,)) for n, (one, known) in enumerate(asked)]
    for seed in range(10):
        pairs, _ = simple_pairs(rows, levels=["easy"], seed=seed)
        found = {pair.problem_id: pair.rejected for pair in pairs}
        assert found["0"] == found["2"] == "700"


def test_the_question_tells_nothing_of_whether_the_text_says_it() -> None:
    """Negations, and words of the question beside the answer, are the same on both sides."""
    text = "The old red mill on the hill was built by Ann Lee. It burns peat. Bo Ray left."
    rows = [
        *(Answered(f"n{n}", f"Who never came {n}?", text, (), ("Bo Ray",)) for n in range(6)),
        *(Answered(f"f{n}", f"Who sold it {n}?", text, (), ("Bo Ray",)) for n in range(6)),
        *(
            Answered(f"a{n}", f"Who built the old red mill {n}?", text, ("Ann Lee",))
            for n in range(9)
        ),
        *(Answered(f"b{n}", f"What fuel {n}?", text, ("peat",)) for n in range(3)),
    ]
    pairs, reasons = simple_pairs(rows, levels=["medium"])
    shown = [one for one in pairs if "The text does not say." in (one.chosen, one.rejected)]
    assert {one.problem_id[0] for one in shown} == {"f", "b"}
    assert len(shown) == 6
    assert reasons["unanswerable: no question with an answer that is like it"] == 9


@pytest.mark.parametrize(
    ("question", "answer", "text", "reason"),
    [
        ("When was it?", "1704", "It was in 1704, then long gone.", "nothing of the answer's kind"),
        ("When did it begin?", "1704", "It began in 1704. It began again in 1899.",
         "may be as right"),
        ("Who came?", "Ann Lee", "Ann Lee came here. Bo Ray did not.", "of the other names"),
        ("What burns?", "old peat", "There old peat burns. So said Bo Ray.", "no single date"),
    ],
)  # fmt: skip
def test_why_a_question_gives_no_swap_is_what_took_it(
    question: str, answer: str, text: str, reason: str
) -> None:
    pairs, reasons = simple_pairs([Answered("1", question, text, (answer,))], levels=["medium"])
    assert pairs == []
    (found,) = reasons
    assert reason in found
