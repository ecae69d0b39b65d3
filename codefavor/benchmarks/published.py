"""Published preference benchmarks as labelled pairs, read in the form they are published in.

Source and licence of each: `BENCHMARKS`; for evaluation only, never for training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codefavor.benchmarks.pairs_benchmark import item_of
from codefavor.errors import ConfigError, DataError
from codefavor.records import Preference, Problem, Row, content_id, read_rows
from codefavor.sources.locate import Location, locate_rows
from codefavor.sources.problems import helpers_of
from codefavor.text import extract_code

_CORRECT = "The program does exactly what the instruction asks."
_THEMIS_CRITERIA = {
    "Functional_Correctness": _CORRECT,
    "Runtime_Efficiency": "The program needs little time to run.",
    "Memory_Efficiency": "The program needs little memory to run.",
    "Readability_Maintainability": "The program is easy to read and to maintain.",
    "Security_Hardness": "The program has no vulnerability and withstands hostile input.",
}
_RM_BENCH_STYLES = ("concise", "detailed", "detailed markdown")

Reader = Callable[[Row, str], Iterator[Preference]]


@dataclass(frozen=True)
class Source:
    """One benchmark: where its files lie, what they may be used for, and how a row is read."""

    locations: tuple[Location, ...]
    read: Reader

    @property
    def license(self) -> str:
        """What its pairs may be used for."""
        return self.locations[0].license


def load_items(name: str, *, data: Path | None = None, data_dir: Path | None = None) -> list[Row]:
    """The labelled pairs of a benchmark as input rows of the pairs benchmark.

    `data` is one file in the published form (JSONL or .jsonl.gz); else the files are looked for
    in `data_dir`, else on the Hub. Raises DataError for a row that cannot be read, and where
    no pair of code is found.
    """
    if name not in BENCHMARKS:
        raise ConfigError(f"unknown benchmark {name!r}; known: {', '.join(sorted(BENCHMARKS))}")
    source = BENCHMARKS[name]
    rows = _rows(source, data, data_dir)
    items: dict[str, Row] = {}
    for where, row in rows:
        for preference in source.read(row, where):
            item = item_of(preference, license=source.license)
            items.setdefault(item["id"], item)
    if not items:
        raise DataError(f"{name}: none of the {len(rows)} rows is a pair of programs")
    return sorted(items.values(), key=lambda item: (item["problem_id"], item["id"]))


def _tests_of(row: Row, language: str) -> str:
    """The row's tests, with the helpers of its prompt that they call."""
    tests, prompt = str(row["test"]), str(row.get("prompt", ""))
    if language != "python":
        return tests
    return helpers_of(prompt, str(row.get("entry_point", "")), tests) + tests


def load_tests(
    name: str, *, data: Path | None = None, data_dir: Path | None = None
) -> dict[str, Problem]:
    """The problem of each pair whose row holds tests (HumanEvalPack's do), by the pair's id."""
    source = BENCHMARKS[name]
    return {
        preference.id: Problem(
            id=preference.id,
            instruction=preference.instruction,
            tests=_tests_of(row, preference.language),
            entry_point=str(row.get("entry_point", "")),
            source=name,
            license=source.license,
            language=preference.language,
        )
        for where, row in _rows(source, data, data_dir)
        if row.get("test")
        for preference in source.read(row, where)
    }


def _rows(source: Source, data: Path | None, data_dir: Path | None) -> list[tuple[str, Row]]:
    if data is not None:
        return list(read_rows(data))
    return [row for place in source.locations for row in locate_rows(place, data_dir)]


def _field(row: Row, where: str, *names: str) -> str:
    """The first of these fields that is not empty; raises DataError where all are."""
    for name in names:
        if row.get(name) not in (None, ""):
            return str(row[name])
    raise DataError(
        f"{where}: expected the field {' or '.join(repr(name) for name in names)}; "
        f"found {', '.join(sorted(row)) or 'none'}"
    )


def _pair(
    name: str,
    key: str,
    instruction: str,
    chosen: str,
    rejected: str,
    *,
    level: str,
    language: str = "python",
    criteria: str = _CORRECT,
) -> Iterator[Preference]:
    """One pair, or none where the two programs are the same."""
    if chosen.strip() == rejected.strip():
        return
    yield Preference(
        id=content_id(name, key, chosen, rejected),
        instruction=instruction,
        chosen=chosen,
        rejected=rejected,
        criteria=criteria,
        source=name,
        level=level,
        problem_id=f"{name}:{content_id(instruction)[:16]}",
        language=language,
    )


def _codes(chosen: str, rejected: str, language: str) -> tuple[str, str]:
    """The programs in two chat answers; both answers whole where one holds no program."""
    codes = extract_code(chosen, language), extract_code(rejected, language)
    return codes if all(code.strip() for code in codes) else (chosen, rejected)


_LANGUAGES = {"cpp": "c++", "js": "javascript"}


def _humanevalpack(row: Row, where: str) -> Iterator[Preference]:
    task = _field(row, where, "task_id")
    short = task.split("/", maxsplit=1)[0].lower()
    language = _LANGUAGES.get(short, short)
    head = str(row.get("declaration") or _field(row, where, "prompt"))
    chosen, rejected = (
        head + _field(row, where, name) for name in ("canonical_solution", "buggy_solution")
    )
    instruction = _field(row, where, "instruction", "prompt")
    yield from _pair(
        "humanevalpack", task, instruction, chosen, rejected, level=language, language=language
    )


def _rewardbench(row: Row, where: str) -> Iterator[Preference]:
    subset = _field(row, where, "subset")
    if subset.startswith("hep-"):
        yield from _pair(
            "rewardbench",
            str(row.get("id", "")),
            *(_field(row, where, name) for name in ("prompt", "chosen", "rejected")),
            level=subset,
            language=_LANGUAGES.get(subset[4:], subset[4:]),
        )


def _rewardbench2(row: Row, where: str) -> Iterator[Preference]:
    """It has no code domain: pairs whose two answers both hold a fenced program are taken."""
    chosen_answers, rejected_answers = _list(row, where, "chosen"), _list(row, where, "rejected")
    prompt = _field(row, where, "prompt")
    for chosen in chosen_answers:
        for rejected in rejected_answers:
            if "```" in chosen and "```" in rejected:
                codes = _codes(chosen, rejected, "python")
                level, key = str(row.get("subset", "")), str(row.get("id", ""))
                yield from _pair("rewardbench2", key, prompt, *codes, level=level)


def _rm_bench(row: Row, where: str) -> Iterator[Preference]:
    """Three styles of each answer: easy where the chosen one is the more elaborate, and so on."""
    if _field(row, where, "domain").lower() != "code":
        return
    chosen, rejected = _list(row, where, "chosen"), _list(row, where, "rejected")
    for i in range(len(_RM_BENCH_STYLES)):
        for j in range(len(_RM_BENCH_STYLES)):
            level = "normal" if i == j else "easy" if i > j else "hard"
            yield from _pair(
                "rm-bench",
                f"{row.get('id', '')}:{i}:{j}",
                _field(row, where, "prompt"),
                chosen[i],
                rejected[j],
                level=level,
            )


def _judgebench(row: Row, where: str) -> Iterator[Preference]:
    if not _field(row, where, "source").startswith("livecodebench"):
        return
    label = _field(row, where, "label")
    answers = (_field(row, where, "response_A"), _field(row, where, "response_B"))
    if label not in ("A>B", "B>A"):
        raise DataError(f"{where}: 'label' must be 'A>B' or 'B>A', found {label!r}")
    chosen, rejected = answers if label == "A>B" else answers[::-1]
    codes = _codes(chosen, rejected, "python")
    question, level = _field(row, where, "question"), str(row.get("response_model", ""))
    yield from _pair("judgebench", str(row.get("pair_id", "")), question, *codes, level=level)


def _themis(row: Row, where: str) -> Iterator[Preference]:
    aspect = _field(row, where, "aspect")
    if aspect not in _THEMIS_CRITERIA:
        known = ", ".join(_THEMIS_CRITERIA)
        raise DataError(f"{where}: unknown 'aspect' {aspect!r}; known: {known}")
    yield from _pair(
        "themis-coderewardbench",
        str(row.get("id", "")),
        *(_field(row, where, name) for name in ("prompt", "chosen", "rejected")),
        level=aspect,
        language=str(row.get("language", "python")).lower(),
        criteria=_THEMIS_CRITERIA[aspect],
    )


def _codejudgebench(row: Row, where: str) -> Iterator[Preference]:
    codes = _codes(_field(row, where, "pos_response"), _field(row, where, "neg_response"), "python")
    question = _field(row, where, "question_content", "question", "instruction", "prompt")
    level = str(row.get("task") or row.get("difficulty") or "")
    yield from _pair(
        "codejudgebench", str(row.get("question_id", "")), question, *codes, level=level
    )


def _list(row: Row, where: str, name: str) -> list[str]:
    values = row.get(name)
    if not isinstance(values, (list, tuple)) or not all(isinstance(v, str) for v in values):
        raise DataError(f"{where}: {name!r} must be a list of texts, found {type(values).__name__}")
    return list(values)


def _at(name: str, hub: str, license_: str, file: str, **options: Any) -> tuple[Location, ...]:
    return (Location(name=name, file=file, hub=hub, license=license_, **options),)


def _humanevalpack_source(language: str) -> Source:
    file = f"humanevalpack/humanevalpack_{language}.jsonl"
    place = _at("HumanEvalPack", "bigcode/humanevalpack", "MIT", file, config=language)
    return Source(place, _humanevalpack)


BENCHMARKS: dict[str, Source] = {
    "humanevalpack": _humanevalpack_source("python"),
    **{
        f"humanevalpack-{language}": _humanevalpack_source(language)
        for language in ("js", "java", "go", "cpp", "rust")
    },
    "rewardbench": Source(
        _at(
            "RewardBench", "allenai/reward-bench", "ODC-BY", "rewardbench/filtered.jsonl",
            splits=("filtered",),
        ),
        _rewardbench,
    ),
    "rewardbench2": Source(
        _at("RewardBench 2", "allenai/reward-bench-2", "ODC-BY", "rewardbench2/test.jsonl"),
        _rewardbench2,
    ),
    "rm-bench": Source(
        _at(
            "RM-Bench", "THU-KEG/RM-Bench", "ODC-BY", "rm-bench/total_dataset.json",
            splits=("train",),
        ),
        _rm_bench,
    ),
    "judgebench": Source(
        _at(
            "JudgeBench", "ScalerLab/JudgeBench", "MIT", "judgebench/judgebench.jsonl",
            splits=("gpt", "claude"),
        ),
        _judgebench,
    ),
    "themis-coderewardbench": Source(
        _at(
            "Themis-CodeRewardBench", "project-themis/Themis-CodeRewardBench", "Apache-2.0",
            "themis-coderewardbench/full.jsonl", config="Full", splits=("Full",),
        ),
        _themis,
    ),
    "codejudgebench": Source(
        _at(
            "CodeJudgeBench", "mattymchen/codejudgebench", "Apache-2.0",
            "codejudgebench/codegen.jsonl", config="codegen", splits=("claude_3.7_sonnet",),
        ),
        _codejudgebench,
    ),
}  # fmt: skip
