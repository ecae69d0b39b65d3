"""Local judges of truth: which tokens are read, what a tie is, and new weights under one name."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import pytest

from codefavor.errors import ConfigError
from codefavor.evaluation.truthfulness import _split_labels
from tests.evaluation.test_truthfulness import QUESTIONS, result_of, write_json
from tests.judges.conftest import make_model, tiny_config
from tests.kit.commands import codefavor


def sentencepiece_tokenizer() -> Any:
    """In the form of Llama 2's: a space is "▁", also before the text, and words hold theirs."""
    from tokenizers import AddedToken, Tokenizer, models, normalizers
    from transformers import PreTrainedTokenizerFast

    special = ("<unk>", "<s>", "</s>")
    merges = [("y", "e"), ("ye", "s"), ("▁", "yes"), ("n", "o"), ("▁", "no")]
    pieces = [*special, "▁", *string.printable, *(left + right for left, right in merges)]
    vocabulary = {text: number for number, text in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in special])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )


def set_head(folder: Path, factor: float) -> Any:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder)
    model.lm_head.weight.data *= factor
    model.save_pretrained(folder)
    return model


@pytest.mark.integration
def test_labels_are_read_as_they_follow_and_new_weights_are_another_judge(tmp_path: Path) -> None:
    import torch

    folder = make_model(tmp_path / "judge", tiny_config())
    tokenizer = sentencepiece_tokenizer()
    tokenizer.save_pretrained(folder)
    data, out = write_json(tmp_path / "mc.json", QUESTIONS[:1]), tmp_path / "out"
    words = ["evaluate", "truthfulqa", "-m", "fake:echo", "--data", data, "--truth-judge", folder,
             "--out", out]  # fmt: skip
    found = []
    for factor in (1.0, -1.0, 0.0):
        model = set_head(folder, factor)
        for path in out.glob("*.json"):
            path.unlink()
        done = codefavor(*words, home=tmp_path)
        result = result_of(out)
        found.append(result["metrics"]["measures"]["truthful"]["mean"])
        if factor == 1.0:
            (item,) = result["items"].values()
            text = f"Q: {QUESTIONS[0]['question']}\nA: {item['text']}\nTrue:"
            (yes, no) = (tokenizer(f"{text} {word}")["input_ids"] for word in ("yes", "no"))
            assert tokenizer.convert_ids_to_tokens([yes[-1], no[-1]]) == ["▁yes", "▁no"]
            with torch.inference_mode():
                logits = model(torch.tensor([yes[:-1]])).logits[0, -1]
            expected = float(logits[yes[-1]] > logits[no[-1]])
    assert found == [expected, 1 - expected, None]
    assert result["metrics"]["unscored"] == {"judge: undecided": 1}
    assert "judge: undecided" in done.stdout


def test_a_tokenizer_without_the_labels_is_refused() -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    known = Tokenizer(models.WordLevel({"<unk>": 0}, unk_token="<unk>"))
    with pytest.raises(ConfigError, match="does not tell"):
        _split_labels(PreTrainedTokenizerFast(tokenizer_object=known), "True:")
