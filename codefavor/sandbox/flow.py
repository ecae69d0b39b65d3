"""What a program may not choose: which checks are made, how long loops go on, what is caught.

In one process a test that leaves its checks out for some answers is weak; here it is not judged.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Sequence

from codefavor.sandbox.allowed import FAILS
from codefavor.sandbox.names import Needs
from codefavor.sandbox.trees import (
    assignments,
    called,
    has_check,
    is_expectation,
    is_trap,
    names_in,
    waits_for_exceptions,
    walk,
)


def look_at_flow(nodes: list[ast.AST], program: set[str]) -> None:
    """Raises Needs where the program, which has these names, could choose."""
    given = [(t.id, s) for n in nodes for t, s in assignments(n) if isinstance(t, ast.Name)]
    # A number or a text is what it was, whoever was handed it.
    fixed = {name for name, _ in given} - {name for name, value in given if not _is_fixed(value)}
    for node in nodes:
        if isinstance(node, ast.For):
            _look_at_loop(node, node.iter, fixed)
        elif isinstance(node, ast.While):
            _look_at_loop(node, node.test, fixed)
        elif isinstance(node, ast.With):
            _look_at_with(node)
        elif isinstance(node, ast.Try):
            _look_at_try(node)
    _look_at_branches(nodes, program)
    _look_at_exceptions(nodes)


def _is_fixed(value: ast.AST) -> bool:
    return isinstance(value, ast.Constant) or (
        isinstance(value, ast.Tuple) and all(map(_is_fixed, value.elts))
    )


def _look_at_loop(loop: ast.For | ast.While, over: ast.expr, fixed: set[str]) -> None:
    """A loop whose length the program may change while it runs."""
    looped = names_in(over) - fixed
    for item in (part for statement in loop.body for part in walk(statement)):
        if isinstance(item, ast.Call) and called(over) != "range":
            handed = {a.id for a in item.args if isinstance(a, ast.Name)}
            if handed & looped and not hasattr(builtins, called(item)):
                raise Needs("a loop over what the program is given")


def _look_at_with(node: ast.With) -> None:
    for item in node.items:
        expects = is_expectation(item.context_expr)
        if not expects and called(item.context_expr) != "subTest":
            raise Needs(f"the context manager {ast.unparse(item.context_expr)[:60]}")
        fails = any(has_check(item) or any(map(is_trap, walk(item))) for item in node.body)
        if expects and (len(node.items) > 1 or fails):
            raise Needs("a check whose failure the tests catch")
        loops = (ast.For, ast.While)
        if expects and any(isinstance(part, loops) for part in walk(node)):
            raise Needs("a loop that an expected exception ends")


def _look_at_try(node: ast.Try) -> None:
    """A failed check that the tests themselves catch decides nothing; here it would."""
    _look_at_traps(node)
    checks = any(has_check(i) and not is_trap(i) for i in [*node.body, *node.orelse])
    for handler in node.handlers:
        if checks and not FAILS.search(ast.unparse(handler.body[-1])):
            raise Needs("a check whose failure the tests catch")


def _look_at_traps(node: ast.Try) -> None:
    """What must not be reached, and whose exception a handler takes for the one waited for."""
    traps = [item for part in node.body for item in walk(part) if is_trap(item)]
    if not traps:
        return
    catching = {"BaseException"}
    if not all(ast.unparse(trap).startswith("pytest.") for trap in traps):
        catching |= {"AssertionError", "Exception"}
    for handler in node.handlers:
        if handler.type is None or names_in(handler.type) & catching:
            if FAILS.search(ast.unparse(handler.body[-1])):
                return
            raise Needs("a check whose failure the tests catch")


def _look_at_branches(nodes: list[ast.AST], program: set[str]) -> None:
    """What the program answered must not choose whether the tests check it."""
    functions = {n.name: n for n in nodes if isinstance(n, ast.FunctionDef)}
    helpers = {name for name, function in functions.items() if has_check(function)}
    calls = [n for n in nodes if isinstance(n, ast.Call)]
    flows, of_helpers = _flows(nodes, functions.values(), calls), []
    program = program | {"candidate"}
    for call in calls:
        if (function := functions.get(called(call))) is not None:
            handed = zip(function.args.args, call.args, strict=False)
            program |= {p.arg for p, given in handed if getattr(given, "id", "") in program}
            flow = {p.arg for p in function.args.args}, _names_of(_handed(call))
            sets = any(isinstance(part, ast.Global | ast.Nonlocal) for part in walk(function))
            of_helpers += [flow] * (function.name in helpers)
            flows += [flow] * sets
    answers = _reached_from(program, flows)
    given = _reached_from(answers, flows + of_helpers)
    for node in nodes:
        if not answers.isdisjoint(_names_of(_choosing(node, helpers))):
            raise Needs("a check that the program's answer may leave out")
    unchecked = {id(p) for f in functions.values() if f.name not in helpers for p in walk(f)}
    for node in nodes:
        if id(node) in unchecked or not isinstance(node, ast.If | ast.Try):
            continue
        parts = [node.test] if isinstance(node, ast.If) else node.body
        asked = _names_of(parts)
        if asked.isdisjoint(given):
            continue
        ends = [*node.body, *node.orelse] if isinstance(node, ast.If) else node.handlers
        inner = [item for part in ends for item in walk(part)]
        may_end = any(isinstance(item, ast.Continue | ast.Break | ast.Return) for item in inner)
        sides = {any(map(has_check, node.body)), any(map(has_check, node.orelse))}
        # A helper may compare floats in another way than the rest, if it compares them.
        is_left_out = len(sides) > 1 or (True in sides and not asked.isdisjoint(answers))
        if may_end or (isinstance(node, ast.If) and is_left_out):
            raise Needs("a check that the program's answer may leave out")


def _choosing(node: ast.AST, helpers: set[str]) -> list[ast.expr]:
    """What says whether, or how often, the checks below a node are made, but for an `if`."""
    if isinstance(node, ast.IfExp | ast.BoolOp):
        first, *rest = node.values if isinstance(node, ast.BoolOp) else [node.test, node]
        makes = {called(n) for part in rest for n in walk(part) if isinstance(n, ast.Call)}
        return [first] if makes & helpers else []
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Subscript):
        return [node.func.slice]
    if isinstance(node, ast.For | ast.While) and any(map(has_check, node.body)):
        if isinstance(node, ast.While):
            return [node.test]
        return [part.slice for part in walk(node.iter) if isinstance(part, ast.Subscript)]
    return []


def _flows(
    nodes: list[ast.AST], functions: Iterable[ast.FunctionDef], calls: list[ast.Call]
) -> list[tuple[set[str], set[str]]]:
    """Which names get what from which, by (targets, sources): also what a method is given."""
    flows = [(names_in(t), _names_of([s])) for node in nodes for t, s in assignments(node)]
    for node in calls:
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        if isinstance(owner, ast.Name):
            flows.append(({owner.id}, _names_of(_handed(node))))
    for function in functions:
        defaults = [default for default in function.args.kw_defaults if default is not None]
        of_function = [*function.body, *function.args.defaults, *defaults]
        flows.append(({function.name}, _names_of(of_function)))
    return flows


def _handed(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(keyword.value for keyword in call.keywords)]


def _names_of(nodes: Sequence[ast.AST]) -> set[str]:
    """The names in these nodes, with those of methods (`self.run(x)`)."""
    methods = (n.func.attr for node in nodes for n in walk(node)
               if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute))  # fmt: skip
    return set(methods).union(*map(names_in, nodes))


def _reached_from(names: set[str], flows: list[tuple[set[str], set[str]]]) -> set[str]:
    """The names that some of these flow into, by (targets, sources)."""
    found, size = set(names), 0
    while size != len(found):
        size = len(found)
        for targets, sources in flows:
            found |= set() if sources.isdisjoint(found) else targets
    return found


def _look_at_exceptions(nodes: list[ast.AST]) -> None:
    """Of an exception only the class and the text cross: nothing else may be asked of it."""
    caught = {n.name for n in nodes if isinstance(n, ast.ExceptHandler)}
    held = set()
    for node in nodes:
        if isinstance(node, ast.withitem) and is_expectation(node.context_expr):
            held.add(getattr(node.optional_vars, "id", None))
    caught |= held
    if not caught and not waits_for_exceptions(nodes):
        return
    parents = {id(child): n for n in nodes for child in ast.iter_child_nodes(n)}
    for node in nodes:
        parent = parents.get(id(node))
        is_kept = not isinstance(parent, ast.withitem | ast.Expr)
        if isinstance(node, ast.expr) and is_expectation(node) and is_kept:
            raise Needs("an expected exception that is kept")
        if isinstance(node, ast.Name) and node.id in caught and isinstance(node.ctx, ast.Load):
            if getattr(parent, "attr", "") in ("value", "exception"):
                parent = parents.get(id(parent))
            elif node.id in held and getattr(parent, "attr", "") != "match":
                raise Needs("what holds an exception of the program")
            is_text = isinstance(parent, ast.FormattedValue) and parent.conversion in (-1, 115)
            is_use = called(parent) in ("str", "isinstance", "print")  # type: ignore[arg-type]
            if not is_text and not is_use and getattr(parent, "attr", "") != "match":
                raise Needs("what an exception of the program holds")
