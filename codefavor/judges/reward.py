"""Reward models: a sequence classification model gives each program one number."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from codefavor.backends.local import LoadedModel, load_model
from codefavor.errors import BackendError, ConfigError
from codefavor.judges.base import Answer, Text, TextJudge, verdict_by_scores
from codefavor.judges.chat_tokens import ChatTokens
from codefavor.judges.options import AdapterOption, DeviceOption, ModelFolder, SystemOption
from codefavor.judges.scorer import SequenceScorer
from codefavor.prompts.chat import solution_messages, solution_text
from codefavor.records import canonical_json


class RewardJudge(TextJudge[float]):
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
        name: str | None = None,
    ) -> None:
        super().__init__()
        self.name = name or "reward model"
        self._language = language
        self._system = system
        loaded = load_reward_model(model_path, adapter, device)
        self._tokens = ChatTokens(loaded.tokenizer)
        self.scorer = SequenceScorer(loaded.model)

    def score(self, texts: Sequence[Text]) -> list[float | BackendError]:
        """The reward of each program."""
        found = self.scorer.last_logits([self.conversation_ids(text) for text in texts])
        return [one if isinstance(one, BackendError) else one[0] for one in found]

    def verdict(self, score_a: float, score_b: float) -> Answer:
        """The verdict of two rewards."""
        raw = canonical_json({"reward_a": round(score_a, 6), "reward_b": round(score_b, 6)})
        return verdict_by_scores(score_a, score_b, raw=raw)

    def conversation_ids(self, text: Text) -> list[int]:
        """The tokens of a program behind its question, at whose end the reward is read."""
        question = solution_messages(text.instruction, text.criteria, system=self._system)
        answer = {"role": "assistant", "content": solution_text(text.code, self._language)}
        return self._tokens.conversation_ids([*question, answer])


def load_reward_model(
    model_path: Path | str,
    adapter: Path | str | None,
    device: str | None,
    *,
    task: Literal["SequenceClassification", "TokenClassification"] = "SequenceClassification",
    n_outputs: int = 1,
) -> LoadedModel:
    """A classification model of that many outputs and its tokenizer, ready to score.

    Raises ConfigError where the weights of the output are in neither the model nor the
    adapter: transformers would initialise them at random and only warn.
    """
    if adapter is not None:
        _check_adapter(Path(adapter))
    loaded = load_model(model_path, adapter=adapter, device=device, task=task, num_labels=n_outputs)
    missing = [key for key in loaded.missing_keys if key.startswith("score")]
    if missing and adapter is None:
        raise ConfigError(
            f"{model_path} has no reward head ({', '.join(missing)} is not in its weights); "
            "give the adapter that holds it, or a trained reward model"
        )
    # The head reads the last token that is no padding, as the training set it.
    loaded.model.config.get_text_config().pad_token_id = loaded.tokenizer.pad_token_id
    return loaded


def _check_adapter(adapter: Path) -> None:
    weights = adapter / "adapter_model.safetensors"
    if not weights.is_file():
        raise ConfigError(f"{adapter}: no adapter_model.safetensors; expected a trained adapter")
    from safetensors import safe_open

    with safe_open(weights, "pt") as tensors:
        has_head = any("score" in name for name in tensors.keys())  # noqa: SIM118 - no mapping
    if not has_head:
        raise ConfigError(
            f"{adapter} holds no reward head; train it with reward_model: true (or "
            "process_reward_model: true), which saves 'score' with the adapter"
        )
