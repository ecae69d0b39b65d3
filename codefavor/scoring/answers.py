"""The program in a model's answer to a problem: one reading for data, rewards and pass@k."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterable, Iterator, Sequence

from codefavor.text import Fence, extract_code, parse_fences

# Where the answer begins in the replies of models that think before it.
_ANSWER_MARKS = ("</think>", "<|channel|>final<|message|>", "[/THINK]", "◁/think▷")
_THINKING = ("<think>", "<|channel|>analysis", "[THINK]", "◁think▷")
_BUILTINS = frozenset(dir(builtins))


def program_of(
    reply: str, entry_point: str = "", *, language: str = "python", prompt: str = ""
) -> str:
    """The program that a reply ends with; "" where there is none.

    What stands before the end of the thinking is a draft and does not count; a reply that never
    leaves its thinking has no answer. Of several blocks the last one counts that defines the
    entry point: examples of use follow a program, corrections replace it. Without such a block
    it is what `extract_code` finds. A Python program gets the imports and helpers that it uses,
    does not define, and that an earlier block or the beginning given in `prompt` defines; one
    that only continues `prompt` is put behind it.
    """
    for mark in _ANSWER_MARKS:
        reply = reply.rpartition(mark)[2]
    if any(mark in reply for mark in _THINKING):
        return ""
    fences = [fence for fence in parse_fences(reply) if fence.is_closed]
    whole = [n for n, one in enumerate(fences) if defines(one.content, entry_point)]
    code = _clean(fences[whole[-1]]) if whole else extract_code(reply, language)
    if not code or language != "python":
        return code
    earlier = [prompt, *(one.content for one in fences[: whole[-1]])] if whole else [prompt]
    if prompt and not defines(code, entry_point):
        return prompt + code
    return with_needed(code, earlier)


def continued(prompt: str, text: str) -> str:
    """The program that a base model wrote: the prompt and what continues it, as far as it parses.

    Where nothing of the continuation parses it is returned whole, so that it counts as what it
    is: no program.
    """
    whole = prompt + text.partition("```")[0]
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
    tree = _parsed(code)
    if tree is None:
        return code
    lent = {name: node for text in earlier for name, node in _definitions(_parsed(text))}
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
    return f"{head}\n\n{code}"


def _clean(fence: Fence) -> str:
    return fence.content.strip("\n") + "\n"


def _parsed(code: str) -> ast.Module | None:
    try:
        return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


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
        return [one.id for one in targets if isinstance(one, ast.Name)]
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
