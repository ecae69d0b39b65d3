"""Rewards read the final answer of a sample by its tokens, as TRL hands both over."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from codefavor.errors import ConfigError
from codefavor.judges.chat_tokens import ChatTokens
from codefavor.records import Problem
from codefavor.training import rehearsal_grpo, reply_text, rewards
from codefavor.training.stand_in import StandIn

pytestmark = pytest.mark.axolotl

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
TESTS = "assert double(2) == 4\nassert double(0) == 0\nassert double(-1) == -2"
RIGHT = "```python\ndef double(x):\n    return 2 * x\n```"
WRONG = "```python\ndef double(x):\n    return 3 * x\n```"
# How each family writes a thought and an answer behind its generation prompt.
FORMS = {
    "openai/gpt-oss-20b": (
        "<|channel|>analysis<|message|>Draft:\n{}\nHm.",
        "<|end|><|start|>assistant<|channel|>final<|message|>{}<|return|>",
    ),
    "google/gemma-4-12B-it": ("<|channel>thought\nDraft:\n{}\nHm.", "<channel|>{}<turn|>"),
    "Qwen/Qwen3-8B": ("<think>\nDraft:\n{}\nHm.", "\n</think>\n\n{}<|im_end|>"),
}
OPENED = "{{ '<|im_start|>assistant\n<think>\n' if add_generation_prompt else '' }}"


@pytest.fixture(scope="module", autouse=True)
def _sandbox_ends():
    yield
    rewards._runner.close()


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch):
    monkeypatch.setattr(reply_text, "_reader", reply_text._Reader())


def tokenizer_of(name, tmp_path):
    import transformers

    StandIn.of(name, RECIPES).save(tmp_path, [RIGHT, WRONG, "Draft: Hm."])
    return transformers.AutoTokenizer.from_pretrained(str(tmp_path))


def paid(tokenizer, samples, *, template=None, knows=True):
    """What TRL's trainer is told of samples: texts without special tokens, and the tokens."""
    from codefavor.training.plugins import RunPlugin

    ids = [tokenizer(one, add_special_tokens=False)["input_ids"] for one in samples]
    texts = tokenizer.batch_decode(ids, skip_special_tokens=True)
    trainer = SimpleNamespace(
        processing_class=tokenizer,
        chat_template=template,
        chat_template_kwargs={},
        model=SimpleNamespace(named_parameters=list),
    )
    if knows:
        RunPlugin().post_trainer_create(
            SimpleNamespace(rl="grpo", precompute_ref_log_probs=None), trainer
        )
    columns = {"tests": [TESTS] * len(ids), "entry_point": ["double"] * len(ids)}
    completions = [[{"role": "assistant", "content": text}] for text in texts]
    return rewards.passes_tests(completions, completion_ids=ids, **columns)


@pytest.mark.parametrize("name", FORMS)
def test_the_final_answer_is_paid_and_not_the_draft(name, tmp_path):
    tokenizer = tokenizer_of(name, tmp_path)
    thought, answer = FORMS[name]
    samples = [
        thought.format(WRONG) + answer.format(RIGHT),
        thought.format(RIGHT) + answer.format(WRONG),
        thought.format(RIGHT),
    ]
    assert paid(tokenizer, samples) == [1.0, 0.0, 0.0]


def test_a_prompt_that_opens_the_thinking_is_part_of_what_was_thought(tmp_path):
    tokenizer = tokenizer_of("Qwen/Qwen3-8B", tmp_path)
    samples = [RIGHT, f"{RIGHT}\n</think>\n\n{WRONG}", f"{WRONG}\n</think>\n\n{RIGHT}"]
    assert paid(tokenizer, samples, template=OPENED) == [0.0, 0.0, 1.0]


def test_without_the_tokenizer_nothing_is_paid(tmp_path):
    tokenizer = tokenizer_of("Qwen/Qwen3-8B", tmp_path)
    with pytest.raises(ConfigError, match="RunPlugin"):
        paid(tokenizer, [RIGHT], knows=False)


def test_a_template_that_thinks_between_unknown_marks_is_refused(tmp_path):
    tokenizer = tokenizer_of("Qwen/Qwen3-8B", tmp_path)
    with pytest.raises(ConfigError, match="draft"):
        paid(tokenizer, [RIGHT], template="{% if enable_thinking %}<mull>{% endif %}")


def test_the_rehearsal_sees_a_draft_that_was_paid(tmp_path):
    tokenizer = tokenizer_of("openai/gpt-oss-20b", tmp_path)
    problem = Problem("p", "Double x.", TESTS, "double", "")
    thought, answer = FORMS["openai/gpt-oss-20b"]
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Double x."}], add_generation_prompt=True, tokenize=False
    )
    prompt = tokenizer(asked, add_special_tokens=False)["input_ids"]
    text = thought.format(RIGHT) + answer.format(WRONG)
    sample = tokenizer(text, add_special_tokens=False)["input_ids"]
    trl = {"reward_funcs": ["codefavor.training.rewards.passes_tests"]}
    trained = SimpleNamespace(tokenizer=tokenizer, config={"trl": trl})
    row = {"ids": [*prompt, *sample], "trained": [0] * len(prompt) + [1] * len(sample)}
    questions = {tuple(prompt): problem}

    def problems(paid: float) -> list[str]:
        rows = [{**row, "label": [paid]}]
        return list(rehearsal_grpo._reward_problems(rows, questions, trained))

    assert problems(0.0) == []
    assert "passes_tests gave 1.0" in problems(1.0)[0]


def test_a_sample_of_the_rehearsal_has_a_draft_where_the_template_writes_thoughts(tmp_path):
    code = "def double(x):\n    return 2 * x"
    one = rehearsal_grpo.Question("Double x.", code, "def double(x):\n    pass")
    question = [{"role": "user", "content": one.text}]
    for name, has_draft in (("openai/gpt-oss-20b", True), ("Qwen/Qwen3-8B", True),
                            ("google/gemma-4-12B-it", False),
                            ("Qwen/Qwen3-4B-Instruct-2507", False)):  # fmt: skip
        tokenizer = tokenizer_of(name, tmp_path / name)
        prompt, sample = rehearsal_grpo.sample_ids(ChatTokens(tokenizer), question, one)
        written = tokenizer.apply_chat_template(question, add_generation_prompt=True)
        assert prompt == list(written["input_ids"])
        assert ("return None" in tokenizer.decode(sample)) == has_draft
        assert "pass" not in tokenizer.decode(sample)
        assert sample[-1] == tokenizer.eos_token_id


@pytest.mark.parametrize("name", FORMS)
def test_the_rehearsal_knows_a_question_behind_an_empty_thought_or_before_one(name, tmp_path):
    """Gemma 4 is asked behind one and judged without, Qwen3 the other way round."""
    tokenizer = tokenizer_of(name, tmp_path)
    turns = [[{"role": "user", "content": text}] for text in ("Double x.", "Halve x.")]
    judged = [tuple(ChatTokens(tokenizer).completion_ids(one, "")[0]) for one in turns]
    asked = [
        tokenizer.apply_chat_template(one, add_generation_prompt=True)["input_ids"] for one in turns
    ]
    problem = Problem("p", "Double x.", TESTS, "double", "")
    known = {judged[0]: problem}
    assert rehearsal_grpo._asked(known, tuple(asked[0]), tokenizer) is problem
    assert rehearsal_grpo._asked(known, tuple(asked[1]), tokenizer) is None
