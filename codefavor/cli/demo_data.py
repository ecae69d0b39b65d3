"""The first half of the demo: problems, tested programs, drafts of a model, and pairs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from codefavor.backends.base import Sampling
from codefavor.backends.registry import make_backend
from codefavor.cli.demo_workspace import Workspace
from codefavor.engine.context import Context
from codefavor.engine.progress import TerminalProgress
from codefavor.engine.runner import Counts, run_sync
from codefavor.errors import DataError
from codefavor.journal import Journal, ok_rows
from codefavor.pairs.balance import balance_by_length, shorter_accuracy
from codefavor.pairs.by_execution import pair_by_execution
from codefavor.pairs.contamination import (
    MAX_INSTRUCTION,
    Contamination,
    contamination,
    leak_check,
    texts_of,
)
from codefavor.pairs.split import SPLITS, split_of
from codefavor.records import (
    Completion,
    Execution,
    Preference,
    Problem,
    Row,
    content_id,
    read_records,
    write_rows,
    write_text,
)
from codefavor.sandbox import Limits, SandboxPool
from codefavor.scoring.by_tests import score_completions
from codefavor.scoring.candidates import Candidate, candidates_of
from codefavor.scoring.mutants import print_code
from codefavor.sources.problems import load_problems
from codefavor.synthesis.drafts import completions_of, drafts_manifest, make_drafts_step

# The starter programs end in milliseconds; what needs more is a mutant that loops for ever.
PROGRAM_LIMITS = Limits(cpu_s=1.0, wall_s=20.0)
LEVELS = ("easy", "medium", "hard", "samples")


@dataclass(frozen=True)
class DataSettings:
    """What the data of a demo depends on. `problems` is a source or a path, see `load_problems`.

    `n_problems` None means all. `candidates` is the number of wrong programs tried a level and
    problem, `train_pairs` and `judged_pairs` the number kept; `drafts` the number of drafts for
    each of the `drafted` problems nearest to easy (0: no drafts).
    """

    problems: str = "starter"
    n_problems: int | None = None
    candidates: int = 4
    train_pairs: int = 1
    judged_pairs: int = 1
    drafts: int = 4
    drafted: int = 32
    draft_tokens: int = 128
    seed: int = 0
    workers: int = 2
    sandbox_level: str = "L2"


def make_problems(settings: DataSettings, out: Path, data_dir: Path | None = None) -> str:
    """Write the problems of this run; a smaller number is a sample by hash, all splits kept."""
    problems = load_problems(settings.problems, data_dir=data_dir)
    problems.sort(key=lambda problem: content_id(settings.seed, "sample", problem.id))
    kept = problems[: settings.n_problems]
    missing = set(SPLITS) - {split_of(problem.id) for problem in kept}
    if missing:
        raise DataError(
            f"{len(kept)} problems leave no problem for: {', '.join(sorted(missing))}; take more"
        )
    kept.sort(key=lambda problem: problem.id)
    write_rows(out, (problem.to_row() for problem in kept))
    return f"{len(kept)} problems"


def check_problems(problems: list[Problem], others: Mapping[str, list[Problem]], out: Path) -> str:
    """Write how near the problems are to each other across splits and to public benchmarks.

    Raises DataError when a held-out problem leaks into training, or when a problem is one of a
    benchmark's in other words.
    """
    parts = {name: [p for p in problems if split_of(p.id) == name] for name in SPLITS}
    checks: list[Row] = []
    for name in ("dev", "test"):
        report = leak_check(parts["train"], parts[name])
        checks.append({"name": f"no {name} in train", "ok": True, "detail": report.detail()})
    for name, benchmark in others.items():
        found = contamination(texts_of(problems), texts_of(benchmark))
        is_clean = not found.shared_ids and not _near(found)
        checks.append(
            {"name": f"not from {name}", "ok": is_clean, "detail": _describe(found, name)}
        )
    write_text(out, [json.dumps(checks, indent=1)])
    bad = [check["name"] for check in checks if not check["ok"]]
    if bad:
        raise DataError(f"the problems fail: {', '.join(bad)}; see {out}")
    return f"{len(checks)} checks passed"


def _near(found: Contamination) -> list[str]:
    return [near.id for near in found.instructions if near.similarity >= MAX_INSTRUCTION]


def _describe(found: Contamination, name: str) -> str:
    nearest = found.instructions[0] if found.instructions else None
    detail = f"{found.n_ours} problems against {found.n_others} of {name}"
    if nearest is not None:
        detail += f"; nearest instruction {nearest.similarity:.0f} of 100 ({nearest.other_id})"
    return detail


def run_programs(problems: list[Problem], settings: DataSettings, journal_path: Path) -> str:
    """Run every reference and every wrong program against its problem's tests."""
    by_split: dict[str, list[Problem]] = {}
    for problem in problems:
        by_split.setdefault(split_of(problem.id), []).append(problem)
    rows: list[Row] = []
    for problem in problems:
        # Only problems of the same split lend their solutions, or they would leak across it.
        lenders = by_split[split_of(problem.id)]
        rows += [
            candidate.to_row()
            for candidate in candidates_of(
                problem, lenders, per_level=settings.candidates, seed=settings.seed
            )
        ]
    counts = _run_tests(problems, rows, settings, journal_path, "programs")
    failed = [
        row["problem_id"]
        for row in ok_rows(journal_path)
        if row["level"] == "reference" and row["execution"]["outcome"] != "passed"
    ]
    if failed:
        raise DataError(f"references that fail their own tests: {', '.join(failed)}")
    return _note(counts, "programs")


def make_drafts(
    problems: list[Problem], settings: DataSettings, models: Path, journal_path: Path
) -> str:
    """Ask the embedded model for drafts of the problems with the shortest references."""
    backend = make_backend(f"embedded:{models}")
    sampling = Sampling(
        temperature=0.8, top_p=0.95, max_tokens=settings.draft_tokens, n=settings.drafts
    )
    chosen = sorted(problems, key=lambda problem: (len(problem.reference), problem.id))
    rows = [problem.to_row() for problem in chosen[: settings.drafted]]
    manifest = drafts_manifest(backend, sampling, settings.seed)
    with Journal.open(journal_path, manifest) as journal:
        counts = run_sync(
            make_drafts_step(sampling),
            rows,
            journal,
            context=Context(backend=backend, seed=settings.seed),
            concurrency=64,
            progress=TerminalProgress(),
            label="drafts",
        )
    return _note(counts, "problems asked")


def run_drafts(
    problems: list[Problem], settings: DataSettings, drafts: Path, journal_path: Path
) -> str:
    """Run every draft, printed like all other programs, against its problem's tests."""
    rows: dict[str, Row] = {}
    for result in ok_rows(drafts):
        for draft in completions_of(result):
            completion = Completion.from_row(draft, f"draft of {result['id']}")
            row = Candidate(
                completion.problem_id, _printed(completion.code), "draft", "samples"
            ).to_row()
            rows[row["id"]] = row
    counts = _run_tests(problems, list(rows.values()), settings, journal_path, "drafts run")
    return _note(counts, "distinct drafts")


def _printed(code: str) -> str:
    """The code from the one printer; what does not parse stays as the model wrote it."""
    try:
        return print_code(code)
    except DataError:
        return code


def _run_tests(
    problems: list[Problem], rows: list[Row], settings: DataSettings, path: Path, label: str
) -> Counts:
    by_id = {problem.id: problem.to_row() for problem in problems}
    jobs = [
        {"id": row["id"], "completion": row, "problem": by_id[row["problem_id"]]} for row in rows
    ]
    manifest = {
        "step": "score_completions",
        "limits": {"cpu_s": PROGRAM_LIMITS.cpu_s, "wall_s": PROGRAM_LIMITS.wall_s},
        "rows": content_id(rows),
    }
    with (
        SandboxPool(settings.workers, required_level=settings.sandbox_level) as pool,
        Journal.open(path, {**manifest, "sandbox_level": pool.level}) as journal,
    ):
        return run_sync(
            score_completions(PROGRAM_LIMITS),
            jobs,
            journal,
            context=Context(sandbox=pool),
            concurrency=2 * settings.workers,
            progress=TerminalProgress(),
            label=label,
        )


def make_pairs(
    problems: list[Problem], journals: Iterable[Path], settings: DataSettings, folder: Path
) -> str:
    """Pair by execution, balance the lengths, split by problem; writes <split>.jsonl."""
    scored = [row for path in journals if path.exists() for row in ok_rows(path)]
    pairing = pair_by_execution({p.id: p for p in problems}, scored, seed=settings.seed)
    write_text(folder / "all_pairs.txt", [f"{len(pairing.pairs)}\n"])
    write_rows(
        folder / "rejections.jsonl",
        ({"reason": reason, "n": n} for reason, n in sorted(pairing.reasons.items())),
    )
    total = 0
    for split in SPLITS:
        per_problem = settings.train_pairs if split == "train" else settings.judged_pairs
        kept = balance_by_length(
            [pair for pair in pairing.pairs if split_of(pair.problem_id) == split],
            per_problem=per_problem,
            group_of=lambda pair: pair.level,
            seed=settings.seed,
        )
        total += write_rows(folder / f"{split}.jsonl", (pair.to_row() for pair in kept))
    return f"{total} of {len(pairing.pairs)} pairs kept"


def outcomes_of(journals: Iterable[Path]) -> dict[str, dict[str, int]]:
    """How many programs of each level ended in which outcome."""
    found: dict[str, Counter[str]] = {}
    for path in journals:
        for row in ok_rows(path) if path.exists() else ():
            execution = Execution.from_row(row["execution"])
            found.setdefault(row["level"], Counter())[execution.outcome] += 1
    return {level: dict(counts.most_common()) for level, counts in found.items()}


def balance_rows(folder: Path) -> list[Row]:
    """For each split and level: how many pairs, and what the length alone is worth."""
    rows = []
    for split in SPLITS:
        pairs = read_pairs(folder / f"{split}.jsonl")
        for level in LEVELS:
            group = [pair for pair in pairs if pair.level == level]
            if group:
                shorter = shorter_accuracy(group)
                n_problems = len({pair.problem_id for pair in group})
                rows.append(
                    {
                        "split": split,
                        "level": level,
                        "n": len(group),
                        "n_problems": n_problems,
                        "shorter": shorter,
                        "longer": 1 - shorter,
                    }
                )
    return rows


def read_pairs(path: Path) -> list[Preference]:
    """The pairs of one split; none for an empty file, which a small run may have."""
    return read_records(path, Preference) if path.stat().st_size else []


def _note(counts: Counts, what: str) -> str:
    note = f"{counts.n_ok + counts.n_resumed} {what}"
    if counts.n_error or counts.n_rejected:
        note += f", {counts.n_error} errors, {counts.n_rejected} rejected ({counts.reasons})"
    return note


def prepare_data(workspace: Workspace, settings: DataSettings, benchmarks: Path | None) -> None:
    """All stages of this half, in order; see the functions above."""
    problems_path = workspace.path("problems.jsonl")
    programs, drafts = workspace.path("programs.jsonl"), workspace.path("drafts.jsonl")
    draft_runs, pairs = workspace.path("draft_runs.jsonl"), workspace.path("pairs")
    base = {key: getattr(settings, key) for key in ("problems", "n_problems", "seed")}
    source = Path(settings.problems)
    if source.is_file():
        base["content"] = content_id(source.read_text(encoding="utf-8"))
    workspace.stage(
        "problems",
        base,
        [problems_path],
        lambda: make_problems(settings, problems_path, benchmarks),
    )
    problems = read_records(problems_path, Problem)
    checks = workspace.path("checks.json")
    workspace.stage(
        "checks",
        {"benchmarks": str(benchmarks)},
        [checks],
        lambda: check_problems(problems, _benchmarks(benchmarks), checks),
        after=("problems",),
    )
    workspace.stage(
        "programs",
        {"candidates": settings.candidates, "level": settings.sandbox_level},
        [programs],
        lambda: run_programs(problems, settings, programs),
        after=("problems",),
    )
    after = ["programs"]
    if settings.drafts:
        models = workspace.path("models")
        drafted = {key: getattr(settings, key) for key in ("drafts", "drafted", "draft_tokens")}
        workspace.stage(
            "drafts",
            drafted,
            [drafts],
            lambda: make_drafts(problems, settings, models, drafts),
            after=("problems",),
        )
        workspace.stage(
            "draft runs",
            {"level": settings.sandbox_level},
            [draft_runs],
            lambda: run_drafts(problems, settings, drafts, draft_runs),
            after=("drafts",),
        )
        after.append("draft runs")
    kept = {"train_pairs": settings.train_pairs, "judged_pairs": settings.judged_pairs}
    workspace.stage(
        "pairs",
        kept,
        [pairs / f"{split}.jsonl" for split in SPLITS],
        lambda: make_pairs(problems, [programs, draft_runs], settings, pairs),
        after=tuple(after),
    )


def _benchmarks(data_dir: Path | None) -> dict[str, list[Problem]]:
    if data_dir is None:
        return {}
    return {name: load_problems(name, data_dir=data_dir) for name in ("humaneval", "mbpp")}
