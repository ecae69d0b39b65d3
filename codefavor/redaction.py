"""Secrets stay out of every text that is kept or shown: errors, journals, logs.

Who holds a secret calls `hide`; whatever turns an error into text calls `redact`, and what reads a
server's answer calls `redact_reply`: nobody after it meets a key, so none is stored or sent on.
"""

from __future__ import annotations

import base64
import json
import re
from html import escape
from typing import NamedTuple
from urllib.parse import quote, urlsplit

SHOWN = "***"
# A shorter secret may be part of a word of the message, so it is hidden as a whole word only;
# one still shorter is a placeholder of servers without keys ("none", "EMPTY").
_LONG, _SHORTEST = 8, 6
_KEY_LENGTH = 16
# Bounded: a reply may be one long word of base64.
_AROUND = r"[\w+/-]{0,200}={0,2}"


class _Hidden(NamedTuple):
    """A secret in every form a server may repeat it in, in small letters, and their pattern."""

    forms: tuple[str, ...]
    pattern: re.Pattern[str]

    def removed_from(self, text: str) -> str:
        """The text without it. Looked for first: most texts hold none."""
        low = text.lower()
        return self.pattern.sub(SHOWN, text) if any(one in low for one in self.forms) else text


_hidden: dict[str, _Hidden] = {}
# What is a secret by its place, whoever it belongs to: a password in a URL, a key in its query.
_USERINFO = re.compile(r"(?<=://)[^/\s'\"]*@")
_QUERY_KEY = re.compile(
    r"([?&][\w.-]*(?:key|token|secret|passw|pwd|auth|signature|sig|credential|code)[\w.-]*=)"
    r"[^&\s'\"<>)\]]+",
    re.I,
)


def hide(*secrets: str | None) -> None:
    """From now on none of these is shown, in whatever form a server may repeat it."""
    for secret in secrets:
        text = (secret or "").strip()
        if len(text) < _SHORTEST or text in _hidden:
            continue
        forms = {text, quote(text), quote(text, safe=""), json.dumps(text)[1:-1], repr(text)[1:-1]}
        forms |= {escape(text), escape(text, quote=False)}
        packed = _packed(text)
        is_word = len(text) < _LONG
        longest_first = sorted(map(re.escape, forms), key=len, reverse=True)
        pattern = "|".join(longest_first)
        if is_word:
            pattern = rf"(?<!\w)(?:{pattern})(?!\w)"
        # With all that it is packed with: a user's name before it, or what follows.
        pattern = "|".join([pattern, *(rf"{_AROUND}{re.escape(one)}{_AROUND}" for one in packed)])
        small = tuple({one.lower() for one in forms | packed})
        _hidden[text] = _Hidden(small, re.compile(pattern, 0 if is_word else re.I))


def _packed(text: str) -> set[str]:
    """What of a secret stands in base64 wherever it begins, as in that of "user:secret"."""
    found = set()
    for n_before in range(3):
        data = b"\0" * n_before + text.encode()
        # Of the first and last three bytes only whole ones tell.
        core = base64.b64encode(data).decode()[4 if n_before else 0 : len(data) // 3 * 4]
        found |= {core, core.replace("+", "-").replace("/", "_")}
    return {one for one in found if len(one) >= _LONG}


def redact(text: str) -> str:
    """The text without any secret that is known, or known by its place in a URL."""
    if "://" in text:
        text = _USERINFO.sub(f"{SHOWN}@", text)
    if "=" in text:
        text = _QUERY_KEY.sub(rf"\1{SHOWN}", text)
    # The longest first: one secret may be the beginning of another.
    for secret in sorted(_hidden, key=len, reverse=True):
        text = _hidden[secret].removed_from(text)
    return text


def redact_reply(text: str) -> str:
    """A model's own words without any secret that is known: its programs may hold URLs of theirs.

    What might be a word of the reply (a placeholder such as "ollama", a proxy's plain password)
    stays: a key has a digit, or is long.
    """
    for secret in sorted(_hidden, key=len, reverse=True):
        is_key = len(secret) >= _KEY_LENGTH or any(map(str.isdigit, secret))
        if is_key:
            text = _hidden[secret].removed_from(text)
    return text


def redact_file(content: bytes) -> bytes:
    """A file of a server's answers in UTF-8, as `redact_reply` leaves its text."""
    text = content.decode("utf-8", "replace")
    found = redact_reply(text)
    return content if found == text else found.encode()


def excerpt(text: str | bytes, limit: int = 500) -> str:
    """The beginning of a text, redacted before it is cut: half a secret is one too."""
    if isinstance(text, bytes):
        text = text[: 20 * limit].decode("utf-8", "replace")
    return redact(text)[:limit].strip()


def public_url(url: str) -> str:
    """A URL as it may be shown: without user, password, query and fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return SHOWN
    server = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else ""
    return server + parts.path
