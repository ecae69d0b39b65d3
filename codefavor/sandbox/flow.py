"""What a program may not choose: which checks are made, how long loops go on, what is caught.

In one process a test that leaves its checks out for some answers is weak; here it is not judged.
"""

from __future__ import annotations

import ast
import builtins
import itertools
from collections.abc import Iterable, Iterator, Sequence

from codefavor.sandbox.allowed import FAILS
from codefavor.sandbox.names import Needs
from codefavor.sandbox.trees import (
    EXPECTATIONS,
    assignments,
    called,
    has_check,
    is_expectation,
    is_trap,
    last_name,
    names_in,
    waits_for_exceptions,
    walk,
)

_Flows = list[tuple[set[str], set[str]]]
_CAUGHT = "a check whose failure the tests catch"
_LEFT_OUT = "a check that the program's answer may leave out"
_DISPLAYS = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
_MAKERS = ("array", "bytearray", "copy", "deepcopy", "defaultdict", "deque", "dict", "list", "set",
           "sorted", "zeros")  # fmt: skip


def look_at_flow(nodes: list[ast.AST], program: set[str]) -> None:
    """Raises Needs where the program, which has these names, could choose."""
    calls = _Calls(nodes)
    checking = checking_names(nodes, calls)
    given = [(t.id, s) for n in nodes for t, s in assignments(n) if isinstance(t, ast.Name)]
    # A number or a text is what it was, whoever was handed it.
    fixed = {name for name, _ in given} - {name for name, value in given if not _is_fixed(value)}
    for node in nodes:
        if isinstance(node, ast.For | ast.While):
            _look_at_loop(node, fixed)
        elif isinstance(node, ast.With):
            _look_at_with(node, checking)
        elif isinstance(node, ast.Try):
            _look_at_try(node, checking)
    waiting = [node for node in calls.all if called(node) in EXPECTATIONS]
    if any(has_check(part, checking) for node in waiting for part in node.args[1:]):
        raise Needs(_CAUGHT)
    _look_at_branches(nodes, program, calls, checking)
    _look_at_exceptions(nodes)


def _is_fixed(value: ast.AST) -> bool:
    return isinstance(value, ast.Constant) or (
        isinstance(value, ast.Tuple) and all(map(_is_fixed, value.elts))
    )


def _look_at_loop(loop: ast.For | ast.While, fixed: set[str]) -> None:
    """A loop whose length the program may change while it runs."""
    over = loop.iter if isinstance(loop, ast.For) else loop.test
    looped = names_in(over) - fixed
    for item in (part for statement in loop.body for part in walk(statement)):
        if isinstance(item, ast.Call) and called(over) != "range":
            handed = {a.id for a in item.args if isinstance(a, ast.Name)}
            if handed & looped and not hasattr(builtins, called(item)):
                raise Needs("a loop over what the program is given")


def _look_at_with(node: ast.With, checking: set[str]) -> None:
    for item in node.items:
        expects = is_expectation(item.context_expr)
        if not expects and called(item.context_expr) != "subTest":
            raise Needs(f"the context manager {ast.unparse(item.context_expr)[:60]}")
        fails = any(has_check(i, checking) or any(map(is_trap, walk(i))) for i in node.body)
        if expects and (len(node.items) > 1 or fails):
            raise Needs(_CAUGHT)
        loops = (ast.For, ast.While)
        if expects and any(isinstance(part, loops) for part in walk(node)):
            raise Needs("a loop that an expected exception ends")


def _look_at_try(node: ast.Try, checking: set[str]) -> None:
    """A failed check that the tests themselves catch decides nothing; here it would.

    Nor may a handler take what must not be reached (a trap) for the exception waited for.
    """
    checks = _checks([*node.body, *node.orelse], checking)
    traps = [item for part in node.body for item in walk(part) if is_trap(item)]
    catching = {"BaseException"}
    if not all(ast.unparse(trap).startswith("pytest.") for trap in traps):
        catching |= {"AssertionError", "Exception"}
    for handler in node.handlers:
        is_taken = bool(traps) and (handler.type is None or names_in(handler.type) & catching)
        if (checks or is_taken) and not FAILS.search(ast.unparse(handler.body[-1])):
            raise Needs(_CAUGHT)
        traps = [] if is_taken else traps


def _checks(body: list[ast.stmt], checking: set[str]) -> bool:
    """Whether statements check anything but that they are not reached."""
    return any(has_check(item, checking) and not is_trap(item) for item in body)


class _Calls:
    """The calls in tests, and the functions of the tests that may be meant by their names."""

    def __init__(self, nodes: list[ast.AST]) -> None:
        self.all = [node for node in nodes if isinstance(node, ast.Call)]
        self.functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
        self.named: dict[str, list[ast.FunctionDef]] = {}
        for function in self.functions:
            self.named.setdefault(function.name, []).append(function)
        self.given = [item for call in self.all for item in self._given_by(call)]
        for function in self.functions:
            spec = function.args
            by_place = zip([*spec.posonlyargs, *spec.args][::-1], spec.defaults[::-1], strict=False)
            pairs = [*by_place, *zip(spec.kwonlyargs, spec.kw_defaults, strict=True)]
            self.given += [(function, one.arg, value) for one, value in pairs if value]

    def _given_by(self, call: ast.Call) -> Iterator[tuple[ast.FunctionDef, str, ast.expr]]:
        """Which parameter gets what; where stars hide it, each gets everything."""
        is_starred = any(isinstance(item, ast.Starred) for item in call.args)
        is_starred |= any(item.arg is None for item in call.keywords)
        for function in self.named.get(called(call), ()):
            names = _parameters(function)
            pairs = [*zip(names, call.args, strict=False)]
            pairs += [(item.arg or "", item.value) for item in call.keywords]
            if is_starred or function.args.vararg or function.args.kwarg:
                pairs = [*itertools.product(names, _handed(call))]
            yield from ((function, name, value) for name, value in pairs)


def _parameters(function: ast.FunctionDef) -> list[str]:
    names = [item.arg for item in walk(function.args) if isinstance(item, ast.arg)]
    return names[names[:1] == ["self"] :]


def checking_names(nodes: list[ast.AST], calls: _Calls) -> set[str]:
    """The names of all that may check when it is called: what has a check, or mentions such a name.

    That a variable has what a checking function returned makes it one only where it is called.
    """
    found = {last_name(node) for node in nodes if last_name(node).startswith("assert")}
    found |= {n.asname or "" for n in nodes if isinstance(n, ast.alias) and "assert" in n.name}
    for node in calls.functions:
        found |= {node.name} if has_check(node) or any(map(is_trap, walk(node))) else set()
    flows = [({function.name}, _names_of([function])) for function in calls.functions]
    bound = [(_names_of([name]), value) for node in nodes for name, value in assignments(node)]
    for call in calls.all:
        if isinstance(call.func, ast.Attribute) and call.func.attr in ("append", "add", "extend"):
            bound += [({last_name(call.func.value)}, value) for value in call.args]
    run = set(map(called, calls.all))
    for names, value in [*bound, *(({name}, value) for _, name, value in calls.given)]:
        is_result = isinstance(value, ast.Call) and names.isdisjoint(run)
        parts = _handed(value) if is_result else [value]  # type: ignore[arg-type]
        flows.append((names - {"self"}, _names_of(parts)))
    return _reached_from(found, flows)


def _look_at_branches(
    nodes: list[ast.AST], program: set[str], calls: _Calls, checking: set[str]
) -> None:
    """What the program answered must not choose whether the tests check it."""
    flows, of_helpers = _flows(nodes, calls), []
    program = program | {"candidate"} | _exception_names(nodes)
    for function, name, value in calls.given:
        program |= {name} if getattr(value, "id", "") in program else set()
        flow = {name}, _names_of([value])
        of_helpers += [flow] * (function.name in checking)
        sets = any(isinstance(part, ast.Global | ast.Nonlocal) for part in walk(function))
        flows += [flow] * sets
    answers = _reached_from(program, flows)
    given = _reached_from(answers, flows + of_helpers)
    for node in nodes:
        if not answers.isdisjoint(_names_of(_choosing(node, checking))):
            raise Needs(_LEFT_OUT)
    unchecked = {id(p) for f in calls.functions if f.name not in checking for p in walk(f)}
    for node in nodes:
        if id(node) in unchecked or not isinstance(node, ast.If | ast.Try):
            continue
        asked = _names_of(_asked(node))
        if asked.isdisjoint(given):
            continue
        handlers = node.handlers if isinstance(node, ast.Try) else []
        others = [one.body for one in handlers if not FAILS.search(ast.unparse(one.body[-1]))]
        if len({_checks(body, checking) for body in others}) > 1:
            raise Needs(_LEFT_OUT)
        ends = [*node.body, *node.orelse] if isinstance(node, ast.If) else node.handlers
        inner = [item for part in ends for item in walk(part)]
        may_end = any(isinstance(item, ast.Continue | ast.Break | ast.Return) for item in inner)
        sides = {any(has_check(i, checking) for i in part) for part in (node.body, node.orelse)}
        # A helper may compare floats in another way than the rest, if it compares them.
        is_left_out = len(sides) > 1 or (True in sides and not asked.isdisjoint(answers))
        if may_end or (isinstance(node, ast.If) and is_left_out):
            raise Needs(_LEFT_OUT)


def _asked(node: ast.If | ast.Try | ast.While) -> Sequence[ast.AST]:
    return node.body if isinstance(node, ast.Try) else [node.test]


def _choosing(node: ast.AST, checking: set[str]) -> list[ast.expr]:
    """What says whether, or how often, the checks in a node are made, but for an `if`."""
    choosing: list[ast.expr] = []
    over = [node.iter] if isinstance(node, ast.For) else []
    if isinstance(node, ast.BoolOp):
        choosing = node.values[:-1]
    elif isinstance(node, ast.IfExp | ast.While):
        choosing = [node.test]
    elif isinstance(node, ast.Subscript):
        choosing = [node.slice]
    elif isinstance(node, ast.Call) and called(node) == "parametrize":
        return [part for part in _handed(node)[1:2] if not isinstance(part, ast.List | ast.Tuple)]
    for part in getattr(node, "generators", ()):
        choosing += part.ifs
        over.append(part.iter)
    choosing += [p.slice for one in over for p in walk(one) if isinstance(p, ast.Subscript)]
    return choosing if choosing and has_check(node, checking) else []


def _flows(nodes: list[ast.AST], calls: _Calls) -> _Flows:
    """Which names get what from which, by (targets, sources): also what a method is given."""
    given = [pair for node in nodes for pair in assignments(node)]
    flows = [(names_in(target), _names_of([source])) for target, source in given]
    # What a function may change in place, for all that its text says.
    filled = {getattr(target, "id", "") for target, source in given
              if isinstance(source, _DISPLAYS) or called(source) in _MAKERS}  # fmt: skip
    for call in calls.all:
        owner = call.func.value if isinstance(call.func, ast.Attribute) else None
        handed = {item.id for item in _handed(call) if isinstance(item, ast.Name)}
        if isinstance(owner, ast.Name):
            flows.append(({owner.id}, _names_of(_handed(call))))
        # What is called may change what it is handed, and calls a function back with answers.
        changed = handed & filled
        for function in itertools.chain(*(calls.named.get(name, ()) for name in handed)):
            changed.update(_parameters(function))
        flows.append((changed, names_in(call.func) - {"self"}))
    flows += [({function.name}, _names_of(function.body)) for function in calls.functions]
    for node in nodes:
        if isinstance(node, ast.If | ast.Try | ast.While):
            names = [part for part in walk(node) if isinstance(part, ast.Name)]
            stored = {name.id for name in names if isinstance(name.ctx, ast.Store)}
            flows.append((stored, _names_of(_asked(node))))
    return flows


def _handed(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(keyword.value for keyword in call.keywords)]


def _names_of(nodes: Iterable[ast.AST]) -> set[str]:
    """The names in these nodes, with those of attributes."""
    return {last_name(item) for node in nodes for item in walk(node)} - {""}


def _reached_from(names: set[str], flows: _Flows) -> set[str]:
    """The names that some of these flow into, by (targets, sources)."""
    found, size = set(names), 0
    while size != len(found):
        size = len(found)
        for targets, sources in flows:
            found |= set() if sources.isdisjoint(found) else targets
    return found


def _held_names(nodes: list[ast.AST]) -> set[str]:
    """The names that hold an exception which tests wait for, as in `raises(E) as info`."""
    items = [n for n in nodes if isinstance(n, ast.withitem) and is_expectation(n.context_expr)]
    return {getattr(item.optional_vars, "id", "") for item in items} - {""}


def _exception_names(nodes: list[ast.AST]) -> set[str]:
    """The names that hold an exception: of the program's, mostly."""
    caught = {n.name for n in nodes if isinstance(n, ast.ExceptHandler) and n.name}
    return caught | _held_names(nodes)


def _look_at_exceptions(nodes: list[ast.AST]) -> None:
    """Of an exception only the class and the text cross: nothing else may be asked of it."""
    held, caught = _held_names(nodes), _exception_names(nodes)
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
