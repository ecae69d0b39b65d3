"""A run that goes wrong stops early, says why and what helps; one that goes well does not stop."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from codefavor.backends import FakeBackend, Request, Response, Sampling, make_backend
from codefavor.engine import Context, Counts, Limits, RunStopped, StopRule, run
from codefavor.engine.health import FATAL_REASONS, RequestHealth, describe_reasons
from codefavor.engine.progress import duration
from codefavor.errors import BackendError, Rejected
from codefavor.journal import Journal
from codefavor.records import Row
from tests.kit.clock import VirtualClock
from tests.kit.server import Call, LoopbackServer, Reply, openai_reply

N = 1000


def rows(n: int = N) -> list[Row]:
    return [{"id": f"r{i}", "q": f"question {i}"} for i in range(n)]


async def whole_answer(row: Row, context: Context) -> Row:
    message = {"role": "user", "content": row["q"]}
    return {"id": row["id"], "a": (await context.ask([message], accept=("stop",))).text}


def deciding(keeps: Callable[[int], bool]):
    """A step whose rejections are decisions, not failures."""

    async def step(row: Row, context: Context) -> Row:
        await context.ask([{"role": "user", "content": row["q"]}])
        if not keeps(int(row["id"][1:])):
            raise Rejected("gate_no", "no improvement")
        return {"id": row["id"]}

    return step


def spoiled(text: str, finish: str, share: float = 1.0):
    def handle(call: Call) -> Reply:
        reply = openai_reply(call)
        number = int(call.body["messages"][-1]["content"].split()[1])
        if number % 10 < 10 * share:
            reply.body["choices"][0].update(message={"content": text}, finish_reason=finish)
        return reply

    return handle


async def run_on(server: LoopbackServer, step, folder: Path, **options) -> Counts:
    backend = make_backend("openai:m", base_url=f"{server.url}/v1", api_key="k")
    with Journal.open(folder / "o", {}) as journal:
        return await run(step, rows(), journal, context=Context(backend), concurrency=8, **options)


@pytest.mark.parametrize(
    ("text", "finish", "reason", "remedy"),
    [
        ("half a thou", "length", "truncated_answer", "raise --max-tokens"),
        ("", "length", "truncated_answer", "raise --max-tokens"),
        ("", "stop", "empty_answer", "--mode reasoned"),
        ("", "content_filter", "filtered_answer", "another model"),
    ],
    ids=["cut off", "only thoughts", "empty", "withheld"],
)
async def test_answers_that_are_paid_and_of_no_use_stop_the_run_with_what_helps(
    tmp_path: Path, text: str, finish: str, reason: str, remedy: str
) -> None:
    with (
        LoopbackServer(spoiled(text, finish)) as server,
        pytest.raises(RunStopped, match=rf"went wrong.*x {reason} .*what helps: .*{remedy}"),
    ):
        await run_on(server, whole_answer, tmp_path)
    assert server.n_calls < 20 + 2 * 8


async def test_more_than_half_of_no_use_is_too_much_and_less_is_not(tmp_path: Path) -> None:
    with LoopbackServer(spoiled("", "length", 0.7)) as server:
        with pytest.raises(RunStopped, match="truncated_answer"):
            await run_on(server, whole_answer, tmp_path / "bad")
        assert server.n_calls < 120
    with LoopbackServer(spoiled("", "length", 0.4)) as server:
        counts = await run_on(server, whole_answer, tmp_path / "good")
    assert (counts.n_ok, counts.reasons) == (600, {"truncated_answer": 400})


async def test_a_run_without_any_result_stops_after_a_hundred_rows(tmp_path: Path) -> None:
    with (
        LoopbackServer(openai_reply) as server,
        pytest.raises(RunStopped, match=r"none of the first 100 rows gave a result.*x gate_no"),
    ):
        await run_on(server, deciding(lambda n: False), tmp_path)
    assert 100 <= server.n_calls <= 100 + 8


async def test_few_results_are_no_reason_to_stop_and_a_user_may_insist(tmp_path: Path) -> None:
    with LoopbackServer(openai_reply) as server:
        counts = await run_on(server, deciding(lambda n: n % 50 == 0), tmp_path / "few")
        assert (counts.n_ok, counts.n_rejected) == (N // 50, N - N // 50)
        rule = StopRule(max_error_rate=1.0)
        counts = await run_on(server, deciding(lambda n: False), tmp_path / "none", stop_rule=rule)
        assert counts.n_rejected == N


async def test_a_step_that_asks_nothing_may_reject_everything(tmp_path: Path) -> None:
    async def step(row: Row, context: Context) -> Row:
        raise Rejected("too_short")

    with Journal.open(tmp_path / "o", {}) as journal:
        counts = await run(step, rows(), journal, context=Context(FakeBackend()))
    assert counts.n_rejected == N


async def test_results_that_are_none_count_as_none(tmp_path: Path) -> None:
    def useless(row: Row) -> str:
        return "undecided" if row["a"] != "good" else ""

    with LoopbackServer(openai_reply) as server:
        with pytest.raises(RunStopped, match=r"100 x undecided .*another --mode"):
            await run_on(server, whole_answer, tmp_path / "a", useless=useless)
        assert server.n_calls <= 100 + 8
        server.handler = lambda call: openai_reply(call, "good")
        assert (await run_on(server, whole_answer, tmp_path / "b", useless=useless)).n_ok == N


async def test_the_window_forgets_a_bad_beginning(tmp_path: Path) -> None:
    async def step(row: Row, context: Context) -> Row:
        number = int(row["id"][1:])
        # Nine of the first 19, then half of each hundred: never more than half of the last 100.
        if number < 9 or (number >= 19 and number % 2):
            raise BackendError("no", retryable=False, reason="bad_request")
        return {"id": row["id"]}

    with Journal.open(tmp_path / "o", {}) as journal:
        counts = await run(step, rows(400), journal, context=Context(), concurrency=1)
    assert counts.n == 400


REFUSALS = {
    "OpenAI": "Invalid parameter: 'response_format' of type 'json_schema' is not supported with "
    "this model.",
    "DeepSeek": "This response_format type is unavailable now",
    "older llama.cpp": 'Either "json_schema" or "grammar" can be specified',
    "Groq": "This model does not support response format `json_schema`.",
}


@pytest.mark.parametrize("words", REFUSALS.values(), ids=REFUSALS)
async def test_a_server_without_schemas_is_told_from_a_bad_request_at_the_first_answer(
    tmp_path: Path, words: str
) -> None:
    async def step(row: Row, context: Context) -> Row:
        sampling = Sampling(json_schema={"type": "object"})
        await context.ask([{"role": "user", "content": row["q"]}], sampling=sampling)
        return row

    with (
        LoopbackServer(lambda call: Reply({"error": {"message": words}}, status=400)) as server,
        pytest.raises(RunStopped, match="--mode reasoned"),
    ):
        await run_on(server, step, tmp_path)
    assert server.n_calls <= 8


async def test_a_bad_request_without_a_schema_is_not_called_one(tmp_path: Path) -> None:
    refusal = Reply({"error": {"message": "tool use: bad grammar"}}, status=400)
    with (
        LoopbackServer(lambda call: refusal) as server,
        pytest.raises(RunStopped, match=r"20 x bad_request .*omit=\[\"temperature\"\]") as caught,
    ):
        await run_on(server, whole_answer, tmp_path)
    assert "cannot be made to answer" not in str(caught.value)


def refusing(retry_after: str, n_refused: int, status: int = 429):
    n = 0

    def handle(call: Call) -> Reply:
        nonlocal n
        n += 1
        if n <= n_refused:
            error = {"error": {"message": "slow down"}}
            return Reply(error, status=status, headers={"Retry-After": retry_after})
        return openai_reply(call)

    return handle


class Told:
    """A progress that remembers what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def start(self, label: str, total: int | None) -> None: ...
    def advance(self, n: int = 1, **fields: object) -> None: ...
    def finish(self) -> None: ...
    def say(self, text: str) -> None:
        self.said.append(text)


async def pausing(handler, folder: Path, **options) -> tuple[Counts, list[str]]:
    told = Told()
    with LoopbackServer(handler) as server:
        backend = make_backend("openai:m", base_url=f"{server.url}/v1", api_key="k")
        context = Context(backend, clock=VirtualClock())
        with Journal.open(folder / "o", {}) as journal:
            counts = await run(
                whole_answer, rows(20), journal, context=context, concurrency=4, progress=told,
                **options,
            )  # fmt: skip
    return counts, told.said


@pytest.mark.parametrize("reason", ["rate_limited", "server_error"])
@pytest.mark.parametrize(("wish_s", "n_said"), [(300.0, 1), (5.0, 1), (4.9, 0)])
async def test_a_pause_that_a_server_asks_for_is_announced_once(
    tmp_path: Path, wish_s: float, n_said: int, reason: str
) -> None:
    refused = iter(range(4))

    async def answer(request: Request) -> Response:
        # All four are on their way when the first is refused.
        await asyncio.sleep(0)
        if next(refused, None) is not None:
            raise BackendError("slow", retryable=True, retry_after_s=wish_s, reason=reason)
        return Response("fine")

    told, context = Told(), Context(FakeBackend(function=answer), clock=VirtualClock())
    with Journal.open(tmp_path / "o", {}) as journal:
        counts = await run(
            whole_answer, rows(20), journal, context=context, concurrency=4, progress=told
        )
    assert counts.n_ok == 20
    said = f"fake:echo asks for a pause: nothing is sent for {duration(wish_s)}"
    assert told.said == [said] * n_said


@pytest.mark.parametrize("status", [429, 500, 504])
@pytest.mark.parametrize("limits", [Limits(), Limits(max_pause_s=10.0)])
async def test_a_pause_longer_than_allowed_stops_the_run_and_says_so(
    tmp_path: Path, limits: Limits, status: int
) -> None:
    n = limits.max_pause_s
    wish = str(int(n) + 1)
    with pytest.raises(RunStopped, match=r"asks for a pause of .*--max-pause SECONDS"):
        await pausing(refusing(wish, 99, status), tmp_path, limits=limits)


async def test_a_day_of_pause_in_the_headers_of_a_good_answer_stops_after_that_answer(
    tmp_path: Path,
) -> None:
    def handle(call: Call) -> Reply:
        reply = openai_reply(call)
        reply.headers = {
            "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "24h0m0s",
        }  # fmt: skip
        return reply

    with pytest.raises(RunStopped, match="a pause of 24h00m"):
        await pausing(handle, tmp_path)
    lines = (tmp_path / "o").read_text().splitlines()
    assert 1 <= len(lines) <= 4
    assert all('"status":"ok"' in line for line in lines)


def test_three_fatal_failures_in_a_row_stop_a_run_that_had_answers() -> None:
    health = RequestHealth()
    fatal = BackendError("no", retryable=False, reason="auth")
    health.note_success()
    for _ in range(5):
        health.note_failure(fatal)
        health.note_failure(fatal)
        health.note_success()
    health.note_failure(fatal)
    health.note_failure(fatal)
    with pytest.raises(RunStopped, match="no other request would fare better"):
        health.note_failure(fatal)


def test_rate_limits_alone_are_not_taken_for_a_dead_server() -> None:
    health = RequestHealth()
    for _ in range(500):
        health.note_failure(BackendError("busy", retryable=True, reason="rate_limited"))
    for _ in range(39):
        health.note_failure(BackendError("away", retryable=True, reason="unreachable"))
    with pytest.raises(RunStopped, match="none of the first 40 requests"):
        health.note_failure(BackendError("away", retryable=True, reason="unreachable"))


def test_reasons_are_told_most_frequent_first_with_what_helps_and_the_rest_counted() -> None:
    reasons = {"a": 1, "missing_section:feedback": 4, "b": 3, "c": 2, "d": 1}
    told = describe_reasons(reasons, {"b": "row r7: said b"})
    assert re.match(r"4 x missing_section:feedback \(what helps: raise --max-tokens", told)
    assert "3 x b (for example: row r7: said b)" in told
    assert told.endswith("2 x c; 2 others")


def test_the_reasons_that_stop_a_run_at_once_are_those_of_the_handbook() -> None:
    page = (Path(__file__).parents[2] / "docs/engine.md").read_text(encoding="utf-8")
    (row,) = re.findall(r"^\|(.*)\| nothing else would work either", page, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", row)) == FATAL_REASONS


@pytest.mark.parametrize("reason", sorted(FATAL_REASONS))
async def test_what_no_request_can_escape_stops_the_run_at_its_first_answers(
    tmp_path: Path, reason: str
) -> None:
    n_asked = 0

    def refuse(request: Request) -> str:
        nonlocal n_asked
        n_asked += 1
        raise BackendError("refused (do this instead)", reason=reason)

    backend = FakeBackend(function=refuse)
    backend.start_concurrency = 4
    with (
        Journal.open(tmp_path / "o", {}) as journal,
        pytest.raises(RunStopped, match=r"do this instead"),
    ):
        await run(whole_answer, rows(), journal, context=Context(backend), concurrency=64)
    assert n_asked <= 4
