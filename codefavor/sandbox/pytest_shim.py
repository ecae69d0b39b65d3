"""The part of pytest that test texts use, without its plugins: raises, approx, mark, fixture."""

from __future__ import annotations

import io
import math
import re
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

_NUMBERS = (int, float, complex)


class Skipped(Exception):
    """A test asked to be left out."""


class Failed(AssertionError):
    """pytest.fail was called, or an expected exception did not come."""


class ExceptionInfo:
    """What `with raises(...) as info` gives."""

    def __init__(self) -> None:
        self.value: Any = None

    @property
    def type(self) -> Any:
        """The exception's class."""
        return type(self.value)

    def match(self, pattern: str) -> bool:
        """Whether the exception's text contains the pattern; raises if not."""
        if re.search(pattern, str(self.value)) is None:
            raise Failed(f"pattern {pattern!r} is not in {str(self.value)!r}")
        return True


class _Raises:
    def __init__(self, expected: Any, match: Any) -> None:
        self.expected, self.match, self.info = expected, match, ExceptionInfo()

    def __enter__(self) -> ExceptionInfo:
        return self.info

    def __exit__(self, kind: Any, value: Any, trace: Any) -> bool:
        if kind is None:
            raise Failed(f"{self.expected!r} was not raised")
        if not issubclass(kind, self.expected):
            return False
        self.info.value = value
        if self.match is not None:
            self.info.match(self.match)
        _note_check()
        return True


def _note_check() -> None:
    recorder = sys.modules["tests"].__dict__.get("recorder")
    if recorder is not None:
        recorder.passed()


def raises(expected: Any, *args: Any, match: Any = None, **kwargs: Any) -> Any:
    """As pytest.raises, as a context manager or with a callable."""
    context = _Raises(expected, match)
    if not args:
        return context
    with context as info:
        args[0](*args[1:], **kwargs)
    return info


class approx:
    """As pytest.approx, for numbers and sequences and mappings of numbers."""

    __array_ufunc__ = None
    __array_priority__ = 100

    def __init__(
        self, expected: Any, rel: float | None = None, abs: float | None = None,
        nan_ok: bool = False,
    ) -> None:  # fmt: skip
        self.expected, self.rel, self.abs, self.nan_ok = expected, rel, abs, nan_ok

    def __repr__(self) -> str:
        return f"approx({self.expected!r})"

    def __eq__(self, actual: object) -> bool:
        return self._close(actual, self.expected)

    def __ne__(self, actual: object) -> bool:
        return not self == actual

    __hash__ = None  # type: ignore[assignment]

    def _close(self, actual: Any, expected: Any) -> bool:
        if hasattr(expected, "tolist"):
            expected = expected.tolist()
        if type(actual).__module__ == "numpy":
            actual = actual.tolist()
        if isinstance(expected, Mapping):
            return (
                isinstance(actual, Mapping)
                and actual.keys() == expected.keys()
                and all(self._close(actual[key], value) for key, value in expected.items())
            )
        if isinstance(expected, Sequence) and not isinstance(expected, str | bytes):
            return (
                isinstance(actual, Sequence)
                and len(actual) == len(expected)
                and all(map(self._close, actual, expected))
            )
        return self._close_numbers(actual, expected)

    def _close_numbers(self, actual: Any, expected: Any) -> bool:
        # Only true numbers: an object of the program could answer any arithmetic.
        if not isinstance(expected, _NUMBERS) or isinstance(expected, bool):
            return bool(actual == expected)
        if type(actual) not in (*_NUMBERS, bool):
            return False
        if actual == expected:
            return True
        if isinstance(expected, complex) or isinstance(actual, complex):
            difference = abs(actual - expected)
        elif math.isnan(expected) or math.isnan(actual):
            return self.nan_ok and math.isnan(expected) and math.isnan(actual)
        elif math.isinf(expected) or math.isinf(actual):
            return False
        else:
            difference = abs(actual - expected)
        absolute = 1e-12 if self.abs is None else self.abs
        relative = (0.0 if self.abs is not None else 1e-6) if self.rel is None else self.rel
        return bool(difference <= max(absolute, relative * abs(expected)))


class Mark:
    """One mark on a test function."""

    def __init__(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.name, self.args, self.kwargs = name, args, kwargs

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if len(args) == 1 and not kwargs and isinstance(args[0], types.FunctionType | type):
            target: Any = args[0]
            if self.name == "skipif" and not any(self.args):
                return target
            if self.name == "skipif":
                self.name = "skip"
            target.pytestmark = [*getattr(target, "pytestmark", []), self]
            return target
        return Mark(self.name, args, kwargs)

    def cases(self) -> Iterator[dict[str, Any]]:
        """The arguments of each case of a parametrize mark."""
        names, values = self.args[0], self.args[1] if len(self.args) > 1 else None
        values = self.kwargs.get("argvalues", values)
        if isinstance(names, str):
            names = [name.strip() for name in names.split(",") if name.strip()]
        for value in values or ():
            row = value.values if isinstance(value, Param) else value
            single = len(names) == 1 and not isinstance(value, Param)
            yield dict(zip(names, [row] if single else list(row), strict=False))


class _Marks:
    def __getattr__(self, name: str) -> Mark:
        return Mark(name, (), {})


class Param:
    """One case of a parametrize mark, as pytest.param."""

    def __init__(self, *values: Any, **_options: Any) -> None:
        self.values = values


def fixture(function: Any = None, **_options: Any) -> Any:
    """As pytest.fixture; every test gets a fresh value."""
    if function is None:
        return lambda inner: fixture(inner, **_options)
    function.is_pytest_fixture = True
    function.fixture_name = _options.get("name") or function.__name__
    function.fixture_autouse = bool(_options.get("autouse"))
    return function


class Capsys:
    """Collects what is printed, as the fixture capsys."""

    def __init__(self) -> None:
        self._before, self._out = sys.stdout, io.StringIO()
        sys.stdout = self._out

    def readouterr(self) -> Any:
        """(out, err) printed since the last call."""
        text = self._out.getvalue()
        self._out.seek(0)
        self._out.truncate()
        return types.SimpleNamespace(out=text, err="")

    def close(self) -> None:
        """Print to where it went before."""
        sys.stdout = self._before


class MonkeyPatch:
    """setattr and setitem that are undone after the test, as the fixture monkeypatch."""

    _missing = object()

    def __init__(self) -> None:
        self._undo: list[Callable[[], Any]] = []

    def setattr(self, target: Any, name: Any, value: Any = _missing, raising: bool = True) -> None:
        """Set an attribute; the target may be the dotted name of one."""
        if isinstance(target, str):
            value, (path, _, name) = name, target.rpartition(".")
            __import__(path)
            target = sys.modules[path]
        before = getattr(target, name, self._missing)
        self._undo.append(
            lambda: (
                delattr(target, name) if before is self._missing else setattr(target, name, before)
            )
        )
        setattr(target, name, value)

    def setitem(self, target: Any, key: Any, value: Any) -> None:
        """Set an item."""
        before = target.get(key, self._missing)
        self._undo.append(
            lambda: (
                target.pop(key, None) if before is self._missing else target.update({key: before})
            )
        )
        target[key] = value

    def setenv(self, name: str, value: str) -> None:
        """Set a variable of the environment (of the tests' process)."""
        import os

        self.setitem(os.environ, name, value)

    def close(self) -> None:
        """Undo everything."""
        while self._undo:
            self._undo.pop()()


class Fixtures:
    """Builds the arguments of one test function and cleans up after it."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self._known = {
            vars(value)["fixture_name"]: value
            for value in list(namespace.values())
            if isinstance(value, types.FunctionType) and hasattr(value, "is_pytest_fixture")
        }
        self._values: dict[str, Any] = {}
        self._closers: list[Callable[[], Any]] = []

    def fill(self, function: Any, given: dict[str, Any], *, has_self: bool) -> dict[str, Any]:
        """The keyword arguments of a test function."""
        for name, value in self._known.items():
            if vars(value)["fixture_autouse"]:
                self._value(name)
        filled = dict(given)
        for name in parameters_of(function)[1 if has_self else 0 :]:
            if name not in filled:
                filled[name] = self._value(name)
        return filled

    def _value(self, name: str) -> Any:
        if name not in self._values:
            self._values[name] = self._make(name)
        return self._values[name]

    def _make(self, name: str) -> Any:
        if name in self._known:
            function = self._known[name]
            made = function(**{item: self._value(item) for item in parameters_of(function)})
            if isinstance(made, types.GeneratorType):
                self._closers.append(lambda: next(made, None))
                return next(made)
            return made
        if name in ("capsys", "monkeypatch"):
            helper: Any = Capsys() if name == "capsys" else MonkeyPatch()
            self._closers.append(helper.close)
            return helper
        if name in ("tmp_path", "tmpdir"):
            import pathlib
            import tempfile

            return pathlib.Path(tempfile.mkdtemp())
        raise LookupError(f"no fixture named {name!r}")

    def close(self) -> None:
        """Run what fixtures do after their yield, last one first."""
        while self._closers:
            self._closers.pop()()


def parameters_of(function: Any) -> list[str]:
    """The names of the parameters without a default."""
    function = getattr(function, "__func__", function)
    code = function.__code__
    names = list(code.co_varnames[: code.co_argcount])
    n_defaults = len(function.__defaults__ or ())
    names = names[: len(names) - n_defaults]
    keywords = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    return names + [name for name in keywords if name not in (function.__kwdefaults__ or {})]


def skip(reason: str = "", **_options: Any) -> None:
    """As pytest.skip."""
    raise Skipped(reason)


def fail(reason: str = "", **_options: Any) -> None:
    """As pytest.fail."""
    raise Failed(reason)


def importorskip(name: str, *_args: Any, **_options: Any) -> Any:
    """As pytest.importorskip."""
    try:
        __import__(name)
    except ImportError:
        raise Skipped(name) from None
    return sys.modules[name]


def make_module() -> types.ModuleType:
    """A module object named pytest."""
    module = types.ModuleType("pytest")
    vars(module).update(
        raises=raises, approx=approx, mark=_Marks(), param=Param, fixture=fixture, skip=skip,
        fail=fail, importorskip=importorskip, MonkeyPatch=MonkeyPatch, main=lambda *_a, **_k: 0,
        Failed=Failed,
    )  # fmt: skip
    return module
