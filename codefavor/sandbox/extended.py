"""Value types of the standard library and numpy that cross as plain data, by exact type.

A type is looked up only in modules that are already imported: a value of it cannot exist
otherwise. The receiver builds its own value from plain parts, with its own classes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from codefavor.sandbox.wire import BadFrame

Payload = object
_FACTORIES = {"list": list, "dict": dict, "int": int, "set": set, "str": str, "float": float,
              "tuple": tuple, "bool": bool}  # fmt: skip
_DTYPE_KINDS = "biufcSUmM?"


def _describe_decimal(value: Any) -> Payload:
    return str(value)


def _describe_fraction(value: Any) -> Payload:
    return (value.numerator, value.denominator)


def _describe_date(value: Any) -> tuple[object, ...]:
    return (value.year, value.month, value.day)


def _describe_time(value: Any) -> tuple[object, ...]:
    return (value.hour, value.minute, value.second, value.microsecond, value.fold, value.tzinfo)


def _describe_datetime(value: Any) -> Payload:
    return (*_describe_date(value), *_describe_time(value))


def _describe_timedelta(value: Any) -> Payload:
    return (value.days, value.seconds, value.microseconds)


def _describe_timezone(value: Any) -> Payload:
    return (value.utcoffset(None), value.tzname(None))


def _describe_defaultdict(value: Any) -> Payload:
    factory = value.default_factory
    name = getattr(factory, "__name__", "") if type(factory) is type else ""
    if factory is not None and _FACTORIES.get(name) is not factory:
        raise LookupError
    return (name, dict(value))


def _describe_deque(value: Any) -> Payload:
    return (list(value), value.maxlen)


def _describe_range(value: Any) -> Payload:
    return (value.start, value.stop, value.step)


def _describe_array(value: Any) -> Payload:
    if value.dtype.kind not in _DTYPE_KINDS:
        if value.dtype.kind != "O":
            raise LookupError
        return ("O", list(value.shape), value.ravel().tolist())
    return (value.dtype.str, list(value.shape), value.tobytes())


def _describe_scalar(value: Any) -> Payload:
    if value.dtype.kind not in _DTYPE_KINDS:
        raise LookupError
    return (value.dtype.str, value.tobytes())


def _numpy() -> Any:
    module = sys.modules.get("numpy")
    if module is None:
        raise BadFrame("a numpy value, but numpy is not loaded here")
    return module


def _dtype(text: object) -> Any:
    if type(text) is not str or len(text) < 3 or text[1] not in _DTYPE_KINDS:
        raise BadFrame("an unknown dtype")
    return _numpy().dtype(text)


def _build_array(payload: Any) -> object:
    kind, shape, data = payload
    numpy = _numpy()
    if type(data) is not (list if kind == "O" else bytes):
        raise BadFrame("an array without data")
    if kind == "O":
        flat = numpy.empty(len(data), dtype=object)
        flat[:] = data
        return flat.reshape(shape)
    return numpy.frombuffer(bytearray(data), dtype=_dtype(kind)).reshape(shape)


def _build_scalar(payload: Any) -> object:
    kind, data = payload
    return _numpy().frombuffer(data, dtype=_dtype(kind))[0]


def _module(name: str) -> Any:
    __import__(name)
    return sys.modules[name]


def _build_defaultdict(payload: Any) -> object:
    name, values = payload
    return _module("collections").defaultdict(_FACTORIES[name] if name else None, values)


def _build_ordered(payload: Any) -> object:
    return _module("collections").OrderedDict(payload)


def _build_datetime(payload: Any) -> object:
    *parts, fold, zone = payload
    return _module("datetime").datetime(*parts, tzinfo=zone, fold=fold)


def _build_time(payload: Any) -> object:
    *parts, fold, zone = payload
    return _module("datetime").time(*parts, tzinfo=zone, fold=fold)


# name -> (module, class, describe, build)
_TYPES: dict[str, tuple[str, str, Callable[[Any], Payload], Callable[[Any], object]]] = {
    "range": ("builtins", "range", _describe_range, lambda p: range(*p)),
    "slice": ("builtins", "slice", _describe_range, lambda p: slice(*p)),
    "decimal": ("decimal", "Decimal", _describe_decimal, lambda p: _module("decimal").Decimal(p)),
    "fraction": (
        "fractions",
        "Fraction",
        _describe_fraction,
        lambda p: _module("fractions").Fraction(*p),
    ),
    "date": ("datetime", "date", _describe_date, lambda p: _module("datetime").date(*p)),
    "time": ("datetime", "time", _describe_time, _build_time),
    "datetime": ("datetime", "datetime", _describe_datetime, _build_datetime),
    "timedelta": (
        "datetime",
        "timedelta",
        _describe_timedelta,
        lambda p: _module("datetime").timedelta(*p),
    ),
    "timezone": (
        "datetime",
        "timezone",
        _describe_timezone,
        lambda p: _module("datetime").timezone(*p),
    ),
    "counter": ("collections", "Counter", dict, lambda p: _module("collections").Counter(p)),
    "ordereddict": ("collections", "OrderedDict", lambda v: list(v.items()), _build_ordered),
    "defaultdict": ("collections", "defaultdict", _describe_defaultdict, _build_defaultdict),
    "deque": ("collections", "deque", _describe_deque, lambda p: _module("collections").deque(*p)),
    "keys": ("_codefavor", "keys", list, lambda p: dict.fromkeys(p).keys()),
    "values": ("_codefavor", "values", list, lambda p: dict(enumerate(p)).values()),
    "items": ("_codefavor", "items", list, lambda p: dict(p).items()),
    "uuid": ("uuid", "UUID", lambda v: v.int, lambda p: _module("uuid").UUID(int=p)),
    "array": (
        "array",
        "array",
        lambda v: (v.typecode, v.tolist()),
        lambda p: _module("array").array(*p),
    ),
    "ndarray": ("numpy", "ndarray", _describe_array, _build_array),
}
_resolved: dict[type, str] = {
    type({}.keys()): "keys",
    type({}.values()): "values",
    type({}.items()): "items",
}
_seen_modules: set[str] = set()


def _resolve() -> None:
    """Take in the value types of modules that were imported since the last look."""
    for name, (module_name, class_name, _describe, _build) in _TYPES.items():
        module = sys.modules.get(module_name)
        kind = getattr(module, class_name, None)
        if isinstance(kind, type):
            _resolved[kind] = name


def freeze_types() -> None:
    """Look up the types now, before an untrusted program could exchange them."""
    _resolve()
    _seen_modules.update(name for name, *_ in _TYPES.values() if name in sys.modules)


def describe_extended(value: object) -> tuple[str, Payload] | None:
    """(name, plain parts) of a known value type, None for any other."""
    kind = type(value)
    name = _resolved.get(kind)
    if name is None:
        if getattr(kind, "__module__", None) == "numpy" and _is_numpy_scalar(kind):
            return _try("scalar", _describe_scalar, value)
        loaded = {module for module, *_ in _TYPES.values() if module in sys.modules}
        if loaded <= _seen_modules:
            return None
        freeze_types()
        name = _resolved.get(kind)
        if name is None:
            return None
    return _try(name, _TYPES[name][2], value)


def _try(
    name: str, describe: Callable[[Any], Payload], value: object
) -> tuple[str, Payload] | None:
    try:
        return name, describe(value)
    except LookupError:
        return None


def _is_numpy_scalar(kind: type) -> bool:
    numpy = sys.modules.get("numpy")
    generic = getattr(numpy, "generic", None)
    return isinstance(generic, type) and generic in kind.__mro__


def build_extended(name: str, payload: object) -> object:
    """The value of a described type; raises BadFrame for an unknown name or odd parts."""
    if name == "scalar":
        return _build_scalar(payload)
    if name not in _TYPES:
        raise BadFrame(f"an unknown value type {name!r}")
    try:
        return _TYPES[name][3](payload)
    except (ArithmeticError, AttributeError) as error:
        raise BadFrame(f"bad {name}: {type(error).__name__}") from None
