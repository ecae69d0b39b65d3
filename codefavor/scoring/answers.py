"""The program in a model's answer to a problem: one reading for data, rewards and pass@k."""

from __future__ import annotations

import ast
import html
import re
import textwrap
from collections.abc import Iterator, Sequence

from codefavor.languages.python_code import compiles, is_text, put_before, tree_of
from codefavor.scoring.blocks import (
    INSIDE,
    TEST,
    answer_among,
    definitions_of,
    is_stub,
    marked_inside,
    parsing_part,
)
from codefavor.scoring.needed import with_needed, without_words
from codefavor.scoring.presented import not_presented_as_wrong
from codefavor.scoring.reply_forms import (
    json_strings,
    readings,
    without_notebook,
    without_session,
)
from codefavor.text import THINKING_BEGINS, THINKING_ENDS, Fence, extract_code, parse_fences

# A program may have such a mark in a string of its own.
_ANSWER_MARK, _THINKING = (
    re.compile(rf"(?<![\"'])(?:{one})") for one in (THINKING_ENDS, THINKING_BEGINS)
)
_ANSWER = re.compile(r"^<answer>(.*?)^</answer>", re.MULTILINE | re.DOTALL)
# Where a model's turn ends, if a server leaves the mark in the text.
_END = (
    r"(?:<\|(?:im_end|endoftext|eot_id|eom_id|end_of_text|end|return)\|>|<｜end▁of▁sentence｜>|"
    r"<end_of_turn>|</s>)"
)
# At the end of a line, or before what begins the next turn.
_TURN_END = re.compile(rf"(?<![\"'`]){_END}[ \t]*(?=$|<|\[INST\])", re.MULTILINE)
_LAST_MARKS = re.compile(rf"(?:\s*{_END})+\s*\Z")
_AFTER_FENCE = re.compile(rf"^( {{0,3}}(?:`{{3,}}|~{{3,}}))[ \t]*{_END}", re.MULTILINE)
# What is seen by nobody, and marks of the model's that a program or block begins behind.
_SPECIAL = re.compile(
    r"[\ufeff\u200b\u2060]|\A\s*(?:<\|\w+\|>)+(?=(?:async def|class|def|from|import) |@\w|```)",
    re.MULTILINE,
)
_DONE = re.compile(r"^\[DONE\][ \t]*$", re.MULTILINE)
_QUOTED_FENCE = re.compile(r"^ {0,3}> ?(?:```|~~~)", re.MULTILINE)
_HTML = re.compile(r"<pre[^>]*>\s*(?:<code[^>]*>)?(.*?)(?:</code>)?\s*</pre>", re.DOTALL | re.I)
# The language on the line behind the mark.
_LATE_LANGUAGE = re.compile(
    r"^( {0,3}(?:`{3,}|~{3,}))[ \t]*\n(?:python3?|py)[ \t]*(?=\n(?:def|class|import|from|@))",
    re.MULTILINE | re.IGNORECASE,
)
# What stands indented at the beginning of a reply: the body of a function.
_BODY = re.compile(r"\s*^[ \t]+\S.*\n?(?:(?:[ \t]+.*)?\n|[ \t]+.*\Z)*", re.MULTILINE)


def program_of(
    reply: str, entry_point: str = "", *, language: str = "python", prompt: str = ""
) -> str:
    """The program that a reply ends with; "" where there is none.

    What stands before the end of the thinking is a draft and does not count; a reply that never
    leaves its thinking has no answer. Of several Python blocks the last one counts that
    `answer_among` takes for a whole program: examples of use follow a program, corrections
    replace it. Without one, and in another language, it is what `extract_code` finds. A Python
    program gets the imports and helpers that it uses, does not define, and that an earlier block,
    the beginning given in `prompt` or else a later block defines; one that only continues
    `prompt` is put behind it.
    """
    reply = _unwrapped(_own_turn(marked_inside(_after_thinking(reply))))
    if language != "python":
        return extract_code(reply, language).replace(INSIDE, "")
    return _python_program(reply, entry_point, prompt).replace(INSIDE, "")


def _python_program(reply: str, entry_point: str, prompt: str) -> str:
    code = next(filter(None, (_among(one, entry_point, prompt) for one in readings(reply))), "")
    if prompt and (not code or _is_stub(code, entry_point)):
        code = _continuation(reply, entry_point, prompt) or code
    return code or with_needed(extract_code(reply), [prompt])


def _among(blocks: Sequence[Fence], entry_point: str, prompt: str) -> str:
    """The program of the block that answers, with what it needs from the others."""
    may_be = list(not_presented_as_wrong(blocks))
    texts = [_clean(one) for one in blocks]

    def program(number: int) -> str:
        lenders = [n for n in range(len(texts)) if n != number]
        # What an earlier block defines counts before what a later one does, and that before what
        # the reply rejects.
        lenders.sort(key=lambda n: (may_be[n], n < number, n))
        lent = [texts[n] for n in lenders]
        at = sum(not may_be[n] or n > number for n in lenders)
        return without_words(with_needed(texts[number], [*lent[:at], prompt, *lent[at:]]))

    found = answer_among(blocks, entry_point, may_be, program)
    return "" if found is None else program(found)


def _is_stub(code: str, name: str) -> bool:
    """Whether a program defines the function without doing anything in it."""
    found = definitions_of(code, name)
    return bool(found) and all(map(is_stub, found))


def _continuation(reply: str, entry_point: str, prompt: str) -> str:
    """The beginning with the body that a reply is or has in a block; "" where there is none."""
    bodies = [one.content for one in reversed(parse_fences(reply))]
    # What is indented or returns continues the beginning; a sentence does not. A body that begins
    # the reply may have tests or a sentence behind it.
    if not bodies and re.search(r"^(?:[ \t]|return\b)", reply, re.MULTILINE):
        begun = _BODY.match(reply)
        bodies = [reply, *([begun[0]] if begun else []), extract_code(reply)]
    programs = (whole for one in bodies for whole in _behind(prompt, one))
    return next((one for one in programs if compiles(one) and not _is_stub(one, entry_point)), "")


def _behind(prompt: str, body: str) -> Iterator[str]:
    """The beginning and the rest of a function; that may have lost the indent of its first line, or
    have another, unless it is a program of its own."""
    body = body.strip("\n")
    yield put_before(prompt, f"{body}\n")
    for one in () if compiles(body) else (body, textwrap.dedent(body).replace("\n", "\n    ")):
        yield f"{prompt}    {one}\n"


def suite_of(reply: str) -> str:
    """The test suite that a reply ends with; "" where there is none.

    The last block with a test in it counts, with the imports and helpers that it uses and an
    earlier block of tests defines; without such a block the strings of a JSON object are looked
    at, and else it is what `extract_code` finds.
    """
    reply = _own_turn(_after_thinking(reply))
    fences = [fence for fence in parse_fences(reply) if fence.is_closed]
    suites = [_clean(one) for one in fences if TEST.search(one.content)]
    if not suites:
        texts = [reply, *(one.content for one in fences if one.language in ("json", ""))]
        suites = [code for one in texts for code in json_strings(one) if TEST.search(code)]
    if not suites:
        return extract_code(reply)
    return with_needed(suites[-1], suites[:-1])


def _after_thinking(reply: str) -> str:
    """The answer of a model that may think before it; "" if it never came to one."""
    for found in reversed(list(_ANSWER_MARK.finditer(reply))):
        if not _is_in_program(reply, found):
            reply = reply[found.end() :]
            break
    if answers := _ANSWER.findall(reply):
        reply = answers[-1]
    begun = (one for one in _THINKING.finditer(reply) if not _is_in_program(reply, one))
    return "" if next(begun, None) else reply


def _is_in_program(reply: str, mark: re.Match[str]) -> bool:
    """Whether a mark stands within a block, or a reply without one, that is a program."""
    before = parse_fences(reply[: mark.start()])
    if before and before[-1].is_closed:
        return False
    content = parse_fences(reply)[len(before) - 1].content if before else reply
    return mark[0] in content and tree_of(content) is not None


def _own_turn(reply: str) -> str:
    """The reply up to the mark that ends it, which is no part of a program: `<|im_end|>`, `[DONE]`.

    Within a block, and within quotation marks, it is part of a program.
    """
    if after := _AFTER_FENCE.search(reply):
        reply = reply[: after.end(1)]
    for pattern in (_DONE, _TURN_END):
        for found in pattern.finditer(reply):
            before = reply[: found.start()]
            is_in_code = not all(fence.is_closed for fence in parse_fences(before))
            if before.strip() and not is_in_code and not _is_in_text(before):
                reply = before
                break
    return _LAST_MARKS.sub("", reply)


def _is_in_text(before: str) -> bool:
    """Whether a program without a fence is within a text in three quotes here."""
    return any(before.count(quotes) % 2 for quotes in ('"""', "'''"))


def _unwrapped(reply: str) -> str:
    """The reply without what stands around blocks of code in some of them: invisible marks, a
    quotation, a block of Markdown, HTML, or the prompts and commands of an interpreter."""
    reply = _SPECIAL.sub("", reply)
    if _QUOTED_FENCE.search(reply):
        reply = re.sub(r"^ {0,3}> ?", "", reply, flags=re.MULTILINE)
    for fence in parse_fences(reply):
        if fence.language in ("markdown", "md") and "```" in fence.content:
            # The first bare fence ended both blocks.
            reply = f"{fence.content}\n```\n"
            break
    reply = _LATE_LANGUAGE.sub(r"\1python", reply)
    reply = _HTML.sub(lambda found: f"```\n{html.unescape(found[1])}\n```", reply)
    return without_session(without_notebook(reply))


def continued(prompt: str, text: str, entry_point: str = "") -> str:
    """The program that a base model wrote: the prompt and what continues it, as far as it parses.

    It ends with the first definition of the entry point that does anything, without one where a
    text stands between statements: what follows are tests, examples, and the same once more. Of
    that it gets what it uses and lacks. Where nothing of the continuation parses it is returned
    whole, so that it counts as what it is: no program.
    """
    text = _own_turn(text)
    if text.lstrip().startswith("```"):
        # Begun anew in a block: the whole function, or only what is missing.
        block = extract_code(text)
        programs = filter(compiles, _behind(prompt, block))
        return next(programs, "") or block or prompt + text
    text = text.partition("```")[0]
    # From the first line on: what stands before the first function is part of it.
    for whole in _behind(prompt, text):
        code = parsing_part(whole)
        is_more = len(code.rstrip()) > len(prompt.rstrip()) and not _is_stub(code, entry_point)
        if is_more and compiles(code):
            return _first_answer(code, entry_point)
    whole = put_before(prompt, text)
    code = extract_code(whole)
    return code if len(code.rstrip()) > len(prompt.rstrip()) else whole


def _first_answer(code: str, name: str) -> str:
    tree = tree_of(code) or ast.Module([], [])
    ends = [one.end_lineno for one in definitions_of(code, name) if not is_stub(one)]
    is_code = [not is_text(one) for one in tree.body]
    if not name and True in is_code:
        texts = [n for n, one in enumerate(is_code) if not one and n > is_code.index(True)]
        ends = [tree.body[n].lineno - 1 for n in texts]
    lines = code.split("\n")
    head, rest = (
        ("\n".join(part) for part in (lines[: ends[0]], lines[ends[0] :])) if ends else (code, "")
    )
    return with_needed(head.rstrip() + "\n", [rest] if name else [])


def _clean(fence: Fence) -> str:
    return fence.content.strip("\n") + "\n"
