"""Reward models: a sequence classification model gives each program one number."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from codefavor.errors import BackendError, ConfigError, MissingPackageError
from codefavor.judges.base import Answer, BatchJudge, verdict_by_scores
from codefavor.judges.chat_tokens import ChatTokens
from codefavor.judges.options import AdapterOption, DeviceOption, ModelFolder, SystemOption
from codefavor.judges.scorer import SequenceScorer
from codefavor.prompts.chat import solution_messages, solution_text
from codefavor.records import Comparison, canonical_json

Text = tuple[str, str, str]


class RewardJudge(BatchJudge):
    """The program of higher reward wins; `p_a` is the Bradley-Terry probability.

    The reward is the single output of `AutoModelForSequenceClassification` at the last token of
    the whole conversation, whose empty system turn Axolotl's reward format writes as well (its
    column `system` is "").
    """

    def __init__(
        self,
        model_path: ModelFolder,
        adapter: AdapterOption = None,
        *,
        language: str = "python",
        system: SystemOption = "empty",
        device: DeviceOption = None,
        token_budget: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__()
        self.name = name or "reward model"
        self._language = language
        self._system = system
        model, tokenizer = load_reward_model(Path(model_path), adapter, device)
        self._tokens = ChatTokens(tokenizer)
        self.scorer = SequenceScorer(model, token_budget=token_budget)
        self._memo: dict[Text, float | BackendError] = {}

    def answer(self, comparisons: Sequence[Comparison]) -> list[Answer]:
        """A verdict for each comparison; each distinct text is scored once."""
        texts: list[Text] = [
            (one.instruction, one.criteria, code)
            for one in comparisons
            for code in (one.code_a, one.code_b)
        ]
        self._score_new([text for text in dict.fromkeys(texts) if text not in self._memo])
        scores = [self._memo[text] for text in texts]
        return [
            _verdict(scores[2 * index], scores[2 * index + 1]) for index in range(len(comparisons))
        ]

    def _score_new(self, texts: Sequence[Text]) -> None:
        sequences: dict[Text, list[int]] = {}
        for text in texts:
            ids = self.conversation_ids(text)
            try:
                self.scorer.check_length(len(ids))
            except BackendError as error:
                self._memo[text] = error
            else:
                sequences[text] = ids
        rewards = self.scorer.last_logits(list(sequences.values()), None)
        for text, reward in zip(sequences, rewards, strict=True):
            self._memo[text] = reward[0]

    def conversation_ids(self, text: Text) -> list[int]:
        """The tokens of (instruction, criteria, code), at whose end the reward is read."""
        instruction, criteria, code = text
        answer = {"role": "assistant", "content": solution_text(code, self._language)}
        question = solution_messages(instruction, criteria, system=self._system)
        return self._tokens.conversation_ids([*question, answer])


def _verdict(score_a: float | BackendError, score_b: float | BackendError) -> Answer:
    if isinstance(score_a, BackendError):
        return score_a
    if isinstance(score_b, BackendError):
        return score_b
    raw = canonical_json({"reward_a": round(score_a, 6), "reward_b": round(score_b, 6)})
    return verdict_by_scores(score_a, score_b, raw=raw)


def load_reward_model(
    model_path: Path,
    adapter: Path | str | None,
    device: str | None,
    *,
    task: Literal["SequenceClassification", "TokenClassification"] = "SequenceClassification",
    n_outputs: int = 1,
) -> tuple[Any, Any]:
    """A classification model of that many outputs and its tokenizer, ready to score.

    Raises ConfigError where the weights of the output are in neither the model nor the
    adapter: transformers would initialise them at random and only warn.
    """
    try:
        import torch
        import transformers
    except ImportError as error:
        raise MissingPackageError("transformers", "local", "a reward model as judge") from error
    if not (model_path / "config.json").is_file():
        raise ConfigError(f"{model_path}: no config.json; expected the folder of a model")
    target = device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.float32 if target == "cpu" else "auto"
    model, info = getattr(transformers, f"AutoModelFor{task}").from_pretrained(
        str(model_path), num_labels=n_outputs, dtype=dtype, output_loading_info=True
    )
    missing = [key for key in info["missing_keys"] if key.startswith("score")]
    if adapter is not None:
        _check_adapter(Path(adapter))
        model = _with_adapter(model, Path(adapter))
    elif missing:
        raise ConfigError(
            f"{model_path} has no reward head ({', '.join(missing)} is not in its weights); "
            "give the adapter that holds it, or a trained reward model"
        )
    # The adapter's folder has the chat template that it was trained with, which may be another.
    has_own = adapter is not None and (Path(adapter) / "tokenizer_config.json").is_file()
    source = str(adapter if has_own else model_path)
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(source)
    # The head reads the last token that is no padding, as the training set it.
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    return model.to(target).eval(), tokenizer


def _with_adapter(model: Any, adapter: Path) -> Any:
    try:
        from peft import PeftModel
    except ImportError as error:
        raise MissingPackageError("peft", "local", "a judge with an adapter") from error
    return PeftModel.from_pretrained(model, str(adapter))


def _check_adapter(adapter: Path) -> None:
    weights = adapter / "adapter_model.safetensors"
    if not weights.is_file():
        raise ConfigError(f"{adapter}: no adapter_model.safetensors; expected a trained adapter")
    with open(weights, "rb") as handle:
        header = json.loads(handle.read(int.from_bytes(handle.read(8), "little")))
    if not any("score" in key for key in header):
        raise ConfigError(
            f"{adapter} holds no reward head; train it with reward_model: true (or "
            "process_reward_model: true), which saves 'score' with the adapter"
        )
