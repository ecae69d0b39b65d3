"""From the words of a command line to a judge, and what a result says about it."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from codefavor.backends.base import Backend
from codefavor.backends.registry import make_backend
from codefavor.errors import ConfigError
from codefavor.evaluation.results import read_result, rows_path
from codefavor.evaluation.stored_judge import StoredJudge, held_out_weights
from codefavor.journal import read_journal
from codefavor.judges.base import JUDGES, Judge, make_judge
from codefavor.records import Problem, Row, file_sha256
from codefavor.sandbox import Limits, SandboxPool
from codefavor.text import comma_list

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
    "execution": ("execution", ""),
    "jury": ("jury", ""),
    "cascade": ("cascade", ""),
}
LOCAL_KINDS = ("pairwise", "scalar", "process", "likelihood")
COMBINED_KINDS = ("jury", "cascade")
# Weights of a jury's members that are learnt from their accuracies on other problems.
BY_ACCURACY = "accuracy"


@dataclass(frozen=True)
class SandboxOptions:
    """Where and how tests run: programs at a time (0: every core), least isolation, limits."""

    workers: int = 0
    level: str = "L2"
    cpu_s: float = 5.0
    wall_s: float = 20.0
    memory_bytes: int = 1 << 30

    @property
    def limits(self) -> Limits:
        """The limits of one run."""
        return Limits(cpu_s=self.cpu_s, wall_s=self.wall_s, memory_bytes=self.memory_bytes)

    def make_pool(self) -> SandboxPool:
        """The pool, to be entered; raises SandboxError where the level cannot be had."""
        return SandboxPool(self.workers or os.cpu_count() or 1, required_level=self.level)


@dataclass(frozen=True)
class TestBench:
    """What the execution judge needs: tests by the id of the pair, and a sandbox to run them."""

    problems: Mapping[str, Problem]
    pool: SandboxPool
    # pytest looks for tests in classes of this name.
    __test__ = False

    def digest(self) -> list[list[str]]:
        """What the verdicts depend on: other tests are another run."""
        known = sorted(self.problems.items())
        return [[item_id, one.tests, one.entry_point] for item_id, one in known]


@dataclass(frozen=True)
class JudgeOptions:
    """What the command line says about the judge.

    `model_id` is a model id for a server, a folder for a local model, shorter/longer for
    length-bias, or for a jury or cascade its members, comma-separated (a cascade asks them in
    this order): the result file of an earlier run, whose stored verdicts are looked up, or
    model_type:model_id for a judge that is asked now, with the other options as they are.
    `reduction` is the likelihood judge's, `pooling` the process judge's, `mode` the chat
    judge's. `system` is the system turn that the model was trained with, "" for the judge's own
    default. `weights` of a jury are numbers with commas or "accuracy" (see `held_out_weights`),
    `by_probability` and `min_confidence` as in `Jury` and `Cascade`. `problems` names the tests
    of the execution judge (see `tests_of`).
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
    pooling: str = "mean"
    dtype: str = "auto"
    weights: str = ""
    by_probability: bool = False
    min_confidence: float = 0.8
    problems: tuple[str, ...] = ()
    sandbox: SandboxOptions = SandboxOptions()

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

    @property
    def spec(self) -> str:
        """How this judge is called as a member of another."""
        return f"{self.model_type}:{self.model_id}"

    def make_backends(self, extra: Mapping[str, Any] | None = None) -> dict[str, Backend]:
        """The backend of each chat model that is asked, by the `spec` of its judge."""
        if self.kind in COMBINED_KINDS:
            chats = {
                one.spec: one for one in self.members() if one is not None and one.kind == "llm"
            }
            return {spec: one.make_backends(extra)[spec] for spec, one in chats.items()}
        if self.kind != "llm":
            return {}
        backend = MODEL_TYPES[self.model_type][1]
        options = dict(extra or {})
        if self.model_url:
            options["base_url"] = self.model_url
        if backend == "local" and self.adapter is not None:
            options["adapter"] = str(self.adapter)
        return {self.spec: make_backend(f"{backend}:{self.model_id}", **options)}

    def make_judge(
        self,
        items: Sequence[Row],
        backends: Mapping[str, Backend],
        bench: TestBench | None = None,
    ) -> Judge:
        """The judge. `items` are for those that learn from them or look them up, `bench` for
        the execution judge."""
        kind = self.kind
        if self.system not in ("", "empty", "none"):
            raise ConfigError(f"--system is {self.system!r}; expected empty or none")
        options: dict[str, Any] = {}
        if kind in LOCAL_KINDS:
            options = self._local_options()
        elif kind == "llm":
            options = {"backend": backends[self.spec], "mode": self.mode}
            options["max_tokens"] = self.max_tokens
            options |= {"temperature": self.temperature, "language": self.language}
            options["name"] = self.name or None
            if self.temperature and "seed" in backends[self.spec].features:
                options["seed"] = self.seed
        if self.system and kind in (*LOCAL_KINDS, "llm"):
            options["system"] = self.system
        if kind == "ngram":
            options = {"items": items, "seed": self.seed}
        elif kind == "random":
            options = {"seed": self.seed}
        elif kind in ("shorter", "longer"):
            options = {"ties": self.length_ties}
        elif kind == "execution":
            if bench is None:
                raise ConfigError("the execution judge needs tests and a sandbox to run them")
            options = {"problems": bench.problems, "pool": bench.pool}
            options["limits"] = self.sandbox.limits
        elif kind in COMBINED_KINDS:
            options = self._combined_options(items, backends, bench)
        assert kind in JUDGES
        return make_judge(kind, **options)

    def fitted(self, languages: Collection[str]) -> JudgeOptions:
        """The options for programs of these languages: fences carry the one there is, or none."""
        language = next(iter(languages)) if len(set(languages)) == 1 else ""
        return replace(self, language=language)

    def members(self) -> list[JudgeOptions | None]:
        """The options of each member that is asked now, None for a stored one, in order.

        Raises ConfigError for fewer than two members.
        """
        names = self._member_names()
        found: list[JudgeOptions | None] = []
        for name in names:
            model_type, colon, model_id = name.partition(":")
            is_live = model_type in MODEL_TYPES and (colon or not Path(name).is_file())
            if is_live and MODEL_TYPES[model_type][0] in COMBINED_KINDS:
                raise ConfigError(f"a {self.kind} cannot be a member's member: {name}")
            options = replace(self, model_type=model_type, model_id=model_id, name="")
            found.append(options if is_live else None)
        return found

    def needs_tests(self) -> bool:
        """Whether this judge, or one of its members, runs tests."""
        if self.kind in COMBINED_KINDS:
            return any(one is not None and one.kind == "execution" for one in self.members())
        return self.kind == "execution"

    def _member_names(self) -> tuple[str, ...]:
        names = comma_list(self.model_id)
        if len(names) < 2:
            raise ConfigError(
                f"--model-type {self.kind} needs --model-id with two members or more, "
                "comma-separated: result files, or model-type:model-id"
            )
        return names

    def _local_options(self) -> dict[str, Any]:
        if not self.model_id:
            raise ConfigError(f"--model-type {self.model_type} needs --model-id, a folder")
        options: dict[str, Any] = {"model_path": Path(self.model_id), "adapter": self.adapter}
        options |= {"device": self.device, "language": self.language}
        if self.name:
            options["name"] = self.name
        if self.kind == "likelihood":
            options |= {"reduction": self.reduction, "reference_path": self.reference}
        if self.kind == "process":
            options["pooling"] = self.pooling
        if self.dtype != "auto":
            options["dtype"] = self.dtype
        return options

    def _combined_options(
        self, items: Sequence[Row], backends: Mapping[str, Backend], bench: TestBench | None
    ) -> dict[str, Any]:
        judges: list[Judge] = []
        for name, options in zip(self._member_names(), self.members(), strict=True):
            if options is not None:
                judges.append(options.make_judge(items, backends, bench))
            else:
                path = Path(name)
                label = str(read_result(path)["judge"]["name"])
                judges.append(StoredJudge(label, read_journal(rows_path(path)), items))
        made: dict[str, Any] = {"judges": judges, "name": self.name or None}
        if self.kind == "cascade":
            return made | {"min_confidence": self.min_confidence}
        return made | {
            "weights": self._weights(judges, items),
            "by_probability": self.by_probability,
        }

    def _weights(
        self, judges: Sequence[Judge], items: Sequence[Row]
    ) -> Sequence[float] | Mapping[str, Sequence[float]] | None:
        if not self.weights:
            return None
        if self.weights == BY_ACCURACY:
            stored = [judge for judge in judges if isinstance(judge, StoredJudge)]
            if len(stored) < len(judges):
                raise ConfigError("--weights accuracy needs stored runs: name result files alone")
            return held_out_weights(stored, items)
        try:
            return [float(one) for one in self.weights.split(",")]
        except ValueError as error:
            raise ConfigError(
                f"--weights is {self.weights!r}; expected numbers with commas, or {BY_ACCURACY}"
            ) from error

    def describe(self, judge: Judge, backends: Mapping[str, Backend]) -> Row:
        """What a result file and a manifest say about the judge: names, settings and hashes."""
        row: Row = {"name": self.name or judge.name, "kind": self.kind, "model_id": self.model_id}
        if self.kind == "llm":
            row["mode"] = getattr(judge, "mode", self.mode)
        return row | self.describe_settings(backends)

    def describe_settings(self, backends: Mapping[str, Backend]) -> Row:
        """The settings that the verdicts depend on, and the hashes of local weights."""
        row: Row = {}
        if self.kind in LOCAL_KINDS:
            row["weights"] = _sha256_of_weights(Path(self.model_id))
            row["adapter"] = _sha256_of_weights(self.adapter) if self.adapter is not None else {}
        if self.kind == "likelihood":
            row["reduction"] = self.reduction
            row["reference"] = (
                _sha256_of_weights(self.reference) if self.reference is not None else {}
            )
        if self.kind == "llm":
            row |= {"backend": backends[self.spec].identity}
            row |= {"temperature": self.temperature, "max_tokens": self.max_tokens}
            is_silent = "temperature" in backends[self.spec].identity.get("omit", ())
            row |= {"seed": self.seed} if self.temperature or is_silent else {}
        if self.kind == "process":
            row["pooling"] = self.pooling
        if self.kind in LOCAL_KINDS and self.dtype != "auto":
            row["dtype"] = self.dtype
        if self.system:
            row["system"] = self.system
        if self.kind in COMBINED_KINDS:
            row["members"] = self._describe_members(backends)
            row |= {"min_confidence": self.min_confidence} if self.kind == "cascade" else {}
        if self.kind == "jury" and (self.weights or self.by_probability):
            row |= {"jury_weights": self.weights, "by_probability": self.by_probability}
        if self.needs_tests():
            row |= {"problems": list(self.problems), "sandbox": asdict(self.sandbox)}
            del row["sandbox"]["workers"]
        if self.kind in ("random", "ngram"):
            row["seed"] = self.seed
        if self.kind in ("shorter", "longer"):
            row["ties"] = self.length_ties
        return row

    def _describe_members(self, backends: Mapping[str, Backend]) -> Row:
        members: Row = {}
        for name, options in zip(self._member_names(), self.members(), strict=True):
            if options is None:
                path = rows_path(Path(name))
                members[path.stem] = file_sha256(path)
            else:
                mode = {"mode": options.mode} if options.kind == "llm" else {}
                members[name] = options.describe_settings(backends) | mode
        return members


def _sha256_of_weights(folder: Path) -> Row:
    """The sha256 of each weight file of a folder, by name."""
    return {path.name: file_sha256(path) for path in sorted(folder.glob("*.safetensors"))}
