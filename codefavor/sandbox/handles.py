"""The tests' end of a conversation: handles for what stays in the program's process.

Plain data crosses; an object of the program is a Handle, which passes on what the tests do with
it (call, attribute, item, iterate, length, text, truth) with plain data, and refuses everything
whose answer a lying object could choose to fit: comparison, arithmetic, membership, hashing.
Functions of the tests can be handed over to be called back with plain data. Nothing else crosses.
"""

from __future__ import annotations

import time
import types
from collections import Counter, deque
from typing import Any, NamedTuple

from codefavor.sandbox.codec import ATOMS, CLASSES, Node, is_plain
from codefavor.sandbox.link import Link
from codefavor.sandbox.wire import BadFrame, Channel, PeerGone, Unsupported, exact, items_of

# What these mean to the code around a call is not the program's to say.
_SIGNALS = ("StopIteration", "StopAsyncIteration", "GeneratorExit", "KeyboardInterrupt",
           "BaseExceptionGroup", "ExceptionGroup")  # fmt: skip
# The exceptions of a program carry what is known of them under this name.
FACTS = "__codefavor__"
# And those of the tests that have crossed, which of an exception that comes twice.
_CROSSED = "__codefavor_crossed__"
_PLAIN_METHODS = frozenset(
    name for kind in (str, bytes, int, float, complex, list, tuple, set, dict) for name in dir(kind)
) - frozenset((
    "append", "pop", "get", "keys", "values", "items", "update", "add", "remove", "insert", "clear",
    "copy", "extend", "discard", "sort", "reverse", "popitem", "setdefault",
)) | {"all", "any", "compare", "compare_signal", "compare_total", "compare_total_mag", "equals",
      "item", "same_quantum", "tolist"}  # fmt: skip
# Only libraries ask for these, and do without.
_DESCRIPTIVE = ("__name__", "__qualname__", "__module__", "__doc__", "__wrapped__")
# What the interpreter calls a handle in the text of an exception.
_CALLED = "object_of_the_program"


class ProgramSignal(BaseException):
    """An exception of the program that means something to the code around a call."""


class Handle:
    """One object of the program, or a global name of its, and a new one each time it crosses.

    Which objects are one is the program's to say, and so is not asked.
    """

    # Names that no test may write, so that all others are the program's.
    __slots__ = ("__link__", "__node__")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, link: JudgeLink, node: list[object]) -> None:
        for name, value in zip(self.__slots__, (link, node), strict=True):
            object.__setattr__(self, name, value)

    def __del__(self) -> None:
        self.__link__.let_go(self.__node__)

    def __call__(self, /, *arguments: object, **keywords: object) -> Any:
        return self.__link__.ask("call", self.__node__, arguments, keywords)

    def __getattr__(self, name: str) -> Any:
        if name in _DESCRIPTIVE:
            raise AttributeError(name)
        if name.startswith("__"):
            self.__link__.refuse(f"the attribute {name} of an object of the program")
        if name in ("items", "keys", "values"):
            self.__link__.note(name)
        found = self.__link__.ask("getattr", self.__node__, (name,))
        if name in _PLAIN_METHODS and callable(found):
            # Asked of a text or a set, it would be the interpreter's; asked of an object that
            # stands in its place, it is told what is expected and may say yes.
            self.__link__.refuse(f"the method {name} of an object of the program")
        return found

    def __next__(self) -> Any:
        step = self.__link__.ask("next", self.__node__)
        if type(step) is Handle:
            self.__link__.refuse("an item that cannot cross")
        if type(step) is not tuple or len(step) != 2:
            raise BadFrame("a malformed step")
        if step[0] is not True:
            raise StopIteration(step[1])
        return step[1]

    def __get__(self, instance: object, owner: object = None) -> Handle:
        # In a class of the tests: a function of the program would be given what cannot cross.
        if self.__link__.ask("binds", self.__node__) is not False:
            self.__link__.refuse("an object of the program that a class binds")
        return self

    __set_name__ = __get__

    def __eq__(self, other: object) -> bool:
        if is_plain(other) and self.__link__.ask("identical", self.__node__) is True:
            return False  # by its type, as it is now
        return bool(self.__link__.refuse("a comparison with an object of the program"))


def _asking(operation: str, kind: type | None) -> Any:
    def ask(self: Handle, *arguments: object) -> Any:
        is_place = operation == "getitem" and isinstance(arguments[0], int | slice)
        if operation in ("iter", "reversed") or is_place:
            self.__link__.note(operation)
        # Who has the text of an object may put it into that of an exception.
        self.__link__.was_shown |= kind is str
        answer = self.__link__.ask(operation, self.__node__, arguments)
        if kind is not None and type(answer) is not kind:
            raise BadFrame(f"{operation} gave {type(answer).__name__}")
        return answer

    return ask


def _refusing(name: str) -> Any:
    def refuse(self: Handle, *_: object) -> None:
        self.__link__.refuse(f"{name} of an object of the program")

    return refuse


_ASKED = {"len": int, "bool": bool, "str": str, "repr": str, "format": str, "iter": None,
          "reversed": None, "getitem": None, "setitem": None, "delitem": None,
          "setattr": None, "delattr": None}  # fmt: skip
_REFUSED = """
lt le gt ge contains add sub mul matmul truediv floordiv mod divmod pow lshift rshift and xor or
radd rsub rmul rmatmul rtruediv rfloordiv rmod rdivmod rpow rlshift rrshift rand rxor ror iadd
isub imul imatmul itruediv ifloordiv imod ipow ilshift irshift iand ixor ior neg pos abs invert
int float complex index round trunc floor ceil bytes missing copy deepcopy reduce reduce_ex await
aiter anext aenter aexit fspath dir hash instancecheck subclasscheck array enter exit set delete
"""
for _name, _kind in _ASKED.items():
    setattr(Handle, f"__{_name}__", _asking(_name, _kind))
for _name in _REFUSED.split():
    setattr(Handle, f"__{_name}__", _refusing(_name))
Handle.__name__ = _CALLED


class JudgeLink(Link):
    """Asks the program. `has_handles` tells whether anything but plain data ever crossed.

    `catches`: the tests wait for exceptions, so that one with a meaning of its own cannot cross.
    """

    def __init__(self, channel: Channel, catches: bool = False) -> None:
        super().__init__(channel, first_number=1)
        self.n_asked, self.own_s = 0, 0.0  # how often, and the CPU seconds that it took here
        self.has_run = False  # whether anything of the program did, since it was loaded
        self.has_called = self.has_handles = self.was_shown = False
        self.is_gone = False
        self.broken = ""
        self._catches = catches
        self._classes: dict[object, type[BaseException]] = {}
        self._noted: set[str] = set()
        self._callbacks: list[Any] = []
        # How many handles the tests hold of an object, and which ends the program does not know.
        self._n_held: Counter[object] = Counter()
        self.ended: dict[Any, None] = {}

    def let_go(self, node: list[object]) -> None:
        """A handle is gone: with its last one the program lets go of the object."""
        if node[0] != "h":
            return
        self._n_held[node[1]] -= 1
        if not self._n_held[node[1]]:
            del self._n_held[node[1]]
            self.ended[node[1]] = None

    def prune(self) -> list[int]:
        """As in Codec; objects have negative numbers here, in the order of their ends."""
        gone, let_go = super().prune(), self.ended
        self.ended = {}
        return gone + [-1 - number for number in let_go if number not in self._n_held]

    def note(self, asked: str) -> None:
        """Note that the tests ask an object for its length or its items, and may not for both.

        Of a list the one follows from the other; an object has the length that is expected, and
        then nothing to be compared.
        """
        self._noted.add(asked)
        if "len" in self._noted and len(self._noted) > 1:
            self.refuse("the length and the items of an object of the program")

    def ask(self, operation: str, target: Node, arguments: Any = (), keywords: Any = None) -> Any:
        """As in Link; a program that is gone answers every question with PeerGone."""
        if self.is_gone:
            raise PeerGone("the program is gone")
        self.n_asked += 1
        self.has_run |= operation not in ("load", "value")
        self.has_called |= operation == "call"
        started = time.thread_time()
        try:
            return super().ask(operation, target, arguments, keywords)
        except (PeerGone, BadFrame) as error:
            # Whatever the tests catch of it: what a broken conversation says is no answer.
            self.is_gone = True
            self.broken = str(error) if isinstance(error, BadFrame) else ""
            raise
        except Exception as error:
            if facts_of(error) is None:  # it failed here, and the tests may not catch that
                self.refuse(f"{type(error).__name__} on the way of a question")
            raise
        finally:
            self.own_s += time.thread_time() - started

    def encode_other(self, value: object) -> Node:
        """As in Codec: an object of the program, or a function of the tests to be called back."""
        if type(value) is Handle:
            return value.__node__
        is_function = isinstance(value, types.FunctionType)
        if not is_function and not isinstance(value, types.BuiltinFunctionType):
            return self.refuse(f"handing over an object of type {type(value).__name__}")
        self.has_handles = True
        known = next((n for n, one in enumerate(self._callbacks) if one is value), None)
        if known is None:
            known = len(self._callbacks)
            self._callbacks.append(value)
        return ["c", known, is_function]

    def decode_other(self, node: list[Any]) -> object:
        """As in Codec."""
        tag, key = items_of(node, 2)
        if tag == "k":
            return self._class_of(key)
        if tag == "c":
            return self._callbacks[exact(int, key)]
        if tag != "h":
            raise BadFrame("an unknown tag")
        self.has_handles = True
        self._n_held[exact(int, key)] += 1
        return Handle(self, node)

    def serve(self, operation: object, target: Node, arguments: list[Any], keywords: Any) -> object:
        """As in Link: the program calls back what it was given, with plain data."""
        if operation != "callback" or exact(int, target) not in range(len(self._callbacks)):
            raise BadFrame("an operation that the tests do not serve")
        if any(holds_handle(value) for value in (*arguments, *keywords.values())):
            self.refuse("a callback that is given an object of the program")
        return self._callbacks[exact(int, target)](*arguments, **keywords)

    # -- exceptions -----------------------------------------------------------------------

    def encode_error(self, error: BaseException) -> Node:
        """As in Link. What a failed check says stays here."""
        name = type(error).__name__
        if CLASSES.get(name) is not type(error) or isinstance(error, AssertionError):
            self.refuse(f"{name} in a function that the program calls")
        if self.is_about_handle(error):
            self.refuse(f"{name}, which an object may cause here alone")
        values = error.__reduce__()[1]
        lost = _lost(error, values)
        if "__str__" in lost or _CROSSED in lost:
            self.refuse(f"{name}, of which more than its arguments matters")
        vars(error)[_CROSSED] = True
        return [name, self.encode(list(values)), lost]

    def is_about_handle(self, error: BaseException) -> bool:
        """Whether an exception may come of a handle where one process has the object itself."""
        texts = [part for part in error.args if isinstance(part, str)]
        is_named = holds_handle(error.args) or any(_CALLED in text for text in texts)
        return facts_of(error) is None and (self.was_shown or is_named)

    def error_of(self, node: Node) -> BaseException:
        """As in Link: an exception of the program, of which only class and text cross."""
        class_node, text, line = items_of(node, 3)
        if class_node == "FrameTooLarge":
            raise BadFrame(exact(str, text))
        kind = self._class_of(class_node)
        error, text = kind.__new__(kind), self.decode(text)
        is_known = text is None or type(text) is Handle  # which can be asked for it
        vars(error)[FACTS] = Facts(text if is_known else exact(str, text), line)
        return error

    def _class_of(self, node: Node) -> type[BaseException]:
        """The class that stands here for a class of exceptions there."""
        if type(node) is str:
            if node in _SIGNALS:
                if self._catches:
                    self.refuse(f"{node} where the tests wait for exceptions")
                return self._stand_in(node, node, (ProgramSignal,))
            kind = CLASSES.get(node)
            if kind is None or not issubclass(kind, BaseException):
                raise BadFrame("no class of exceptions")
            return self._stand_in(node, node, (kind,))
        number, name, bases, module = items_of(node, 4)
        if not items_of(bases):
            raise BadFrame("a class without bases")
        if module != "solution" and self._catches:
            self.refuse(f"an exception of {module} where the tests wait for exceptions")
        if len(bases) > 1 and self._catches:
            self.refuse(f"{name}, an exception of several kinds")
        self.has_handles = True
        kinds = tuple(map(self._class_of, bases))
        return self._stand_in(exact(int, number), exact(str, name), kinds)

    def _stand_in(self, key: object, name: str, bases: tuple[type, ...]) -> type[BaseException]:
        if key not in self._classes:
            members = {"__str__": _text_of, "__init__": _refuse_making, "__module__": "solution"}
            try:
                self._classes[key] = StandIn(name, bases, members)  # type: ignore[assignment]
            except (TypeError, ValueError) as error:
                raise BadFrame(f"no class of exceptions: {error}") from None
        return self._classes[key]


class StandIn(type):
    """The class of the classes that stand here for those of the program's exceptions."""

    def __eq__(cls, other: object) -> bool:
        if type(other) is StandIn or is_plain(other):
            return cls is other
        raise Unsupported("a comparison with a class of the program's exceptions")

    def __hash__(cls) -> int:
        raise Unsupported("the hash of a class of the program's exceptions")


class Facts(NamedTuple):
    """What is known of an exception of the program; the text may be known to a handle alone."""

    text: object
    line: object


def _lost(error: BaseException, values: Any) -> list[str]:
    """What of an exception one that is made anew of these values would not have."""
    try:
        anew = type(error)(*values)
        lost = ["__str__"] * (str(anew) != str(error))
    except Exception:  # a class may want other arguments than it keeps
        return ["__str__"]
    names = ["__cause__", "__context__", "__suppress_context__"]
    names += [name for name in dir(type(error)) if not name.startswith("_")]
    for name in names:
        one, two = getattr(error, name, None), getattr(anew, name, None)
        is_same = type(one) is type(two) and is_plain(one) and one == two
        if one is not two and not is_same and not callable(getattr(type(error), name)):
            lost.append(name)
    return lost + [name for name in vars(error) if name.isidentifier()]


def facts_of(error: BaseException) -> Facts | None:
    """The facts of an exception of the program, None for one of the tests."""
    found: Facts | None = vars(error).get(FACTS)
    return found


def _text_of(self: BaseException) -> str:
    facts = facts_of(self)
    if facts is None or facts.text is None:
        raise Unsupported("an exception of the program that has no text")
    return str(facts.text)


def _refuse_making(self: BaseException, *_: object, **__: object) -> None:
    raise Unsupported("an exception of the program that the tests make")


def resolve(value: Any) -> Any:
    """A value as it is: a name of the program may have been given None or a class."""
    if type(value) is not Handle or value.__node__[0] == "h":
        return value
    return value.__link__.ask("value", value.__node__)


def holds_handle(value: object) -> bool:
    """Whether an object of the program is in a value, at any depth."""
    if type(value) in ATOMS:
        return False
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list | tuple | set | frozenset | deque):
        return not ATOMS.issuperset(map(type, value)) and any(map(holds_handle, value))
    return type(value) is Handle
