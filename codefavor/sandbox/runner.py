"""Runs what tests define: the module itself, check(candidate), test functions, TestCase classes.

This is no pytest and no unittest runner: the split lane takes only plain tests, whose meaning
is the same everywhere. Each test is a unit; what ends a unit early leaves the others alone.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import importlib
import itertools
import sys
import types
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from codefavor.sandbox.checks import Recorder, Stopped
from codefavor.sandbox.handles import Handle, JudgeLink
from codefavor.sandbox.names import KNOWN_NAMES
from codefavor.sandbox.rewrite import Site
from codefavor.sandbox.trees import walk
from codefavor.sandbox.wire import BadFrame, Unsupported

MODULE_NAME = "tests"


class Plan(NamedTuple):
    """Tests ready to run, as often as needed: code objects do not change.

    `names` and `modules` are the program's; those in `late` are looked up at each call, those in
    `only_called` not before; `called` are the functions that the module itself calls.
    """

    tests: str
    entry_point: str
    code: types.CodeType
    sites: list[Site]
    names: frozenset[str]
    late: frozenset[str]
    only_called: frozenset[str]
    modules: set[str]
    called: frozenset[str]
    catches: bool
    executes: bool
    fail_fast: bool
    is_bare: bool


def evaluate(text: str) -> object:
    """The `eval` of text that tests execute: of numbers, and nothing that has a name."""
    nodes = walk(ast.parse(text, mode="eval"))
    if any(hasattr(node, "id") or isinstance(node, ast.Attribute | ast.Call) for node in nodes):
        raise Unsupported("eval of more than numbers")
    return eval(text)


class TestNamespace(dict[str, Any]):
    """The tests' globals: a name that they do not bind is the program's, if it may be.

    `plan.modules` are those that the tests import and no library has: each is the program.
    """

    __test__ = False

    def __init__(self, link: JudgeLink, plan: Plan) -> None:
        # The tests' own `__import__`; nobody else's imports are touched.
        scope = {**vars(builtins), "__import__": self._import, "eval": evaluate}
        scope["__build_class__"] = self._build_class
        super().__init__(__name__=MODULE_NAME, __builtins__=scope)
        self._link, self._plan = link, plan

    def __missing__(self, name: str) -> Any:
        if name in self._plan.names:
            return self.program(name, "n" if name in self._plan.late else "r")
        if hasattr(builtins, name) or name not in KNOWN_NAMES:
            raise KeyError(name)
        module = importlib.import_module(KNOWN_NAMES[name])
        return self.setdefault(name, getattr(module, name, module))

    def _build_class(self, body: Any, *arguments: Any, **keywords: Any) -> Any:
        """Make a class, whose body, unlike a function, finds what is bound and not what is missing.

        So the names that it reads are bound as long as it runs.
        """
        lent: dict[str, Any] = {}
        for name in body.__code__.co_names:
            if name not in self:
                with contextlib.suppress(KeyError):
                    lent[name] = self[name]
        self.update(lent)
        try:
            return builtins.__build_class__(body, *arguments, **keywords)
        finally:
            for name in lent:
                self.pop(name, None)

    def program(self, name: str, tag: str = "r") -> Any:
        """A global of the program as it is now: its value if that is plain, else a handle.

        The handle of `n` means whatever has the name when it is called. As long as nothing of the
        program has run, what it is now is what was loaded (`r`), and need not be asked.
        """
        if name in self._plan.only_called and (tag == "n" or not self._link.has_run):
            return Handle(self._link, [tag, name])
        found = self._link.ask("value", ["n", name])
        if isinstance(found, tuple) or (isinstance(found, type) and found.__module__ == "builtins"):
            # `TooBig = Exception`: whatever the tests wait for would come.
            raise Unsupported(f"{name} is another name for {found!r}")
        return found

    def _import(
        self, name: str, scope: Any = None, local: Any = None, names: Any = (), level: int = 0
    ) -> Any:
        if level == 0 and name not in self._plan.modules:
            return __import__(name, None, None, names, 0)
        if not names:
            return Handle(self._link, ["m", 0])
        found = types.SimpleNamespace(__all__=[])
        for item in names:
            if item != "*":
                setattr(found, item, self.program(item))
            elif hidden := [name for name in self._plan.names if self._is_hidden(name)]:
                raise Unsupported(f"`import *`, which may leave out {min(hidden)}")
        return found

    def _is_hidden(self, name: str) -> bool:
        """Whether `import *` leaves a name out."""
        try:
            return name not in list(self._link.ask("value", ["n", "__all__"]))
        except NameError:
            return name.startswith("_")


class Runner:
    """Runs the units of one set of tests; `called` are the functions that the module calls."""

    def __init__(
        self, namespace: TestNamespace, recorder: Recorder, called: frozenset[str]
    ) -> None:
        self._namespace, self._recorder, self._called = namespace, recorder, called
        self.idle: list[str] = []

    def run(self, code: types.CodeType, entry_point: str) -> None:
        """Run the module and everything it defined."""
        self._unit("", lambda: exec(code, self._namespace, self._namespace))
        found, functions = list(self._namespace.items()), (types.FunctionType, type)
        named = [value for name, value in found if name.startswith(("test", "Test"))]
        has_tests = any(isinstance(value, functions) for value in named)
        for name, value in found:
            if isinstance(value, type) and value.__module__ == MODULE_NAME:
                self._run_class(value)
            elif name in self._called:
                continue
            elif name == "check" and not has_tests and isinstance(value, functions):
                self._unit(name, partial(self._check, value, entry_point))
            elif _is_test(name, value):
                self._run_cases(name, value, None)

    def _check(self, check: Callable[..., Any], entry_point: str) -> None:
        if not entry_point:
            raise Unsupported("check(candidate) without an entry point")
        check(self._namespace.program(entry_point))

    def _run_class(self, kind: Any) -> None:
        unittest = sys.modules.get("unittest")
        is_case = unittest is not None and issubclass(kind, unittest.TestCase)
        names = [name for name, value in vars(kind).items() if _is_test(name, value)]
        # As pytest orders them: methods of a TestCase by name, others as they stand.
        for name in sorted(names) if is_case else names:
            label = f"{kind.__name__}.{name}"
            if is_case:
                self._unit(label, partial(_run_method, kind, name))
            else:
                self._run_cases(label, getattr(kind, name), kind)

    def _run_cases(self, label: str, function: Callable[..., Any], kind: Any) -> None:
        marks = getattr(function, "pytestmark", [])
        for case in itertools.product(*(list(_cases(mark)) for mark in marks)):
            arguments = {name: value for part in case for name, value in part.items()}
            self._unit(label, partial(_call, function, kind, arguments))

    def _unit(self, label: str, action: Callable[[], object]) -> None:
        recorder = self._recorder
        first, n_before = len(recorder.checks), recorder.n_evaluated
        try:
            action()
        except (BadFrame, Unsupported, Stopped):
            raise
        except BaseException as error:  # whatever ends a test is its result
            recorder.fail(error)
            recorder.abandon(first)
        else:
            is_test = "." in label or label.startswith("test")
            if is_test and recorder.n_evaluated == n_before:
                self.idle.append(label)


def _is_test(name: str, value: Any) -> bool:
    """Whether this is a test, and no data that are called so, as in `test_cases = [...]`."""
    if not name.startswith("test") or isinstance(value, type) or not callable(value):
        return False
    if not isinstance(value, types.FunctionType) or value.__name__ == "<lambda>":
        raise Unsupported(f"the test {name} is no function in which its checks are seen")
    return True


def _call(function: Callable[..., Any], kind: Any, arguments: dict[str, Any]) -> None:
    function(*(() if kind is None else (kind(),)), **arguments)


def _run_method(kind: Any, name: str) -> None:
    case = kind(name)
    case.setUp()
    try:
        getattr(case, name)()
    finally:
        case.tearDown()


def _cases(mark: Any) -> Iterator[dict[str, Any]]:
    given = dict(zip(("argnames", "argvalues"), mark.args, strict=False)) | mark.kwargs
    names, rows, ids = given["argnames"], list(given["argvalues"]), given.get("ids")
    if isinstance(ids, list | tuple) and len(ids) != len(rows):
        raise Unsupported("a parametrize table with more or fewer ids than rows")
    is_many = not isinstance(names, str) or "," in names
    if isinstance(names, str):
        names = [name.strip() for name in names.split(",") if name.strip()]
    for row in rows:
        values = row if is_many else (row,)
        values = row.values if type(row).__name__ == "ParameterSet" else values
        if len(names) != len(values):
            raise Unsupported("a parametrize table of another form")
        yield dict(zip(names, values, strict=True))
