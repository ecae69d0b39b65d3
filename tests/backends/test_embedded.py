"""The embedded model: the right tokenizer, and draws that do not depend on batching."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from codefavor.backends import Request, Sampling
from codefavor.backends.embedded import EmbeddedBackend, default_folder, ensure_embedded_model
from codefavor.errors import BackendError

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def folder() -> Path:
    """Converted once for all tests: by default where the command keeps it too."""
    given = os.environ.get("CODEFAVOR_MODELS")
    return ensure_embedded_model(Path(given) if given else default_folder())


@pytest.fixture(scope="module")
def backend(folder: Path) -> Iterator[EmbeddedBackend]:
    yield EmbeddedBackend(str(folder.parent), device="cpu", max_batch=8)


def ask(text: str, **sampling: object) -> Request:
    messages = [{"role": "system", "content": ""}, {"role": "user", "content": text}]
    return Request(messages, Sampling(**sampling))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "def f(x):\n\treturn x**2  # 12345 → ünï\n",
        "  leading and trailing  \n\n",
        "0123456789 3.14 1_000",
        "emoji 🙂 and \u2028 and tab\t",
    ],
)
def test_encoding_and_decoding_give_the_text_back(backend: EmbeddedBackend, text: str) -> None:
    tokenizer = backend._loaded.tokenizer
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_the_tokenizer_knows_turns_and_splits_digits(backend: EmbeddedBackend) -> None:
    tokenizer = backend._loaded.tokenizer
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.pad_token == "<|endoftext|>"
    assert len(tokenizer.encode("12345")) == 5
    prompt = tokenizer.apply_chat_template(
        [{"role": "system", "content": ""}, {"role": "user", "content": "hi"}],
        tokenize=False,
        add_generation_prompt=True,
    )
    assert prompt == (
        "<|im_start|>system\n<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_second_call_reuses_the_folder(folder: Path) -> None:
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert ensure_embedded_model(folder.parent) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == before


async def test_greedy_answers_make_sense_and_end_by_themselves(backend: EmbeddedBackend) -> None:
    response = await backend.generate(ask("What is the capital of France?", max_tokens=20))
    assert "Paris" in response.text
    assert response.finish_reason == "stop"
    assert response.usage.input_tokens > 10


async def test_draws_do_not_depend_on_what_they_were_batched_with(
    backend: EmbeddedBackend,
) -> None:
    requests = [
        ask(f"Write {topic}.", temperature=0.9, top_p=0.95, max_tokens=12, seed=seed, n=2)
        for seed, topic in enumerate(["a haiku", "a Python function that adds two numbers", "x"])
    ]
    together = await asyncio.gather(*(backend.generate(request) for request in requests))
    alone = [await backend.generate(request) for request in reversed(requests)][::-1]
    assert [[a.text for a in r.answers()] for r in together] == [
        [a.text for a in r.answers()] for r in alone
    ]
    first, second = together[0].answers()
    assert first.text != second.text


async def test_a_stop_string_ends_the_answer_before_it(backend: EmbeddedBackend) -> None:
    request = ask("Count from 1 to 9, separated by commas.", max_tokens=40)
    whole = await backend.generate(request)
    stopped = await backend.generate(Request(request.messages, request.sampling, (",",)))
    assert "," in whole.text
    assert stopped.text == whole.text.split(",")[0]
    assert stopped.finish_reason == "stop"


async def test_logprobs_are_those_of_the_chosen_tokens(backend: EmbeddedBackend) -> None:
    response = await backend.generate(ask("Say yes.", max_tokens=3, logprobs=4))
    assert response.logprobs is not None
    assert len(response.logprobs) == response.usage.output_tokens
    for item in response.logprobs:
        assert len(item.top) <= 4
        assert item.logprob == max(item.top.values())  # greedy takes the likeliest


async def test_a_prompt_beyond_the_context_is_refused_by_name(backend: EmbeddedBackend) -> None:
    with pytest.raises(BackendError, match="exceed the context") as caught:
        await backend.generate(ask("word " * 20, max_tokens=9000))
    assert caught.value.reason == "context_too_long"


async def test_an_answer_is_continued_where_it_was_begun(backend: EmbeddedBackend) -> None:
    messages = [
        {"role": "user", "content": "Name the capital of France."},
        {"role": "assistant", "content": "The capital of France is the city of"},
    ]
    response = await backend.generate(Request(messages, Sampling(max_tokens=4)))
    assert response.text.startswith(" Paris")
