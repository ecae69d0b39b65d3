"""Token lengths of rows: counted by a tokenizer whose tokens are words, so the table is by hand."""

from __future__ import annotations

import pytest

from codefavor.errors import ConfigError, DataError
from codefavor.training.formats import FORMATS
from codefavor.training.lengths import (
    conversations_of,
    load_tokenizer,
    summarise_lengths,
    token_lengths,
)
from tests.training.test_formats import PAIR, PROBLEM
from tests.training.words import save_word_tokenizer


def test_the_table_is_nearest_rank():
    table = summarise_lengths(range(1, 11), 8)
    assert (table.n, table.min, table.mean, table.median) == (10, 1, 5.5, 5)
    assert (table.p80, table.p90, table.p95, table.max) == (8, 9, 10, 10)
    assert table.n_over == 2


def test_one_row_has_one_length_everywhere():
    table = summarise_lengths([7])
    assert {table.min, table.median, table.p80, table.p90, table.p95, table.max} == {7}
    assert table.n_over == 0


def test_no_rows_have_no_table():
    with pytest.raises(DataError):
        summarise_lengths([])


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_has_its_conversations(name):
    record = PROBLEM if name == "grpo" else type(PAIR)(**{**PAIR.to_row(), "feedback": "f"})
    (row, *_) = FORMATS[name](record)
    found = conversations_of(row)
    assert len(found) == (2 if name in {"dpo", "reward"} else 1)
    for messages in found:
        assert "Double x." in "".join(
            turn["content"] for turn in messages if turn["role"] == "user"
        )
        assert [turn["role"] for turn in messages].count("assistant") == (name != "grpo")


def test_a_row_with_two_answers_counts_the_longer_one(tmp_path):
    tokenizer = load_tokenizer(str(save_word_tokenizer(tmp_path)))
    row = {"system": "", "input": "one two", "chosen": "three", "rejected": "three four five"}
    assert token_lengths([row], tokenizer) == [5]


def test_the_chat_template_counts(tmp_path):
    template = "{% for m in messages %}<turn> {{ m.content }} </turn> {% endfor %}"
    tokenizer = load_tokenizer(str(save_word_tokenizer(tmp_path, template)))
    messages = [{"role": "user", "content": "a b"}, {"role": "assistant", "content": "c"}]
    # Word tokens: < turn > a b </ turn > < turn > c </ turn >.
    assert token_lengths([{"messages": messages}] * 300, tokenizer) == [15] * 300


def test_a_template_that_refuses_the_system_role_says_what_to_do(tmp_path):
    template = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    tokenizer = load_tokenizer(str(save_word_tokenizer(tmp_path, template)))
    with pytest.raises(ConfigError, match="--system none"):
        token_lengths([{"messages": [{"role": "system", "content": ""}]}], tokenizer)


def test_a_missing_tokenizer_is_named(tmp_path):
    with pytest.raises(ConfigError, match="no tokenizer"):
        load_tokenizer(str(tmp_path / "absent"))
