"""A reply that cannot be read is asked about once more: what the server saw, paid, kept, shown."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import json

import pytest
from typer.testing import CliRunner

from codefavor.backends import FakeBackend, Response
from codefavor.backends.openai_api import OpenAIBackend
from codefavor.benchmarks.pairs_benchmark import items_of, judge_step, why_useless
from codefavor.cli.evaluate import app
from codefavor.cli.report import app as report_app
from codefavor.engine import Context, ResponseCache, RunStopped
from codefavor.engine import run as run_rows
from codefavor.errors import BackendError, ConfigError
from codefavor.journal import Journal, read_journal
from codefavor.judges.base import in_both_orders
from codefavor.judges.jury import Cascade, Jury
from codefavor.judges.llm import LlmJudge, reread
from codefavor.judges.spec import parse_judge
from codefavor.records import Comparison, Preference, Verdict, write_rows
from codefavor.result_file import read_result, rows_path
from tests.engine.test_batch import PlayedBatches
from tests.kit.server import LoopbackServer, Reply

PAIR = Comparison("Add one.", "def f(x):\n    return x + 1", "def f(x):\n    return x")
TALK = "A is incorrect and B is correct."
PLAIN = ["stop", "system", "seed"]
N = 5


def completion(text, finish="stop", n_in=100, n_out=10):
    return {
        "choices": [{"index": 0, "message": {"content": text}, "finish_reason": finish}],
        "usage": {
            "prompt_tokens": n_in,
            "completion_tokens": n_out,
            "total_tokens": n_in + n_out,
        },
    }


def is_second(call):
    return "Conclude now" in call.body["messages"][-1]["content"]


async def judged(first, second, *, mode="reasoned", features=None, **options):
    """The verdict, and the requests that the server got."""

    def answer(call):
        text, *more = second if is_second(call) else first
        return Reply(completion(text, *more))

    with LoopbackServer(answer) as server:
        backend = OpenAIBackend(
            "m", base_url=f"{server.url}/v1", api_key="none", features=features or PLAIN
        )
        verdict = (await LlmJudge(backend, mode=mode, **options).compare([PAIR]))[0]
        await backend.close()
        return verdict, [call.body for call in server.calls]


@pytest.mark.parametrize(
    ("mode", "given", "sent"), [("letter", None, 8), ("reasoned", None, 1024), ("reasoned", 77, 77)]
)
async def test_the_limit_that_is_stated_is_the_one_that_is_sent(mode, given, sent):
    _, bodies = await judged(("A\n[RESULT] A",), ("A",), mode=mode, max_tokens=given)
    spec = parse_judge("openai:m", {"mode": mode, "max_tokens": given})
    backends = {"openai:m": OpenAIBackend("m", api_key="none")}
    stated = spec.describe(spec.make_judge(backends), backends)
    assert bodies[0]["max_tokens"] == stated["max_tokens"] == sent


@pytest.mark.parametrize("mode", ["letter", "logprobs"])
async def test_a_limit_that_would_not_be_sent_is_refused(mode):
    with pytest.raises(ConfigError, match=rf"--max-tokens means nothing to --mode {mode}.*reas"):
        await judged(("A",), ("A",), mode=mode, max_tokens=4096, features=[*PLAIN, "logprobs"])


async def test_a_reply_that_states_its_verdict_is_not_asked_about_again():
    verdict, bodies = await judged(("Fine.\n[RESULT] B",), ("A",))
    assert (verdict.choice, verdict.second, len(bodies)) == ("B", None, 1)


async def test_the_same_conversation_is_asked_once_more_for_one_letter():
    verdict, bodies = await judged((TALK,), ("B",))
    assert verdict == Verdict("B", None, TALK, False, {"raw": "B", "is_cut": False})
    first, second = bodies
    assert second["messages"][:-2] == first["messages"]
    assert second["messages"][-2] == {"role": "assistant", "content": TALK}
    assert second["messages"][-1]["role"] == "user"
    assert "one letter" in second["messages"][-1]["content"]
    assert (first["max_tokens"], second["max_tokens"]) == (1024, 8)
    assert "response_format" not in second


@pytest.mark.parametrize("mode", ["structured", "reasoned", "letter", "scores"])
async def test_where_the_server_can_a_schema_allows_nothing_but_the_verdict(mode):
    features = [*PLAIN, "json_schema"]
    verdict, bodies = await judged((TALK,), ('{"winner": "B"}',), mode=mode, features=features)
    schema = bodies[1]["response_format"]["json_schema"]["schema"]
    assert schema["properties"] == {"winner": {"type": "string", "enum": ["A", "B", "tie"]}}
    assert bodies[1]["max_tokens"] >= 64
    assert verdict.choice == "B"


@pytest.mark.parametrize(
    "second",
    [(TALK,), ("I cannot say.",), ("",), ("A better approach would be to use", "length")],
    ids=["talk", "refusal", "silence", "cut"],
)
async def test_what_cannot_be_read_then_either_is_undecided_and_never_asked_a_third_time(second):
    verdict, bodies = await judged((TALK,), second)
    assert (verdict.choice, len(bodies)) == ("undecided", 2)
    assert (verdict.raw, verdict.second["raw"]) == (TALK, second[0])


async def test_a_reply_cut_off_behind_its_label_is_asked_again():
    verdict, bodies = await judged(("Long reasons.\n\nAnswer: A", "length"), ("B",))
    assert (verdict.choice, verdict.is_cut, len(bodies)) == ("B", True, 2)
    assert reread(verdict, "reasoned") == verdict


async def test_thoughts_are_not_sent_back_and_get_room_in_the_second_reply_too():
    thinking = "<think>A? B?</think>\n" + TALK
    verdict, bodies = await judged((thinking,), ("<think>B it is.</think>\nB",))
    assert bodies[1]["messages"][-2]["content"] == TALK
    assert bodies[1]["max_tokens"] == 1024
    assert (verdict.choice, verdict.raw) == ("B", thinking)


async def test_of_thoughts_that_never_ended_the_question_itself_is_asked_again():
    verdict, bodies = await judged(("<think>A? B?", "length"), ("A",))
    first, second = (body["messages"] for body in bodies)
    assert [message["role"] for message in second] == [message["role"] for message in first]
    assert second[-1]["content"].startswith(first[-1]["content"])
    assert "Conclude now" in second[-1]["content"] and verdict.choice == "A"


async def test_scores_are_asked_for_and_the_higher_one_wins():
    verdict, bodies = await judged(("Fine.\n[RESULT] A: 4, B: 9",), ("A",), mode="scores")
    assert (verdict.choice, len(bodies)) == ("B", 1)
    assert bodies[0]["messages"][-1]["content"].endswith("[RESULT] A: <score>, B: <score>")


async def test_a_failing_second_question_is_an_error_and_no_verdict():
    def answer(request):
        if "Conclude now" in request.messages[-1]["content"]:
            raise BackendError("no", retryable=False, reason="bad_request")
        return TALK

    with pytest.raises(BackendError):
        await LlmJudge(FakeBackend("fails", function=answer), mode="reasoned").compare([PAIR])


async def test_judges_made_of_judges_keep_the_second_replies():
    def answer(request):
        return "B" if "Conclude now" in request.messages[-1]["content"] else TALK

    talks = LlmJudge(FakeBackend("talks", function=answer), mode="reasoned")
    states = LlmJudge(FakeBackend("states", function=lambda request: "[RESULT] B"), mode="reasoned")
    for judge, expected in [
        (Jury([talks, states]), "B"),
        (Cascade([talks, states]), "B"),
        (in_both_orders(talks), "B\n\nB"),
    ]:
        assert (await judge.compare([PAIR]))[0].second == {"raw": expected, "is_cut": False}
    assert (await Jury([states, states]).compare([PAIR]))[0].second is None


# From the command line: half of the first replies cannot be read.


def half_read(call):
    """Both programs are named; the chosen one is always the answer, half of the time in prose."""
    question = call.body["messages"][0]["content"]
    winner = "A" if "chosen" in question.split("Program B:")[0] else "B"
    if is_second(call):
        return Reply(completion(winner, n_in=200, n_out=1))
    return Reply(completion(f"[RESULT] {winner}" if winner == "A" else f"{winner} is better, no?"))


def evaluated(tmp_path):
    pairs, out = str(tmp_path / "pairs.jsonl"), str(tmp_path / "r")
    return ["pairs", "--data", pairs, "--out", out, "--model-type", "openai", "--model-id", "m"]


def run(tmp_path, server, *words):
    pairs, prices = tmp_path / "pairs.jsonl", tmp_path / "prices.json"
    rows = [
        Preference(f"p{n}", "Do it.", f"chosen {n}", f"rejected {n}", problem_id=f"q{n}").to_row()
        for n in range(N)
    ]
    write_rows(pairs, rows)
    price = {"openai:m": {"input": 1.0, "output": 10.0, "batch_factor": 0.5}}
    prices.write_text(json.dumps({"as_of": "today", "prices": price}))
    fixed = [*evaluated(tmp_path), "--model-url", f"{server.url}/v1", "--prices", prices]
    fixed += ["--mode", "reasoned", "--set", f"features={json.dumps(PLAIN)}"]
    fixed += ["--cache", tmp_path / "answers.sqlite"]
    found = CliRunner().invoke(app, [str(word) for word in (*fixed, *words)])
    assert found.exit_code == 0, f"{found.output} {found.exception}"
    return tmp_path / "r" / "pairs.openai-m.json", found.output


def test_second_questions_are_counted_priced_kept_and_shown(tmp_path):
    with LoopbackServer(half_read) as server:
        path, output = run(tmp_path, server)
        assert (len(server.calls), sum(map(is_second, server.calls))) == (3 * N, N)
        overall = read_result(path)["metrics"]["overall"]
        assert (overall["n_verdicts"], overall["n_second_questions"]) == (2 * N, N)
        assert (overall["accuracy"], overall["n_undecided"]) == (1, 0)
        assert f"second questions: {N} of {2 * N} replies" in output
        usage = read_result(path)["usage"]
        assert usage["input_tokens"] == 2 * N * 100 + N * 200
        assert usage["output_tokens"] == 2 * N * 10 + N
        assert usage["usd"] == pytest.approx((400 * N + 10 * 21 * N) / 1e6)
        for record in read_journal(rows_path(path)):
            found = record["row"]["verdicts"]["rejected_first"]
            assert (found["raw"], found["second"]["raw"]) == ("B is better, no?", "B")
            assert record["row"]["verdicts"]["chosen_first"]["second"] is None
        page = tmp_path / "board.html"
        told = CliRunner().invoke(report_app, ["leaderboard", str(path), "--out", str(page)])
        assert told.exit_code == 0, told.output
        rows = list(csv.DictReader(page.with_suffix(".csv").open()))
        assert rows[0]["n_second_questions"] == str(N)
        assert "second questions" in page.read_text()


def test_scoring_is_repeated_without_asking_and_a_second_run_asks_nothing(tmp_path):
    with LoopbackServer(half_read) as server:
        path, _ = run(tmp_path, server)
        before = read_result(path)["metrics"]
        n_calls = len(server.calls)
        path.unlink()
        found = CliRunner().invoke(app, [*evaluated(tmp_path), "--mode", "reasoned", "--rescore"])
        assert found.exit_code == 0, found.output
        assert read_result(path)["metrics"] == before
        run(tmp_path, server, "--out", tmp_path / "again")
        assert read_result(tmp_path / "again" / path.name)["metrics"] == before
        assert len(server.calls) == n_calls


def test_in_batch_mode_the_second_questions_are_a_second_job(tmp_path):
    batches = PlayedBatches(half_read)
    with LoopbackServer(batches) as server:
        for _ in range(8):  # each job is done at the third look
            path, _ = run(tmp_path, server, "--batch", "--no-wait")
    assert (len(batches.jobs), batches.n_answered) == (2, 3 * N)
    result = read_result(path)
    assert result["metrics"]["overall"]["n_second_questions"] == N
    assert result["metrics"]["overall"]["accuracy"] == 1
    assert result["usage"]["usd"] == pytest.approx((400 * N + 10 * 21 * N) / 2e6)


async def test_replies_that_are_all_cut_off_stop_a_run_after_twenty_rows(tmp_path):
    pairs = [Preference(f"p{n}", f"Do {n}.", f"chosen {n}", "rejected") for n in range(60)]
    backend = FakeBackend(function=lambda request: Response(TALK, finish_reason="length"))
    stopped = pytest.raises(RunStopped, match=r"20 x undecided:truncated_answer .*a higher --max")
    with Journal.open(tmp_path / "o.jsonl", {}) as journal, stopped:
        await run_rows(
            judge_step(LlmJudge(backend, mode="reasoned")), items_of(pairs), journal,
            context=Context(backend), concurrency=1, useless=why_useless,
        )  # fmt: skip
    # Two orders, each asked twice.
    assert len(backend.requests) == 20 * 2 * 2


async def test_a_run_that_draws_at_random_goes_on_without_asking_a_second_question_twice(tmp_path):
    """Without a seed answers belong to the n-th question of a row: n must not depend on time."""
    pair = Preference("p", "Do it.", "chosen", "rejected", problem_id="q")
    seen = []

    async def answer(request):
        seen.append(request)
        # The order that is asked first is answered last.
        if len(seen) == 1:
            await asyncio.sleep(0.1)
        return "A" if "Conclude now" in request.messages[-1]["content"] else TALK

    backend = FakeBackend("m", function=answer)
    judge = LlmJudge(backend, mode="reasoned", temperature=0.7)
    for name in ("one", "two"):
        with (
            contextlib.closing(ResponseCache(tmp_path / "answers.sqlite")) as answers,
            Journal.open(tmp_path / f"{name}.jsonl", {}) as journal,
        ):
            context = Context(backend, cache=answers)
            await run_rows(judge_step(judge), items_of([pair]), journal, context=context)
    assert len(seen) == 4
