"""Cached responses belong to the server that gave them: real commands against real servers."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from codefavor.records import Preference, Row, write_rows
from tests.kit.commands import codefavor
from tests.kit.server import Call, LoopbackServer, Reply, openai_reply

N = 5


def verdicts(winner: str) -> Callable[[Call], Reply]:
    return lambda call: openai_reply(call, json.dumps({"feedback": "f", "winner": winner}))


def a_program(call: Call) -> Reply:
    reply = openai_reply(call)
    for choice in reply.body["choices"]:
        choice["message"]["content"] = "```python\ndef f():\n    return 1\n```"
    return reply


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    write_pairs(path)
    return path


def write_pairs(path: Path, **edited: Any) -> None:
    rows = [
        Preference(f"p{n}", "Do it.", f"good({n})", f"bad({n})", problem_id=f"q{n}").to_row()
        for n in range(N)
    ]
    rows[0] |= edited
    write_rows(path, rows)


def evaluate(
    pairs: Path, url: str, out: str, *words: object, kind: str = "openai", model: object = "m"
) -> Row:
    """The result of `codefavor evaluate pairs` with a model that is called m."""
    home = pairs.parent
    found = codefavor(
        *("evaluate", "pairs", "--data", pairs, "--out", out, "--model-type", kind),
        *("--model-id", model, "--model-url", f"{url}/v1", "--name", "j", *words),
        home=home,
    )
    assert found.code == 0, found.stderr
    result: Row = json.loads((home / out / "pairs.j.json").read_text())
    return result


def test_another_server_with_the_same_model_name_is_asked_itself(pairs: Path) -> None:
    with LoopbackServer(verdicts("A")) as one, LoopbackServer(verdicts("tie")) as other:
        first = evaluate(pairs, one.url, "first")
        second = evaluate(pairs, other.url, "second")
        assert (len(one.calls), len(other.calls)) == (2 * N, 2 * N)
        again = evaluate(pairs, one.url, "third")
        assert len(one.calls) == 2 * N
    for result, url in ((first, one.url), (second, other.url)):
        assert result["judge"]["backend"]["endpoint"] == f"{url}/v1"
    assert (first["usage"]["n_responses"], first["usage"]["share_cached"]) == (2 * N, 0)
    assert (again["usage"]["n_cached"], again["usage"]["share_cached"]) == (2 * N, 1)
    manifest = json.loads((pairs.parent / "third/rows/pairs.j.jsonl.manifest.json").read_text())
    assert manifest["judge"]["backend"]["endpoint"] == f"{one.url}/v1"
    assert manifest["responses"]["share_cached"] == 1


@pytest.mark.parametrize("flag", ["--fresh", "--overwrite"])
def test_starting_anew_asks_anew_and_keeps_the_new_responses(pairs: Path, flag: str) -> None:
    with LoopbackServer(verdicts("A")) as server:
        evaluate(pairs, server.url, "r")
        server.handler = verdicts("tie")
        fresh = evaluate(pairs, server.url, "r", flag)
        assert len(server.calls) == 4 * N
        elsewhere = evaluate(pairs, server.url, "other")
        assert len(server.calls) == 4 * N
    for result in (fresh, elsewhere):
        # Always A is right in one order alone; a tie in both is no bias for a position.
        assert result["metrics"]["overall"]["position_bias"] == 0


def test_what_began_anew_goes_on_anew_after_it_was_interrupted(tmp_path: Path) -> None:
    def old_and_new(text: str) -> Callable[[Call], Reply]:
        return lambda call: openai_reply(call, f"```python\n{text} = 1\n```")

    with LoopbackServer(old_and_new("old")) as server:
        drafts(tmp_path, server.url, "o.jsonl", "--n", 1)
        server.handler = old_and_new("new")
        # As far as a run comes before it is killed, its last answer in the cache alone.
        drafts(tmp_path, server.url, "o.jsonl", "--n", 1, "--fresh", "--limit", 1)
        assert len(server.calls) == 3 + 1
        (tmp_path / "o.jsonl.journal").unlink()
        rows = drafts(tmp_path, server.url, "o.jsonl", "--n", 1)
        assert [row["code"] for row in rows] == ["new = 1\n"] * 3
        assert len(server.calls) == 3 + 3
        # A cache in its place knows nothing of this run, and is not mistaken for the old one.
        (tmp_path / "codefavor/responses.sqlite").unlink()
        drafts(tmp_path, server.url, "o.jsonl", "--n", 1)
        assert len(server.calls) == 3 + 3


def test_a_server_that_moved_goes_on_under_its_old_address(pairs: Path) -> None:
    with LoopbackServer(verdicts("A")) as one, LoopbackServer(verdicts("A")) as other:
        evaluate(pairs, one.url, "r")
        words = ("--data", pairs, "--out", "r", "--model-type", "openai", "--model-id", "m")
        words = (*words, "--model-url", f"{other.url}/v1", "--name", "j")
        refused = codefavor("evaluate", "pairs", *words, home=pairs.parent)
        assert refused.code == 2
        assert f'--set endpoint="{one.url}/v1"' in refused.stderr
        old = ("--set", f"endpoint={one.url}/v1")
        evaluate(pairs, other.url, "r", *old)
        evaluate(pairs, other.url, "elsewhere", *old)
        assert (len(one.calls), len(other.calls)) == (2 * N, 0)
        named = evaluate(pairs, other.url, "named", "--set", "endpoint=step-400")
        assert len(other.calls) == 2 * N
    assert named["judge"]["backend"]["endpoint"] == "step-400"


def test_a_folder_that_was_trained_again_is_another_model(pairs: Path) -> None:
    folder = pairs.parent / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    weights = bytearray(40 << 20)
    (folder / "model.safetensors").write_bytes(weights)
    with LoopbackServer(verdicts("A")) as server:
        evaluate(pairs, server.url, "a", kind="vllm", model=folder)
        evaluate(pairs, server.url, "b", kind="vllm", model=folder)
        assert len(server.calls) == 2 * N
        # One byte of 40 MB, as of a training that moves little.
        weights[9_999_999] = 1
        (folder / "model.safetensors").write_bytes(weights)
        evaluate(pairs, server.url, "c", kind="vllm", model=folder)
        assert len(server.calls) == 4 * N


def drafts(home: Path, url: str, out: str, *words: object) -> list[Row]:
    """The completions of `codefavor synthesise drafts` for the first problems."""
    found = codefavor(
        *("synthesise", "drafts", "--backend", "openai:m", "--set", f"base_url={url}/v1"),
        *("--out", out, "--limit", 3, *words),
        home=home,
    )
    assert found.code == 0, found.stderr
    return [json.loads(line) for line in (home / out).read_text().splitlines()]


def numbered() -> Callable[[Call], Reply]:
    draws = itertools.count()
    return lambda call: openai_reply(call, f"```python\ndraw = {next(draws)}\n```")


def test_three_seeds_are_three_sets_of_draws_where_the_server_has_no_seeds(tmp_path: Path) -> None:
    no_seed = ("--set", 'features=["stop", "system"]', "--n", 2)
    with LoopbackServer(numbered()) as server:
        drawn = [drafts(tmp_path, server.url, f"{s}.jsonl", *no_seed, "--seed", s) for s in "012"]
        assert len(server.calls) == 3 * 3 * 2
        assert not any("seed" in call.body for call in server.calls)
        again = drafts(tmp_path, server.url, "again.jsonl", *no_seed, "--seed", 1)
        assert len(server.calls) == 3 * 3 * 2
    texts = [{row["raw"] for row in rows} for rows in drawn]
    assert [len(one) for one in texts] == [6, 6, 6]
    assert len(set.union(*texts)) == 18
    assert {row["raw"] for row in again} == texts[1]


def test_a_server_that_is_not_told_a_temperature_draws(tmp_path: Path) -> None:
    plain = ("--temperature", 0, "--n", 1, "--set", 'features=["stop", "system"]')
    silent = (*plain, "--set", 'omit=["temperature"]')
    with LoopbackServer(numbered()) as server:
        drafts(tmp_path, server.url, "a.jsonl", *silent, "--seed", 0)
        drafts(tmp_path, server.url, "b.jsonl", *silent, "--seed", 1)
        assert len(server.calls) == 6
        # Greedy is greedy: a seed changes nothing.
        drafts(tmp_path, server.url, "c.jsonl", *plain, "--seed", 0)
        drafts(tmp_path, server.url, "d.jsonl", *plain, "--seed", 1)
        assert len(server.calls) == 9


def broken(text: str, finish: str) -> Callable[[Call], Reply]:
    def handle(call: Call) -> Reply:
        reply = openai_reply(call, text)
        reply.body["choices"][0]["finish_reason"] = finish
        return reply

    return handle


@pytest.mark.parametrize(("text", "finish"), [("", "stop"), ("call", "tool_calls")])
def test_an_answer_that_says_nothing_is_asked_again_once_the_server_is_healthy(
    pairs: Path, text: str, finish: str
) -> None:
    # With one good answer first, so that the run itself is no failure.
    def once_good(call: Call) -> Reply:
        is_good = "good(0)" in str(call.body)
        return (verdicts("A") if is_good else broken(text, finish))(call)

    words = ("--max-error-rate", 1)
    with LoopbackServer(once_good) as server:
        sick = evaluate(pairs, server.url, "r", *words)
        assert sick["metrics"]["overall"]["n_error"] == N - 1
        server.handler = verdicts("A")
        n_before = len(server.calls)
        healthy = evaluate(pairs, server.url, "r", *words, "--retry-errors")
        assert len(server.calls) - n_before == 2 * (N - 1)
        elsewhere = evaluate(pairs, server.url, "other", *words)
        assert len(server.calls) - n_before == 2 * (N - 1)
    for result in (healthy, elsewhere):
        overall = result["metrics"]["overall"]
        assert (overall["n_error"], overall["n_undecided"], overall["n"]) == (0, 0, N)


def test_a_policy_that_withheld_an_answer_is_asked_again_in_another_run(tmp_path: Path) -> None:
    with LoopbackServer(broken("", "content_filter")) as server:
        codefavor(
            *("synthesise", "drafts", "--backend", "openai:m", "--n", 1, "--out", "a.jsonl"),
            *("--set", f"base_url={server.url}/v1", "--limit", 3),
            home=tmp_path,
        )
        assert len(server.calls) == 3
        server.handler = a_program
        assert len(drafts(tmp_path, server.url, "b.jsonl", "--n", 1)) == 3
        assert len(server.calls) == 6


def test_an_edited_input_is_noticed_before_anything_is_asked(pairs: Path) -> None:
    with LoopbackServer(verdicts("A")) as server:
        evaluate(pairs, server.url, "r")
        write_pairs(pairs, instruction="Do something else.")
        words = ("--data", pairs, "--out", "r", "--model-type", "openai", "--model-id", "m")
        words = (*words, "--model-url", f"{server.url}/v1", "--name", "j")
        refused = codefavor("evaluate", "pairs", *words, home=pairs.parent)
        assert refused.code == 2
        assert "1 row of the input was edited" in refused.stderr
        assert "p0: instruction" in refused.stderr
        assert "--rerun-changed" in refused.stderr
        assert len(server.calls) == 2 * N
        evaluate(pairs, server.url, "r", "--rerun-changed")
        assert len(server.calls) == 2 * N + 2
        # And now it is the input that the result was made from.
        evaluate(pairs, server.url, "r")
        assert len(server.calls) == 2 * N + 2
        write_pairs(pairs)
        evaluate(pairs, server.url, "r", "--rerun-changed")
        rows = (pairs.parent / "r/rows/pairs.j.jsonl").read_text().splitlines()
        assert len(rows) == N + 2


def test_an_output_has_the_rows_of_its_input_alone(tmp_path: Path) -> None:
    with LoopbackServer(a_program) as server:
        drafts(tmp_path, server.url, "o.jsonl", "--n", 1)
        fewer = drafts(tmp_path, server.url, "o.jsonl", "--n", 1, "--limit", 2)
        assert len(fewer) == 2
        assert len(drafts(tmp_path, server.url, "o.jsonl", "--n", 1)) == 3
        assert len(server.calls) == 3


def test_drafts_of_one_request_share_what_it_took(tmp_path: Path) -> None:
    with LoopbackServer(a_program) as server:
        rows = drafts(tmp_path, server.url, "o.jsonl", "--n", 4)
        assert len(server.calls) == 3
        sent = [len(call.body["messages"][-1]["content"]) // 4 for call in server.calls]
    assert len(rows) == 12
    assert sum(row["usage"]["output_tokens"] for row in rows) == 3 * 28
    assert sum(row["usage"]["input_tokens"] for row in rows) == sum(sent)
    assert all(row["usage"]["output_tokens"] > 0 for row in rows)


def test_the_cache_is_listed_and_pruned_by_server(pairs: Path) -> None:
    home = pairs.parent
    with LoopbackServer(verdicts("A")) as one, LoopbackServer(verdicts("A")) as other:
        evaluate(pairs, one.url, "a")
        evaluate(pairs, other.url, "b")
        listed = codefavor("cache", "list", home=home).stdout
        lines = [line for line in listed.splitlines() if "openai:m" in line]
        assert len(lines) == 2 and all(f"{2 * N} responses" in line for line in lines)
        assert one.url in listed and other.url in listed
        assert codefavor("cache", "prune", home=home).code == 2
        kept = codefavor("cache", "prune", "--older-than-days", 1, home=home)
        assert "0 responses removed" in kept.stdout
        pruned = codefavor("cache", "prune", "--server", one.url, home=home)
        assert f"{2 * N} responses removed" in pruned.stdout
        assert one.url not in codefavor("cache", "list", home=home).stdout
        evaluate(pairs, other.url, "c")
        evaluate(pairs, one.url, "d")
        assert (len(one.calls), len(other.calls)) == (4 * N, 2 * N)
