"""One token and its log-probabilities, as vLLM and OpenAI send them, from request to verdict."""

from __future__ import annotations

import math

import pytest
from typer.testing import CliRunner

from codefavor.backends.base import Response, TokenLogprob
from codefavor.backends.openai_api import OpenAIBackend
from codefavor.cli.evaluate import app
from codefavor.judges.llm import LlmJudge, reread, verdict_of_logprobs
from codefavor.records import Comparison, Preference, write_rows
from codefavor.result_file import read_result
from tests.kit.server import Call, LoopbackServer, Reply

PAIR = Comparison("Add one.", "def f(x):\n    return x + 1", "def f(x):\n    return x")


def item(token, probability):
    """One entry as both servers write it: token, natural logarithm, UTF-8 bytes."""
    return {"token": token, "logprob": math.log(probability), "bytes": list(token.encode())}


def openai_body(top, chosen=None, *, content=None, **more):
    """A chat completion of one token; `top` maps tokens to probabilities, the likeliest first."""
    token = chosen or next(iter(top))
    logprob = item(token, top.get(token, 1e-6))
    logprob["top_logprobs"] = [item(one, probability) for one, probability in top.items()]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1741569952,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": token if content is None else content,
                    "refusal": None,
                    "annotations": [],
                },
                "logprobs": {"content": [logprob], "refusal": None},
                "finish_reason": "length",
            }
        ],
        "usage": {
            "prompt_tokens": 150,
            "completion_tokens": 1,
            "total_tokens": 151,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
        "service_tier": "default",
        "system_fingerprint": None,
        **more,
    }


def vllm_body(top, chosen=None, *, content=None):
    """The same from vLLM, with the fields of its own."""
    own = {"prompt_logprobs": None, "kv_transfer_params": None, "prompt_token_ids": None}
    body = openai_body(top, chosen, content=content, **own)
    body["choices"][0] |= {"stop_reason": None, "token_ids": None}
    body["choices"][0]["message"] |= {"tool_calls": [], "reasoning_content": None}
    body["usage"] |= {"prompt_tokens_details": None}
    return body


BODIES = [openai_body, vllm_body]


async def judged(body):
    with LoopbackServer(lambda call: Reply(body)) as server:
        backend = OpenAIBackend("m", base_url=f"{server.url}/v1", api_key="none")
        verdict = (await LlmJudge(backend, mode="logprobs").compare([PAIR]))[0]
        await backend.close()
        assert len(server.calls) == 1
        return verdict, server.calls[0]


@pytest.mark.parametrize("body", BODIES)
async def test_one_token_is_asked_for_and_both_labels_give_the_probability(body):
    verdict, call = await judged(body({"A": 0.6, "B": 0.2, "The": 0.1}))
    assert call.path == "/v1/chat/completions"
    assert call.body["max_tokens"] == 1
    assert (call.body["logprobs"], call.body["top_logprobs"]) == (True, 20)
    assert call.body["temperature"] == 0
    assert verdict.choice == "A" and verdict.p_a == pytest.approx(0.75)


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize(
    ("top", "choice", "p_a"),
    [
        # All spellings of a label count, and other words that begin with it do not.
        ({" B": 0.4, "B": 0.2, "A": 0.2, " A": 0.1, "An": 0.05}, "B", 0.3 / 0.9),
        ({"ĠA": 0.5, "▁A": 0.1, "ĠB": 0.2}, "A", 0.75),
        # B is not among the reported: it has at most 0.1, the least that was reported.
        ({"A": 0.6, "The": 0.2, "I": 0.1}, "A", 0.6 / 0.7),
        # ... and at most what all reported ones leave over.
        ({"A": 0.7, "The": 0.28}, "A", 0.7 / 0.72),
        ({"B": 0.9}, "B", 0.1),
        # A is so unlikely that the missing B may be likelier.
        ({"The": 0.5, "I": 0.1, "A": 0.1}, "undecided", None),
        ({"The": 0.9, "Program": 0.05}, "undecided", None),
        ({"A": 0.4, "B": 0.4}, "tie", 0.5),
        ({"Answer": 0.9, "a": 0.05, "Both": 0.01}, "undecided", None),
    ],
)
async def test_labels_are_found_or_bounded_and_never_guessed(body, top, choice, p_a):
    verdict, _ = await judged(body(top))
    assert verdict.choice == choice
    assert verdict.p_a == (None if p_a is None else pytest.approx(p_a))
    assert reread(verdict, "logprobs") == verdict


async def test_a_sampled_token_beside_the_likeliest_ones_is_no_bound():
    """vLLM adds the token it drew; a missing label may be likelier than that."""
    verdict, _ = await judged(vllm_body({"A": 0.5, "The": 0.3}, chosen="Zebra"))
    # B has at most 1 - 0.5 - 0.3 - 0.000001.
    assert verdict.choice == "A" and verdict.p_a == pytest.approx(0.5 / (0.5 + 0.199999))


@pytest.mark.parametrize("top", [{"A": -9999.0, "B": -9999.0}, {"A": float("nan")}, {}])
def test_impossible_numbers_are_undecided(top):
    response = Response("x", logprobs=(TokenLogprob("x", -0.1, top),))
    assert verdict_of_logprobs(response).choice == "undecided"
    assert verdict_of_logprobs(Response("x")).choice == "undecided"


def run_on(tmp_path, *words):
    pairs = tmp_path / "pairs.jsonl"
    rows = [
        Preference(f"p{n}", "Add one.", f"chosen {n}", f"rejected {n}", problem_id=f"q{n}").to_row()
        for n in range(6)
    ]
    write_rows(pairs, rows)
    fixed = ["pairs", "--data", pairs, "--out", tmp_path / "r", "--mode", "logprobs"]
    fixed += ["--cache", tmp_path / "answers.sqlite", "--name", "judge"]
    found = CliRunner().invoke(app, [str(word) for word in (*fixed, *words)])
    assert found.exit_code == 0, f"{found.output} {found.exception}"
    return read_result(tmp_path / "r" / "pairs.judge.json")


def knows(call: Call) -> Reply:
    """A server whose model is right with 0.8 against 0.2; its token is a line break, no text."""
    text = call.body["messages"][-1]["content"]
    is_chosen_first = "chosen" in text.split("Program B:")[0]
    right, wrong = ("A", "B") if is_chosen_first else ("B", "A")
    top = {"\n": 0.5, right: 0.4, wrong: 0.1}
    return Reply(vllm_body(top, content="\n"))


@pytest.mark.parametrize("kind", ["openai", "vllm"])
def test_an_evaluation_by_logprobs_needs_no_text_and_is_calibrated(kind, tmp_path):
    with LoopbackServer(knows) as server:
        words = ["--model", f"{kind}:m", "--base-url", f"{server.url}/v1"]
        result = run_on(tmp_path, *words)
        assert len(server.calls) == 12
        assert all(call.body["max_tokens"] == 1 for call in server.calls)
    overall = result["metrics"]["overall"]
    assert (overall["accuracy"], overall["n_error"], overall["n_undecided"]) == (1, 0, 0)
    # Always 0.8 for what is always right: 0.2 off, and a squared error of 0.04.
    assert overall["ece"] == pytest.approx(0.2) and overall["brier"] == pytest.approx(0.04)
    # What vLLM answers on one's own machine costs nothing; another server's price is unknown.
    assert result["usage"]["usd"] == (0 if kind == "vllm" else None)
    assert result["usage"]["input_tokens"] == 12 * 150
