"""The program in a model's answer to a problem: one reading for data, rewards and pass@k."""

from __future__ import annotations

import ast
import builtins
import html
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from codefavor.languages.python_code import is_text, put_before, tree_of
from codefavor.scoring.blocks import (
    INSIDE,
    is_complete,
    is_fragment,
    marked_inside,
    parsing_part,
)
from codefavor.scoring.presented import not_presented_as_wrong
from codefavor.scoring.reply_forms import (
    json_strings,
    other_readings,
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
_TEST = re.compile(r"^\s*(?:(?:async )?def test|class \w*Test|class \w+\(.*TestCase)", re.MULTILINE)
_QUOTED_FENCE = re.compile(r"^ {0,3}> ?(?:```|~~~)", re.MULTILINE)
_HTML = re.compile(r"<pre[^>]*>\s*(?:<code[^>]*>)?(.*?)(?:</code>)?\s*</pre>", re.DOTALL | re.I)
# The language on the line behind the mark.
_LATE_LANGUAGE = re.compile(
    r"^( {0,3}(?:`{3,}|~{3,}))[ \t]*\n(?:python3?|py)[ \t]*(?=\n(?:def|class|import|from|@))",
    re.MULTILINE | re.IGNORECASE,
)
# What stands indented at the beginning of a reply: the body of a function.
_BODY = re.compile(r"\s*^[ \t]+\S.*\n?(?:(?:[ \t]+.*)?\n|[ \t]+.*\Z)*", re.MULTILINE)
_BUILTINS = frozenset(dir(builtins))


def program_of(
    reply: str, entry_point: str = "", *, language: str = "python", prompt: str = ""
) -> str:
    """The program that a reply ends with; "" where there is none.

    What stands before the end of the thinking is a draft and does not count; a reply that never
    leaves its thinking has no answer. Of several blocks the last one counts that defines the
    entry point: examples of use follow a program, corrections replace it. What does not parse, is
    of another language, a part of the function, or what the reply itself calls a mistake, counts
    only if there is nothing else.
    Without such a block another of the forms of `other_readings` is read, else it is what
    `extract_code` finds. A Python program gets the imports and helpers that it uses, does not
    define, and that an earlier block, the beginning given in `prompt` or else a later block
    defines; one that only continues `prompt` is put behind it.
    """
    reply = _unwrapped(_own_turn(marked_inside(_after_thinking(reply))))
    return _chosen(reply, entry_point, language, prompt).replace(INSIDE, "")


def _chosen(reply: str, entry_point: str, language: str, prompt: str) -> str:
    fences = [fence for fence in parse_fences(reply) if fence.is_closed]
    whole = [n for n, one in enumerate(fences) if defines(one.content, entry_point)]
    if not whole and language == "python":
        for reading in other_readings(reply):
            if whole := [n for n, one in enumerate(reading) if defines(one.content, entry_point)]:
                fences = reading
                break
    may_be = list(not_presented_as_wrong(fences))
    if language == "python":
        whole = [n for n in whole if is_complete(fences[n], entry_point)] or whole
        whole = [n for n in whole if not is_fragment(fences[n].content, entry_point)] or whole
    whole = [n for n in whole if may_be[n]] or whole
    code = _clean(fences[whole[-1]]) if whole else extract_code(reply, language)
    if language != "python":
        return code
    if prompt and not defines(code, entry_point):
        # Without a block, what is indented or returns continues the beginning; a sentence does not.
        is_body = bool(code) or re.search(r"^(?:[ \t]|return\b)", reply, re.MULTILINE)
        # A body that begins the reply may have tests or a sentence behind it.
        begun = _BODY.match(reply)
        bodies = [*([reply, begun[0]] if begun else []), *([code or reply] if is_body else [])]
        whole_code = next(filter(None, (_behind(prompt, one) for one in bodies)), "")
        # Behind a stub that it leaves empty, a program of its own is none of what was asked for.
        return code if _is_stub(whole_code, entry_point) else whole_code
    if not code:
        return ""
    if not whole:
        return with_needed(code, [prompt])
    earlier = [one.content for one in fences[: whole[-1]]]
    later = [one.content for n, one in enumerate(fences) if n > whole[-1] and may_be[n]]
    # What an earlier block defines counts before what a later one does.
    return with_needed(code, [*later, prompt, *earlier])


def _is_stub(code: str, name: str) -> bool:
    """Whether a program defines the function without doing anything in it."""
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name == name
        and all(is_text(one) or isinstance(one, ast.Pass) for one in node.body)
        for node in getattr(tree_of(code), "body", ())
    )


def _behind(prompt: str, body: str) -> str:
    """The beginning and the rest of a function; "" if the rest is no program."""
    body = body.strip("\n")
    if re.search(r"^return\b", body, re.MULTILINE):
        body = textwrap.indent(body, "    ")
    code = put_before(prompt, f"{body}\n")
    return code if tree_of(code) else ""


def suite_of(reply: str) -> str:
    """The test suite that a reply ends with; "" where there is none.

    The last block with a test in it counts, with the imports and helpers that it uses and an
    earlier block of tests defines; without such a block the strings of a JSON object are looked
    at, and else it is what `extract_code` finds.
    """
    reply = _own_turn(_after_thinking(reply))
    fences = [fence for fence in parse_fences(reply) if fence.is_closed]
    suites = [_clean(one) for one in fences if _TEST.search(one.content)]
    if not suites:
        texts = [reply, *(one.content for one in fences if one.language in ("json", ""))]
        suites = [code for one in texts for code in json_strings(one) if _TEST.search(code)]
    if not suites:
        return extract_code(reply)
    return with_needed(suites[-1], suites[:-1])


def _after_thinking(reply: str) -> str:
    """The answer of a model that may think before it; "" if it never came to one."""
    for found in reversed(list(_ANSWER_MARK.finditer(reply))):
        reply = reply[found.end() :]
        break
    if answers := _ANSWER.findall(reply):
        reply = answers[-1]
    return "" if _THINKING.search(reply) else reply


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


def continued(prompt: str, text: str) -> str:
    """The program that a base model wrote: the prompt and what continues it, as far as it parses.

    Where nothing of the continuation parses it is returned whole, so that it counts as what it
    is: no program.
    """
    text = _own_turn(text)
    if text.lstrip().startswith("```"):
        # Begun anew in a block: the whole function, or only what is missing.
        block = extract_code(text)
        return _behind(prompt, block) or block or prompt + text
    whole = put_before(prompt, text.partition("```")[0])
    # From the first line on: what stands before the first function is part of it.
    code = parsing_part(whole)
    if len(code.rstrip()) <= len(prompt.rstrip()):
        code = extract_code(whole)
    return code if len(code.rstrip()) > len(prompt.rstrip()) else whole


def defines(code: str, name: str) -> bool:
    """Whether a Python text defines this name at its top level; False for the name ""."""
    if not name:
        return False
    escaped = re.escape(name)
    return bool(
        re.search(
            rf"^(?:(?:async )?(?:def|class) +{escaped}\b|{escaped}\s*(?::[^=\n]*)?=(?!=))",
            code,
            re.M,
        )
    )


def with_needed(code: str, earlier: Sequence[str]) -> str:
    """A program behind the top-level definitions of `earlier` texts that it uses and lacks.

    A text that does not parse lends nothing; of two texts that define a name the later one
    counts.
    """
    tree = tree_of(code)
    if tree is None:
        return code
    lent = {name: node for text in earlier for name, node in _definitions(tree_of(text))
            if getattr(node, "module", "") != "__future__"}  # fmt: skip
    missing = _unbound(tree)
    taken: list[ast.stmt] = []
    while wanted := [name for name in lent if name in missing and lent[name] not in taken]:
        for name in wanted:
            if lent[name] not in taken:
                taken.append(lent[name])
        missing |= {one for node in taken for one in _unbound(ast.Module([node], []))}
    if not taken:
        return code
    order = list(dict.fromkeys(lent.values()))
    head = "\n".join(ast.unparse(node) for node in sorted(taken, key=order.index))
    return put_before(f"{head}\n\n", code)


def _clean(fence: Fence) -> str:
    return fence.content.strip("\n") + "\n"


def _definitions(tree: ast.Module | None) -> Iterator[tuple[str, ast.stmt]]:
    """What a module defines at its top level, by name."""
    for node in tree.body if tree else ():
        for name in _bound_by(node):
            yield name, node


def _bound_by(node: ast.stmt) -> Iterable[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [(one.asname or one.name).partition(".")[0] for one in node.names]
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = [one for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)]
        return [one.id for one in names if isinstance(one.ctx, ast.Store)]
    if isinstance(node, ast.Try):
        parts = [*node.body, *(one for handler in node.handlers for one in handler.body)]
        return [name for part in parts for name in _bound_by(part)]
    return []


def _unbound(tree: ast.AST) -> set[str]:
    """The names that a program reads and binds nowhere, in no scope of it."""
    read: set[str] = set()
    bound: set[str] = set(_BUILTINS)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
        elif isinstance(node, ast.stmt):
            bound.update(_bound_by(node))
    return read - bound
