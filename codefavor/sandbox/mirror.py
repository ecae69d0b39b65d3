"""Local classes that stand for classes of the other process.

An instance holds nothing: what is asked of it is asked over the bridge. Which special methods
exist is copied from the original, so `callable`, `hasattr` and `isinstance` tell the truth.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codefavor.sandbox.bridge import Bridge

READABLE = frozenset(
    [
        "__name__",
        "__qualname__",
        "__doc__",
        "__dict__",
        "__annotations__",
        "__wrapped__",
        "__dataclass_fields__",
        "__members__",
        "__array__",
        "__slots__",
        "__defaults__",
        "__kwdefaults__",
        "__closure__",
        "__version__",
        "__all__",
        "__author__",
        "__cause__",
        "__context__",
        "__self__",
        "__func__",
        "__match_args__",
        "__abstractmethods__",
        "__total__",
        "__orig_bases__",
        "__parameters__",
        "__args__",
        "__origin__",
        "__notes__",
        "__code__",
        "__post_init__",
        "__del__",
        "__file__",
        "__path__",
    ]
)
# What may always be passed on: the peer learns nothing from these but plain inputs.
FORWARDED = frozenset(
    [
        "__len__",
        "__iter__",
        "__next__",
        "__getitem__",
        "__setitem__",
        "__delitem__",
        "__call__",
        "__enter__",
        "__exit__",
        "__int__",
        "__float__",
        "__index__",
        "__complex__",
        "__abs__",
        "__neg__",
        "__pos__",
        "__invert__",
        "__round__",
        "__trunc__",
        "__floor__",
        "__ceil__",
        "__format__",
        "__reversed__",
        "__bytes__",
        "__length_hint__",
        "__missing__",
        "__set_name__",
        "__fspath__",
        "__hash__",
        "__get__",
        "__set__",
    ]
)
ARITHMETIC = frozenset(
    f"__{prefix}{name}__"
    for name in [
        "add",
        "sub",
        "mul",
        "truediv",
        "floordiv",
        "mod",
        "divmod",
        "pow",
        "matmul",
        "and",
        "or",
        "xor",
        "lshift",
        "rshift",
    ]
    for prefix in ("", "r", "i")
)
COMPARED = frozenset(["__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__contains__"])
SPECIAL = FORWARDED | ARITHMETIC | COMPARED | {"__bool__", "__str__", "__repr__", "__await__"}


class Mirror(type):
    """The metaclass of all mirrors: using the class is using the peer's class."""

    _bridge_: Bridge
    _handle_: int
    _special_: frozenset[str]

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made = cls._bridge_.ask("call", cls._handle_, args, kwargs)
        cls._bridge_.note_made(cls, made)
        return made

    def __getattr__(cls, name: str) -> Any:
        _check_readable(name)
        return cls._bridge_.ask("getattr", cls._handle_, (name,))

    def __setattr__(cls, name: str, value: Any) -> None:
        cls._bridge_.ask("setattr", cls._handle_, (name, value))

    def __iter__(cls) -> Any:
        return cls._bridge_.ask("special", cls._handle_, ("__iter__",))

    def __len__(cls) -> int:
        return int(cls._bridge_.ask("special", cls._handle_, ("__len__",)))

    def __getitem__(cls, key: Any) -> Any:
        return cls._bridge_.ask("special", cls._handle_, ("__getitem__", key))

    def __contains__(cls, key: Any) -> bool:
        return bool(cls._bridge_.ask("special", cls._handle_, ("__contains__", key)))

    def __bool__(cls) -> bool:
        return True

    def __hash__(cls) -> int:
        return type.__hash__(cls)

    def __eq__(cls, other: object) -> bool:
        return cls is other


def _check_readable(name: str) -> None:
    # Libraries look for protocols (`__array_ufunc__`, `__dataframe__`, ...) that would hand
    # the values of a test to the object under test.
    if name.startswith("__") and name not in READABLE:
        raise AttributeError(name)


def _forwarder(bridge: Bridge, name: str) -> Callable[..., Any]:
    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        return bridge.ask("special", bridge.remote_of[id(self)], (name, *args), kwargs)

    forward.__name__ = name
    return forward


def _get(bridge: Bridge) -> Callable[..., Any]:
    def read(self: Any, name: str) -> Any:
        _check_readable(name)
        handle = bridge.remote_of.get(id(self))
        if handle is None:
            raise AttributeError(name)
        return bridge.ask("getattr", handle, (name,))

    return read


def _set(bridge: Bridge) -> Callable[..., None]:
    def write(self: Any, name: str, value: Any) -> None:
        if name.startswith("__"):
            # `raise`, contextlib and unittest set __traceback__ and its like on exceptions.
            object.__setattr__(self, name, value)
            return
        bridge.ask("setattr", bridge.remote_of[id(self)], (name, value))

    return write


def _delete(bridge: Bridge) -> Callable[..., None]:
    def remove(self: Any, name: str) -> None:
        bridge.ask("delattr", bridge.remote_of[id(self)], (name,))

    return remove


def _copier(bridge: Bridge, how: str) -> Callable[..., Any]:
    def duplicate(self: Any, _memo: Any = None) -> Any:
        return bridge.ask(how, bridge.remote_of[id(self)])

    return duplicate


def _identity_hash(self: Any) -> int:
    return object.__hash__(self)


def make_mirror(  # noqa: PLR0917
    bridge: Bridge,
    handle: int,
    name: str,
    module: str,
    bases: tuple[type, ...],
    special: frozenset[str],
    overrides: dict[str, Any],
) -> type:
    """A class for the peer's class `handle`; `overrides` replaces what is simply passed on."""
    body: dict[str, Any] = {
        method: _forwarder(bridge, method) for method in special & SPECIAL if method in FORWARDED
    }
    body.update(
        __slots__=(),
        __module__=module,
        __getattr__=_get(bridge),
        __setattr__=_set(bridge),
        __delattr__=_delete(bridge),
        __copy__=_copier(bridge, "copy"),
        __deepcopy__=_copier(bridge, "deepcopy"),
        __str__=_forwarder(bridge, "__str__"),
        __repr__=_forwarder(bridge, "__repr__"),
        __format__=_forwarder(bridge, "__format__"),
        __hash__=_forwarder(bridge, "__hash__") if "__hash__" in special else _identity_hash,
    )
    body.update(overrides)
    body.update(_bridge_=bridge, _handle_=handle, _special_=special)
    # type.__call__ of Mirror would run Mirror.__setattr__; the class is complete from birth.
    made = type.__new__(Mirror, name, bases, body)
    bridge.adopt(handle, made)
    return made


def make_function(bridge: Bridge, handle: int, name: str, parameters: list[Any]) -> Any:
    """A real function that calls the peer's, with the same parameters."""
    call = _forwarder_of(bridge, handle)
    made: Any = None
    if parameters:
        made = _with_parameters(call, parameters)
    if made is None:

        def made(*args: Any, **kwargs: Any) -> Any:
            return bridge.ask("call", handle, args, kwargs)

    made.__name__ = made.__qualname__ = name
    bridge.adopt(handle, made)
    return made


def _forwarder_of(bridge: Bridge, handle: int) -> Callable[..., Any]:
    def call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return bridge.ask("call", handle, args, kwargs)

    return call


def describe_parameters(function: types.FunctionType) -> list[Any]:
    """[n_positional_only, names, n_defaults, keyword-only names, those with default, *, **]."""
    code = function.__code__
    n_positional, n_keyword = code.co_argcount, code.co_kwonlyargcount
    names = list(code.co_varnames)
    rest = names[n_positional + n_keyword :]
    star = rest.pop(0) if code.co_flags & 0x04 else ""
    double = rest.pop(0) if code.co_flags & 0x08 else ""
    keyword_names = names[n_positional : n_positional + n_keyword]
    defaults = function.__kwdefaults__ or {}
    return [
        code.co_posonlyargcount,
        names[:n_positional],
        len(function.__defaults__ or ()),
        keyword_names,
        [name for name in keyword_names if name in defaults],
        star,
        double,
    ]


def _with_parameters(call: Callable[..., Any], parameters: list[Any]) -> Any:
    n_only, names, n_defaults, keyword_names, with_default, star, double = parameters
    every = [*names, *keyword_names, *filter(None, (star, double))]
    if not all(type(name) is str and name.isidentifier() for name in every):
        return None
    if any(name in ("_call", "_unset") for name in every):
        return None
    first_default = len(names) - n_defaults
    heads = [f"{n}=_unset" if i >= first_default else n for i, n in enumerate(names)]
    if n_only:
        heads.insert(n_only, "/")
    if star or keyword_names:
        heads.append(f"*{star}")
    heads += [f"{n}=_unset" if n in with_default else n for n in keyword_names]
    if double:
        heads.append(f"**{double}")
    passed = "".join(f"{n}, " for n in names)
    source = (
        f"def made({', '.join(heads)}):\n"
        f" args = [value for value in ({passed}) if value is not _unset]\n"
        + (f" args.extend({star})\n" if star else "")
        + f" kwargs = {{{', '.join(f'{n!r}: {n}' for n in keyword_names)}}}\n"
        " kwargs = {key: value for key, value in kwargs.items() if value is not _unset}\n"
        + (f" kwargs.update({double})\n" if double else "")
        + " return _call(args, kwargs)\n"
    )
    scope: dict[str, Any] = {"_call": call, "_unset": object()}
    try:
        exec(source, scope)
    except SyntaxError:
        return None
    return scope["made"]
