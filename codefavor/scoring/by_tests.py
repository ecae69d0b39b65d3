"""Scoring completions by running the tests of their problems: a step for the runner."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codefavor.errors import ConfigError, DataError, SandboxError
from codefavor.idset import IdSet
from codefavor.languages.python_code import put_before
from codefavor.records import Completion, Execution, Problem, Row, content_id, read_rows
from codefavor.sandbox import Limits
from codefavor.scoring.reference_answers import ReferenceAnswers
from codefavor.settings import answers_folder

if TYPE_CHECKING:
    from codefavor.engine.context import Context
    from codefavor.engine.runner import Step


def score_completions(limits: Limits | None = None) -> Step:
    """A step from {"id", "completion", "problem"} to the completion's row with "execution" and
    "tests_sha256".

    A sandbox that fails even after its retries ends the row as an error: that is never a
    statement about the program.
    """
    known = ReferenceAnswers(answers_folder())

    async def step(row: Row, context: Context) -> Row:
        if context.sandbox is None:
            raise ConfigError("scoring by tests needs a sandbox in the context")
        problem, completion = row["problem"], row["completion"]
        tests, enough = await known.put_into(problem["tests"], context.sandbox, limits)
        execution = await context.sandbox.run_async(
            completion["code"],
            tests,
            enough,
            entry_point=problem.get("entry_point", ""),
            setup=problem.get("setup", ""),
        )
        if execution.outcome == "infra_error":
            raise SandboxError(execution.error)
        found = {"execution": execution.to_row(), "tests_sha256": digest_of_tests(problem)}
        return {**completion, **found}

    return step


def join_with_problems(
    path: Path, problems: Mapping[str, Problem], unknown: Counter[str] | None = None
) -> Iterator[Row]:
    """The step's rows for a file of completions, or of EvalPlus samples.

    A sample is {"task_id", "solution"} (a whole program) or {"task_id", "completion"} (what
    continues the problem's prompt). Raises DataError, naming file and line, for a row of
    neither kind, and for one of an unknown problem, unless `unknown` is there to count these.
    """
    seen, again = IdSet(), Counter[str]()
    for where, row in read_rows(path):
        name = row.get("problem_id", row.get("task_id"))
        if unknown is not None and isinstance(name, str) and name not in problems:
            unknown[name] += 1
            continue
        completion = completion_of(row, where, problems)
        # The same text may be sampled twice; each sample stays a row of its own.
        row_id = completion.id
        if not seen.add(row_id):
            again[row_id] += 1
            row_id = content_id(row_id, again[row_id])
        problem = problems[completion.problem_id]
        yield {
            "id": row_id,
            "completion": {**row, **completion.to_row(), "id": row_id},
            "problem": {
                "tests": problem.tests,
                "entry_point": problem.entry_point,
                "setup": problem.setup,
            },
        }


def completion_of(row: Row, where: str, problems: Mapping[str, Problem]) -> Completion:
    """The completion in a row of ours or of EvalPlus; raises DataError as `join_with_problems`."""
    name = row.get("problem_id", row.get("task_id"))
    if name is not None and not isinstance(name, str):
        raise DataError(f"{where}: the id of the problem must be text, not {name!r}")
    if name is None:
        raise DataError(
            f"{where}: neither a completion (problem_id, code) nor an EvalPlus sample "
            f"(task_id, solution or completion); found only {', '.join(sorted(row))}"
        )
    if name not in problems:
        known = ", ".join(list(problems)[:3])
        raise DataError(f"{where}: no problem {name!r} in the given problems (they have {known}…)")
    if "code" in row:
        row = {**row, "code": "" if row["code"] is None else row["code"]}  # a failed generation
        return Completion.from_row({"id": content_id(name, row["code"]), **row}, where)
    code = _sample_code(row, where, problems[name])
    return Completion(id=content_id(name, code), problem_id=name, code=code)


def _sample_code(row: Row, where: str, problem: Problem) -> str:
    for field in ("solution", "completion"):
        text = row.get(field)
        if isinstance(text, str):
            return text if field == "solution" else put_before(problem.prompt, text)
    raise DataError(f"{where}: an EvalPlus sample needs the text 'solution' or 'completion'")


def refuse_untested(problems: Iterable[Problem]) -> None:
    """Raise DataError if one of these problems has no tests: nothing could be said about it."""
    names = [one.id for one in problems if not one.tests.strip()]
    if names:
        few = ", ".join(names[:3])
        raise DataError(
            f"{len(names)} problems have no tests, and no program passes or fails them: "
            f"{few}{', …' if len(names) > 3 else ''}; leave them out"
        )


def problems_sha256(problems: Iterable[Problem]) -> str:
    """One digest of what is asked and of all the tests: other ones are another run."""
    return content_id(
        [[p.id, p.instruction, p.prompt, p.tests, p.entry_point, p.setup] for p in problems]
    )


def digest_of_tests(problem: Mapping[str, Any]) -> str:
    """16 hex digits that say by which tests, of which entry point, with which setup a program ran.

    The pairs of a problem rest on runs of these tests alone, whatever the id of others is.
    """
    return content_id(*(problem.get(name, "") for name in ("tests", "entry_point", "setup")))[:16]


def summarize(rows: Iterable[Row]) -> dict[str, Any]:
    """Counts by outcome, lane and level of scored rows, and the share that passed by evidence.

    `share_of_evidence` leaves out the runs that say nothing about their program. A program can
    make its run one of these, so that a rate to compare models by is `share_passed`.
    """
    n, n_passed, n_accepted = 0, 0, 0
    outcomes, no_evidence = Counter[str](), Counter[str]()
    lanes, levels = Counter[str](), Counter[str]()
    for row in rows:
        run = Execution.from_row(row["execution"])
        n += 1
        n_passed += run.is_evidence_of_pass
        n_accepted += run.accepted == "together"
        outcomes[run.outcome] += 1
        no_evidence[run.no_evidence] += bool(run.no_evidence)
        lanes[run.trust] += 1
        levels[run.level] += 1
    n_evidence = n - no_evidence.total()
    return {
        "n": n,
        "n_passed": n_passed,
        "share_passed": n_passed / n if n else 0.0,
        "share_of_evidence": n_passed / n_evidence if n_evidence else 0.0,
        "outcomes": dict(outcomes.most_common()),
        "no_evidence": dict(+no_evidence),
        "lanes": dict(lanes),
        "accepted_together": n_accepted,
        "levels": dict(levels),
    }


def as_json(summary: Mapping[str, Any]) -> str:
    """A summary as text for people and programs."""
    return json.dumps(summary, indent=2)
