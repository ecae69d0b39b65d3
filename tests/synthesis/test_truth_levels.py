"""Levelled pairs of true and false answers, through the command."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from codefavor.errors import DataError
from codefavor.sources.answered import Answered, load_answered
from codefavor.synthesis.answer_kinds import asked_kind, spans_of
from codefavor.synthesis.level_judges import Share
from codefavor.synthesis.truth_levels import simple_pairs
from tests.kit.commands import codefavor

PEOPLE = ["Anna Weiss", "Karl Brandt", "Ida Lund", "Omar Reyes", "Mei Tanaka", "Jon Hale"]
YEARS = ["1704", "1811", "1899", "1920", "1955", "1987"]


def rows() -> list[dict[str, Any]]:
    found = []
    for number, (person, year) in enumerate(zip(PEOPLE, YEARS, strict=True)):
        other, before = PEOPLE[number - 1], YEARS[number - 1]
        text = (
            f"Mill {number} was built in {year} by {person}. It is not the one of {before}, "
            f"which {other} built."
        )
        if number % 2:
            # What is false stands nearer to the question's words.
            text = (
                f"Mill {number} was not built in {before} by {other}. After many things "
                f"that nobody here can name it was built in {year} by {person}."
            )
        found += [
            {"question": f"Who built mill {number}?", "context": text, "answers": [person]},
            {"question": f"When was mill {number} built?", "context": text,
             "answers": {"text": [year, f"in {year}"]}},
            {"question": f"What is known of mill {number}?", "context": text,
             "answer": f"It was built in {year} by {person}."},
        ]  # fmt: skip
    return found


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_chosen_side_is_an_answer_of_the_row_and_the_rejected_is_none(tmp_path: Path) -> None:
    data = write(tmp_path / "qa.jsonl", rows())
    out = tmp_path / "pairs.jsonl"
    done = codefavor("synthesise", "levels", "--data", data, "--out", out, home=tmp_path)
    assert done.code == 0, done.stderr
    known = {one.id: one for one in load_answered(data)}
    pairs = read(out)
    assert {pair["level"] for pair in pairs} == {"easy", "medium"}
    for pair in pairs:
        row = known[pair["problem_id"]]
        assert pair["chosen"] == row.answers[0]
        assert pair["rejected"].lower() not in {one.lower() for one in row.answers}
        assert row.context in pair["instruction"]
    medium = {pair["meta"]["rejected_kind"]: pair for pair in pairs if pair["level"] == "medium"}
    assert medium["other person"]["rejected"] in PEOPLE
    assert medium["other time"]["rejected"] in YEARS
    for pair in pairs:
        if pair["level"] == "medium":
            # Which side has its words from the text must tell nothing.
            words = re.findall(r"[A-Z]\w+|\d+", pair["rejected"].removeprefix("It "))
            assert words
            assert all(word in known[pair["problem_id"]].context for word in words)


NEAR = "Mill 0 was built in 1704. Then came many things that nobody here can name: 1899."
FAR = "Mill {} was not built in 1811. Then came many things that here none can name: 1920."
# Both years stand near the question's words, one of them in its sentence.
RIGHT = "Mill {} was built in 1704. The year 1899 came."
WRONG = "Mill 2 was not built in 1811. The year was 1920."


@pytest.mark.parametrize(
    ("texts", "answers", "judge"),
    [
        ([NEAR, FAR.format(1), FAR.format(2)], ["1704", "1920", "1920"], "nearby"),
        ([RIGHT.format(0), RIGHT.format(1), WRONG], ["1704", "1704", "1920"], "in its sentence"),
    ],
    ids=("nearby", "in its sentence"),
)
def test_who_looks_for_the_questions_words_is_right_as_often_as_not(
    tmp_path: Path, texts: list[str], answers: list[str], judge: str
) -> None:
    """Of pairs that a judge takes rightly and wrongly one each is kept, and nothing twice."""
    own = [
        {"question": f"When was mill {number} built?", "context": text, "answers": [answer]}
        for number, (text, answer) in enumerate(zip(texts, answers, strict=True))
    ]
    data, out = write(tmp_path / "qa.jsonl", own), tmp_path / "pairs.jsonl"
    words = ["--data", data, "--levels", "medium", "--out", out]
    done = codefavor("synthesise", "levels", *words, home=tmp_path)
    assert done.code == 0, done.stderr
    found = sorted((pair["chosen"], pair["rejected"]) for pair in read(out))
    assert found == [("1704", "1899"), ("1920", "1811")]
    assert "2 of two answers" in done.stdout and f"{judge!r} in 50.0%" in done.stdout


def test_what_does_not_hold_is_said_and_written_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script of several steps goes on with the pairs; the finding stands beside them."""
    monkeypatch.setattr(Share, "is_off", True)
    data, out = write(tmp_path / "qa.jsonl", rows()), tmp_path / "pairs.jsonl"
    done = codefavor("synthesise", "levels", "--data", data, "--out", out, home=tmp_path)
    assert done.code == 0
    assert "these levels are not held" in done.stderr
    manifest = json.loads((tmp_path / "pairs.jsonl.manifest.json").read_text(encoding="utf-8"))
    assert {one.split()[0] for one in manifest["not_held"]} == {"medium"}
    n_kept = Counter(pair["level"] for pair in read(out))
    assert {name: one["n_kept"] for name, one in manifest["levels"].items()} == n_kept
    assert manifest["empty"] == []


def test_a_level_without_pairs_is_said(tmp_path: Path) -> None:
    data = write(
        tmp_path / "qa.jsonl",
        [
            {"question": f"Why {number}?", "context": f"Because of {one}.", "answer": one}
            for number, one in enumerate(("the long rain", "a short war"))
        ],
    )
    out = tmp_path / "pairs.jsonl"
    done = codefavor("synthesise", "levels", "--data", data, "--out", out, home=tmp_path)
    assert done.code == 0, done.stderr
    assert "no pair is medium" in done.stderr
    manifest = json.loads((tmp_path / "pairs.jsonl.manifest.json").read_text(encoding="utf-8"))
    assert manifest["empty"] == ["medium"]


def test_a_question_has_one_pair_a_level(tmp_path: Path) -> None:
    """Also where it is set against "The text does not say." for a question without an answer."""
    nothing = [
        {
            "question": f"Who sold mill {number}?",
            "context": f"Mill {number}.",
            "answers": [],
            **plausible,
        }
        for number, plausible in enumerate([{}, {"plausible_answers": ["1704"]}] * 12)
    ]
    data, out = write(tmp_path / "qa.jsonl", rows() + nothing), tmp_path / "pairs.jsonl"
    done = codefavor("synthesise", "levels", "--data", data, "--out", out, home=tmp_path)
    assert done.code == 0, done.stderr
    counts = Counter((pair["problem_id"], pair["level"]) for pair in read(out))
    assert set(counts.values()) == {1}
    assert any("does not say" in pair["rejected"] for pair in read(out))


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tmp_path: Path) -> None:
    data = write(tmp_path / "qa.jsonl", rows())
    found = []
    for number, seed in enumerate((1, 1, 2)):
        out = tmp_path / f"{number}.jsonl"
        codefavor(
            "synthesise", "levels", "--data", data, "--out", out, "--seed", seed, home=tmp_path
        )
        found.append(out.read_bytes())
    assert found[0] == found[1] != found[2]


def test_a_question_without_an_answer_prefers_to_say_so(tmp_path: Path) -> None:
    squad = {
        "data": [
            {
                "paragraphs": [
                    {
                        "context": "The mill burns peat.",
                        "qas": [
                            {"id": "1", "question": "Who owns it?", "answers": [],
                             "plausible_answers": [{"text": "peat", "answer_start": 15}]},
                            {"id": "2", "question": "What does it burn?",
                             "answers": [{"text": "peat", "answer_start": 15}]},
                        ],
                    }
                ]
            }
        ]
    }  # fmt: skip
    data = tmp_path / "squad.json"
    data.write_text(json.dumps(squad), encoding="utf-8")
    out = tmp_path / "pairs.jsonl"
    done = codefavor("synthesise", "levels", "--data", data, "--out", out, home=tmp_path)
    assert done.code == 0, done.stderr
    # "It does not say" is false where the text does: else it would always be right.
    found = {(pair["level"], pair["chosen"], pair["rejected"]) for pair in read(out)}
    assert found == {
        ("medium", "The text does not say.", "peat"),
        ("medium", "peat", "The text does not say."),
    }
    done = codefavor(
        "synthesise", "levels", "--data", data, "--levels", "easy", "--out", out, home=tmp_path
    )
    assert (done.code, "no pair came out" in done.stderr) == (2, True)


def test_rows_without_text_or_twice_are_counted(tmp_path: Path) -> None:
    skipped: Counter[str] = Counter()
    row = {"question": "Who?", "context": "A text.", "answer": "Ann"}
    data = write(
        tmp_path / "qa.jsonl", [row, row, {**row, "context": " "}, {**row, "question": ""}]
    )
    assert len(load_answered(data, skipped)) == 1
    assert skipped == {"the same question and text again": 1, "no text": 1, "no question": 1}


def test_hard_and_a_model_go_together(tmp_path: Path) -> None:
    data = write(tmp_path / "qa.jsonl", rows())
    for words in (["--levels", "hard"], ["--model", "fake:echo"]):
        done = codefavor(
            "synthesise", "levels", "--data", data, "--out", tmp_path / "o.jsonl", *words,
            home=tmp_path,
        )  # fmt: skip
        assert done.code == 2
        assert "give both, or neither" in done.stderr


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("Who built it?", "person"), ("Where is it?", "place"), ("When was it made?", "time"),
        ("How many are there?", "number"), ("Which British company made it?", "company"),
        ("What kind of plant is it?", "plant"), ("What is the length of the track?", "length"),
        ("Which band, A or B, has a singer who drums?", "band"), ("Is it large?", ""),
    ],
)  # fmt: skip
def test_what_is_asked_for(question: str, kind: str) -> None:
    assert asked_kind(question) == kind


def test_parts_have_kinds_and_none_lies_in_another() -> None:
    text = "On March 2, 1991 Anna Weiss paid $1,500 for 12% of 30 mills in 1704."
    assert [one.kind for one in spans_of(text)][-6:] == [
        "date", "name", "money", "percent", "number", "year",
    ]  # fmt: skip


def test_what_may_be_as_right_as_the_answer_is_no_false_side() -> None:
    """Named in one sentence with it, or a wider time; a year of that sentence is another year."""
    text = (
        "A bill is brought by a minister or an outside proposer. The clerk reads it. "
        "The church was built in 1688 to 1692, in the 17th century, and burnt in 1702. "
        "Leukocytes (white cells) are the second arm. Innate leukocytes include phagocytes."
    )
    asked = [
        ("Who may bring a bill?", "a minister"),
        ("Who else may bring a bill?", "an outside proposer"),
        ("Who reads it?", "The clerk"),
        ("When was the church built?", "1688 to 1692"),
        ("When was it all?", "17th century"),
        ("When did it burn?", "1702"),
        ("Which cells are the second arm?", "Leukocytes (white cells)"),
        ("Which cells are meant?", "phagocytes"),
    ]
    rows = [Answered(str(n), one, text, (known,)) for n, (one, known) in enumerate(asked)]
    pairs, _ = simple_pairs(rows, levels=["medium"])
    found = {pair.chosen: pair.rejected for pair in pairs}
    assert found["a minister"] == "The clerk"
    # "Who else" has several answers.
    assert "an outside proposer" not in found
    assert "century" not in found.get("1688 to 1692", "")
    assert found["1702"] in ("1688", "1692")
    assert "phagocytes" not in found.values()


def test_a_lost_answer_is_no_question_without_one(tmp_path: Path) -> None:
    """ "The text does not say." is only true where a row says so."""
    lost: list[dict[str, Any]] = [
        {"answers": ["", " "]}, {}, {"answers": None, "answer": None}, {"answers": ["..."]},
        {"answer": "-"},
    ]  # fmt: skip
    without: list[dict[str, Any]] = [
        {"answers": []}, {"answers": {"text": []}}, {"is_impossible": True},
        {"has_answer": False}, {"plausible_answers": ["peat"]},
    ]  # fmt: skip
    entries = [
        {"question": f"What {number}?", "context": "A text.", **entry}
        for number, entry in enumerate([*lost, *without])
    ]
    skipped: Counter[str] = Counter()
    found = load_answered(write(tmp_path / "qa.jsonl", entries), skipped)
    assert [one.question for one in found] == [f"What {number}?" for number in range(5, 10)]
    assert skipped == {"no answer, and nothing that says there is none": 5}


def test_saying_nothing_is_never_set_against_itself() -> None:
    says = "The text does not say."
    rows = [
        Answered("1", "Who?", "A text of wind and peat.", (), (says,)),
        Answered("2", "What?", "A text of wind and peat.", (says,)),
        Answered("3", "Which?", "A text of wind and peat.", (), ("peat",)),
        Answered("4", "Why?", "A text of wind and peat.", ("wind",)),
    ]
    pairs, _ = simple_pairs(rows, levels=["medium"])
    assert {(one.chosen, one.rejected) for one in pairs} == {(says, "peat"), ("wind", says)}


def test_neither_side_of_a_medium_pair_is_copied_more_from_its_text(tmp_path: Path) -> None:
    """The answer with a part changed stands nowhere: who looks for it knows the false side."""
    pairs = read_medium(tmp_path, rows())
    assert len(pairs) >= 10
    for pair in pairs:
        text = pair["instruction"]
        assert (pair["chosen"] in text, pair["rejected"] in text) == (True, True)
    whole = "It was built in 1704 by Anna Weiss."
    assert whole not in {pair["chosen"] for pair in pairs}


def read_medium(tmp_path: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    out = tmp_path / "pairs.jsonl"
    data = write(tmp_path / "qa.jsonl", rows)
    words = ["--data", data, "--levels", "medium", "--out", out]
    done = codefavor("synthesise", "levels", *words, home=tmp_path)
    assert done.code == 0, done.stderr
    assert "'copied' in 50.0%" in done.stdout
    return read(out)


@pytest.mark.parametrize(
    ("question", "answer", "other"),
    [
        ("Which is older, Red Mill or First for Women?", "Red Mill", "First for Women"),
        ("Which is older, Red Mill or First for Women?", "First for Women", "Red Mill"),
        ("Who was born first, Ida Lund or Cornel West?", "Ida Lund", None),
        ("Was Cornel West or Ida Lund older?", "Ida Lund", None),
        ("Which is older, Mal del Norte or Red Mill?", "Red Mill", None),
    ],
)
def test_the_other_of_two_that_a_question_names_is_false(
    question: str, answer: str, other: str | None
) -> None:
    """As far as it stands in the text; a part of a name ("Cornel") is left out."""
    text = (
        "Red Mill (1844) is a paper. First for Women is one of 1989. Cornel Ronald West. "
        "Ida Lund. Mall del Norte."
    )
    pairs, _ = simple_pairs([Answered("1", question, text, (answer,))], levels=["medium"])
    assert [pair.rejected for pair in pairs] == ([other] if other else [])


@pytest.mark.parametrize(
    ("asked", "answer", "same"),
    [
        ("Which country", "the UK", "the British"),
        ("Which country", "United Kingdom", "UK"),
        ("Which country", "Scotland", "Scottish"),
        ("Which khan", "Möngke", "Mongke"),
        ("How many", "13,500", "13500"),
        ("How many", "almost 25,000", "thousands"),
    ],
)
def test_other_words_for_the_answer_are_no_false_side(asked: str, answer: str, same: str) -> None:
    text = f"First {answer} stood in the text. Then {same} stood there."
    rows = [
        Answered("1", f"{asked} is at first?", text, (answer,)),
        Answered("2", f"{asked} is at last?", text, (same,)),
    ]
    pairs, reasons = simple_pairs(rows, levels=["medium"])
    assert [(pair.chosen, pair.rejected) for pair in pairs] == []
    assert sum(reasons.values()) == 2


def test_a_place_that_may_hold_the_answer_is_no_false_side() -> None:
    """Who was born in Paris was born in France; another part of a longer answer is no better."""
    text = (
        "Anna Weiss was born in Paris. Omar Reyes lived in France. Mei Tanaka died in Lyon. "
        "Jon Hale worked near Paris in 1811. Ida Lund sold it in 1899."
    )
    asked = [
        ("Where was Anna Weiss born?", "Paris"), ("Where did Omar Reyes live?", "France"),
        ("In what region did Mei Tanaka die?", "Lyon"), ("Where did Jon Hale work?", "near Paris"),
        ("Which country did Omar Reyes live in?", "France"),
        ("When did Jon Hale work?", "1811"), ("Who sold it?", "Ida Lund"),
    ]  # fmt: skip
    rows = [Answered(str(n), one, text, (known,)) for n, (one, known) in enumerate(asked)]
    places = {"Paris", "France", "Lyon", "near Paris", "near France", "near Lyon"}
    pairs, _ = simple_pairs(rows)
    assert {"easy", "medium"} == {one.level for one in pairs}
    assert not [one for one in pairs if {one.chosen, one.rejected} <= places]


def test_the_answer_to_another_question_of_its_text_is_a_false_side_if_of_one_broad_kind() -> None:
    """A king is a person too; of two things one may be the other by another name."""
    text = (
        "Omar Reyes came. Later on Ida Lund left. The skin makes vitamin D. It is cholecalciferol."
    )
    asked = [
        ("Which king was first to come?", "Omar Reyes"), ("Who left?", "Ida Lund"),
        ("What does the skin make?", "vitamin D"), ("What is it?", "cholecalciferol"),
    ]  # fmt: skip
    rows = [Answered(str(n), one, text, (known,)) for n, (one, known) in enumerate(asked)]
    pairs, _ = simple_pairs(rows, levels=["medium"])
    found = {pair.chosen: pair.rejected for pair in pairs}
    assert found == {"Omar Reyes": "Ida Lund", "Ida Lund": "Omar Reyes"}


def test_rows_of_another_type_are_counted_and_a_file_of_them_is_told_of(tmp_path: Path) -> None:
    whole = {"question": "Who?", "context": "A text.", "answers": ["Ann"]}
    odd: list[dict[str, Any]] = [
        {**whole, "question": None}, {**whole, "answers": 5}, {**whole, "context": {"a": 1}},
        {**whole, "question": 5},
    ]  # fmt: skip
    skipped: Counter[str] = Counter()
    found = load_answered(write(tmp_path / "qa.jsonl", [*odd, whole]), skipped)
    assert len(found) == 1
    assert skipped == {"no question": 1, "question, text or answers of another type": 3}
    with pytest.raises(DataError, match="answers are a list"):
        load_answered(write(tmp_path / "other.jsonl", odd[1:2]))
    squad = {
        "data": [
            {"paragraphs": [{"qas": [{"question": "What?", "answers": []}]}]},
            {"paragraphs": [{"context": "A text.", "qas": [whole]}, {"context": "Another."}]},
        ]
    }
    path, skipped = tmp_path / "squad.json", Counter()
    path.write_text(json.dumps(squad), encoding="utf-8")
    assert len(load_answered(path, skipped)) == 1
    assert skipped == {"no text": 1}
    path.write_text(json.dumps({"data": [{"paragraphs": 5}]}), encoding="utf-8")
    with pytest.raises(DataError, match="expected a list of objects"):
        load_answered(path)


@pytest.mark.parametrize("mark", ["unknown", "N/A", "Not mentioned.", "unanswerable", "No answer"])
def test_a_mark_in_the_place_of_an_answer_says_that_there_is_none(
    tmp_path: Path, mark: str
) -> None:
    row = {"question": "Who?", "context": "A text.", "answers": [mark]}
    (found,) = load_answered(write(tmp_path / "qa.jsonl", [row]))
    assert found.answers == ()


@pytest.mark.parametrize("n_times", [1, 15], ids=["few", "so many that the run is stopped"])
def test_a_teacher_without_a_usable_reply_costs_no_other_level(
    tmp_path: Path, n_times: int
) -> None:
    asked = [
        {**row, "context": row["context"] + " Or so." * n} for row in rows() for n in range(n_times)
    ]
    data, out = write(tmp_path / "qa.jsonl", asked), tmp_path / "pairs.jsonl"
    words = ["synthesise", "levels", "--data", data, "--out", out, "--model", "fake:echo"]
    done = codefavor(*words, "--levels", "easy,medium,hard", home=tmp_path)
    assert done.code == 0, done.stderr
    assert {pair["level"] for pair in read(out)} == {"easy", "medium"}
    assert "no pair is hard" in done.stderr
    manifest = json.loads((tmp_path / "pairs.jsonl.manifest.json").read_text(encoding="utf-8"))
    assert manifest["empty"] == ["hard"]
    failed = [n for why, n in manifest["left_out"].items() if "no reply of the model" in why]
    # What was asked when the hundredth failed is waited for.
    assert [n >= 100 for n in failed] == ([True] if n_times > 1 else [])
    words[5] = alone = tmp_path / "hard.jsonl"
    assert codefavor(*words, "--levels", "hard", home=tmp_path).code != 0
    assert not alone.exists()
