"""What an option of a backend cannot be is one line before anything starts, from every door."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codefavor.backends import Sampling, make_backend
from codefavor.backends.connection import proxy_of
from codefavor.backends.registry import make_batch_service
from codefavor.errors import ConfigError
from codefavor.judges.spec import parse_judge
from tests.kit.commands import codefavor

KEY = "sk-0123456789abcdef"
WELL = {
    "openai": {"api_key": KEY, "base_url": "http://127.0.0.1:9/v1"},
    "anthropic": {"api_key": KEY},
    "gemini": {"api_key": KEY},
    "bedrock": {"region": "us-east-1"},
    "vllm": {},
}
EVERYWHERE = [
    {"timeout_s": 0}, {"timeout_s": -1.5}, {"timeout_s": "600"}, {"timeout_s": float("nan")},
    {"timeout_s": float("inf")}, {"timeout_s": True}, {"timeout_s": None}, {"ca_bundle": ""},
    {"client_cert": 5},
]  # fmt: skip
# A budget, a cache key or a result would say otherwise than the request.
_SAID_ELSEWHERE = {
    "max_tokens": 50000, "max_completion_tokens": 50000, "max_new_tokens": 9, "best_of": 8, "n": 8,
    "temperature": 1.0, "top_p": 0.5, "seed": 1, "stop": ["x"], "model": "m2", "messages": [],
}  # fmt: skip
OF_KIND = {
    "openai": [
        {"headers": 5}, {"headers": ["a"]}, {"headers": {"a": 5}}, {"base_url": ""},
        {"omit": "temperature"}, {"omit": [5]}, {"extra": "x"}, {"features": "stop"},
        {"features": ["stpo"]}, {"mode": "chta"}, {"token_parameter": "x"}, {"schema_form": 1},
        {"api_key": 5}, {"endpoint": ""}, {"base_url": ["http://h"]}, {"trust_env": "no"},
        *({"extra": {"top_k": 1, name: value}} for name, value in _SAID_ELSEWHERE.items()),
        {"omit": ["max_tokens"]}, {"omit": ["temperature", "max_completion_tokens"]},
    ],
    "anthropic": [{"base_url": ""}, {"api_key": ""}, {"omit": "top_p"}, {"omit": ["max_tokens"]}],
    "gemini": [{"base_url": ""}, {"api_key": ""}, {"safety": 5}, {"omit": {"a": 1}},
               {"omit": ["maxOutputTokens"]}],
    "bedrock": [{"omit": ["max_tokens"]}, {"omit": ["maxTokens"]},
                {"threads": 0}, {"region": ""}, {"profile": 5}, {"endpoint_url": ""},
                {"endpoint_url": "h:80"}, {"endpoint_url": "http://[bad"}],
    "vllm": [{"base_url": ""}, {"executable": 5}, {"tensor_parallel": 0}, {"arguments": "--x"},
             {"start_timeout_s": -1}, {"log": 5}, {"endpoint": ""}],
}  # fmt: skip
CASES = [(kind, bad) for kind in WELL for bad in [*EVERYWHERE, *OF_KIND[kind]]]
CASES += [("local", {"max_batch": 0}), ("local", {"max_wait_s": "x"}), ("local", {"dtype": "int8"})]
CASES += [("embedded", {"threads": 0}), ("embedded", {"device": ""})]


@pytest.mark.parametrize(("kind", "bad"), CASES, ids=str)
def test_a_value_that_the_option_cannot_have_is_refused_by_name(
    kind: str, bad: dict[str, object], tmp_path: Path
) -> None:
    options = {**WELL.get(kind, {}), **bad}
    with pytest.raises(ConfigError) as caught:
        make_backend(f"{kind}:{tmp_path}" if kind == "local" else f"{kind}:m", **options)
    said = str(caught.value)
    (name,) = bad
    assert name in said or "is not the address of a server" in said
    assert KEY not in said and "\n" not in said


def test_a_key_of_another_type_is_not_shown() -> None:
    with pytest.raises(ConfigError, match=r"'headers': .*a string, got a list") as caught:
        make_backend("openai:m", headers={"api-key": [KEY]})
    assert KEY not in str(caught.value)


def test_a_choice_that_is_none_lists_them() -> None:
    with pytest.raises(ConfigError, match=r"'mode': .*chta.*known: chat, completion"):
        make_backend("openai:m", mode="chta", **WELL["openai"])


def test_an_option_of_a_batch_service_is_checked_alike() -> None:
    backend = make_backend("openai:m", **WELL["openai"])
    with pytest.raises(ConfigError, match=r"'completion_window': Expected a string, got a"):
        make_batch_service(backend, completion_window=5)
    with pytest.raises(ConfigError, match=r"'command': Expected a list, got a string"):
        make_batch_service(make_backend("vllm:m"), command="vllm run-batch")


def test_paths_are_as_good_as_their_texts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the CA bundle .*ca.pem cannot be used"):
        make_backend("openai:m", api_key=KEY, ca_bundle=tmp_path / "ca.pem")


@pytest.mark.parametrize(
    "values",
    [
        {"temperature": float("nan")}, {"temperature": float("inf")}, {"temperature": -0.1},
        {"top_p": float("nan")}, {"top_p": 0.0}, {"top_p": 1.1}, {"max_tokens": 0},
        {"max_tokens": 1.5}, {"n": 0}, {"n": True}, {"seed": 0.5}, {"seed": 2**63},
        {"logprobs": -1},
    ],
    ids=str,
)  # fmt: skip
def test_what_no_sampling_can_be_is_refused_wherever_it_is_made(values: dict[str, float]) -> None:
    (name,) = values
    with pytest.raises(ConfigError, match=name):
        Sampling(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_a_judges_number_is_a_number(value: float) -> None:
    with pytest.raises(ConfigError, match=r"--temperature is .*; expected a number from 0"):
        parse_judge("openai:m", {"temperature": value})


@pytest.mark.parametrize(
    "proxy",
    [
        "http://[bad", "http://h:99999", "http://h:port", "http://:80", "//", "http://",
        "http://a b:80", "http://h:0", "\x00", "ftp://h",
    ],
)  # fmt: skip
def test_what_is_no_proxy_is_refused_with_its_variable(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("urllib.request.getproxies", lambda: {"http": proxy})
    with pytest.raises(ConfigError, match=r"HTTP_PROXY names .* which is no HTTP proxy"):
        proxy_of("http://models.test/v1")


DRAFTS = ("--drafts", "d.jsonl", "--problems", "starter")
COMMITS = ("--commits", "c.jsonl", "--licenses", "any", "--languages", "python")
ASKS = [
    ("synthesise", "drafts", "--out", "o.jsonl"),
    ("synthesise", "critic-evol", *DRAFTS, "--out", "o.jsonl"),
    ("synthesise", "commit-instruct", *COMMITS, "--out", "o.jsonl"),
    ("evaluate", "pairs", "--data", "p.jsonl"),
    ("rank", "d.jsonl", "--out", "o.jsonl"),
]


@pytest.mark.parametrize("words", ASKS, ids=lambda words: " ".join(words[:2]))
@pytest.mark.parametrize(
    "bad",
    [
        ("--temperature", "nan"), ("--temperature", "inf"), ("--max-tokens", "0"),
        ("--max-pause", "nan"), ("--budget-usd", "nan"), ("--budget-usd", "inf"),
        ("--max-error-rate", "nan"), ("--set", "headers=5"), ("--set", "timeout_s=-1"),
        ("--set", "timeout_s=NaN"), ("--set", "base_url="), ("--seed", "-1"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_every_command_that_asks_refuses_it_in_one_line(
    words: tuple[str, ...], bad: tuple[str, str], tmp_path: Path
) -> None:
    pair = {"id": "a", "instruction": "i", "chosen": "x = 1", "rejected": "y"}
    draft = {"id": "d", "problem_id": "starter/dates/call-clock", "code": "x = 1"}
    commit = {
        "old_contents": "x = 1\n",
        "new_contents": "x = 2\n",
        "subject": "Make x two",
        "license": "mit",
        "lang": "Python",
        "new_file": "x.py",
    }
    for name, row in (("p", pair), ("d", draft), ("c", commit)):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    url = ("--set", "base_url=http://127.0.0.1:9/v1")
    done = codefavor(*words, "--model", "openai:m", *url, *bad, home=tmp_path)
    assert done.code == 2, done.stderr
    assert not (tmp_path / "o.jsonl.journal").exists()
    names = {bad[0], bad[1].partition("=")[0], bad[0][2:].replace("-", "_")}
    assert any(name in done.stderr for name in names), done.stderr
