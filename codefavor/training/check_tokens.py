"""Chat templates and special tokens of a recipe against those of its model."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from codefavor.errors import ConfigError
from codefavor.records import Row
from codefavor.text import CONTROL_TOKEN, THINKING_MARK
from codefavor.training.check_readers import type_name
from codefavor.training.check_written import (
    ANSWER,
    QUESTION,
    TURNS,
    TemplateProblem,
    drops_system,
    lost_texts,
    row_findings,
    write,
)
from codefavor.training.findings import Finding, entries_of, error, warning
from codefavor.training.model_shapes import cached_file, find_config
from codefavor.training.recipes import PREFERENCES, load_yaml, method_of
from codefavor.training.stand_in import FAMILIES_FILE, find_family, template_text

_OWN = "tokenizer_default"
EMBEDDINGS = {"embed_tokens", "wte", "embed_in", "word_embeddings"}
_WRITES_INST = ("llama", "mistral", "mixtral", "ministral", "pixtral")


class Tokens(NamedTuple):
    """What is known of a tokenizer: its special tokens, those with a role, and its template.

    `known` is empty, `roles` has no entry and `template` is "" where nothing is known; so is
    `model_type` where the tokens are guessed from the model's name.
    """

    known: frozenset[str]
    roles: Mapping[str, str]
    template: str
    model_type: str = ""


def token_findings(
    config: Mapping[str, Any], name: str, words: Mapping[str, Any], folder: Path, root: Path
) -> Iterator[Finding]:
    """Special tokens and templates that the model does not know, and ends that are not trained."""
    yield from _tokenizer_findings(config, name, words, folder, root)
    own = str(config.get("tokenizer_config") or name)
    tokens = tokens_of(own, folder, root)._replace(model_type=str(words.get("model_type", "")))
    yield from _special_findings(config, own, tokens)
    roles = {**tokens.roles, **_roles_of(config.get("special_tokens"))}
    if method_of(config) == "reward" and roles.get("eos"):
        yield from _padding_findings(config, roles)
    tokens = tokens._replace(roles=roles)
    named = [config]
    named += [one for _, one in entries_of(config, "datasets") if one.get("chat_template")]
    for choice, jinja in dict.fromkeys(
        (one.get("chat_template"), one.get("chat_template_jinja")) for one in named
    ):
        yield from _template_findings(config, str(choice or _OWN), jinja, tokens)
        yield from _row_findings(config, str(choice or _OWN), jinja, tokens, folder)


def _tokenizer_findings(
    config: Mapping[str, Any], name: str, words: Mapping[str, Any], folder: Path, root: Path
) -> Iterator[Finding]:
    """A tokenizer that is not the model's: its tokens would be other words to the model."""
    other = str(config.get("tokenizer_config") or name)
    if other == name or config.get("added_tokens_overrides"):
        return
    text = f"tokenizer_config: {other} is the tokenizer of another family than {name}"
    remedy = "every text would be tokens of other words to the model; remove it"
    ours, theirs = tokens_of(name, folder, root), tokens_of(other, folder, root)
    if not ours.known or not theirs.known:
        yield warning(
            f"tokenizer_config: {other} is not {name}'s own, and whether both have the same tokens "
            "is not known here; remove it, unless they do"
        )
        return
    try:
        sizes = [
            int((one.get("text_config") or one).get("vocab_size") or 0)
            for one in (words, find_config(other, folder, root))
        ]
    except (ConfigError, ValueError):
        sizes = [0, 0]
    if not ours.known & theirs.known or (all(sizes) and sizes[0] != sizes[1]):
        yield error(f"{text}: {remedy}")


def _special_findings(config: Mapping[str, Any], name: str, tokens: Tokens) -> Iterator[Finding]:
    added = _added(config)
    if config.get("adapter") and EMBEDDINGS & set(config.get("lora_modules_to_save") or []):
        return  # what is added is trained
    named = {
        f"special_tokens.{role}": one for role, one in (config.get("special_tokens") or {}).items()
    }
    for key, token in {**named, "eot_tokens": config.get("eot_tokens")}.items():
        names = token if isinstance(token, list) else [token]
        for one in filter(None, names):
            if not tokens.known or one in tokens.known | added:
                continue
            text = (
                f"{key}: {one!r} is no token of {name}, so an untrained one "
                f"would be added; it has {', '.join(sorted(tokens.known)[:8])}"
            )
            # Padding is never looked at nor trained: a new token costs memory, and no more.
            yield warning(text) if key.endswith(".pad_token") else error(text)


def _added(config: Mapping[str, Any]) -> set[str]:
    """The tokens that a recipe itself adds to the tokenizer."""
    added = {str(token) for token in config.get("tokens") or []}
    return added | {str(token) for token in (config.get("added_tokens_overrides") or {}).values()}


def _padding_findings(config: Mapping[str, Any], roles: Mapping[str, str]) -> Iterator[Finding]:
    pad, end = roles.get("pad"), roles["eos"]
    remedy = "name another token of the tokenizer under special_tokens.pad_token"
    if pad == end:
        text = (
            f"special_tokens.pad_token: {pad!r} is the end of text as well: the score is read "
            f"before the padding, so before the end of every answer; {remedy}"
        )
        is_written = "pad_token" in (config.get("special_tokens") or {})
        yield error(text) if is_written else warning(text)
    elif pad is None:
        yield warning(
            f"special_tokens.pad_token: none, so Axolotl pads with the end of text {end!r}, and "
            f"the score is read before it; {remedy}"
        )


def _template_findings(
    config: Mapping[str, Any], choice: str, jinja: Any, tokens: Tokens
) -> Iterator[Finding]:
    """One template of a recipe: that it parses, speaks the model's tokens, and trains an end."""
    key = "chat_template_jinja" if choice == "jinja" else f"chat_template: {choice!r}"
    try:
        text = _template_of(choice, jinja, tokens)
        written = write(text, tokens.roles) if text else None
    except TemplateProblem as problem:
        yield error(f"{key}: {problem}")
        return
    if written is None:
        return
    missing = next(iter(lost_texts(text, tokens.roles)), None)
    if missing:
        yield error(f"{key}: {missing}")
        return
    if _is_closed(text, written, tokens.roles):
        told = (
            f"{key}: it does not look at add_generation_prompt, and a role stands before an "
            "answer: a server would leave it to the model to write that first; add "
            "{% if add_generation_prompt %}...{% endif %} at its end"
        )
        yield error(told) if choice == "jinja" else warning(told)
    used = set(CONTROL_TOKEN.findall(written))
    if tokens.model_type.startswith(_WRITES_INST):
        used -= {"[INST]", "[/INST]"}  # in these plain text as often as a token
    foreign = sorted(used - tokens.known - _added(config) - set(tokens.roles.values()))
    if foreign and tokens.known and not choice.startswith(_OWN):
        told = (
            f"{key}: {', '.join(foreign)} are no tokens of {config.get('base_model')}: they would "
            f"be split into pieces that it was not made for; write chat_template: {_OWN}, or add "
            "them under tokens"
        )
        # Of a model that is not listed, only the name is known: it may have been taught them.
        yield error(told) if tokens.model_type else warning(told)
        return
    yield from _beginning_findings(key, text, written, tokens.roles, is_own=choice == "jinja")
    yield from _family_findings(config, key, choice, written, tokens)
    yield from _end_findings(config, key, written.rpartition(ANSWER)[2].strip(), tokens.roles)


def _beginning_findings(
    key: str, text: str, written: str, roles: Mapping[str, str], *, is_own: bool
) -> Iterator[Finding]:
    """A beginning of text that stands there twice, and an answer that is asked for in another form
    than it is written in: the judge asks in that form what was trained in this one."""
    found = error if is_own else warning
    first, second, *_ = [*CONTROL_TOKEN.findall(written), "", ""]
    if first and written.lstrip().startswith(first + second) and first == second:
        yield found(f"{key}: it begins a text with {first} twice; write it once")
    before = written.rpartition(ANSWER)[0]
    opened = write(text, roles, TURNS[:1], opens=True) or ""
    # A thought is left out of answers, and asked for where a model thinks.
    asked = THINKING_MARK.split(opened, maxsplit=1)[0].rstrip()
    if QUESTION in asked and not before.startswith(asked):
        tails = [one.rpartition(QUESTION)[2] for one in (asked, before)]
        yield found(
            f"{key}: it asks for an answer with {tails[0]!r}, and writes answers behind "
            f"{tails[1]!r}: write the same with add_generation_prompt"
        )


def _family_findings(
    config: Mapping[str, Any], key: str, choice: str, written: str, tokens: Tokens
) -> Iterator[Finding]:
    """Turns that are not marked by the tokens with which the model's own template marks them."""
    own = write(tokens.template, tokens.roles) if tokens.template else None
    if choice.startswith(_OWN) or choice == "jinja" or own is None:
        return
    marks = set(CONTROL_TOKEN.findall(own)) - {tokens.roles.get("bos"), tokens.roles.get("eos")}
    if marks and not marks & set(CONTROL_TOKEN.findall(written)):
        yield warning(
            f"{key}: it has none of the tokens ({', '.join(sorted(marks)[:4])}) by which the "
            f"template of {config.get('base_model')} itself marks a turn: the model would learn "
            f"another form; write chat_template: {_OWN}"
        )


def _end_findings(
    config: Mapping[str, Any], key: str, behind: str, roles: Mapping[str, str]
) -> Iterator[Finding]:
    """Ends of a turn that are not trained, or are trained with another end behind them."""
    first, second, *_ = [*CONTROL_TOKEN.findall(behind), "", ""]
    if first and first == second:
        yield error(
            f"{key}: it writes {first} twice behind an answer, and both are trained; write it once"
        )
        return
    eos = roles.get("eos")
    if method_of(config) in PREFERENCES and eos and behind and not behind.endswith(eos):
        yield error(
            f"{key}: an answer ends with {behind}, and the trainer puts the tokenizer's end {eos} "
            f"behind it, so every answer would be trained with two; write special_tokens: "
            f"{{eos_token: {first or behind}}}"
        )
        return
    reads = [type_name(entry) for _, entry in entries_of(config, "datasets")]
    if method_of(config) != "sft" or not any(one.startswith("chat_template") for one in reads):
        return
    ends = [str(token) for token in [*(config.get("eot_tokens") or []), roles.get("eos")] if token]
    if not ends or config.get("train_on_inputs") or any(behind.startswith(one) for one in ends):
        return
    found = CONTROL_TOKEN.match(behind) or re.match(r"<[\w|/]+>", behind)
    if found:
        yield error(
            f"{key}: an answer ends with {found[0]}, and {', '.join(ends)} is what is trained as "
            f"its end, so the trained model would not stop; write eot_tokens: [{found[0]}], or "
            f"special_tokens: {{eos_token: {found[0]}}}"
        )
    elif not behind:
        yield warning(f"{key}: it writes no end behind an answer, so none is trained")


def _template_of(choice: str, jinja: Any, tokens: Tokens) -> str:
    """The text of a template; "" where it is the tokenizer's own and not known here."""
    if choice == "jinja":
        if not jinja:
            raise TemplateProblem("'jinja' without chat_template_jinja; write the template there")
        return str(jinja)
    if choice.startswith(_OWN):
        return tokens.template
    from axolotl.utils.chat_templates import get_chat_template

    try:
        return str(get_chat_template(choice))
    except ValueError:
        return ""  # the schema has told already


def _row_findings(
    config: Mapping[str, Any], choice: str, jinja: Any, tokens: Tokens, folder: Path
) -> Iterator[Finding]:
    """Rows whose texts the template loses, and what it does to a system's turn of others."""
    key = "chat_template_jinja" if choice == "jinja" else f"chat_template: {choice!r}"
    try:
        text = _template_of(choice, jinja, tokens)
        if not text or write(text, tokens.roles) is None:
            return
    except TemplateProblem:
        return  # told already
    found = list(row_findings(config, key, text, tokens.roles, folder))
    yield from found
    # Of a template that others wrote (Mistral's) that is known, and such rows are told above.
    if choice == "jinja" and not found and drops_system(text, tokens.roles):
        yield warning(
            f"{key}: it leaves out the text of a system's turn: rows that have one would be "
            "trained without it; add it to the template, or put such texts into the question"
        )


def _is_closed(text: str, written: str, roles: Mapping[str, str]) -> bool:
    """Whether a template opens no answer when it is asked to, and its answers have a beginning."""
    asked = write(text, roles, TURNS[:1])
    opened = write(text, roles, TURNS[:1], opens=True)
    if asked is None or asked != opened or not written.startswith(asked):
        return False
    return bool(written.removeprefix(asked).partition(ANSWER)[0].strip())


def tokens_of(name: str, folder: Path, root: Path) -> Tokens:
    """What is known of a model's tokenizer: of its files here, else of its family."""
    own = _file_of(name, "tokenizer.json", folder)
    settings = _file_of(name, "tokenizer_config.json", folder)
    family: Row = find_family(name, load_yaml(root / FAMILIES_FILE)) or {}
    named: Row = json.loads(settings.read_text(encoding="utf-8")) if settings else {}
    if own is None:
        known = {*family.get("tokens", {}).values(), *family.get("others", [])}
        return Tokens(
            frozenset(known),
            _roles_of(named) or family.get("tokens", {}),
            template_text(family) if family else "",
        )
    written = json.loads(own.read_text(encoding="utf-8"))
    vocabulary = (written.get("model") or {}).get("vocab") or {}
    pieces = {one for one in vocabulary if isinstance(one, str) and one.startswith(("<", "["))}
    pieces |= {str(token["content"]) for token in written.get("added_tokens") or []}
    template = named.get("chat_template")
    beside = own.parent / "chat_template.jinja"
    if beside.is_file():
        template = beside.read_text(encoding="utf-8")
    return Tokens(
        frozenset(pieces), _roles_of(named), template if isinstance(template, str) else ""
    )


def _roles_of(named: Any) -> dict[str, str]:
    """The tokens with a role of a tokenizer's settings, or of `special_tokens`."""
    found = {}
    for role in ("bos", "eos", "pad", "unk"):
        token = (named or {}).get(f"{role}_token")
        token = token.get("content") if isinstance(token, Mapping) else token
        if isinstance(token, str):
            found[role] = token
    return found


def _file_of(name: str, file: str, folder: Path) -> Path | None:
    place = folder / name / file
    return place if place.is_file() else cached_file(name, file)
