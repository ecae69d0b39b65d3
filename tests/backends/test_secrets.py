"""No key and no password reaches what a run prints or keeps, whatever the other side does."""

from __future__ import annotations

import base64
import html
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest

from codefavor.backends.base import Request
from codefavor.backends.batch_openai import OpenAIBatchService
from codefavor.backends.openai_api import OpenAIBackend, response_of
from codefavor.engine import Context, ResponseCache
from codefavor.engine.batch import BatchRun
from codefavor.journal import Journal
from codefavor.records import Problem
from codefavor.redaction import excerpt, hide, public_url, redact, redact_reply
from tests.engine.test_batch import ROWS, PlayedBatches, one_question
from tests.kit import wires
from tests.kit.proxy import LoopbackProxy
from tests.kit.server import Call, LoopbackServer, Reply, openai_reply
from tests.kit.wires import Say

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
KEY = "sk-S3CRET/k+y=of-this~test"
FORMS = {KEY, quote(KEY), quote(KEY, safe=""), base64.b64encode(KEY.encode()).decode()}
N_ROWS = 60


@dataclass
class Kind:
    """How a backend is given its key and its server's address."""

    name: str
    key_variable: str
    url_option: str = "base_url"
    suffix: str = ""
    more: list[str] = field(default_factory=list)


KINDS = [
    Kind("openai", "OPENAI_API_KEY", suffix="/v1"),
    Kind("anthropic", "ANTHROPIC_API_KEY"),
    Kind("gemini", "GEMINI_API_KEY"),
    Kind("bedrock", "AWS_BEARER_TOKEN_BEDROCK", "endpoint_url", more=["--set", "region=us-east-1"]),
]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def draft(
    folder: Path,
    kind: Kind,
    url: str,
    key: str = KEY,
    query: str = "",
    n: int = 4,
    **variables: str,
) -> str:
    """Run `codefavor synthesise drafts` in a fresh process; all that it printed."""
    problems = folder / "problems.jsonl"
    rows = [Problem(f"p{i}", f"Add {i}.", "", "add").to_row() for i in range(N_ROWS)]
    problems.write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["-m", "codefavor", "--verbose", "synthesise", "drafts", "--problems", str(problems)]
    words += [
        "--backend",
        f"{kind.name}:m",
        "--set",
        f"{kind.url_option}={url}{kind.suffix}{query}",
    ]
    words += ["--n", str(n)]
    words += [*kind.more, "--out", str(folder / "out.jsonl"), "--cache", str(folder / "cache")]
    clean = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    done = subprocess.run(
        [sys.executable, *words],
        env={**clean, "PYTHONPATH": str(ROOT), kind.key_variable: key, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def check_nothing_leaked(folder: Path, printed: str, words: str) -> None:
    """The run said what went wrong, and nothing in its output or files is the secret."""
    assert words in printed, printed
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {"out.jsonl.journal", "out.jsonl.journal.manifest.json", "cache"} <= {
        path.name for path in files
    }
    for form in FORMS:
        assert form not in printed, printed
        for path in files:
            assert form.encode() not in path.read_bytes(), path


def echo_headers(call: Call) -> Reply:
    """An error page that repeats the request's headers, as debugging gateways send."""
    return Reply({"error": {"message": f"refused: {call.headers}"}}, status=401)


def echo_key_in_prose(call: Call) -> Reply:
    text = f"Incorrect API key provided: {KEY}. Find yours in {quote(KEY, safe='')}'s account."
    return Reply({"error": {"message": text, "code": "invalid_api_key"}}, status=401)


def echo_in_no_json(call: Call) -> Reply:
    return Reply(b"<h1>forbidden</h1>" + b"x" * 478 + KEY.encode() + b" is wrong", status=403)


def answer_with_the_key_instead_of_an_answer(call: Call) -> Reply:
    return Reply({"unexpected": {"your": call.headers}})


def answer_without_json(call: Call) -> Reply:
    return Reply(f"welcome {KEY}".encode())


def redirect(call: Call) -> Reply:
    return Reply({}, status=307, headers={"Location": f"http://127.0.0.1:9/x?key={quote(KEY)}"})


ECHOES: dict[Callable[[Call], Reply], str] = {
    echo_headers: "HTTP 401",
    echo_key_in_prose: "HTTP 401",
    echo_in_no_json: "HTTP 403",
    answer_with_the_key_instead_of_an_answer: "the answer is not",
    answer_without_json: "the answer is not",
    redirect: "HTTP 307",
}


@every_kind
@pytest.mark.parametrize("reply", ECHOES, ids=lambda reply: reply.__name__)
def test_a_key_that_the_server_repeats_is_not_shown(
    kind: Kind, reply: Callable[[Call], Reply], tmp_path: Path
) -> None:
    with LoopbackServer(reply) as server:
        printed = draft(tmp_path, kind, server.url)
    check_nothing_leaked(tmp_path, printed, ECHOES[reply])
    if reply in (echo_headers, echo_key_in_prose, echo_in_no_json, redirect):
        # Those in flight when the first refusal comes; nothing after it.
        assert server.n_calls <= 16


@pytest.mark.parametrize("kind", KINDS[:3], ids=lambda kind: kind.name)
@pytest.mark.parametrize("is_up", [True, False], ids=["answers", "is not there"])
def test_a_key_in_a_url_s_query_is_not_shown(kind: Kind, is_up: bool, tmp_path: Path) -> None:
    def handle(call: Call) -> Reply:
        assert f"subscription={quote(KEY, safe='~/')}" in call.path.replace("%2F", "/"), call.path
        return Reply(f"no such page: {call.path}".encode(), status=404)

    with LoopbackServer(handle) as server:
        url = server.url if is_up else "http://127.0.0.1:9"
        query = f"?api-version=2024-10-21&subscription={quote(KEY, safe='')}"
        printed = draft(tmp_path, kind, url, key="another key", query=query)
    check_nothing_leaked(tmp_path, printed, "HTTP 404" if is_up else "connection refused")
    assert "127.0.0.1" in printed


@every_kind
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_wrong_password_is_given_to_a_proxy_once_and_shown_nowhere(
    kind: Kind, scheme: str, tmp_path: Path
) -> None:
    with LoopbackServer(lambda call: Reply({})) as server, LoopbackProxy(server.port, "me:x") as p:
        login = f"http://me:{quote(KEY, safe='')}@{p.address}"
        printed = draft(
            tmp_path, kind, f"{scheme}://models.test", key="another key", ALL_PROXY=login
        )
    check_nothing_leaked(tmp_path, printed, "proxy")
    assert "407" in printed
    assert len(p.asked) == 1
    assert server.n_calls == 0


@every_kind
def test_a_run_that_goes_well_keeps_no_key_either(kind: Kind, tmp_path: Path) -> None:
    write = getattr(wires, f"write_{kind.name}")
    with LoopbackServer(lambda call: write(Say("def add(): pass"))) as server:
        # An endpoint of AWS has no query.
        query = "" if kind.name == "bedrock" else f"?subscription={quote(KEY, safe='')}"
        printed = draft(tmp_path, kind, server.url, query=query, n=1)
    check_nothing_leaked(tmp_path, printed, f"{N_ROWS} ok")
    assert server.n_calls == N_ROWS


# How a reply may hold the key: plain, as a part of a program, escaped, encoded.
REPLIES = [
    f"def add(): return {KEY!r}",
    f"def add(): ...  # curl -H 'Authorization: Bearer {KEY}' http://me:pw@host/x?key=abc",
    f"def add(): ...  # {quote(KEY, safe='')} {base64.b64encode(KEY.encode()).decode()}",
]


@every_kind
@pytest.mark.parametrize("text", REPLIES, ids=["plain", "in a header", "encoded"])
def test_an_answer_that_repeats_the_key_is_kept_without_it(
    kind: Kind, text: str, tmp_path: Path
) -> None:
    write = getattr(wires, f"write_{kind.name}")
    with LoopbackServer(lambda call: write(Say(text))) as server:
        printed = draft(tmp_path, kind, server.url, n=1)
    check_nothing_leaked(tmp_path, printed, f"{N_ROWS} ok")
    raw = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])["raw"]
    assert "***" in raw
    # What only looks like a secret is the model's own: a program of the user's data set.
    assert "http://me:pw@host/x?key=abc" in raw or "http" not in text


REASONS = {
    "openai": lambda body, word: body["choices"][0].update(finish_reason=word),
    "anthropic": lambda body, word: body.update(stop_reason=word),
    "gemini": lambda body, word: body["candidates"][0].update(finishReason=word),
    "bedrock": lambda body, word: body.update(stopReason=word),
}


@every_kind
def test_a_reason_that_repeats_the_key_is_kept_without_it(kind: Kind, tmp_path: Path) -> None:
    def handle(call: Call) -> Reply:
        reply: Reply = getattr(wires, f"write_{kind.name}")(Say("def add(): pass"))
        REASONS[kind.name](reply.body, f"because of {KEY}")
        return reply

    with LoopbackServer(handle) as server:
        printed = draft(tmp_path, kind, server.url, n=1)
    check_nothing_leaked(tmp_path, printed, f"{N_ROWS} ok")
    assert "because of ***" in (tmp_path / "out.jsonl").read_text()


def test_a_log_probability_s_token_that_is_the_key_is_kept_without_it() -> None:
    hide(KEY)
    token = {"token": KEY, "logprob": -1.0, "top_logprobs": [{"token": KEY, "logprob": -1.0}]}
    choice = {"message": {"content": "x"}, "logprobs": {"content": [token]}}
    response = response_of({"choices": [choice]}, Request([{"role": "user", "content": "?"}]))
    assert KEY not in json.dumps(response.to_row())
    assert response.logprobs is not None and response.logprobs[0].top == {"***": -1.0}


async def test_the_files_of_a_batch_are_kept_without_the_key(tmp_path: Path) -> None:
    played = PlayedBatches(lambda call: openai_reply(call, f"your key is {KEY}"))
    with LoopbackServer(played) as server, Journal.open(tmp_path / "o", {}) as journal:
        backend = OpenAIBackend("m", base_url=f"{server.url}/v1", api_key=KEY)
        store = ResponseCache(tmp_path / "answers")
        service, context = OpenAIBatchService(backend), Context(backend, cache=store)
        await BatchRun(
            one_question, lambda: ROWS, journal, service, context=context, poll_s=0.01
        ).run()
        store.close()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".results" for path in files)
    assert any(b"your key is ***" in path.read_bytes() for path in files)
    assert not any(KEY.encode() in path.read_bytes() for path in files)


def test_a_placeholder_for_a_key_is_a_word_like_any_other() -> None:
    hide("ollama", "Bearer ollama", "lm-studio", "not-needed", "sk-1234")
    said = "ollama and lm-studio are not-needed: Authorization: Bearer ollama; sk-1234"
    assert redact_reply(said) == said.replace("sk-1234", "***")


def test_a_proxy_that_is_not_there_is_named_without_its_password(tmp_path: Path) -> None:
    login = f"http://me:{quote(KEY, safe='')}@127.0.0.1:9"
    printed = draft(tmp_path, KINDS[0], "https://models.test", key="another", HTTPS_PROXY=login)
    check_nothing_leaked(tmp_path, printed, "through the proxy of HTTPS_PROXY")


def test_a_short_secret_is_hidden_as_a_word_and_a_long_one_anywhere() -> None:
    hide("hunter", "a-long-secret", None, "", "none")
    assert redact("hunter, hunters, a_hunter, (hunter)") == "***, hunters, a_hunter, (***)"
    assert redact("xa-long-secretx none") == "x***x none"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see http://me:p@ss@host/x", "see http://***@host/x"),
        ("GET /v1?a=1&api_key=abc&b=2", "GET /v1?a=1&api_key=***&b=2"),
        ("https://s3/x?X-Amz-Signature=ab12&X-Amz-Date=1", "https://s3/x?X-Amz-Signature=***&X-Amz-Date=1"),
        ("mail me@example.com: a=b", "mail me@example.com: a=b"),
    ],
)  # fmt: skip
def test_secrets_are_known_by_their_place_in_a_url(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_half_a_secret_is_not_left_by_cutting() -> None:
    hide("cut-me-in-two")
    assert excerpt("x" * 95 + "cut-me-in-two", 100) == "x" * 95 + "***"


def test_a_url_is_shown_without_what_may_be_secret() -> None:
    assert public_url("https://me:pw@host:1/a/b?key=1#x") == "https://host:1/a/b"
    assert public_url("/a?key=1") == "/a"
    assert public_url("http://[bad") == "***"


@pytest.mark.parametrize("key", ["sk-live+Abc/123==&x<y>Qq9", "sk-q'uote\"d\\back-0123456789", KEY])
@pytest.mark.parametrize("user", ["u", "us", "user", "somebody@example.org"])
def test_a_key_is_hidden_in_every_notation(key, user):
    hide(key)
    packed = base64.b64encode(f"{user}:{key}".encode()).decode()
    safe = base64.urlsafe_b64encode(f"{user}:{key}".encode()).decode()
    for form in (
        html.escape(key), html.escape(key, quote=False), repr(key)[1:-1], key.upper(), key.lower(),
        packed, safe, packed.rstrip("="), quote(key).lower(),
    ):  # fmt: skip
        for shown in (redact(f"say {form} again"), redact_reply(f"say {form} again")):
            assert shown == "say *** again"


def test_a_text_that_only_looks_like_a_packed_key_is_left_alone():
    hide("sk-plainkey-0123456789abcd")
    blob = base64.b64encode(bytes(range(256)) * 400).decode()
    assert redact(blob) == blob
    assert redact("The plain key and sk-plain stay.") == "The plain key and sk-plain stay."
