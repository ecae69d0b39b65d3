"""A judge as it is written, KIND:NAME with its options, and what it becomes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from codefavor.backends.base import Backend
from codefavor.backends.registry import make_backend
from codefavor.errors import ConfigError
from codefavor.judges.base import Judge
from codefavor.judges.llm import LlmJudge, reply_tokens
from codefavor.judges.options import check_type
from codefavor.judges.registry import JUDGES, JudgeKind, JudgeOption, Taker, judge_kind
from codefavor.judges.sandboxed import SandboxOptions, TestBench
from codefavor.once import once
from codefavor.records import Choice, Row, file_sha256
from codefavor.result_file import rows_path
from codefavor.text import comma_list

# What these were called: an answer to who still writes so.
RENAMED = {
    "huggingface": "local",
    "google": "gemini",
    "pair-rm": "pairwise",
    "score-rm": "reward",
    "scalar": "reward",
    "process-rm": "process",
}


@dataclass(frozen=True)
class JudgeSpec:
    """Which judge is meant. `parse_judge` makes one and has checked it.

    `options` are those given, by name; the judge's own defaults stand for the rest. `language`
    is that of the programs, "" for several; `ties` what a rule of length says of equal lengths.
    """

    kind: str
    argument: str = ""
    options: tuple[tuple[str, object], ...] = ()
    name: str = ""
    seed: int = 0
    language: str = "python"
    ties: Choice = "tie"

    def __str__(self) -> str:
        return f"{self.kind}:{self.argument}" if self.argument else self.kind

    @property
    def about(self) -> JudgeKind:
        """What this kind of judge is."""
        return judge_kind(self.kind)

    def value(self, option: str) -> object:
        """The value of an option: as given, or the judge's own default."""
        return dict(self.options).get(option, self.about.options[option].default)

    def members(self) -> list[JudgeSpec]:
        """The judges that this one asks, in order, each with the options that it has; or none.

        Raises ConfigError for fewer than two, or for one that has members itself ("tested:" may
        be one: it has a single chat model), or where "tested:" has none.
        """
        if not self.about.has_members:
            return []
        is_one = "judge" in self.about.takes
        texts = [self.argument] if is_one else comma_list(self.argument)
        if len(texts) < 2 and not is_one:
            raise ConfigError(
                f"a {self.kind} needs two members or more: {self.kind}:JUDGE,JUDGE, each "
                "KIND:NAME or the result file of an earlier run"
            )
        found = [replace(_split(text), seed=self.seed, language=self.language) for text in texts]
        for one in found:
            if is_one and not one.about.is_chat:
                raise ConfigError(f"{self.kind}: needs a chat model, and {one} is none")
            if "judges" in one.about.takes:
                raise ConfigError(f"a {self.kind} cannot have a {one.kind} as a member: {one}")
        own = dict(self.options)
        return [
            replace(one, options=tuple((k, v) for k, v in own.items() if k in one.all_flags))
            for one in found
        ]

    @property
    def family(self) -> list[JudgeSpec]:
        """This judge, its members, and theirs."""
        return [self, *(one for member in self.members() for one in member.family)]

    @property
    def all_flags(self) -> dict[str, JudgeOption]:
        """The flags of this judge, and of all that it asks; its own count before theirs."""
        found: dict[str, JudgeOption] = {}
        for one in reversed(self.family):
            found |= one.about.flags
        return found

    @property
    def chats(self) -> list[JudgeSpec]:
        """Those of this judge and all that it asks that are chat models."""
        return [one for one in self.family if one.about.is_chat]

    def idle(self, of_requests: Collection[str]) -> dict[str, str]:
        """Why each option of a run that means nothing to this judge does not, by name."""
        found = {}
        if not self.chats:
            found = dict.fromkeys(of_requests, f"is for chat models, and {self} asks none")
        if all(one.about.is_instant for one in self.members() or [self]):
            found["concurrency"] = f"means nothing to {self}, which asks and runs nothing"
        return found

    def needs(self) -> frozenset[str]:
        """What this judge and all that it asks cannot do without, of `registry.SUPPLIES`."""
        return frozenset().union(*(one.about.needs for one in self.family))

    def fitted(self, languages: Collection[str]) -> JudgeSpec:
        """The same for programs of these languages: fences carry the one there is, or none."""
        return replace(self, language=next(iter(languages)) if len(set(languages)) == 1 else "")

    def make_backends(
        self,
        extra: Mapping[str, object] | None = None,
        make: Callable[..., Backend] = make_backend,
    ) -> dict[str, Backend]:
        """The backend of each chat model that is asked, by its judge as it is written.

        `extra` are options of the backend that are no flags; `make` makes a backend, as
        `make_backend` does. Raises ConfigError for some where no chat model is asked.
        """
        if extra and not self.chats:
            raise ConfigError(f"--set is for chat models, and {self} asks none")
        found = {}
        for one in dict.fromkeys(self.chats):
            options = {**(extra or {}), **one._given("backend")}
            found[str(one)] = make(f"{one.kind}:{one.argument}", **options)
        return found

    def make_judge(
        self,
        backends: Mapping[str, Backend],
        items: Sequence[Row] = (),
        bench: TestBench | None = None,
    ) -> Judge:
        """The judge. `items` are the labelled pairs, for those that learn from them or look
        them up; `bench` is for those that run tests."""
        about = self.about
        if "items" in about.needs and not items:
            raise ConfigError(f"{self} only knows labelled pairs, and was given none")
        supplies: dict[str, object] = {"items": items, "language": self.language}
        supplies |= {"ties": self.ties, "seed": self.seed, "name": self.name or None}
        if "judges" in about.takes:
            supplies["judges"] = [m.make_judge(backends, items, bench) for m in self.members()]
        if "judge" in about.takes:
            supplies["judge"] = self.members()[0].make_judge(backends, items)
        if about.is_chat:
            supplies["backend"] = backends[str(self)]
        if "pool" in about.takes:
            if bench is None:
                raise ConfigError(f"{self} needs a sandbox to run programs, and was given none")
            supplies |= {"problems": bench.problems, "pool": bench.pool, "limits": bench.limits}
        given = self._given("judge")
        if about.argument_option is not None:
            given[about.argument_option.name] = about.argument_option.checked(self.argument)
        return about.make(**{k: v for k, v in supplies.items() if k in about.takes}, **given)

    def sandbox(self) -> SandboxOptions:
        """How this judge, or its first member that does, runs programs."""
        runs = next(one for one in self.family if "pool" in one.about.takes)
        return SandboxOptions(**runs._given("sandbox"))  # type: ignore[arg-type]

    def describe(self, judge: Judge, backends: Mapping[str, Backend]) -> Row:
        """What a result file and a manifest say of the judge: names, settings and hashes."""
        row: Row = {"name": self.name or judge.name, "kind": self.kind, "model": str(self)}
        row |= self.settings(backends)
        # What "auto" came to.
        return row | ({"mode": judge.mode} if isinstance(judge, LlmJudge) else {})

    def settings(self, backends: Mapping[str, Backend]) -> Row:
        """The settings that the verdicts depend on, with the hashes of local weights."""
        about = self.about
        row: Row = {}
        for option in about.options.values():
            value = self.argument if option.spec.is_name else self.value(option.name)
            if option.spec.record != "nothing":
                is_model = option.spec.is_name and option.spec.record == "weights"
                key = "checkpoint" if is_model else option.name
                row[key] = _recorded(option, value)
        if about.is_chat:
            row["backend"] = backends[str(self)].identity
            row["max_tokens"] = row["max_tokens"] or reply_tokens(row["mode"])
        if "seed" in about.takes and self._draws(row):
            row["seed"] = self.seed
        if "ties" in about.takes:
            row["ties"] = self.ties
        if about.has_members:
            row["members"] = {one._as_member(): one.settings(backends) for one in self.members()}
        return row

    def _as_member(self) -> str:
        # A stored run is told by the hash of its rows, wherever its file lies.
        return f"stored:{Path(self.argument).stem}" if self.kind == "stored" else str(self)

    def _draws(self, row: Row) -> bool:
        """Whether verdicts depend on the seed: greedy decoding draws nothing, where it is asked."""
        is_silent = "temperature" in row.get("backend", {}).get("omit", ())
        return bool(self.value_or("temperature", 1.0)) or is_silent

    def value_or(self, option: str, default: object) -> object:
        """The value of an option, or the default where this kind of judge has no such option."""
        return self.value(option) if option in self.about.options else default

    def file_name(self) -> str:
        """What the name of the result's file says of the judge."""
        if self.name:
            return self.name
        parts = [self.kind, Path(self.argument).name]
        named = [one.name for one in self.about.flags.values() if one.spec.names_result]
        parts += [Path(str(v)).name for name in named if (v := self.value(name)) is not None]
        return "-".join(part for part in parts if part)

    def _given(self, taker: Taker) -> dict[str, object]:
        known = self.about.options
        return {k: v for k, v in self.options if k in known and known[k].goes_to == taker}


def parse_judge(
    text: str, options: Mapping[str, object] | None = None, *, name: str = "", seed: int = 0
) -> JudgeSpec:
    """The judge that KIND:NAME and these options mean.

    Raises ConfigError for an unknown kind, a name that is missing or too much, an option that
    neither the judge nor a member of it has, or a value that the option cannot have.
    """
    check_type("name", name, str)
    check_type("seed", seed, int)
    given = {key: value for key, value in (options or {}).items() if value is not None}
    spec = replace(_split(text), options=tuple(given.items()), name=name, seed=seed)
    kinds = [one.about for one in spec.family]
    for key, value in given.items():
        known = [kind.flags[key] for kind in kinds if key in kind.flags]
        if not known:
            flags = sorted({one.flag for kind in kinds for one in kind.flags.values()})
            raise ConfigError(
                f"the judge {spec} has no option --{key.replace('_', '-')}; it has: "
                f"{', '.join(flags) or 'none'}"
            )
        given[key] = known[0].checked(value)
    return replace(spec, options=tuple(given.items()))


def _split(text: str) -> JudgeSpec:
    check_type("a judge, written KIND:NAME,", text, str)
    kind, _, argument = text.partition(":")
    if kind not in JUDGES and text.endswith(".json"):
        kind, argument = "stored", text
    if kind in RENAMED:
        new = RENAMED[kind]
        raise ConfigError(f"{kind!r} is called {new!r}: write {judge_kind(new).written}")
    if kind not in JUDGES:
        raise ConfigError(
            f"unknown judge {text!r}; written KIND:NAME, where KIND is one of: "
            f"{', '.join(sorted(JUDGES))}"
        )
    about = judge_kind(kind)
    if about.needs_argument and not argument:
        raise ConfigError(f"the judge {kind} needs a name: write {about.written}")
    if argument and not about.argument:
        raise ConfigError(f"the judge {kind} takes no name, and {argument!r} is one")
    return JudgeSpec(kind, argument)


def _recorded(option: JudgeOption, value: object) -> object:
    """What a manifest says of an option's value."""
    if option.spec.record == "value":
        return str(value) if isinstance(value, Path) else value
    if value is None:
        return {}
    path = Path(str(value))
    if option.spec.record == "rows":
        return file_sha256(rows_path(path))
    files = sorted(path.glob("*.safetensors"))
    return {one.name: _once_sha256(one) for one in files}


def _once_sha256(path: Path) -> str:
    return once(("file", str(path)), lambda: file_sha256(path))
