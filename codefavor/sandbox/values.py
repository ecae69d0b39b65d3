"""Value types of the standard library and numpy that cross as plain parts, by exact type.

A type is looked up only in modules that are already imported: a value of it cannot exist
otherwise. The receiver builds its own value from the parts, with its own classes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from codefavor.sandbox.wire import BadFrame, Unsupported

_FACTORIES = {"list": list, "dict": dict, "int": int, "set": set, "str": str, "float": float,
              "tuple": tuple, "bool": bool}  # fmt: skip
_DTYPE_KINDS = "biufcSUmM?"
# A default_factory that has no plain form; the receiver must not guess what it would give.
UNKNOWN_FACTORY = "?"


class Kind(NamedTuple):
    """How values of one type travel; `refill` makes a value equal to another of its type."""

    describe: Callable[[Any], object]
    build: Callable[[Any], object]
    refill: Callable[[Any, Any], object] | None = None


def _module(name: str) -> Any:
    __import__(name)
    return sys.modules[name]


def _numpy() -> Any:
    return _module("numpy")


def _dtype(text: object) -> Any:
    if type(text) is not str or len(text) < 3 or text[1] not in _DTYPE_KINDS:
        raise BadFrame("an unknown dtype")
    return _numpy().dtype(text)


def _describe_defaultdict(value: Any) -> object:
    name = getattr(value.default_factory, "__name__", "")
    return (name if has_known_factory(value) else UNKNOWN_FACTORY, dict(value))


def has_known_factory(value: Any) -> bool:
    """Whether a defaultdict's factory has a plain form."""
    factory = value.default_factory
    return factory is None or (type(factory) is type and factory in _FACTORIES.values())


def _build_defaultdict(parts: Any) -> object:
    name, values = parts
    factory = unknown_factory if name == UNKNOWN_FACTORY else _FACTORIES[name] if name else None
    return _module("collections").defaultdict(factory, values)


def unknown_factory() -> object:
    """Stands for a factory that did not cross; whoever needs its answer cannot go on."""
    raise Unsupported("a default_factory that is no plain type")


def _describe_array(value: Any) -> object:
    if value.dtype.kind not in _DTYPE_KINDS:
        if value.dtype.kind != "O":
            raise LookupError
        return ("O", list(value.shape), value.ravel().tolist())
    return (value.dtype.str, list(value.shape), value.tobytes())


def _build_array(parts: Any) -> object:
    kind, shape, data = parts
    numpy = _numpy()
    if type(data) is not (list if kind == "O" else bytes):
        raise BadFrame("an array without data")
    if kind == "O":
        flat = numpy.empty(len(data), dtype=object)
        flat[:] = data
        return flat.reshape(shape)
    # A copy owns its memory, so that a view of it keeps it known to both sides.
    return numpy.frombuffer(data, dtype=_dtype(kind)).reshape(shape).copy()


def _refill_array(target: Any, source: Any) -> None:
    if target.shape != source.shape or target.dtype != source.dtype:
        raise BadFrame("an array of another shape")
    target[...] = source


def _describe_scalar(value: Any) -> object:
    if value.dtype.kind not in _DTYPE_KINDS:
        raise LookupError
    return (value.dtype.str, value.tobytes())


def _build_scalar(parts: Any) -> object:
    kind, data = parts
    return _numpy().frombuffer(data, dtype=_dtype(kind))[0]


def _describe_time(value: Any) -> tuple[object, ...]:
    if value.tzinfo is not None and type(value.tzinfo) is not _module("datetime").timezone:
        raise LookupError
    return (value.hour, value.minute, value.second, value.microsecond, value.tzinfo, value.fold)


def _build_time(kind: str, parts: Any) -> object:
    *numbers, zone, fold = parts
    return getattr(_module("datetime"), kind)(*numbers, tzinfo=zone, fold=fold)


def _clear_and_update(target: Any, source: Any) -> None:
    target.clear()
    target.update(source)


def _clear_and_extend(target: Any, source: Any) -> None:
    target[:] = source


def _refill_deque(target: Any, source: Any) -> None:
    target.clear()
    target.extend(source)


def _range(value: Any) -> object:
    return (value.start, value.stop, value.step)


def _of(module: str, name: str) -> Callable[[Any], object]:
    return lambda parts: getattr(_module(module), name)(*parts)


# name -> (module, class, how it travels)
_TYPES: dict[str, tuple[str, str, Kind]] = {
    "range": ("builtins", "range", Kind(_range, lambda p: range(*p))),
    "slice": ("builtins", "slice", Kind(_range, lambda p: slice(*p))),
    "decimal": ("decimal", "Decimal", Kind(lambda v: (str(v),), _of("decimal", "Decimal"))),
    "fraction": (
        "fractions", "Fraction",
        Kind(lambda v: (v.numerator, v.denominator), _of("fractions", "Fraction")),
    ),
    "date": (
        "datetime", "date", Kind(lambda v: (v.year, v.month, v.day), _of("datetime", "date")),
    ),
    "time": ("datetime", "time", Kind(_describe_time, lambda p: _build_time("time", p))),
    "datetime": (
        "datetime", "datetime",
        Kind(lambda v: (v.year, v.month, v.day, *_describe_time(v)),
             lambda p: _build_time("datetime", p)),
    ),
    "timedelta": (
        "datetime", "timedelta",
        Kind(lambda v: (v.days, v.seconds, v.microseconds), _of("datetime", "timedelta")),
    ),
    "timezone": (
        "datetime", "timezone",
        Kind(lambda v: (v.utcoffset(None), v.tzname(None)), _of("datetime", "timezone")),
    ),
    "counter": (
        "collections", "Counter",
        Kind(dict, lambda p: _module("collections").Counter(p), _clear_and_update),
    ),
    "ordereddict": (
        "collections", "OrderedDict",
        Kind(lambda v: list(v.items()), lambda p: _module("collections").OrderedDict(p),
             _clear_and_update),
    ),
    "defaultdict": (
        "collections", "defaultdict",
        Kind(_describe_defaultdict, _build_defaultdict, _clear_and_update),
    ),
    "deque": (
        "collections", "deque",
        Kind(lambda v: (list(v), v.maxlen), _of("collections", "deque"), _refill_deque),
    ),
    "uuid": ("uuid", "UUID", Kind(lambda v: v.int, lambda p: _module("uuid").UUID(int=p))),
    "array": (
        "array", "array",
        Kind(lambda v: (v.typecode, v.tolist()), _of("array", "array"), _clear_and_extend),
    ),
    "ndarray": ("numpy", "ndarray", Kind(_describe_array, _build_array, _refill_array)),
    "keys": ("", "", Kind(list, lambda p: dict.fromkeys(p).keys())),
    "values": ("", "", Kind(list, lambda p: dict(enumerate(p)).values())),
    "items": ("", "", Kind(list, lambda p: dict(p).items())),
}  # fmt: skip
_SCALAR = Kind(_describe_scalar, _build_scalar)
_name_of: dict[type, str] = {
    type({}.keys()): "keys",
    type({}.values()): "values",
    type({}.items()): "items",
}
_seen_modules: set[str] = set()


def freeze_types() -> None:
    """Look up the types of what is imported, before an untrusted program could exchange them."""
    for name, (module_name, class_name, _kind) in _TYPES.items():
        kind = getattr(sys.modules.get(module_name), class_name, None)
        if module_name not in _seen_modules and isinstance(kind, type):
            _name_of[kind] = name
    _seen_modules.update(module for module, *_ in _TYPES.values() if module in sys.modules)


def kind_of(value: object) -> tuple[str, Kind] | None:
    """(name, how it travels) of a value of a known type, None for any other."""
    kind = type(value)
    name = _name_of.get(kind)
    if name is None:
        if getattr(kind, "__module__", None) == "numpy" and _is_numpy_scalar(kind):
            return "scalar", _SCALAR
        if all(m in _seen_modules for m, *_ in _TYPES.values() if m in sys.modules):
            return None
        freeze_types()
        name = _name_of.get(kind)
        if name is None:
            return None
    return name, _TYPES[name][2]


def _is_numpy_scalar(kind: type) -> bool:
    generic = getattr(sys.modules.get("numpy"), "generic", None)
    return isinstance(generic, type) and generic in kind.__mro__


def build(name: object, parts: object) -> object:
    """The value of a described type; raises BadFrame for an unknown name or odd parts."""
    if name == "scalar":
        return _build_scalar(parts)
    if type(name) is not str or name not in _TYPES:
        raise BadFrame(f"an unknown value type {name!r}")
    try:
        return _TYPES[name][2].build(parts)
    except (ArithmeticError, AttributeError) as error:
        raise BadFrame(f"bad {name}: {type(error).__name__}") from None
