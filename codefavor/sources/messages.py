"""Commit messages: without who made them, and what they say about other commits."""

from __future__ import annotations

import re

_TRAILER = re.compile(
    r"^\s*(?:signed-off|co-authored|co-developed|reviewed|acked|tested|reported|suggested|approved"
    r"|commented|helped|mentored|inspired|requested|submitted|created|written)-?(?:-and-[\w-]+)?"
    r"[ -]by\s*:.*$|^\s*(?:cc|author|authored by|change-id|git-svn-id|pull-request|reviewed-on"
    r"|former-commit-id|committer|patch by|contributed by|thanks to)\s*:.*$",
    re.IGNORECASE,
)
_LAST_RULE = re.compile(r"\n\s*-{5,}\s*\Z")
_ADDRESS = re.compile(r"\s*<?[\w.+-]+@(?:[\w-]+\.)+[A-Za-z]{2,}\b>?")
# Not `@property`, @app.route, @types/node or the @latest of a version.
_MENTION = re.compile(
    r"(?<![\w@/`.])@(?P<name>[A-Za-z\d](?:[\w-]*\w)?)(?!\w|[/.]\w|[(`])(?:['’]s\b)?"
)
_ROLE = (
    r"(?:patch|contribut|report|suggest|request|propos|spott?|found|notic|caught|discover|writ|fix"
    r"|inspir|point(?:ed)? out|identifi|describ|mention)\w*(?: [a-z]+)? by"
)
_THANKS = (
    r"(?:(?:special |many |big )?thanks(?: again| a lot)?(?: goes| go)?(?: to)?|thank you"
    r"|thx(?: to)?|tnx|kudos(?: to)?|props(?: to)?|credits?(?: goes| go)?(?: to)?|courtesy of"
    rf"|/?ht|h/t|(?:as )?{_ROLE})"
)
_NAME = r"[A-Z][\w'’.-]*[\w’]"
_PERSON = rf"(?:{_NAME}(?: {_NAME}){{1,3}}|{_NAME}(?=\s*(?:[!.,;:)\]]|$)))"
_AND = r"(?:\s*,\s*and\s+|\s*[,&/+]\s*|\s+and\s+)"
_HANDLE = r"@[\w-]+(?![\w'’-])"
_FOR = (
    r"(?:\s+for (?:the|report|point|find|spot|catch|notic|help|initial|your|his|her|their)[^.\n]*)?"
)
# A credit in brackets goes with them; one after a word of thanks goes with the word; of a mention
# elsewhere only the name goes.
_CREDIT = re.compile(
    # "[closes #3, joe]" has more to say, "[joe, edda]" at the end of a line has not.
    rf"\s+\[[a-z][\w-]+(?:, [a-z][\w-]+)*\]$|\s*[\[(][^\[\]()]*\b(?i:{_THANKS})\b[^\[\]()]*[\])]"
    rf"|\s*(?:[-–—,;/]+\s*)?\b(?:(?i:{_THANKS})(?:\s*[:,])?\s+(?:{_HANDLE}|{_PERSON})"
    rf"|(?i:/?cc|via|by|from|per|with)(?:\s*[:,])?\s+{_HANDLE})"
    rf"(?:{_AND}(?:{_HANDLE}|{_PERSON}))*{_FOR}!?"
)
# "Fix it, by Max Mustermann" and "[by Max Mustermann, see URL]"; not "sort by Last Name".
_BY = rf"(?i:by) {_NAME}(?: {_NAME}){{1,3}}"
_AUTHOR = re.compile(
    rf"\s*[\[(]{_BY}\b[^\[\]()]*[\])]"
    rf"|(?:^|\s*[,;]|\s+[-–—]+|(?<=[.!?]))\s*\b{_BY}(?=\s*(?:[.,;:]|$))"
)
# What is left of a sentence that begins with thanks and says nothing of the program ("Thanks to
# Python 3 we drop it" does).
_GRATITUDE = re.compile(
    r"(?:^\s*|(?<=[.!?;,:(\[–—-]) |(?<=[(\[]))(?:(?:special|many|big|also|and) )*"
    r"(?:thanks|thank you|thx|tnx|kudos|props to|hat tip|patch(?:es)? (?:by|from)|reported by"
    r"|credits? (?:to|goes))\b(?![\w(=]|\s*=|[^\n.]*\b(?:we|it|this|that|is|are|can|now)\b)"
    r"(?:\([^()\n]*\)|[^()\n])*?(?:[.!?](?=\s|$)|(?=[)\]])|$)",
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


def without_people(message: str, code: str = "") -> str:
    """The message without sign-offs and other trailers that name people, addresses, credits and
    mentions; a mention that stands in `code` is code (`@property`)."""
    lines = [line.rstrip() for line in message.replace("\r\n", "\n").split("\n")]
    kept = [_without_names(line, code) for line in lines if not _TRAILER.match(line)]
    # The rule that stood above the trailers of a squashed pull request.
    text = _LAST_RULE.sub("", "\n".join(kept))
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def _without_names(line: str, code: str) -> str:
    def only_code(found: re.Match[str]) -> str:
        return found[0] if f"@{found['name']}" in code else ""

    def credit(found: re.Match[str]) -> str:
        names = [name for name in _MENTION.finditer(found[0]) if only_code(name)]
        return found[0] if names else ""

    bare = _MENTION.sub(only_code, _AUTHOR.sub("", _CREDIT.sub(credit, _ADDRESS.sub("", line))))
    bare = _GRATITUDE.sub("", bare)
    if bare == line:
        return line
    # What stood around a name: doubled blanks and full stops, empty brackets.
    bare = re.sub(r"(?:(?<=\s)|^)[\[(][\s,;.]*[\])]", "", bare)
    bare = re.sub(r"(?<=[.!?])[.,;](?=\s|$)", "", bare)
    indent = line[: len(line) - len(line.lstrip())]
    bare = re.sub(r"\s+([.,;:!)\]])", r"\1", re.sub(r"[ \t]{2,}", " ", bare)).strip()
    return f"{indent}{bare.lstrip('.,;:!-–— ')}".rstrip() if re.search(r"\w", bare) else ""


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
