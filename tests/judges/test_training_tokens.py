"""Judges score exactly the tokens that Axolotl trains on."""

from __future__ import annotations

import pytest

from codefavor.judges.chat_tokens import ChatTokens
from codefavor.prompts.chat import solution_messages, solution_text
from codefavor.records import Preference
from codefavor.training.formats import convert

from .conftest import make_tokenizer

PREFERENCE = Preference(
    id="p",
    instruction="Return the input.\n",
    chosen="def f(x):\n\n    return x\n",
    rejected="def f(x):\n    return  # ```\n",
    criteria="Correct.",
)


@pytest.mark.axolotl
def test_completion_tokens_are_those_of_axolotls_dpo_rows():
    from axolotl.prompt_strategies.dpo.chat_template import default
    from axolotl.utils.dict import DictDefault

    tokenizer = make_tokenizer()
    (row,) = convert([PREFERENCE], "dpo").rows
    config = DictDefault({"chat_template": "tokenizer_default", "datasets": [{"path": "x"}]})
    transform, _ = default(config)
    texts = transform(dict(row), tokenizer=tokenizer)
    prompt = tokenizer(texts["prompt"])["input_ids"]
    for side in ("chosen", "rejected"):
        text = texts[side]
        if not text.endswith(tokenizer.eos_token):  # trl's DPO trainer adds it
            text += tokenizer.eos_token
        whole = tokenizer(texts["prompt"] + text)["input_ids"]
        messages = solution_messages(PREFERENCE.instruction, PREFERENCE.criteria)
        answer = solution_text(getattr(PREFERENCE, side))
        assert ChatTokens(tokenizer).completion_ids(messages, answer) == (
            prompt,
            whole[len(prompt) :],
        )


@pytest.mark.axolotl
def test_reward_conversations_are_those_of_axolotls_bradley_terry_rows():
    from axolotl.prompt_strategies.bradley_terry.chat_template import load
    from axolotl.utils.dict import DictDefault

    tokenizer = make_tokenizer()
    (row,) = convert([PREFERENCE], "reward").rows
    config = DictDefault(
        {"chat_template": "tokenizer_default", "sequence_len": 2048, "reward_model": True}
    )
    strategy = load(tokenizer, config, DictDefault({"type": "bradley_terry.chat_template"}))
    found = strategy._tokenize_single_prompt(dict(row))
    for side in ("chosen", "rejected"):
        messages = [
            *solution_messages(PREFERENCE.instruction, PREFERENCE.criteria),
            {"role": "assistant", "content": solution_text(getattr(PREFERENCE, side))},
        ]
        assert ChatTokens(tokenizer).conversation_ids(messages) == found[f"{side}_ids"]


def test_a_doubled_beginning_of_text_is_removed():
    from tokenizers.processors import TemplateProcessing

    tokenizer = make_tokenizer()
    bos = tokenizer.bos_token
    processor = TemplateProcessing(
        single=f"{bos} $A", special_tokens=[(bos, tokenizer.bos_token_id)]
    )
    tokenizer.backend_tokenizer.post_processor = processor
    ids = ChatTokens(tokenizer).prompt_ids(solution_messages("Add."))
    assert ids[0] == tokenizer.bos_token_id
    assert ids[1] != tokenizer.bos_token_id
