"""A model on problems with tests: sampled, run in the sandbox, measured by pass@k."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

from codefavor import __version__
from codefavor.backends.base import Backend, Mode, Sampling, Usage
from codefavor.backends.microbatch import gather_all
from codefavor.engine.context import Context
from codefavor.engine.counts import Counts, by_number
from codefavor.engine.prices import PriceTable
from codefavor.engine.runner import Step
from codefavor.errors import ConfigError, SandboxError
from codefavor.evaluation.results import versions
from codefavor.evaluation.run_usage import usd_of
from codefavor.journal import Journal, read_journal
from codefavor.journal_manifest import Responses, note_responses
from codefavor.languages import parses
from codefavor.prompts import prompt_sha256
from codefavor.records import Completion, Execution, Problem, Row
from codefavor.result_file import MODEL_FORMAT, rows_path, write_result
from codefavor.sandbox import Limits, SandboxPool
from codefavor.scoring.by_tests import digest_of_tests, problems_sha256
from codefavor.scoring.failure_classes import HALLUCINATIONS, failure_of
from codefavor.scoring.reference_answers import ReferenceAnswers
from codefavor.settings import answers_folder
from codefavor.statistics.intervals import effective_interval
from codefavor.statistics.pass_at_k import pass_rates
from codefavor.synthesis.drafts import drafts_manifest, make_drafts_step
from codefavor.synthesis.usable import without_program

Samples = Mapping[str, Sequence[Completion]]


@dataclass(frozen=True)
class ModelTask:
    """Which problems, of a set of `n_in_set`, are asked, and how; `samples` are those of a file."""

    benchmark: str
    problems: Sequence[Problem]
    sampling: Sampling
    limits: Limits
    mode: Mode = "chat"
    seed: int = 0
    samples: Samples | None = None
    n_in_set: int = 0

    def __post_init__(self) -> None:
        """Raise ConfigError for what has no meaning."""
        if not self.problems:
            raise ConfigError("no problems are left to ask about; check --limit and --sample")
        if self.samples is None and self.sampling.n > 1 and self.sampling.temperature == 0:
            raise ConfigError(
                f"{self.sampling.n} samples at temperature 0 are one answer {self.sampling.n} "
                "times; give --temperature, such as 0.8"
            )

    def settings(self) -> Row:
        """What two results must have in common to be compared."""
        if self.samples is not None:
            return {"samples": self.n_samples}
        row: Row = {
            "samples": self.sampling.n,
            "prompt": self.mode,
            "prompt_sha256": prompt_sha256("drafts"),
        }
        names = ("temperature", "top_p", "max_tokens")
        return row | {name: getattr(self.sampling, name) for name in names}

    def step(self, backend: Backend | None, until: ExitStack) -> Step:
        """What is done with a problem; without a backend the row brings the samples.

        What it opens it leaves to `until`.
        """
        return sample_and_score(None if backend is None else self.asking_step(), self.limits)

    def asking_step(self) -> Step:
        """What asks for the samples."""
        return make_drafts_step(self.sampling, self.mode)

    def tally(self) -> Tally:
        """What counts the records."""
        return Tally(self.n_samples)

    def asked_manifest(self, backend: Backend) -> Row:
        """The settings of the samples that a journal is bound to."""
        return drafts_manifest(backend, self.sampling, self.seed, self.mode)

    @property
    def n_samples(self) -> int:
        """Samples a problem (the most of any)."""
        if self.samples is None:
            return self.sampling.n
        return max(map(len, self.samples.values()))

    def rows(self) -> Iterator[Row]:
        """One input row a problem."""
        for problem in self.problems:
            if self.samples is None:
                yield problem.to_row()
            else:
                given = [one.to_row() for one in self.samples[problem.id]]
                yield {**problem.to_row(), "completions": given}


def model_result_path(folder: Path, task: ModelTask, name: str) -> Path:
    """The result file of a task and a model."""
    parts = [name]
    if task.samples is None and task.sampling.temperature:
        parts.append(f"t{task.sampling.temperature:g}")
    if task.n_samples > 1:
        parts.append(f"n{task.n_samples}")
    return folder / f"{task.benchmark}.{re.sub(r'[^A-Za-z0-9._+-]+', '-', '-'.join(parts))}.json"


def evaluate_model(
    task: ModelTask,
    name: str,
    out: Path,
    *,
    backend: Backend | None,
    pool: SandboxPool,
    make_context: Callable[[Backend | None], Context],
    run: Callable[..., Counts],
    in_batch: bool = False,
) -> tuple[Row, Counts]:
    """Ask for the samples (those not yet in the journal), run them, write the result file.

    While rows wait for a batch, and of a shard, there is no result: an empty one comes back.
    """
    context = make_context(backend)
    context.sandbox = pool
    with ExitStack() as until:
        manifest = _manifest(task, name, backend)
        journal = until.enter_context(Journal.open(rows_path(out), manifest))
        counts = run(
            task.step(backend, until),
            [{**row, **_how_it_is_run(task, pool)} for row in task.rows()],
            journal, context=context,
            label=f"{task.benchmark}: {name}", useless=without_program,
        )  # fmt: skip
    if not counts.is_whole:
        return {}, counts
    wanted = {problem.id for problem in task.problems}
    responses = Responses()
    tally = task.tally()
    for record in read_journal(rows_path(out)):
        if record["id"] in wanted:
            responses.add(record)
            tally.add(record)
    note_responses(rows_path(out), responses)
    prices = context.prices or PriceTable.load()
    used = {backend.spec: tally.usage} if backend and tally.n_priced else None
    result: Row = {
        "format": MODEL_FORMAT,
        "benchmark": task.benchmark,
        "model": {"name": name, **(backend.identity if backend else {})},
        "settings": task.settings(),
        "problems_sha256": problems_sha256(task.problems),
        "n_in_set": max(task.n_in_set, len(task.problems)),
        "license": "; ".join(sorted({one.license or "none stated" for one in task.problems})),
        **_how_it_is_run(task, pool),
        "seed": task.seed,
        "versions": versions(),
        "metrics": tally.metrics([one.id for one in task.problems]),
        "problems": {one.id: tally.problems[one.id] for one in task.problems},
        "usage": {
            **tally.usage.to_row(),
            "usd": None if used is None else usd_of(used, prices, in_batch=in_batch),
            "n_priced": tally.n_priced,
            **{"usd_paid": counts.usd if used else None, **responses.to_row()},
        },
    }
    write_result(out, result)
    return result, counts


def _how_it_is_run(task: ModelTask, pool: SandboxPool) -> Row:
    """Part of each input row, as its tests are: a change runs samples again and asks for none."""
    return {
        "limits": asdict(task.limits),
        "sandbox_level": pool.level,
        "accept": pool.accept,
    }


def _manifest(task: ModelTask, name: str, backend: Backend | None) -> Row:
    manifest: Row = {
        "step": "evaluate model",
        "benchmark": task.benchmark,
        "code_version": __version__,
    }
    if backend is None:
        return {**manifest, "name": name}
    return {**task.asked_manifest(backend), **manifest}


def sample_and_score(asked: Step | None, limits: Limits) -> Step:
    """A step from a problem to its completions, each with its execution.

    `asked` samples them; without it the row brings them. A sandbox that fails even after its
    retries ends the row as an error: that is never a statement about the program.
    """
    known = ReferenceAnswers(answers_folder())

    async def step(row: Row, context: Context) -> Row:
        pool = context.sandbox
        if pool is None:
            raise ConfigError("running samples needs a sandbox in the context")
        found = row if asked is None else await asked(row, context)
        tests, enough = await known.put_into(row["tests"], pool, limits)
        jobs = [
            pool.run_async(
                one["code"],
                tests,
                enough,
                entry_point=row["entry_point"],
                setup=row["setup"],
            )
            for one in found["completions"]
        ]
        executions = await gather_all(jobs)
        for one in executions:
            if one.outcome == "infra_error":
                raise SandboxError(one.error)
        completions = [
            {**completion, "execution": execution.to_row()}
            for completion, execution in zip(found["completions"], executions, strict=True)
        ]
        return {"id": row["id"], "tests_sha256": digest_of_tests(row), "completions": completions}

    return step


@dataclass
class Tally:
    """What the records of a run amount to, taken in one by one.

    A problem whose request failed, and a sample whose run says nothing about it, count as not
    passed; how many there were stands beside.
    """

    n_expected: int
    problems: dict[str, Row] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    n_priced: int = 0
    n_samples: int = 0
    n_parsed: int = 0
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    n_together: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    cases: dict[str, Row] = field(default_factory=dict)
    names: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    statuses: Counter[str] = field(default_factory=Counter)

    def add(self, record: Row) -> None:
        """Count the samples of one problem."""
        self.statuses[record["status"]] += 1
        used = usage_of(record)
        self.usage += used
        self.n_priced += used.input_tokens > 0
        if record["status"] != "ok":
            reason = str(record.get("reason") or record["status"])
            self.problems[record["id"]] = self._failed(record["status"], reason)
            return
        samples = record["row"]["completions"]
        passed = unknown = 0
        classes: list[str] = []
        for sample in samples:
            execution = Execution.from_row(sample["execution"])
            self.n_samples += 1
            self.outcomes[execution.outcome] += 1
            self.seconds += execution.seconds
            self.n_together += bool(execution.accepted and not execution.no_evidence)
            for cpu_s, peak_bytes in execution.cases:
                one = {"n": 1, "cpu_s": cpu_s, "cpu_s_most": cpu_s, "peak_bytes_most": peak_bytes}
                self.cases[record["id"]] = _both(self.cases.get(record["id"], {}), one)
            is_python = sample.get("language", "python") == "python"
            self.n_parsed += bool(sample["code"].strip()) and (
                not is_python or parses(sample["code"], "python")
            )
            failure = failure_of(execution, sample["code"])
            passed += execution.is_evidence_of_pass
            if execution.no_evidence:
                unknown += 1
                self.unknown[execution.no_evidence] += 1
            if failure is not None:
                self.failures[failure.kind] += 1
                if failure.kind in HALLUCINATIONS and failure.name:
                    self.names[failure.kind][failure.name] += 1
            kind = failure.kind if failure else ""
            classes.append("passed" if execution.is_evidence_of_pass else kind or "unknown")
        self.problems[record["id"]] = {
            "n": len(samples),
            "passed": passed,
            "unknown": unknown,
            "classes": classes,
        }

    def _failed(self, status: str, reason: str) -> Row:
        """A problem without samples: none of those that were asked for passed."""
        classes = [f"request_{status}"] * self.n_expected
        return {"n": self.n_expected, "passed": 0, "unknown": 0, "classes": classes,
                "status": status, "reason": reason}  # fmt: skip

    def _all_cases(self) -> Row:
        """Time and memory by input of programs that read and print, in all and by problem."""
        every: Row = {}
        for one in self.cases.values():
            every = _both(every, one)
        return {**every, "by_problem": self.cases} if every else {}

    def metrics(self, names: Iterable[str]) -> Row:
        """pass@k for each k up to the fewest samples of a problem, and every count."""
        asked = list(names)
        for name in asked:
            self.problems.setdefault(name, self._failed("missing", "no record"))
        kept = {name: self.problems[name] for name in asked}
        counted = {name: (int(p["n"]), int(p["passed"])) for name, p in kept.items()}
        most = min(n for n, _ in counted.values())
        bound = pass_rates({name: (p["n"], _at_most(p)) for name, p in kept.items()}, 1)
        n_failures = sum(self.failures.values())
        # A rejected problem's samples are the model's doing too, though they are not kept.
        n_answered = self.n_samples + self.n_expected * self.statuses["rejected"]
        return {
            "n_problems": len(asked),
            "n_samples": self.n_samples,
            "n_error": self.statuses["error"],
            "n_rejected": self.statuses["rejected"],
            "n_solved": sum(passed > 0 for _, passed in counted.values()),
            "pass_at_k": {
                str(k): effective_interval(list(pass_rates(counted, k).values())).to_row()
                for k in _shown_ks(most)
            },
            # Were every sample right whose run says nothing, or that never came.
            "pass_at_1_at_most": sum(bound.values()) / len(bound),
            "n_answered": n_answered,
            "parse_rate": self.n_parsed / n_answered if n_answered else 0.0,
            "outcomes": by_number(self.outcomes),
            "unknown": by_number(self.unknown),
            # Of the runs that count, how many a hostile program could have forged.
            "n_together": self.n_together,
            "failures": by_number(self.failures),
            "share_hallucinated": (
                sum(self.failures[one] for one in HALLUCINATIONS) / n_failures
                if n_failures
                else 0.0
            ),
            "hallucinated": {k: by_number(names, 10) for k, names in self.names.items()},
            "run_seconds_per_problem": self.seconds / len(asked),
            "cases": self._all_cases(),
        }


def _at_most(problem: Row) -> int:
    """How many samples of a problem may be right."""
    return int(problem["n"] if "status" in problem else problem["passed"] + problem["unknown"])


def _both(one: Row, other: Row) -> Row:
    """What the inputs of two groups needed: their number, CPU seconds, and the most of each."""
    if not one:
        return other
    return {
        "n": one["n"] + other["n"],
        "cpu_s": one["cpu_s"] + other["cpu_s"],
        "cpu_s_most": max(one["cpu_s_most"], other["cpu_s_most"]),
        "peak_bytes_most": max(one["peak_bytes_most"], other["peak_bytes_most"]),
    }


def usage_of(record: Row) -> Usage:
    """The tokens of all replies to one problem, whether they became samples or not."""
    if record["status"] == "ok":
        used = [sample.get("usage") or {} for sample in record["row"]["completions"]]
    else:
        used = list(record.get("usage", {}).values())
    return sum((Usage(**one) for one in used), Usage())


def _shown_ks(most: int) -> list[int]:
    """Every k up to 20, then those that people quote."""
    return [k for k in range(1, most + 1) if k <= 20 or k in (25, 50, 100, 200) or k == most]


def samples_of(out: Path, problems: Container[str]) -> Iterator[Completion]:
    """The samples of these problems behind a result file, problem by problem."""
    for record in sorted(read_journal(rows_path(out)), key=lambda one: str(one["id"])):
        if record["status"] == "ok" and record["id"] in problems:
            for one in record["row"]["completions"]:
                yield Completion.from_row(one, f"sample of {record['id']}")
