"""How a service's JSON becomes a response: its words, its reasons, its counts, and no secrets."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeGuard

import msgspec

from codefavor.backends.base import NO_USAGE, Request, Response, TokenLogprob, Usage
from codefavor.errors import BackendError
from codefavor.redaction import excerpt, redact_reply

# No exchange takes a billion tokens; a count above is a defect of the server's.
_MOST_TOKENS = 10**9
# Servers' words for why an answer ended are short; what is longer is none.
_LONGEST_WORD = 60
Reader = Callable[[Mapping[str, Any], Request], Response]


def reads(what: str) -> Callable[[Reader], Reader]:
    """Makes a reader of a server's JSON raise BackendError (`bad_schema`) for what is not that."""

    def decorate(read: Reader) -> Reader:
        @functools.wraps(read)
        def checked(body: Mapping[str, Any], request: Request) -> Response:
            try:
                return without_secrets(read(body, request))
            except (LookupError, TypeError, AttributeError, ValueError) as error:
                raise BackendError(
                    f"the answer is not {what} ({type(error).__name__}: {error}): "
                    f"{excerpt(str(body), 300)}",
                    retryable=True,
                    reason="bad_schema",
                ) from error

        return checked

    return decorate


def without_secrets(response: Response) -> Response:
    """The response with no key in it, should the server repeat one: from here on it is stored."""
    words = "\n".join(_words_of(response))
    # Asked of every reply: one look, and a copy only of what holds a key.
    if redact_reply(words) == words:
        return response
    return msgspec.structs.replace(
        response,
        text=redact_reply(response.text),
        finish_reason=redact_reply(response.finish_reason),
        reasoning=redact_reply(response.reasoning),
        logprobs=response.logprobs and tuple(map(_token_without_secrets, response.logprobs)),
        samples=tuple(map(without_secrets, response.samples)),
    )


def _words_of(response: Response) -> Iterator[str]:
    yield from (response.text, response.finish_reason, response.reasoning)
    for one in response.logprobs or ():
        yield from (one.token, *one.top)
    for sample in response.samples:
        yield from _words_of(sample)


def _token_without_secrets(one: TokenLogprob) -> TokenLogprob:
    top = {redact_reply(token): value for token, value in one.top.items()}
    return TokenLogprob(redact_reply(one.token), one.logprob, top)


def cut_at_stop(text: str, stop: Sequence[str]) -> tuple[str, bool]:
    """(the text before the earliest stop string, whether there was one)."""
    positions = [found for s in stop if s and (found := text.find(s)) >= 0]
    return (text[: min(positions)], True) if positions else (text, False)


def ended(
    text: str, word: object, names: Mapping[str, str], stop: Sequence[str]
) -> tuple[str, str]:
    """(the text before any stop string, why it ended) where a service says why in its own word.

    No word means that it ended by itself; a word without a name stays visible.
    """
    text, was_cut = cut_at_stop(text, stop)
    said = word if isinstance(word, str) and len(word) <= _LONGEST_WORD else ""
    named = names.get(said, f"other:{said}") if said else "stop"
    return text, "stop" if was_cut else named


# What stands beside an answer never costs it: where it is not what it should be, there is none.
def object_in(body: object, name: str) -> dict[str, Any]:
    """A JSON object in another; an empty one where there is none of that name."""
    found = body.get(name) if isinstance(body, dict) else None
    return found if isinstance(found, dict) else {}


def text_in(body: object, name: str) -> str:
    """A text in a JSON object; "" where there is none of that name."""
    found = body.get(name) if isinstance(body, dict) else None
    return found if isinstance(found, str) else ""


def status_in(body: object, name: str) -> int:
    """An HTTP status in a JSON object; 0 where there is none of that name."""
    found = body.get(name) if isinstance(body, dict) else None
    is_digits = isinstance(found, str) and found.isascii() and found.isdigit() and len(found) == 3
    status = int(found) if is_digits or type(found) is int else 0  # type: ignore[arg-type]
    return status if 100 <= status < 600 else 0


def logprobs_in(
    read: Callable[[Any], tuple[TokenLogprob, ...] | None], found: object
) -> tuple[TokenLogprob, ...] | None:
    """What this reader finds, None where anything in it is no token or no logarithm.

    All or nothing: without one of its alternatives a token looks likelier than it is.
    """
    try:
        tokens = read(found)
    except (LookupError, TypeError, AttributeError, ValueError):
        return None
    return tokens if all(map(_is_token, tokens or ())) else None


def _is_token(one: TokenLogprob) -> bool:
    known = {**one.top, one.token: one.logprob} if isinstance(one.token, str) else {None: None}
    return all(
        isinstance(token, str) and type(value) in (int, float) and -math.inf < value <= 0.01
        for token, value in known.items()
    )


def counted_usage(
    counts: Mapping[str, object],
    inputs: Sequence[str],
    outputs: Sequence[str],
    cached: object = None,
) -> Usage:
    """The tokens in a server's own counts: the sums of these fields.

    The first field of each must be there, the others where there is something to count. Counts
    that cannot be true (negative, text, fractions, more than any model reads, more cached than
    there were) are none: what they stand for is unknown, and not free.
    """
    sums = []
    for first, *others in (inputs, outputs):
        total = 0
        for one in (counts.get(first), *(counts.get(name) or 0 for name in others)):
            if not _is_count(one):
                return NO_USAGE
            total += int(one)
        sums.append(total)
    n_cached = cached or 0
    if not _is_count(n_cached) or n_cached > sums[0]:
        return NO_USAGE
    return Usage(sums[0], sums[1], int(n_cached))


def _is_count(value: object) -> TypeGuard[float]:
    # JSON has no subclasses: True and False are of another type than numbers.
    if type(value) is not int and type(value) is not float:
        return False
    return 0 <= value <= _MOST_TOKENS and value == int(value)
