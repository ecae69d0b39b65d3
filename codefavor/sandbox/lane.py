"""Which lane tests need, read from their text before anything runs.

The split lane serves tests that call the program with plain data and look at plain data or at
its objects through what the text itself does with them. Everything else that people write in
tests needs the program in the same process: the together lane.
"""

from __future__ import annotations

import ast
import builtins
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from codefavor.sandbox.allowed import (
    ALLOWED,
    ARRAY_ATTRIBUTES,
    CASE_METHODS,
    DYNAMIC_NAMES,
    FORBIDDEN_NAMES,
    GUARDED,
    HOOKS,
)
from codefavor.sandbox.flow import look_at_flow
from codefavor.sandbox.names import KNOWN_NAMES, Needs, program_names
from codefavor.sandbox.texts import (
    classes_of,
    fault_of_cases,
    imports_of,
    is_cases,
    is_program,
    known_by_digest,
    leaves_nothing,
    optional_imports,
    parse,
    program_modules,
)
from codefavor.sandbox.trees import (
    asks_identity,
    called,
    has_check,
    is_trap,
    module_calls,
    names_in,
    walk,
)

SPLIT, TOGETHER = "split", "together"
DO_NOT_PARSE = "the tests do not parse"
NO_PROGRAM = "; no program passes, as "
CHECKER = f"{NO_PROGRAM}the checker may not use this: "
NO_CHECK = f"{NO_PROGRAM}there is no check"
_STEPS = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await, ast.Match, ast.Yield,
          ast.YieldFrom)  # fmt: skip
# By which a checker makes numbers of texts besides `int` and `float`, and may make a NaN of one.
# And `type`, to which the `float` of checkers is another class.
_READ_OTHERWISE = frozenset(("complex", "decimal", "eval", "exec", "json", "numpy", "type"))
_MARK = "pytest.mark.parametrize"


class Lane(NamedTuple):
    """`name` is split or together, `reason` says what in the tests decides.

    `program_names` are the names that the tests expect of the program, `modules` what they import
    it by; `may_share` tells whether a process that judged such tests may judge the next.
    """

    name: str
    reason: str
    program_names: frozenset[str] = frozenset()
    may_share: bool = False
    modules: tuple[str, ...] = ()


@known_by_digest(4096)
def choose_lane(tests: str, entry_point: str = "", setup: str = "") -> Lane:
    """The lane of tests, with the reason; tests that do not parse are split (and then at fault).

    The tests may make objects of the classes that `setup` defines in the program.
    """
    if is_cases(tests):
        spec = json.loads(tests)
        if fault := fault_of_cases(spec):
            return Lane(SPLIT, f"{DO_NOT_PARSE}: {fault}")
        needs = needs_of_checker(spec)
        return Lane(SPLIT, f"inputs and outputs as text{CHECKER * bool(needs)}{needs}")
    try:
        tree = parse(tests)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Lane(SPLIT, DO_NOT_PARSE)
    if not tree.body:
        return Lane(SPLIT, f"{DO_NOT_PARSE}: they are empty")
    nodes = walk(tree)
    modules = program_modules(nodes, entry_point)
    try:
        names = _Reader(tree, nodes, entry_point, classes_of(setup)).read(tests)
    except Needs as need:
        return Lane(TOGETHER, str(need), modules=modules)
    is_empty = not has_check(tree) and not any(map(is_trap, nodes))
    reason = f"plain data{NO_CHECK * is_empty}"
    return Lane(SPLIT, reason, names, leaves_nothing(nodes), modules)


def needs_of_checker(spec: dict[str, Any]) -> str:
    """What the checker of cases needs that it may not have; "" for nothing."""
    if spec.get("compare") != "checker":
        return ""
    try:
        tree = ast.parse(spec["checker"])
        nodes = walk(tree)
        # `input` is the name that most checkers give to their first argument.
        reader = _Reader(tree, nodes, "input", set())
        reader._look()
    except (Needs, SyntaxError, ValueError, RecursionError, MemoryError) as reason:
        return str(reason)
    # At the top `Decimal` is ours, below it would be the library's.
    top = [n for n in tree.body if isinstance(n, ast.ImportFrom) and n.module == "decimal"]
    known = {alias.asname or alias.name for node in top for alias in node.names}
    for name in sorted(names_in(tree) - known):
        if reader._paths.get(name, name).partition(".")[0] in _READ_OTHERWISE:
            return f"{name}, as it reads numbers by other means than int and float"
    return ""


def _look_at_text(text: object) -> None:
    """Raises Needs for text that tests execute and that could run what the program gave."""
    try:
        tree = ast.parse(text)  # type: ignore[call-overload]
    except (TypeError, SyntaxError, ValueError, RecursionError, MemoryError) as reason:
        raise Needs(f"a text that is executed: {reason}") from None
    nodes = walk(tree)
    _TextReader(tree, nodes, "", set())._look()
    if asks_identity(nodes):
        raise Needs("a text that is executed and asks which object a value is")


class _Reader:
    steps: tuple[type[ast.AST], ...] = _STEPS

    def __init__(
        self, tree: ast.Module, nodes: list[ast.AST], entry_point: str, classes: set[str]
    ) -> None:
        self._tree, self._entry = tree, re.split(r"\W", entry_point)[0]
        self._explicit = classes & {n.id for n in nodes if isinstance(n, ast.Name)}
        self._modules: set[str] = set()
        self._paths: dict[str, str] = {}
        self._nodes = nodes
        self._defined = {n.name for n in nodes if isinstance(n, ast.FunctionDef)}
        self._functions = {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}
        stores = Counter(
            n.id for n in self._nodes if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)
        )
        stores.update(node.arg for node in self._nodes if isinstance(node, ast.arg))
        literals = {
            node.targets[0].id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.targets[0], ast.Name)
            and stores[node.targets[0].id] == 1
        }
        calls = [node for node in nodes if isinstance(node, ast.Call)]
        self._n_arguments = {id(node.func): len(node.args) for node in calls}
        # The calls whose first argument is a text that stands in the tests: exec may have it.
        self._executes = {
            id(node.func): literals[node.args[0].id]  # type: ignore[attr-defined]
            for node in calls
            if node.args and getattr(node.args[0], "id", "") in literals
        }

    def read(self, tests: str) -> frozenset[str]:
        """The names that are the program's; raises Needs for what the split lane cannot do."""
        self._look()
        look_at_flow(self._nodes, {self._entry} | self._explicit)
        self._look_at_tests()
        raises = any(isinstance(n, ast.Raise) for n in self._nodes)
        if raises and not has_check(self._tree):
            raise Needs("a check that is no assert")
        optional = optional_imports(self._nodes)
        if any(is_program(name) for node in optional for name in imports_of(node)):  # type: ignore[arg-type]
            raise Needs("the tests import what may not be there")
        if len(self._modules) > 1 or any("." in name for name in self._modules):
            raise Needs(f"the tests import several modules: {', '.join(sorted(self._modules))}")
        names = program_names(tests, self._nodes, self._explicit, self._entry)
        others = self._modules - {"", "solution"}
        if others and self._entry in names - self._explicit:
            # The entry point is just there, so this is a library that is not installed here.
            raise Needs(f"the tests import {min(others)}, which is not installed")
        return names

    def _look(self) -> None:
        """Raises Needs for code that may do more than is allowed."""
        imports = [n for n in self._nodes if isinstance(n, ast.Import | ast.ImportFrom)]
        for node in imports:
            self._import(node)
        looks = {
            ast.Name: self._name, ast.Attribute: self._attribute, ast.ClassDef: self._class,
            ast.Call: self._call, ast.Compare: self._compare, ast.arg: self._argument,
        }  # fmt: skip
        for item in self._nodes:
            if isinstance(item, self.steps) or type(item).__name__ == "TryStar":
                raise Needs("generators, coroutines, `match` or groups of exceptions")
            look = looks.get(type(item))
            if look is not None:
                look(item)  # type: ignore[operator]

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            module = imports_of(node)[0] if isinstance(node, ast.ImportFrom) else alias.name
            name = alias.asname or alias.name.partition(".")[0]
            if is_program(module):
                self._modules.add(module)
                self._explicit.update({name} - {"*"})
            elif module not in ALLOWED:
                raise Needs(f"the tests import {module}")
            elif isinstance(node, ast.Import):
                self._paths[name] = module if alias.asname else name
            elif alias.name == "*":
                raise Needs(f"the tests import everything of {module}")
            else:
                self._look_up(module, alias.name)
                self._paths[name] = f"{module}.{alias.name}"

    def _path(self, node: ast.AST) -> str:
        """The dotted path of a library's module, function or class; "" for anything else."""
        if isinstance(node, ast.Name):
            return self._paths.get(node.id, KNOWN_NAMES.get(node.id, ""))
        if isinstance(node, ast.Attribute) and (base := self._path(node.value)):
            return f"{base}.{node.attr}"
        return ""

    def _look_up(self, module: str, name: str) -> None:
        allowed = ALLOWED.get(module)
        is_public = not name.startswith("_") and (name not in FORBIDDEN_NAMES or module == "re")
        if not is_public or (allowed is not None and name not in allowed):
            raise Needs(f"{module}.{name}")

    def _name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            if node.id in HOOKS or node.id.startswith("__"):
                raise Needs(f"the hook {node.id}")
            if node.id in GUARDED:
                raise Needs(f"the tests replace the builtin {node.id}")
        elif node.id == "exec":
            if id(node) not in self._executes:
                raise Needs("the tests execute text that is not their own")
            _look_at_text(self._executes[id(node)])
        elif node.id.startswith("__") or node.id in FORBIDDEN_NAMES - {"seed", self._entry}:
            raise Needs(f"the tests use {node.id}")
        elif (
            node.id in ("isinstance", "type")
            and self._n_arguments.get(id(node)) != GUARDED[node.id]
        ):
            raise Needs(f"{node.id} under another name")

    def _attribute(self, node: ast.Attribute) -> None:
        if node.attr.startswith("__"):
            raise Needs(f"the tests use the attribute {node.attr}")
        base = self._path(node.value)
        if base and not isinstance(node.ctx, ast.Load):
            raise Needs("the tests change a library")
        if base in ALLOWED:
            self._look_up(base, node.attr)
        elif base and node.attr in FORBIDDEN_NAMES:
            raise Needs(f"the tests use {node.attr}")
        if node.attr in ("format", "format_map") and not isinstance(node.value, ast.Constant):
            raise Needs("a format that the program may have chosen")
        if getattr(node.value, "id", "") == "self" and node.attr in CASE_METHODS:
            raise Needs(f"self.{node.attr}")
        if node.attr in ("assertIs", "assertIsNot"):
            raise Needs("which object a value is")
        if node.attr in ARRAY_ATTRIBUTES and "numpy" in self._paths.values():
            raise Needs(f"the memory of arrays ({node.attr})")

    def _call(self, node: ast.Call) -> None:
        if called(node) == "param" and [item.arg for item in node.keywords] not in ([], ["id"]):
            raise Needs("marked cases")
        if called(node) == self._entry and hasattr(builtins, self._entry):
            inner = [part for argument in node.args for part in walk(argument)]
            if any(called(part) == self._entry for part in inner):
                raise Needs(f"{self._entry} may be the program's or the builtin")

    def _compare(self, node: ast.Compare) -> None:
        if len(node.ops) > 1 and any(isinstance(one, ast.Is | ast.IsNot) for one in node.ops):
            raise Needs("which object a value is")

    def _argument(self, node: ast.arg) -> None:
        if node.arg in GUARDED:
            raise Needs(f"the tests replace the builtin {node.arg}")

    def _class(self, node: ast.ClassDef) -> None:
        is_case = [self._path(base) for base in node.bases] == ["unittest.TestCase"]
        if not is_case and (node.bases or not node.name.startswith("Test")):
            raise Needs(f"the tests define the class {node.name}")
        if node.decorator_list or node.keywords:
            raise Needs(f"the class {node.name} is decorated")
        names = {item.name for item in node.body if isinstance(item, ast.FunctionDef)}
        if any(name.startswith("__") for name in names):
            raise Needs(f"the class {node.name} has special methods")

    def _look_at_tests(self) -> None:
        run_by_module = module_calls(self._tree)
        for function in self._tree.body:
            if getattr(function, "name", "").startswith("assert") and not has_check(function):
                raise Needs("an assert of its own that fails nothing")
        replaced = self._functions & set(dir(builtins))
        if replaced:
            raise Needs(f"the tests replace the builtin {min(replaced)}")
        is_test = {name for name in self._functions if name.startswith("test")}
        handed = [n for n in self._nodes if getattr(n, "id", "") in is_test - run_by_module]
        if handed:
            raise Needs("a runner of its own")
        for owner, function in self._each_function():
            self._look_at_function(owner, function, run_by_module)

    def _look_at_function(
        self, owner: ast.ClassDef | None, function: ast.FunctionDef, run_by_module: frozenset[str]
    ) -> None:
        given = {"self"} if owner is not None else set()
        for node in function.decorator_list:
            if not isinstance(node, ast.Call) or self._path(node.func) != _MARK:
                raise Needs(f"the decorator @{ast.unparse(node)[:60]}")
            given |= _parametrized(node)
        if function.name in HOOKS:
            raise Needs(f"the hook {function.name}")
        if not function.name.startswith("test"):
            return
        if owner is None and function.name in run_by_module:
            if ast.unparse(function.args):
                raise Needs(f"the module calls {function.name} with arguments")
            return
        wanted = _required(function) - given
        if wanted:
            raise Needs(f"the fixture {min(wanted)}")
        calls = {called(node) for node in walk(function) if isinstance(node, ast.Call)}
        # `try: f(0); fail()` with a handler that is content waits for an exception.
        tries = [part for part in walk(function) if isinstance(part, ast.Try)]
        checks = has_check(function) or any(is_trap(i) for part in tries for i in part.body)
        if not checks and calls.isdisjoint(self._defined):
            raise Needs(f"{function.name} has no check of its own")

    def _each_function(self) -> Iterator[tuple[ast.ClassDef | None, ast.FunctionDef]]:
        owners = {
            id(item): node for node in self._nodes if isinstance(node, ast.ClassDef)
            for item in node.body
        }  # fmt: skip
        for node in self._nodes:
            if isinstance(node, ast.FunctionDef):
                yield owners.get(id(node)), node


class _TextReader(_Reader):
    """Reads text that tests execute, which is rewritten nowhere and may see plain data alone.

    It is the tests' own, so that only what finds or runs code by its name is refused.
    """

    steps = ()

    def _name(self, node: ast.Name) -> None:
        if node.id in DYNAMIC_NAMES:
            raise Needs(f"a text that is executed uses {node.id}")

    def _attribute(self, node: ast.Attribute) -> None:
        base = self._path(node.value)
        if base in ALLOWED:
            self._look_up(base, node.attr)

    def _class(self, node: ast.ClassDef) -> None:
        pass


def _parametrized(node: ast.Call) -> set[str]:
    """The argument names of a parametrize table; raises Needs where the text does not tell."""
    try:
        names = ast.literal_eval(node.args[0])
    except (ValueError, IndexError):
        raise Needs("a parametrize table that cannot be read") from None
    if {item.arg for item in node.keywords} - {"ids", "argvalues"}:
        raise Needs("an indirect parametrize table")
    return set(names.replace(" ", "").split(",") if isinstance(names, str) else names)


def _required(function: ast.FunctionDef) -> set[str]:
    """The names of the arguments that a function must be given."""
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    needed = positional[: len(positional) - len(arguments.defaults)]
    only = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return {item.arg for item in needed} | {item.arg for item, default in only if default is None}
