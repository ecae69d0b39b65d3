"""From the words of a command line to a judge, and what a result says about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codefavor.backends.base import Backend
from codefavor.backends.registry import make_backend
from codefavor.errors import ConfigError
from codefavor.evaluation.results import read_result, rows_path
from codefavor.evaluation.stored_judge import StoredJudge
from codefavor.journal import read_journal
from codefavor.judges.base import JUDGES, Judge, make_judge
from codefavor.records import Row, file_sha256

# The original's --model-type (and today's spelling) -> our kind of judge, and its backend.
MODEL_TYPES: dict[str, tuple[str, str]] = {
    "openai": ("llm", "openai"),
    "bedrock": ("llm", "bedrock"),
    "gemini": ("llm", "gemini"),
    "google": ("llm", "gemini"),
    "anthropic": ("llm", "anthropic"),
    "vllm": ("llm", "vllm"),
    "huggingface": ("llm", "local"),
    "embedded": ("llm", "embedded"),
    "fake": ("llm", "fake"),
    "pair-rm": ("pairwise", ""),
    "score-rm": ("scalar", ""),
    "process-rm": ("process", ""),
    "likelihood": ("likelihood", ""),
    "length-bias": ("length", ""),
    "length_bias": ("length", ""),
    "random": ("random", ""),
    "ngram": ("ngram", ""),
    "jury": ("jury", ""),
    "cascade": ("cascade", ""),
}
LOCAL_KINDS = ("pairwise", "scalar", "process", "likelihood")


@dataclass(frozen=True)
class JudgeOptions:
    """What the command line says about the judge.

    `model_id` is a model id for a server, a folder for a local model, shorter/longer for
    length-bias, or for a jury or cascade the result files of its members, comma-separated (a
    cascade asks them in this order). `reduction` is the likelihood judge's, `mode` the chat
    judge's. `system` is the system turn that the model was trained with, "" for the judge's own
    default.
    """

    model_type: str
    model_id: str = ""
    model_url: str = ""
    adapter: Path | None = None
    reference: Path | None = None
    reduction: str = "mean"
    mode: str = "auto"
    max_tokens: int = 1024
    temperature: float = 0.0
    seed: int = 0
    name: str = ""
    device: str | None = None
    length_ties: str = "tie"
    language: str = "python"
    system: str = ""

    @property
    def kind(self) -> str:
        """Our kind of judge; raises ConfigError that lists the known model types."""
        if self.model_type not in MODEL_TYPES:
            known = ", ".join(sorted(MODEL_TYPES))
            raise ConfigError(f"unknown --model-type {self.model_type!r}; known: {known}")
        kind = MODEL_TYPES[self.model_type][0]
        if kind != "length":
            return kind
        if self.model_id not in ("shorter", "longer"):
            raise ConfigError(
                f"--model-type length-bias needs --model-id shorter or longer; "
                f"found {self.model_id!r}"
            )
        return self.model_id

    def make_backend(self, extra: Mapping[str, Any] | None = None) -> Backend | None:
        """The backend of a chat judge, None for the other kinds."""
        if self.kind != "llm":
            return None
        backend = MODEL_TYPES[self.model_type][1]
        options = dict(extra or {})
        if self.model_url:
            options["base_url"] = self.model_url
        if backend == "local" and self.adapter is not None:
            options["adapter"] = str(self.adapter)
        return make_backend(f"{backend}:{self.model_id}", **options)

    def make_judge(self, items: Sequence[Row], backend: Backend | None) -> Judge:
        """The judge; `items` are for the n-gram baseline, which is fitted on them."""
        kind = self.kind
        if self.system not in ("", "empty", "none"):
            raise ConfigError(f"--system is {self.system!r}; expected empty or none")
        options: dict[str, Any] = {}
        if kind in LOCAL_KINDS:
            if not self.model_id:
                raise ConfigError(f"--model-type {self.model_type} needs --model-id, a folder")
            options = {"model_path": Path(self.model_id), "adapter": self.adapter}
            options |= {"device": self.device, "language": self.language}
            if self.name:
                options["name"] = self.name
        if kind == "likelihood":
            options |= {"reduction": self.reduction, "reference_path": self.reference}
        elif kind == "llm":
            options = {
                "backend": backend,
                "mode": self.mode,
                "max_tokens": self.max_tokens,
                "temperature": self.temperature,
                "language": self.language,
                "name": self.name or None,
            }
        if self.system and kind in (*LOCAL_KINDS, "llm"):
            options["system"] = self.system
        if kind == "ngram":
            options = {"items": items, "seed": self.seed}
        elif kind == "random":
            options = {"seed": self.seed}
        elif kind in ("shorter", "longer"):
            options = {"ties": self.length_ties}
        elif kind in ("jury", "cascade"):
            options = {"judges": self._members(items), "name": self.name or None}
        assert kind in JUDGES
        return make_judge(kind, **options)

    def _members(self, items: Sequence[Row]) -> list[Judge]:
        """The members of a jury, out of their stored rows."""
        paths = [Path(name.strip()) for name in self.model_id.split(",") if name.strip()]
        if len(paths) < 2:
            raise ConfigError(
                f"--model-type {self.kind} needs --model-id with two result files or more, "
                "comma-separated"
            )
        judges: list[Judge] = []
        for path in paths:
            name = str(read_result(path)["judge"]["name"])
            judges.append(StoredJudge(name, read_journal(rows_path(path)), items))
        return judges

    def describe(self, judge: Judge, backend: Backend | None) -> Row:
        """What a result file and a manifest say about the judge: names, settings and hashes."""
        row: Row = {"name": self.name or judge.name, "kind": self.kind, "model_id": self.model_id}
        if self.kind in LOCAL_KINDS:
            row["weights"] = _weights(Path(self.model_id))
            row["adapter"] = _weights(self.adapter) if self.adapter is not None else {}
        if self.kind == "likelihood":
            row["reduction"] = self.reduction
            row["reference"] = _weights(self.reference) if self.reference is not None else {}
        if self.kind == "llm" and backend is not None:
            row |= {"backend": backend.identity, "mode": getattr(judge, "mode", self.mode)}
            row |= {"temperature": self.temperature, "max_tokens": self.max_tokens}
        if self.system:
            row["system"] = self.system
        if self.kind in ("jury", "cascade"):
            paths = [rows_path(Path(name.strip())) for name in self.model_id.split(",")]
            row["members"] = {path.stem: file_sha256(path) for path in paths}
        if self.kind in ("random", "ngram"):
            row["seed"] = self.seed
        if self.kind in ("shorter", "longer"):
            row["ties"] = self.length_ties
        return row


def _weights(folder: Path) -> Row:
    """The sha256 of each weight file of a folder, by name."""
    return {path.name: file_sha256(path) for path in sorted(folder.glob("*.safetensors"))}
