"""Commands whose model gives nothing of use, or that are told to end: what is paid and said."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from codefavor.engine.output import journal_of
from codefavor.journal import read_journal
from codefavor.records import Preference, Problem, write_rows
from tests.kit.server import Call, LoopbackServer, Reply, openai_reply

REPOSITORY = Path(__file__).parents[2]


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), "XDG_CACHE_HOME": str(folder / "cache")}


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "codefavor", *(str(word) for word in words)]


def codefavor(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*words), env=environment(folder), capture_output=True, text=True, check=False
    )


def pairs_words(folder: Path, url: str, n: int, *more: str) -> list[object]:
    rows = [
        Preference(f"p{i}", "Do it.", f"chosen {i}", f"rejected {i}", problem_id=f"q{i}").to_row()
        for i in range(n)
    ]
    write_rows(folder / "pairs.jsonl", rows)
    words: list[object] = ["evaluate", "pairs", "--data", folder / "pairs.jsonl"]
    words += ["--out", folder / "r", "--model-type", "openai", "--model-id", "m"]
    return [*words, "--model-url", f"{url}/v1", *more]


def drafts_words(folder: Path, url: str, n: int, *more: str) -> list[object]:
    tasks = [{"instruction": f"Write f{i}.", "license": "MIT"} for i in range(n)]
    (folder / "tasks.jsonl").write_text("".join(json.dumps(task) + "\n" for task in tasks))
    words: list[object] = ["synthesise", "drafts", "--instructions", folder / "tasks.jsonl"]
    words += ["--out", folder / "o.jsonl", "--backend", "openai:m", "--n", "1"]
    return [*words, "--set", f"base_url={url}/v1", "--concurrency", "8", *more]


def saying(text: str, finish: str = "stop"):
    def handle(call: Call) -> Reply:
        reply = openai_reply(call, text)
        reply.body["choices"][0]["finish_reason"] = finish
        return reply

    return handle


def test_a_judge_whose_replies_are_empty_stops_early_and_fails(tmp_path: Path) -> None:
    with LoopbackServer(saying("")) as server:
        done = codefavor(tmp_path, *pairs_words(tmp_path, server.url, 200, "--concurrency", "8"))
    assert done.returncode == 2
    assert server.n_calls <= 2 * (20 + 8)
    assert "x empty_answer" in done.stderr
    assert "--mode reasoned" in done.stderr


def test_a_judge_that_nobody_understands_stops_early_and_fails(tmp_path: Path) -> None:
    with LoopbackServer(saying("Well, well.")) as server:
        words = pairs_words(tmp_path, server.url, 400, "--mode", "letter", "--concurrency", "8")
        done = codefavor(tmp_path, *words)
    assert done.returncode == 2
    n_rows = sum(1 for _ in read_journal(tmp_path / "r" / "rows" / "pairs.openai-m.jsonl"))
    assert 100 <= n_rows <= 100 + 8
    assert "100 x undecided" in done.stderr


def test_a_short_evaluation_without_a_verdict_fails_and_so_does_its_repetition(
    tmp_path: Path,
) -> None:
    with LoopbackServer(saying("Well, well.")) as server:
        words = pairs_words(tmp_path, server.url, 5, "--mode", "letter")
        done = codefavor(tmp_path, *words)
        n_calls = server.n_calls
        again = codefavor(tmp_path, *words)
    assert (done.returncode, again.returncode) == (1, 1)
    assert "no usable result came out of 5 rows" in done.stderr
    assert server.n_calls == n_calls


def test_drafts_that_are_all_withheld_fail_with_the_reason(tmp_path: Path) -> None:
    with LoopbackServer(saying("", "content_filter")) as server:
        done = codefavor(tmp_path, *drafts_words(tmp_path, server.url, 10))
        again = codefavor(tmp_path, *drafts_words(tmp_path, server.url, 10))
    assert (done.returncode, again.returncode) == (1, 1)
    assert server.n_calls == 10
    assert "10 x filtered_answer (what helps: the service withholds" in done.stderr


def test_a_thousand_paid_rejections_are_twenty(tmp_path: Path) -> None:
    with LoopbackServer(saying("", "length")) as server:
        done = codefavor(tmp_path, *drafts_words(tmp_path, server.url, 1000))
    assert done.returncode == 2
    assert server.n_calls <= 20 + 8
    assert "raise --max-tokens" in done.stderr


def test_a_server_that_knows_no_schema_names_the_other_mode_at_once(tmp_path: Path) -> None:
    def handle(call: Call) -> Reply:
        if "response_format" in call.body:
            error = {"message": "response_format: unknown field"}
            return Reply({"error": error}, status=400)
        return openai_reply(call, "[RESULT] A")

    with LoopbackServer(handle) as server:
        words = pairs_words(tmp_path, server.url, 40, "--concurrency", "4")
        done = codefavor(tmp_path, *words)
        assert done.returncode == 2
        assert server.n_calls <= 8
        assert "--mode reasoned" in done.stderr
        assert codefavor(tmp_path, *words, "--mode", "reasoned", "--overwrite").returncode == 0


def test_a_day_of_pause_ends_the_command_with_the_flag_that_allows_it(tmp_path: Path) -> None:
    busy = Reply({"error": {"message": "slow"}}, status=429, headers={"Retry-After": "86400"})
    with LoopbackServer(lambda call: busy) as server:
        started = time.monotonic()
        done = codefavor(tmp_path, *drafts_words(tmp_path, server.url, 50))
    assert done.returncode == 2
    assert time.monotonic() - started < 60
    assert "asks for a pause of 24h00m" in done.stderr
    assert "--max-pause" in done.stderr


def test_a_pause_within_the_flag_is_announced_and_taken(tmp_path: Path) -> None:
    n = 0

    def handle(call: Call) -> Reply:
        nonlocal n
        n += 1
        if n == 1:
            error = {"error": {"message": "slow"}}
            return Reply(error, status=429, headers={"Retry-After": "6"})
        return openai_reply(call, "```python\ndef f():\n    return 1\n```")

    with LoopbackServer(handle) as server:
        words = drafts_words(tmp_path, server.url, 3, "--max-pause", "7", "--concurrency", "1")
        done = codefavor(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert "openai:m asks for a pause: nothing is sent for 6s" in done.stderr


class Slow:
    """A server of slow answers that counts each question."""

    def __init__(self, delay_s: float) -> None:
        self.asked = Counter[str]()
        self._delay_s = delay_s

    def __call__(self, call: Call) -> Reply:
        self.asked[json.dumps(call.body["messages"])] += 1
        reply = openai_reply(call, "def f(): pass")
        reply.delay_s = self._delay_s
        return reply


def until(condition: Any, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_the_first_signal_waits_for_what_is_paid_and_nothing_is_asked_again(
    tmp_path: Path, number: int
) -> None:
    slow = Slow(0.7)
    with LoopbackServer(slow) as server:
        words = command(*drafts_words(tmp_path, server.url, 60, "--no-cache"))
        process = subprocess.Popen(words, env=environment(tmp_path), stderr=subprocess.PIPE)
        until(lambda: slow.asked.total() >= 10)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
        errors = said.decode()
        assert process.returncode == 130, errors
        assert "waiting for the answers in flight" in errors
        assert errors.rstrip().endswith("error: interrupted; the same command goes on from here")
        n_before = slow.asked.total()
        assert n_before < 60
        slow._delay_s = 0.0
        done = codefavor(tmp_path, *drafts_words(tmp_path, server.url, 60, "--no-cache"))
    assert done.returncode == 0, done.stderr
    assert (len(slow.asked), slow.asked.total()) == (60, 60)
    spent = (tmp_path / "o.jsonl.journal.spent").read_text().splitlines()
    assert sum(line.startswith("=") for line in spent) == 60


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    slow = Slow(30.0)
    with LoopbackServer(slow) as server:
        words = command(*drafts_words(tmp_path, server.url, 60))
        process = subprocess.Popen(words, env=environment(tmp_path), stderr=subprocess.PIPE)
        until(lambda: slow.asked.total() >= 8)
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 130
    assert time.monotonic() - started < 20
    spent = (tmp_path / "o.jsonl.journal.spent").read_text().splitlines()
    # What was in flight may have been charged: it stays unsettled.
    assert [line[0] for line in spent] == ["+"] * slow.asked.total()


def test_a_dead_server_is_an_error_whatever_order_of_a_pair_meets_it(tmp_path: Path) -> None:
    """At 20 pairs the second order of one met the end of the run, and the first hid it: rc 0."""
    words = pairs_words(tmp_path, "http://127.0.0.1:9", 20, "--no-cache")
    done = codefavor(tmp_path, *words)
    assert done.returncode == 2, done.stderr
    assert "error: " in done.stderr.splitlines()[-1] and "127.0.0.1:9" in done.stderr


REFUSAL = "I cannot help with this."
CUT = "```python\ndef f0(x):\n    return [i for i in ran"


@pytest.mark.parametrize("words", ["drafts", "tests"])
@pytest.mark.parametrize(
    ("text", "finish", "reason", "remedy"),
    [
        (REFUSAL, "stop", "no_program", "another model"),
        (CUT, "length", "truncated_answer", "raise --max-tokens"),
    ],
    ids=["refused", "cut off"],
)  # fmt: skip
def test_replies_without_a_program_are_rejected_rows_and_end_the_run(
    tmp_path: Path, words: str, text: str, finish: str, reason: str, remedy: str
) -> None:
    with LoopbackServer(saying(text, finish)) as server:
        done = codefavor(tmp_path, *written(words, tmp_path, server.url, 200))
    assert done.returncode == 2
    assert server.n_calls <= 2 * (20 + 8)
    assert reason in done.stderr and remedy in done.stderr
    records = list(read_journal(journal_of(tmp_path / "o.jsonl")))
    assert {(one["status"], one["reason"]) for one in records} == {("rejected", reason)}
    # Paid for, and kept with its text.
    assert all(one["usage"] and one["row"]["completions"][0]["raw"] for one in records)


@pytest.mark.parametrize("words", ["drafts", "tests"])
def test_a_few_replies_without_a_program_fail_at_the_end(tmp_path: Path, words: str) -> None:
    with LoopbackServer(saying(REFUSAL)) as server:
        done = codefavor(tmp_path, *written(words, tmp_path, server.url, 5))
    assert done.returncode == 1
    assert "5 rejected" in done.stdout and "5 x no_program" in done.stderr


def test_a_program_before_the_cut_is_a_draft(tmp_path: Path) -> None:
    text = "```python\ndef f(x):\n    return x\n```\nThis returns what it was"
    with LoopbackServer(saying(text, "length")) as server:
        done = codefavor(tmp_path, *drafts_words(tmp_path, server.url, 5))
    assert done.returncode == 0 and "5 ok" in done.stdout


def written(words: str, folder: Path, url: str, n: int) -> list[object]:
    if words == "drafts":
        return drafts_words(folder, url, n)
    tasks = [
        Problem(f"p{i}", "Write f.", "", "f", reference=f"def f(x):\n    return {i}").to_row()
        for i in range(n)
    ]
    write_rows(folder / "problems.jsonl", tasks)
    found: list[object] = ["synthesise", "tests", "--problems", folder / "problems.jsonl"]
    found += ["--n", "1", "--out", folder / "o.jsonl", "--model", "openai:m"]
    return [*found, "--concurrency", "8", "--set", f"base_url={url}/v1"]


def test_a_model_that_writes_no_program_ends_an_evaluation_of_problems(tmp_path: Path) -> None:
    tasks = [Problem(f"p{i}", f"Write f{i}.", "assert f(1) == 1", "f").to_row() for i in range(3)]
    write_rows(tmp_path / "problems.jsonl", tasks)
    words: list[object] = ["evaluate", "problems", "--data", tmp_path / "problems.jsonl"]
    words += ["--samples", "1", "--out", tmp_path / "r", "--model", "openai:m"]
    with LoopbackServer(saying(REFUSAL)) as server:
        done = codefavor(tmp_path, *words, "--set", f"base_url={server.url}/v1")
    assert done.returncode == 1
    assert "3 x no_program" in done.stderr


@pytest.mark.parametrize("n", [6, 150])
def test_a_judge_of_truth_whose_replies_say_nothing_ends_the_run(tmp_path: Path, n: int) -> None:
    columns = "Type,Category,Question,Best Answer,Best Incorrect Answer,Correct Answers,"
    columns += "Incorrect Answers,Source"
    lines = [f"A,C,Question {i}?,yes,no,yes,no,s" for i in range(n)]
    (tmp_path / "TruthfulQA.csv").write_text("\n".join([columns, *lines]) + "\n")
    with LoopbackServer(saying("I am not able to say.")) as server:
        base = f"base_url={server.url}/v1"
        words: list[object] = ["evaluate", "truthfulqa", "--data", tmp_path / "TruthfulQA.csv"]
        words += ["--model", "openai:m", "--set", base, "--judge", "openai:j", "--judge-set", base]
        done = codefavor(tmp_path, *words, "--out", tmp_path / "r", "--concurrency", "4")
    n_judged = sum(call.body["model"] == "j" for call in server.calls)
    assert f"{n_judged} x no_judgement" in done.stderr or n > 100
    assert (done.returncode, n_judged < 112) == ((1, True) if n < 100 else (2, True))
    assert "another --judge" in done.stderr


def test_what_was_withheld_is_asked_again_by_the_flag_that_is_named(tmp_path: Path) -> None:
    with LoopbackServer(saying("", "content_filter")) as server:
        words = drafts_words(tmp_path, server.url, 5)
        done = codefavor(tmp_path, *words)
        assert done.returncode == 1
        assert "5 rejected" in done.stdout and "--retry-errors runs again" in done.stdout
        server.handler = saying("```python\ndef f():\n    return 1\n```")
        kept = codefavor(tmp_path, *words)
        assert kept.returncode == 1 and server.n_calls == 5
        again = codefavor(tmp_path, *words, "--retry-errors")
        assert again.returncode == 0 and "5 ok" in again.stdout and server.n_calls == 10
        codefavor(tmp_path, *words, "--retry-errors")
    assert server.n_calls == 10
    assert len((tmp_path / "o.jsonl").read_text().splitlines()) == 5


def test_requests_of_unknown_cost_are_shown_without_a_price_too(tmp_path: Path) -> None:
    def uncounted(call: Call) -> Reply:
        reply = saying("```python\nx = 1\n```")(call)
        del reply.body["usage"]
        return reply

    with LoopbackServer(uncounted) as server:
        done = codefavor(tmp_path, *drafts_words(tmp_path, server.url, 3, "--max-tokens", "100"))
    assert done.returncode == 0, done.stderr
    found = re.search(r"; up to (\d+) tokens more for 3 requests whose cost is", done.stdout)
    # At most 100 are written for each, and what is asked comes on top.
    assert found is not None and int(found[1]) > 300, done.stdout
