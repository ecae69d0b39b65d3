"""The process of the program: load it, then answer what the tests ask.

Nothing here is trusted: a program can replace all of it. What it sends is plain data.
"""

from __future__ import annotations

import _thread
import operator
import os
import re
import site
import sys
import types
from typing import Any, NoReturn

from codefavor.sandbox.codec import CLASSES, Node, is_flat, is_plain, kind_of
from codefavor.sandbox.link import Link
from codefavor.sandbox.script import Script
from codefavor.sandbox.wire import BadFrame, Channel, PeerGone, Unsupported, exact, items_of

MODULE_NAME = "solution"
FILE_NAME = "<solution>"
_ITEMS = {"__iter__", "__getitem__", "keys"}  # the interpreter copies dicts and sets without
# What the interpreter knows of a class and of an exception, whatever they say of themselves.
_MRO, _NAMES = (type.__dict__[name].__get__ for name in ("__mro__", "__dict__"))
_CLASS_FACTS = [type.__dict__[name] for name in ("__name__", "__module__", "__bases__")]
_ERROR_FACTS = [BaseException.__dict__[name] for name in ("__dict__", "args", "__traceback__")]
_MEMBER = types.MemberDescriptorType
# Asking for the type of a callback; its name is the same there.
_TYPES = re.compile(r"\btype\b(?!\([\w.]+\)\.__name__)")
# How else a program sees what an exception has besides its text.
_LOOKS = "__dict__|attrgetter|copy|dir|exec|eval|getattr|inspect|logging|pickle|traceback|vars"


class Callback:
    """A function of the tests: it can be called, and nothing else is known of it here."""

    def __init__(self, link: ProgramLink, number: int, is_function: bool) -> None:
        object.__setattr__(self, "_known", (link, number, is_function))

    def __call__(self, /, *arguments: object, **keywords: object) -> object:
        link, number, _ = object.__getattribute__(self, "_known")
        return link.ask("callback", number, arguments, keywords)

    def __getattribute__(self, name: str) -> object:
        link, _, is_function = object.__getattribute__(self, "_known")
        if name == "__class__" and is_function:
            return types.FunctionType
        return link.refuse(f"what {name} of a function of the tests is")

    def __setattr__(self, name: str, value: object) -> None:
        self.__getattribute__(name)

    def __get__(self, owner: object, _: type | None = None) -> object:
        is_bound = object.__getattribute__(self, "_known")[2] and owner is not None
        return types.MethodType(self, owner) if is_bound else self

    def __eq__(self, other: object) -> bool:
        link, _, is_function = object.__getattribute__(self, "_known")
        if self is other:
            return True
        if is_function or is_plain(other):
            return NotImplemented
        return bool(link.refuse("a comparison of methods or built-in functions"))

    def __hash__(self) -> int:
        link, number, is_function = object.__getattribute__(self, "_known")
        return hash(number) if is_function else int(link.refuse("the hash of a method"))

    def __repr__(self) -> str:
        return str(self.__getattribute__("__repr__"))


_FUNCTION = type("function", (Callback,), {})
_BUILTIN = type("builtin_function_or_method", (Callback,), {})


class ProgramLink(Link):
    """Serves the tests' questions about one program."""

    def __init__(self, channel: Channel, source: dict[str, Any]) -> None:
        super().__init__(channel, first_number=2)
        self._source, self._text = source, "{setup}\n{code}".format(**source)
        self.module = types.ModuleType(MODULE_NAME)
        self._exports: list[object] = []
        self._handle_of: dict[int, int] = {}
        self._let_go: list[object] = []
        self._is_ending = False
        self._callbacks: dict[object, Callback] = {}
        self._script: Script | None = None
        self._loaded: dict[str, Any] = {}

    def refuse(self, what: str) -> NoReturn:
        """As in Codec; a program cannot go on from here, whatever it catches."""
        self.channel.send(["u", what])
        os._exit(0)

    def ask(self, operation: str, target: Node, arguments: Any = (), keywords: Any = None) -> Any:
        """As in Link; called within a callback, so that the program's own code is above."""
        if self._is_ending:
            self.refuse("a call back by an object that the tests have let go")
        try:
            return super().ask(operation, target, arguments, keywords)
        except Unsupported as error:
            self.refuse(str(error))

    def _take_in(self, changed: object, dropped: object) -> None:
        """As in Link; what the tests let go ends first: they may have looked at what it changes."""
        numbers = items_of(dropped)
        objects = [number for number in numbers if number < 0]
        super()._take_in(changed, objects or numbers)
        if objects:
            self._is_ending = True
            self._let_go.clear()
            has_changed = bool(self.changes())
            super()._take_in([], [number for number in numbers if number > 0])
            self._is_ending = False
            if has_changed or self.changes():
                self.refuse("an object that changes, at its end, what both hold")

    def forget(self, number: int) -> None:
        """As in Codec, also of an object that the tests hold no longer; it ends a little later."""
        super().forget(number)
        if number < 0:
            self._let_go.append(self._exports[-1 - number])
            self._exports[-1 - number] = None
            del self._handle_of[id(self._let_go[-1])]

    # -- names of what is not plain ----------------------------------------------------------

    def encode_other(self, value: Any) -> Node:
        """As in Codec: a callback of the tests, a class of exceptions, or a handle."""
        kind = type(value)  # isinstance() would ask the value for its class
        if issubclass(kind, Callback):
            return ["c", object.__getattribute__(value, "_known")[1]]
        if issubclass(kind, type) and issubclass(value, BaseException):
            return ["k", self._describe_class(value)]
        return ["h", self._export(value)]

    def decode_other(self, node: list[Any]) -> object:
        """As in Codec."""
        tag, key = node[:2]
        if tag == "h":
            return self._exports[key]
        if tag in ("n", "r"):
            return self._named(exact(str, key), vars(self.module) if tag == "n" else self._loaded)
        if tag == "m":
            return self.module
        if tag != "c":
            raise BadFrame("an unknown tag")
        if key not in self._callbacks and _TYPES.search(self._text):
            self.refuse("a function of the tests, and the program may ask for its type")
        kind = _FUNCTION if node[2] else _BUILTIN
        return self._callbacks.setdefault(key, kind(self, key, node[2]))

    def _export(self, value: object) -> int:
        if (handle := self._handle_of.get(id(value))) is None:
            handle = self._handle_of[id(value)] = len(self._exports)
            self._exports.append(value)
        return handle

    def _named(self, name: str, scope: dict[str, Any]) -> object:
        try:
            return scope[name]
        except KeyError:
            if "__getattr__" in scope:
                self.refuse("a name that the program makes up when it is asked for")
            raise NameError(f"the program does not define {name!r}") from None

    def _describe_class(self, kind: type) -> Node:
        name, module, bases = (one.__get__(kind) for one in _CLASS_FACTS)
        if CLASSES.get(name := str.__str__(name)) is kind:
            return name
        described = [self._describe_class(b) for b in bases if issubclass(b, BaseException)]
        return [self._export(kind), name, described, module if type(module) is str else ""]

    def encode_error(self, error: BaseException) -> Node:
        """As in Link: [class, text or the object to be asked for it, line in the program]."""
        kind, line = type(error), None
        if _NAMES(kind).get("__module__") == "codefavor.sandbox.wire":
            return ["FrameTooLarge", str(error), line]
        own, args, trace = (one.__get__(error) for one in _ERROR_FACTS)
        source: Any = _definers(kind, "__str__")[0]
        text: Node = None
        # The only one that it has: made by the interpreter, of plain data, or when it is asked for.
        if _definers(kind, "__format__") == [object] and not dict.__contains__(own, "__notes__"):
            if any(source is one for one in CLASSES.values()):
                held = [m for m in vars(source).values() if type(m) is _MEMBER]
                args += tuple(m.__get__(error) for m in held if m.__name__[:3] != "obj")  # not said
            else:
                args += (error,)
            parts = [part for one in args for part in (one if type(one) is tuple else (one,))]
            text = source.__str__(error) if is_flat(parts) else ["h", self._export(error)]
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == FILE_NAME:
                line = trace.tb_lineno
            trace = trace.tb_next
        return [self._describe_class(kind), text, line]

    def error_of(self, node: Node) -> BaseException:
        """As in Link: what a callback of the tests raised; `lost` is what of it did not cross."""
        name, values, lost = items_of(node)
        if lost and re.search(rf"\b({'|'.join(lost)}|{_LOOKS})\b", self._text):
            self.refuse(f"{lost[0]} of an exception that a function of the tests raised")
        error: BaseException = CLASSES[name](*self.decode(values))
        return error

    # -- serving --------------------------------------------------------------------------

    def serve(self, operation: object, target: Node, arguments: list[Any], keywords: Any) -> object:
        """As in Link."""
        if operation == "load":
            self._load(**self._source)
            return None
        if operation == "script":
            if _thread._count():
                self.refuse("a thread that outlives its case")
            assert self._script is not None
            return self._script.run(*arguments)
        found = self.module if target is None else self.decode_other(target)  # type: ignore[arg-type]
        is_iterated = operation == "iter" or (operation == "getattr" and arguments[0] == "keys")
        if is_iterated and issubclass(type(found), dict | set | frozenset):
            own = [_NAMES(kind).get("__module__") for kind in _definers(type(found), *_ITEMS)]
            if MODULE_NAME in own:
                self.refuse("a dict or set that gives other items than it holds")
        return _OPERATIONS[operation](found, *arguments, **keywords)

    def _load(self, setup: str, code: str, is_script: bool) -> None:
        """Run the setup, then the program, in one namespace; a script is only compiled."""
        namespace = self.module.__dict__
        namespace["__builtins__"] = __builtins__
        site.setquit()  # the interpreter of the jail does without this module
        site.sethelper()
        sys.modules[MODULE_NAME] = sys.modules["__main__"] = self.module
        if setup:
            exec(compile(setup, "<setup>", "exec", dont_inherit=True), namespace)
        program = compile_program(code)
        if is_script:
            self._script = Script(program, self.module)
        else:
            exec(program, namespace)
        self._loaded = dict(namespace)


def compile_program(code: str, file_name: str = FILE_NAME) -> types.CodeType:
    """The code object of a program; raises SyntaxError for everything that is no program."""
    try:
        # Python reads files that begin with a byte order mark.
        return compile(code.removeprefix("\ufeff"), file_name, "exec", dont_inherit=True)
    except ValueError as error:  # null bytes, lone surrogates
        raise SyntaxError(str(error)) from None


def _definers(kind: type, *names: str) -> list[type]:
    """The classes that give a type one of these names, nearest first; no code of theirs runs."""
    return [one for one in _MRO(kind) if not _NAMES(one).keys().isdisjoint(names)]


def _next(target: Any) -> tuple[bool, object]:
    """(whether there is another item, the item or what the iterator returned at its end)."""
    try:
        return True, next(target)
    except StopIteration as stop:
        return False, stop.value


_OPERATIONS: dict[object, Any] = {
    "call": lambda target, /, *arguments, **keywords: target(*arguments, **keywords),
    "value": lambda target: target,
    "next": _next,
    "str": lambda target: str.__str__(str(target)),
    "repr": lambda target: str.__str__(repr(target)),
    "format": lambda target, spec: str.__str__(format(target, spec)),
    "isinstance": lambda kind, value: isinstance(value, kind),
    "alive": lambda target: None,
    # Whether it is equal to nothing but itself, and another where a class holds it (functions).
    "identical": lambda target: [object] == _definers(type(target), "__eq__", "__ne__"),
    "binds": lambda target: bool(_definers(type(target), "__get__", "__set_name__")),
    **{f.__name__: f for f in (getattr, setattr, delattr, len, iter, reversed, bool,
                               operator.getitem, operator.setitem, operator.delitem)},
}  # fmt: skip


def run_program(channel_fd: int, source: dict[str, Any], reply_bytes: int) -> None:
    """Serve one program ({"setup", "code", "is_script"}) until the tests end; never returns."""
    link = ProgramLink(Channel(channel_fd, reply_bytes), source)
    try:
        link.serve_forever()
    except (PeerGone, BadFrame):
        pass
    except BaseException as error:  # Unsupported, or not while a question was being answered
        link.refuse(str(error) if type(error) is Unsupported else kind_of(error).__name__)
    finally:
        os._exit(0)
