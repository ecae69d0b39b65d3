"""Judges ask exactly for the tokens that Axolotl's trainers train, on the models' own templates."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from codefavor.backends.embedded import default_folder, ensure_embedded_model
from codefavor.backends.local import chat_ids
from codefavor.errors import DataError
from codefavor.judges.chat_tokens import ChatTokens
from codefavor.judges.pairwise import LABELS
from codefavor.prompts.chat import comparison_messages, solution_messages, solution_text
from codefavor.records import Comparison, Preference, write_rows
from codefavor.training.formats import FormatOptions, convert
from codefavor.training.preference_rows import preferences
from codefavor.training.preview import Preview
from codefavor.training.recipes import MatrixLine, build, load_yaml
from codefavor.training.stand_in import StandIn

from .conftest import make_tokenizer

RECIPES = Path(__file__).parents[2] / "recipes"
LAYERS = sorted((RECIPES / "layers" / "model").glob("*.yaml"))
PREFERENCE = Preference(
    id="p",
    instruction="Return the input.\n",
    chosen="def f(x):\n\n    return x\n",
    rejected="def f(x):\n    return  # ```\n",
    criteria="Correct.",
    feedback="[CHOSEN] returns what it is given. [REJECTED] returns nothing.",
)
pytestmark = pytest.mark.axolotl


class Model:
    """The tokenizer of a model layer's stand-in, loaded by Axolotl, and the recipe's settings."""

    def __init__(self, layer: Path, folder: Path) -> None:
        from axolotl.loaders import load_tokenizer
        from axolotl.utils.dict import DictDefault

        self.layer = layer.stem
        settings = load_yaml(layer)
        header = settings.pop("header")
        stand_in = StandIn.of(settings["base_model"], RECIPES)
        stand_in.save(folder, [PREFERENCE.instruction, PREFERENCE.chosen, PREFERENCE.rejected])
        places = dict.fromkeys(("base_model", "base_model_config", "tokenizer_config"), str(folder))
        self.config = DictDefault({**settings, **places, "train_on_inputs": False})
        self.tokenizer: Any = load_tokenizer(self.config)
        self.options = FormatOptions(system=header.get("system", "empty"))

    def data(self, name: str) -> Any:
        """The data set of a recipe of this model and that data layer."""
        from axolotl.utils.dict import DictDefault

        line = MatrixLine("any", "", ("base", f"model/{self.layer}", f"data/{name}"))
        return DictDefault(build(line, RECIPES).config["datasets"][0])

    def rows(self, name: str) -> list[dict]:
        return [dict(row) for row in convert([PREFERENCE], name, self.options).rows]

    def has_one_bos(self, ids: list[int]) -> bool:
        """Where the template writes one at all (gpt-oss has the token, and does not)."""
        bos = self.tokenizer.bos_token_id
        is_written = self.layer.startswith(("llama", "codellama", "gemma", "mistral", "deepseek"))
        return [one == bos for one in ids[:2]] == [True, False] if is_written else ids[0] != ids[1]


@pytest.fixture(scope="module", params=LAYERS, ids=lambda path: path.stem)
def model(request, tmp_path_factory) -> Model:
    return Model(request.param, tmp_path_factory.mktemp("stand-in"))


def test_the_letter_that_is_read_is_the_token_that_was_trained(model: Model):
    """Qwen3, gpt-oss and Mistral-7B write something between the question and the letter."""
    from axolotl.prompt_strategies import load

    strategy = load("chat_template", model.tokenizer, model.config, model.data("pairwise"))
    both = Comparison(
        PREFERENCE.instruction, PREFERENCE.chosen, PREFERENCE.rejected, PREFERENCE.criteria
    )
    for row, label, comparison in zip(
        model.rows("pairwise"), LABELS, (both, both.swap()), strict=True
    ):
        done = strategy.tokenize_prompt(row)
        trained = [at for at, one in enumerate(done["labels"]) if one != -100]
        messages = comparison_messages(comparison, system=model.options.system)
        prompt, labels = ChatTokens(model.tokenizer).choice_ids(messages, LABELS)
        assert done["input_ids"][: len(prompt) + 1] == [*prompt, labels[LABELS.index(label)]]
        assert trained[0] == len(prompt)
        answer = [done["input_ids"][at] for at in trained]
        assert answer[-1] == model.tokenizer.eos_token_id
        assert model.tokenizer.decode(answer[:-1]).strip() == label
        assert model.has_one_bos(done["input_ids"])


def test_a_judge_that_reasons_is_asked_behind_the_tokens_before_its_trained_answer(
    model: Model, tmp_path: Path
):
    """gpt-oss opens a channel before an answer, Gemma 4 asks behind one that rows do not have."""
    from axolotl.prompt_strategies import load
    from transformers import AutoTokenizer

    from codefavor.training.plugins import RunPlugin

    strategy = load("chat_template", model.tokenizer, model.config, model.data("pairwise_cot"))
    done = [strategy.tokenize_prompt(row) for row in model.rows("pairwise_cot")]
    saved = SimpleNamespace(processing_class=copy.deepcopy(model.tokenizer))
    RunPlugin().add_callbacks_post_trainer(type(model.config)(output_dir=str(tmp_path)), saved)
    saved.processing_class.save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    both = Comparison(
        PREFERENCE.instruction, PREFERENCE.chosen, PREFERENCE.rejected, PREFERENCE.criteria
    )
    for row, comparison in zip(done, (both, both.swap()), strict=True):
        n_before = next(at for at, one in enumerate(row["labels"]) if one != -100)
        messages = comparison_messages(comparison, system=model.options.system, answer="reasoned")
        assert chat_ids(tokenizer, messages) == row["input_ids"][:n_before]
        # Whoever asks for the conversation alone gets it as before.
        assert ChatTokens(tokenizer).completion_ids(messages, "A.") == (
            ChatTokens(model.tokenizer).completion_ids(messages, "A.")
        )


def test_an_answer_of_a_pair_is_scored_by_the_tokens_that_were_trained(model: Model):
    """What TRL makes of our texts has one beginning and one end of text."""
    from axolotl.prompt_strategies.dpo import load
    from trl.data_utils import _tokenize

    transform, _ = load("codefavor.preferences", model.config, dataset_idx=0)
    texts = transform(model.rows("dpo")[0], tokenizer=model.tokenizer)
    prompt = list(_tokenize(model.tokenizer, texts["prompt"])["input_ids"])
    messages = solution_messages(
        PREFERENCE.instruction, PREFERENCE.criteria, system=model.options.system
    )
    for side in ("chosen", "rejected"):
        eos = model.tokenizer.eos_token
        end = "" if texts[side].endswith(eos) else eos  # the trainer adds it
        whole = list(_tokenize(model.tokenizer, texts["prompt"] + texts[side] + end)["input_ids"])
        answer = solution_text(getattr(PREFERENCE, side))
        asked = ChatTokens(model.tokenizer).completion_ids(messages, answer)
        assert asked == (prompt, whole[len(prompt) :])
        assert whole[: len(prompt)] == prompt
        assert whole[len(prompt) :].count(model.tokenizer.eos_token_id) == 1
        assert whole[-1] == model.tokenizer.eos_token_id
        assert model.has_one_bos(whole)


def test_a_labelled_answer_is_trained_as_that_of_a_pair(model: Model):
    """KTO has no chat template in Axolotl; its rows go through the same reader."""
    transform, _ = preferences(model.config)
    pair = transform(model.rows("dpo")[0], tokenizer=model.tokenizer)
    good, bad = (transform(row, tokenizer=model.tokenizer) for row in model.rows("kto"))
    assert good == {"label": True, "prompt": pair["prompt"], "completion": pair["chosen"]}
    assert bad == {"label": False, "prompt": pair["prompt"], "completion": pair["rejected"]}


def test_reward_conversations_are_those_of_axolotls_bradley_terry_rows(model: Model):
    from axolotl.prompt_strategies.bradley_terry.chat_template import load
    from axolotl.utils.dict import DictDefault

    if model.layer.startswith("gemma-4"):
        pytest.skip("refused, see the next test")
    config = DictDefault({**model.config, "sequence_len": 2048, "reward_model": True})
    strategy = load(model.tokenizer, config, model.data("reward"))
    found = strategy._tokenize_single_prompt(model.rows("reward")[0])
    for side in ("chosen", "rejected"):
        messages = [
            *solution_messages(
                PREFERENCE.instruction, PREFERENCE.criteria, system=model.options.system
            ),
            {"role": "assistant", "content": solution_text(getattr(PREFERENCE, side))},
        ]
        assert ChatTokens(model.tokenizer).conversation_ids(messages) == found[f"{side}_ids"]
        assert model.has_one_bos(found[f"{side}_ids"])
        # The head reads the last token that is no padding.
        assert found[f"{side}_ids"][-1] != model.tokenizer.pad_token_id


def test_a_template_whose_rewards_axolotl_would_cut_is_refused(model: Model, tmp_path: Path):
    """Behind Gemma 4's generation prompt, an empty channel takes the place of the first tokens."""
    rows = model.rows("reward")
    write_rows(tmp_path / "rows.jsonl", rows)
    data = {**model.data("reward"), "path": "rows.jsonl"}
    config = {**model.config, "sequence_len": 2048, "reward_model": True, "datasets": [data]}
    sequences = Preview(config, tmp_path).sequences()
    if model.layer.startswith("gemma-4"):
        with pytest.raises(DataError, match="loses the beginning of the answer"):
            list(sequences)
    else:
        assert [one.part for one in sequences] == ["chosen", "rejected"]


def test_labels_of_several_tokens_are_refused():
    from codefavor.errors import ConfigError

    messages = [{"role": "user", "content": "A or B?"}]
    with pytest.raises(ConfigError, match="single token"):
        ChatTokens(make_tokenizer()).choice_ids(messages, ("Alpha", "Beta"))


@pytest.mark.parametrize("answer", ["    return x + 1", "\n\nreturn x", "\treturn x", "return x"])
def test_white_space_that_an_answer_begins_with_is_scored(answer: str):
    """SmolLM2 has tokens of a line end and spaces: cut at the prompt's length, they were lost."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(ensure_embedded_model(default_folder()))
    tokens = ChatTokens(tokenizer)
    messages = [{"role": "user", "content": "Go on."}]
    prompt, scored = tokens.completion_ids(messages, answer)
    assert answer in tokenizer.decode(scored)
    assert prompt + scored == tokens.ids("".join(tokens.texts(messages, answer)))
