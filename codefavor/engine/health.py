"""When a run goes wrong: what stops it early, in which words, and what helps."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

from codefavor.errors import BackendError, CodefavorError, ConfigError
from codefavor.records import Row

# What no later request of the same run can escape: the key, the model, the account, the form,
# the certificate, an address that sends elsewhere.
FATAL_REASONS = frozenset(
    {"auth", "unknown_model", "no_credit", "unsupported", "certificate", "redirect"}
)
# Rejections of an answer that no step could use. Others are decisions, which may well be many.
_USELESS_ANSWERS = frozenset(
    {"empty_answer", "filtered_answer", "truncated_answer", "other_answer", "bad_json_answer"}
    | {"no_program"}
)
# Of a judge whose replies all ended at their limit. An answer to a benchmark that did is one.
CUT_OFF_VERDICTS = "undecided:truncated_answer"
_FORM = "another form of answer: --mode reasoned for judges, --format sections for pairs"
_LONGER = "raise --max-tokens (a judge of --mode letter or logprobs takes another --mode)"
_REMEDIES = {
    "truncated_answer": _LONGER,
    "empty_answer": _LONGER + ", as reasoning may take all of them, or try " + _FORM,
    "filtered_answer": "the service withholds these answers: another model, or other prompts",
    "bad_json_answer": "try " + _FORM,
    "missing_section": "raise --max-tokens, or try a larger model",
    "undecided": "its replies are in the journal (`raw`): another --mode than the one used, a "
    "higher --max-tokens where they are cut off, or another model",
    "no_judgement": "its replies are in the journal of the judge (`reply`): another --judge",
    "no_program": "another model, or tasks that ask for a program; the replies are in the journal",
    "gate_no": "the teacher sees no improvement in these commits: other commits, or a larger model",
    "gate_unclear": "the teacher answers neither yes nor no: a larger model, or a higher "
    "--max-tokens",
    "no_pair": "the reply is no JSON object with `true` and `false`: a larger model, or a higher "
    "--max-tokens",
    "bad_request": "a server that refuses a parameter takes --set 'omit=[\"temperature\"]'; one "
    "that knows no JSON schema takes " + _FORM,
    "server_error": "a server that knows no JSON schema may fail so; try " + _FORM,
    "context_too_long": "leave out the long rows, lower --max-tokens, or take a model of more "
    "context",
    "rate_limited": "lower --concurrency or set --requests-per-min",
    "timeout": "raise --set timeout_s=..., or lower --max-tokens or --concurrency",
    "unreachable": "check the address (--set base_url=...) and that the server runs",
}
_MAX_FATAL_IN_A_ROW = 3
_MAX_FAILURES_WITHOUT_SUCCESS = 40
_MAX_ROWS_WITHOUT_RESULT = 100


class RunStopped(CodefavorError):
    """A run that cannot succeed, or fails too often, was stopped; what is done is kept."""


@dataclass(frozen=True)
class StopRule:
    """Stops a run when too many rows go wrong: errors, and answers that are of no use.

    Looks at the last `window` rows that ended, once at least `min_rows` have. A run that asks
    and has no result at all stops after 100 rows, unless `max_error_rate` is 1.
    """

    max_error_rate: float = 0.5
    min_rows: int = 20
    window: int = 100

    def __post_init__(self) -> None:
        if not 0 <= self.max_error_rate <= 1:
            raise ConfigError(f"max_error_rate must be from 0 to 1; found {self.max_error_rate}")


class RequestHealth:
    """Of one model's requests: whether asking on can help."""

    def __init__(self) -> None:
        self.has_succeeded = False
        self._fatal_in_a_row = 0
        self._failures: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def note_success(self) -> None:
        """An answer came."""
        self.has_succeeded = True
        self._fatal_in_a_row = 0

    def note_failure(self, error: BackendError) -> None:
        """A request failed. Raises RunStopped when no other would fare better."""
        self._failures[error.reason] += 1
        self._examples.setdefault(error.reason, str(error))
        if error.reason in FATAL_REASONS:
            self._fatal_in_a_row += 1
            if not self.has_succeeded or self._fatal_in_a_row >= _MAX_FATAL_IN_A_ROW:
                raise RunStopped(
                    f"{error}; no other request would fare better, so the run stopped"
                ) from error
        elif not self.has_succeeded and error.reason != "rate_limited":
            n_failures = sum(self._failures.values()) - self._failures["rate_limited"]
            if n_failures >= _MAX_FAILURES_WITHOUT_SUCCESS:
                raise RunStopped(
                    f"none of the first {n_failures} requests succeeded: "
                    f"{describe_reasons(self._failures, self._examples)}"
                ) from error


class RowHealth:
    """Of the rows of a run: whether too many go wrong, or none gives a result."""

    def __init__(self, rule: StopRule) -> None:
        self._rule = rule
        # Why, and whether it was answered.
        self._recent: deque[tuple[str, bool]] = deque(maxlen=rule.window)
        self._reasons: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        self._n_rows = self._n_usable = 0

    def note(self, record: Row, useless: str = "") -> RunStopped | None:
        """How a row ended; the error to stop with, if the run goes wrong.

        `useless` is why a row that ended ok is no result all the same.
        """
        status, reason = record["status"], record["reason"] or useless
        self._n_rows += 1
        if reason:
            self._reasons[reason] += 1
            self._examples.setdefault(reason, f"row {record['id']}: {record.get('detail', '')}")
        else:
            self._n_usable += 1
        is_wrong = status == "error" or reason == CUT_OFF_VERDICTS
        is_wrong |= status == "rejected" and _stem(reason) in _USELESS_ANSWERS
        self._recent.append((reason if is_wrong else "", status != "error"))
        return self._too_many_wrong() if is_wrong else None

    def without_result(self) -> RunStopped | None:
        """The error to stop with if rows were paid for and not one of them is a result."""
        is_off = self._rule.max_error_rate >= 1 or self._n_usable
        if is_off or self._n_rows < _MAX_ROWS_WITHOUT_RESULT:
            return None
        return RunStopped(
            f"none of the first {self._n_rows} rows gave a result, so the run stopped: "
            f"{describe_reasons(self._reasons, self._examples)}; what is done is kept, and "
            "--max-error-rate 1 goes on all the same"
        )

    def _too_many_wrong(self) -> RunStopped | None:
        n_recent = len(self._recent)
        wrong = Counter(reason for reason, _ in self._recent if reason)
        n_wrong = sum(wrong.values())
        if n_recent < self._rule.min_rows or n_wrong <= self._rule.max_error_rate * n_recent:
            return None
        return RunStopped(
            f"{n_wrong} of the last {n_recent} rows went wrong, so the run stopped: "
            f"{describe_reasons(wrong, self._examples)}; what is done is kept, {self._again()}, "
            "and --max-error-rate 1 goes on all the same"
        )

    def _again(self) -> str:
        """The flags that ask again; --retry-errors asks of answers only those withheld."""
        found = {
            is_answered and reason != "filtered_answer"
            for reason, is_answered in self._recent
            if reason
        }
        flags = ["--retry-errors runs again what failed"] if False in found else []
        flags += ["--fresh asks again what was answered so"] if True in found else []
        return ", ".join(flags)


def describe_reasons(reasons: Mapping[str, int], examples: Mapping[str, str] | None = None) -> str:
    """The commonest reasons, most frequent first, with an example and what helps."""
    commonest = Counter(reasons).most_common(3)
    parts = []
    for reason, count in commonest:
        example = (examples or {}).get(reason, "")[:300]
        remedy = _REMEDIES.get(_stem(reason), "")
        notes = [f"for example: {example}"] if example else []
        notes += [f"what helps: {remedy}"] if remedy else []
        parts.append(f"{count} x {reason}" + (f" ({'; '.join(notes)})" if notes else ""))
    rest = sum(reasons.values()) - sum(count for _, count in commonest)
    return "; ".join(parts) + (f"; {rest} others" if rest else "")


def _stem(reason: str) -> str:
    """`missing_section:feedback` and its like count by what stands before the colon."""
    return reason.partition(":")[0]
