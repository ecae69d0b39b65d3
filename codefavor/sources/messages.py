"""Commit messages: without who made them, and what they say about other commits."""

from __future__ import annotations

import re

_TRAILER = re.compile(
    r"^\s*(?:signed-off|co-authored|co-developed|reviewed|acked|tested|reported|suggested|approved"
    r"|commented|helped|mentored|inspired|requested|submitted|created|written)-?(?:-and-[\w-]+)?"
    r"[ -]by\s*:.*$|^\s*(?:cc|author|authored by|change-id|git-svn-id|pull-request|reviewed-on"
    r"|committer|patch by|contributed by|thanks to)\s*:.*$",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"\s*<?[\w.+-]+@[\w-]+(?:\.[\w-]+)+>?")
# Only after such words: "@property" in a message names no person.
_MENTION = re.compile(
    r"(?P<before>\b(?:by|thanks|thanks to|cc|from|via|kudos|kudos to|h/t|credit to)):?"
    r"(?:\s+|\s*,\s*|\s+and\s+)@[\w-]+(?:(?:\s*,\s*|\s+and\s+)@[\w-]+)*",
    re.IGNORECASE,
)
_REVERTED = re.compile(r"\bThis reverts (?:commits? )?([0-9a-f]{7,40})", re.IGNORECASE)
_REVERT_SUBJECT = re.compile(r'^Revert(?:ed|s)?:?\s+"(?P<subject>.+)"?', re.IGNORECASE)
_PULL_NUMBER = re.compile(r'"?\s*\(#\d+\)\s*$|"\s*$')
_MERGE = re.compile(
    r"^(?:Merge (?:branch|pull request|remote|tag|commit|\S+ into )|Merged? (?:in |PR |from ))",
    re.IGNORECASE,
)
_EMPTY = frozenset({
    "wip", "fix", "fixes", "fixed", "update", "updates", "updated", "changes", "change", "cleanup",
    "clean up", "minor", "misc", "stuff", "tmp", "temp", "test", "commit", "initial commit", "typo",
    "fix typo", "typos", "lint", "format", "formatting", "merge", "save", "more", "bump",
})  # fmt: skip

_VERSION = re.compile(
    r"^(?:(?:prepare |cut )?(?:release|version)|bump(?: version| to)*|back to development)?:?\s*"
    r"(?:v|version )?\d+(?:\.\w+)+\W*$",
    re.IGNORECASE,
)


def without_people(message: str) -> str:
    """The message without sign-offs and other trailers that name people, addresses, mentions."""
    lines = [line.rstrip() for line in message.replace("\r\n", "\n").split("\n")]
    kept = [
        _MENTION.sub(r"\g<before>", _ADDRESS.sub("", line)).rstrip()
        for line in lines
        if not _TRAILER.match(line)
    ]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()


def says_nothing(message: str) -> bool:
    """Whether a message is empty, a version number, or a word that says only that something
    changed."""
    subject = message.partition("\n")[0].strip().strip(".!").lower()
    is_bare = subject in _EMPTY or bool(_VERSION.match(subject))
    return message == "" or (is_bare and "\n" not in message.strip())


def is_merge_message(message: str) -> bool:
    """Whether a commit with one parent calls itself a merge: a squashed one."""
    return bool(_MERGE.match(message))


def reverted_commit(message: str) -> tuple[str, str] | None:
    """For a revert: the hash it names ("" without one) and the subject of what it undoes."""
    named = _REVERTED.search(message)
    titled = _REVERT_SUBJECT.match(message)
    if named is None and titled is None:
        return None
    subject = _PULL_NUMBER.sub("", titled["subject"].split("\n")[0]) if titled else ""
    return (named[1] if named else ""), subject.strip()
