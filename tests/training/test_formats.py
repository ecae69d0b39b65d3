"""Training rows: exact columns, both orders, no duplicated prompt, counted rejections."""

from __future__ import annotations

import itertools

import pytest

from codefavor.errors import ConfigError, Rejected
from codefavor.prompts.chat import solution_text
from codefavor.records import Preference, Problem
from codefavor.training.formats import FORMATS, FormatOptions, convert, get_format

PAIR = Preference(
    id="p1",
    instruction="Double x.",
    chosen="def double(x):\n    return 2 * x\n",
    rejected="def double(x):\n    return x",
    criteria="correctness",
)
GOOD = "```python\ndef double(x):\n    return 2 * x\n```"
BAD = "```python\ndef double(x):\n    return x\n```"
QUESTION = "Double x.\n\nCriteria: correctness"
SYSTEM = {"role": "system", "content": ""}
PROBLEM = Problem(
    id="q", instruction="Double x.", tests="assert double(2) == 4", entry_point="double"
)


def rows_of(name: str, pair: Preference = PAIR, **options) -> list[dict]:
    rows = FORMATS[name](pair, FormatOptions(**options))
    return [{key: value for key, value in row.items() if key != "id"} for row in rows]


def turn(role: str, content: str) -> dict:
    return {"role": role, "content": content}


def test_sft_row():
    assert rows_of("sft") == [
        {"messages": [SYSTEM, turn("user", QUESTION), turn("assistant", GOOD)]}
    ]


def test_dpo_row_holds_the_prompt_once():
    assert rows_of("dpo") == [
        {
            "messages": [SYSTEM, turn("user", QUESTION)],
            "chosen": turn("assistant", GOOD),
            "rejected": turn("assistant", BAD),
        }
    ]


def test_kto_rows_carry_boolean_labels():
    question = [SYSTEM, turn("user", QUESTION)]
    assert rows_of("kto") == [
        {"messages": question, "completion": turn("assistant", GOOD), "label": True},
        {"messages": question, "completion": turn("assistant", BAD), "label": False},
    ]


def test_reward_row_has_the_system_column_that_axolotl_requires():
    assert rows_of("reward") == [{"system": "", "input": QUESTION, "chosen": GOOD, "rejected": BAD}]


def test_grpo_row_carries_the_tests():
    row = FORMATS["grpo"](PROBLEM)[0]
    assert row["prompt"] == [SYSTEM, turn("user", "Double x.")]
    assert (row["tests"], row["entry_point"]) == (PROBLEM.tests, "double")


def test_pairwise_both_orders_have_opposite_letters_and_swapped_codes():
    first, second = rows_of("pairwise")
    assert [row["messages"][-1]["content"] for row in (first, second)] == ["A", "B"]
    text = first["messages"][1]["content"]
    assert text.index(GOOD) < text.index(BAD)
    text = second["messages"][1]["content"]
    assert text.index(BAD) < text.index(GOOD)


def test_random_order_is_balanced_and_repeatable():
    pairs = [Preference(id=str(n), instruction="i", chosen="a", rejected="b") for n in range(400)]
    letters = [
        convert([pair], "pairwise", FormatOptions(order="random", seed=7)).rows[0]["messages"][-1][
            "content"
        ]
        for pair in pairs
    ]
    again = convert(pairs, "pairwise", FormatOptions(order="random", seed=7)).rows
    assert 160 < letters.count("A") < 240
    # Equal questions are one row in the whole set, so compare the first of each letter only.
    assert again[0]["messages"][-1]["content"] == letters[0]


def test_cot_names_the_codes_by_letter_in_either_order():
    pair = Preference(
        id="p",
        instruction="i",
        chosen="a = 1",
        rejected="a = 2",
        feedback="[REJECTED] returns 2. The [CHOSEN] returns 1, unlike [REJECTED].",
    )
    first, second = rows_of("pairwise_cot", pair)
    assert first["messages"][-1]["content"] == (
        "Program B returns 2. Program A returns 1, unlike Program B.\n[RESULT] A"
    )
    assert second["messages"][-1]["content"] == (
        "Program A returns 2. Program B returns 1, unlike Program A.\n[RESULT] B"
    )


def test_cot_of_a_tested_pair_states_what_the_tests_showed():
    evidence = {
        "chosen": {"outcome": "passed", "passed": 3, "total": 3},
        "rejected": {"outcome": "wrong_output", "failed_assert": "assert double(2) == 4"},
    }
    pair = Preference(id="p", instruction="i", chosen="a", rejected="b", evidence=evidence)
    assert rows_of("pairwise_cot", pair)[0]["messages"][-1]["content"] == (
        "Program B does not do what is asked: assert double(2) == 4. "
        "Program A passes all 3 of its tests.\n[RESULT] A"
    )


def test_cot_without_feedback_or_tests_is_rejected_not_invented():
    with pytest.raises(Rejected, match="no_feedback"):
        FORMATS["pairwise_cot"](PAIR)


@pytest.mark.parametrize(
    ("chosen", "rejected", "reason"),
    [("", "x", "empty_chosen"), ("x", " \n", "empty_rejected"), ("x", "x\n", "equal_sides")],
)
@pytest.mark.parametrize("name", [name for name in FORMATS if name != "grpo"])
def test_unusable_pairs_are_counted_as_rejected(name, chosen, rejected, reason):
    pair = Preference(id="p", instruction="i", chosen=chosen, rejected=rejected, feedback="f")
    result = convert([pair], name)
    assert (result.rows, dict(result.rejected), result.n_records) == ((), {reason: 1}, 1)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_row_has_exactly_an_id_and_the_declared_columns(name):
    record = PROBLEM if name == "grpo" else Preference(**{**PAIR.to_row(), "feedback": "f"})
    for row in FORMATS[name](record):
        assert set(row) == {"id", *FORMATS[name].columns}


def test_equal_rows_are_written_once_and_counted():
    other = Preference(**{**PAIR.to_row(), "id": "p2", "rejected": "def double(x): pass"})
    result = convert([PAIR, other], "sft")
    assert (len(result.rows), result.n_duplicates) == (1, 1)


def test_kto_rows_are_shuffled_so_that_neighbours_rarely_share_a_prompt():
    pairs = [
        Preference(id=str(n), instruction=f"i{n}", chosen="a", rejected="b") for n in range(50)
    ]
    rows = convert(pairs, "kto", FormatOptions(seed=3)).rows
    same = sum(a["messages"] == b["messages"] for a, b in itertools.pairwise(rows))
    assert same < 5
    assert rows == convert(pairs, "kto", FormatOptions(seed=3)).rows


def test_without_system_turn():
    assert rows_of("sft", system="none")[0]["messages"][0]["role"] == "user"


def test_rows_name_their_records_so_that_a_pair_is_dropped_whole():
    other = Preference(**{**PAIR.to_row(), "id": "p2", "instruction": "Halve x."})
    assert convert([PAIR, other], "pairwise").record_ids == ("p1", "p1", "p2", "p2")


@pytest.mark.parametrize("language", ["javascript", "go", "c++"])
@pytest.mark.parametrize("name", ["pairwise", "dpo", "reward"])
def test_fences_carry_the_language_of_the_row(name, language):
    pair = Preference(**{**PAIR.to_row(), "language": language})
    text = str(rows_of(name, pair)[0])
    assert text.count(f"```{language}") == 2
    assert "```python" not in text


def test_code_with_backticks_cannot_close_its_fence():
    text = solution_text('print("```")')
    assert text == '````python\nprint("```")\n````'


def test_unknown_format_lists_the_known_ones():
    with pytest.raises(ConfigError, match="dpo, grpo, kto"):
        get_format("ppo")


def test_a_curriculum_keeps_the_rows_that_its_stages_repeat():
    assert len(convert([PAIR, PAIR], "dpo", keep_repeats=True).rows) == 2
    with pytest.raises(ConfigError, match="no meaning"):
        convert([PAIR], "kto", keep_repeats=True)


def test_process_rows_label_every_line_up_to_the_first_fault():
    good = "def f(x):\n    y = x + 1\n\n    return y"
    bad = "def f(x):\n    y = x - 1\n\n    return y"
    pair = Preference(id="p", instruction="Add one.", chosen=good, rejected=bad)
    lines = ["def f(x):", "    y = x + 1", "    return y"]
    assert rows_of("process", pair) == [
        {"prompt": "Add one.\n", "completions": lines, "labels": [True, True, True]},
        {
            "prompt": "Add one.\n",
            "completions": ["def f(x):", "    y = x - 1"],
            "labels": [True, False],
        },
    ]


@pytest.mark.parametrize(
    "about", [{"criteria": "efficiency"}, {"criteria": "No eval.", "meta": {"aspect": "security"}}]
)
def test_a_line_that_is_slow_or_insecure_is_not_labelled_wrong(about):
    pair = Preference(id="p", instruction="i", chosen="a\nb\nc", rejected="a\nx\nc", **about)
    with pytest.raises(Rejected, match="not_about_correctness"):
        FORMATS["process"](pair)


def test_a_program_that_lost_its_end_is_wrong_at_its_last_line():
    pair = Preference(
        id="p", instruction="i", chosen="a = 1\nb = 2\nc = 3", rejected="a = 1\nb = 2"
    )
    assert rows_of("process", pair)[1]["labels"] == [True, False]


def test_programs_that_differ_in_many_places_tell_no_faulty_line():
    pair = Preference(id="p", instruction="i", chosen="a\nb\nc", rejected="d\ne\nc\nf")
    with pytest.raises(Rejected, match="not_one_fault"):
        FORMATS["process"](pair)


@pytest.mark.parametrize("name", ["pairwise", "pairwise_cot", "sft", "dpo", "kto", "reward"])
def test_code_reaches_the_row_letter_by_letter(name):
    # C6, C7: blank lines went, and headers and fences were stripped as sets of letters.
    code = "print('python')\n\n\ntry:\n\tx = 1  # [FEEDBACK]\n\nexcept ValueError:\n    pass"
    pair = Preference(id="p", instruction="i", chosen=code, rejected="y", feedback="[CHOSEN] is.")
    (row, *_) = rows_of(name, pair)
    texts = [str(row.get(key)) for key in ("messages", "chosen", "completion")]
    assert f"```python\n{code}\n```" in "".join(texts).replace("\\n", "\n").replace("\\t", "\t")
