"""Published preference benchmarks as labelled pairs, read in the form they are published in.

Source and licence of each: `BENCHMARKS`; for evaluation only, never for training, but for those
that were published to train on.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codefavor.benchmarks import published_rows as rows_of
from codefavor.benchmarks.pairs_benchmark import item_of
from codefavor.errors import ConfigError, DataError
from codefavor.records import Preference, Problem, Row, content_id
from codefavor.sources.locate import Location, files_in, files_of, how_to_get, locate_rows
from codefavor.sources.problems import helpers_of
from codefavor.sources.row_files import read_any_rows
from codefavor.text import extract_code

logger = logging.getLogger(__name__)

Reader = Callable[[Row, str], Iterator[Preference]]
# The form of an item whose two sides are whole answers, to be shown as they are.
ANSWERS = "answers"
_SAME = "both sides are the same, so that no judge can tell them apart"


@dataclass(frozen=True)
class Source:
    """One benchmark: where its files lie, what they may be used for, and how a row is read.

    `form` is "answers" where the sides are whole answers, "programs" where they are code alone.
    `is_for_training`: it was published to train on, so that its rows are no contamination.
    """

    locations: tuple[Location, ...]
    read: Reader
    form: str = ANSWERS
    is_for_training: bool = False

    @property
    def license(self) -> str:
        """What its pairs may be used for."""
        return self.locations[0].license

    def is_here(self, data_dir: Path) -> bool:
        """Whether a data folder has files of each of its locations."""
        return all(files_of(place, data_dir) for place in self.locations)


def load_items(name: str, *, data: Path | None = None, data_dir: Path | None = None) -> list[Row]:
    """The labelled pairs of a benchmark as input rows of the pairs benchmark.

    `data` is one file in the published form (JSONL, .jsonl.gz, a JSON array or Parquet) or a
    folder of them; else the files are looked for in `data_dir`, else on the Hub. `language` is
    the programs', `form` "answers" where both sides are whole answers. A pair of two sides that
    are the same is kept, as in published numbers, and marked as a defect; one that repeats
    another is not an item, and a warning says how many there are. Raises DataError for a row that
    cannot be read, and where no pair of code is found.
    """
    if name not in BENCHMARKS:
        raise ConfigError(f"unknown benchmark {name!r}; known: {', '.join(sorted(BENCHMARKS))}")
    source = BENCHMARKS[name]
    rows = _rows(source, data, data_dir)
    items: dict[str, Row] = {}
    n_same = n_repeated = 0
    for where, row in rows:
        for preference in _pairs(name, source, row, where):
            more = {key: value for key, value in preference.meta.items() if value}
            item = item_of(preference, license=source.license, form=source.form, **more)
            n_repeated += item["id"] in items
            if preference.chosen.strip() == preference.rejected.strip():
                n_same += item["id"] not in items
                item["defect"] = _SAME
            items.setdefault(item["id"], item)
    if n_same or n_repeated:
        logger.warning(
            "%s: %d pairs that repeat another are left out; %d pairs of two sides that are the "
            "same are kept, as in published numbers, and marked as defects",
            name, n_repeated, n_same,
        )  # fmt: skip
    if not items:
        raise DataError(f"{name}: none of the {len(rows)} rows is a pair of programs")
    return sorted(items.values(), key=lambda item: (item["problem_id"], item["id"]))


def shown_language(item: Row) -> str:
    """The language by which a judge is shown the two sides of an item: that of its fences, or
    "markdown" for whole answers, which have fences of their own."""
    return "markdown" if item.get("form") == ANSWERS else str(item["language"])


def programs_in(item: Row) -> tuple[str, str]:
    """The programs of both sides: of whole answers what they fence, "" where that is nothing."""
    sides = str(item["chosen"]), str(item["rejected"])
    if item.get("form") != ANSWERS:
        return sides
    first, second = (extract_code(side, str(item["language"])) for side in sides)
    return first, second


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
        for preference in _pairs(name, source, row, where)
    }


def _pairs(name: str, source: Source, row: Row, where: str) -> Iterator[Preference]:
    """The pairs of a row, with ids that no other benchmark has."""
    for pair in source.read(row, where):
        yield dataclasses.replace(
            pair,
            id=content_id(name, pair.id),
            source=name,
            problem_id=f"{name}:{pair.problem_id}",
        )


def _rows(source: Source, data: Path | None, data_dir: Path | None) -> list[tuple[str, Row]]:
    if data is not None and data.is_dir():
        paths = [path for place in source.locations for path in files_in(place, data)]
        if not paths:
            first = source.locations[0]
            raise DataError(f"{data}: no {first.file} in this folder. {how_to_get(first)}")
        return [row for path in dict.fromkeys(paths) for row in read_any_rows(path)]
    if data is not None:
        return list(read_any_rows(data))
    return [row for place in source.locations for row in locate_rows(place, data_dir)]


def _at(name: str, hub: str, license_: str, file: str, **options: Any) -> tuple[Location, ...]:
    return (Location(name=name, file=file, hub=hub, license=license_, **options),)


def _humanevalpack(language: str) -> Source:
    file = f"humanevalpack/humanevalpack_{language}.jsonl"
    place = _at("HumanEvalPack", "bigcode/humanevalpack", "MIT", file, config=language)
    return Source(place, rows_of.humanevalpack, form="programs")


_MAKERS = ("claude_3.7_sonnet", "gemini_2.5_flash", "gemini_2.5_pro")

BENCHMARKS: dict[str, Source] = {
    "humanevalpack": _humanevalpack("python"),
    **{
        f"humanevalpack-{language}": _humanevalpack(language)
        for language in ("js", "java", "go", "cpp", "rust")
    },
    "rewardbench": Source(
        _at(
            "RewardBench", "allenai/reward-bench", "ODC-BY", "rewardbench/filtered.jsonl",
            splits=("filtered",),
        ),
        rows_of.rewardbench,
    ),
    "rewardbench2": Source(
        _at("RewardBench 2", "allenai/reward-bench-2", "ODC-BY", "rewardbench2/test.jsonl"),
        rows_of.rewardbench2,
    ),
    "rm-bench": Source(
        _at(
            "RM-Bench", "THU-KEG/RM-Bench", "ODC-BY", "rm-bench/total_dataset.json",
            splits=("train",),
        ),
        rows_of.rm_bench,
    ),
    "judgebench": Source(
        _at(
            "JudgeBench", "ScalerLab/JudgeBench", "MIT", "judgebench/data/*.jsonl",
            splits=("gpt", "claude"),
        ),
        rows_of.judgebench,
    ),
    "themis-coderewardbench": Source(
        _at(
            "Themis-CodeRewardBench", "project-themis/Themis-CodeRewardBench", "Apache-2.0",
            "themis-coderewardbench/full.jsonl", config="Full", splits=("Full",),
        ),
        rows_of.themis,
    ),
    "codejudgebench": Source(
        tuple(
            Location(
                "CodeJudgeBench", f"codejudgebench/{task}/*.[jp]*", "mattymchen/codejudgebench",
                "Apache-2.0", config=task, splits=_MAKERS,
            )
            for task in ("codegen", "coderepair", "testgen")
        ),
        rows_of.codejudgebench,
    ),
    "debugbench": Source(
        _at("DebugBench", "Rtian/DebugBench", "Apache-2.0", "debugbench/benchmark/*.json"),
        rows_of.debugbench,
        form="programs",
    ),
    "llmbar": Source(
        _at(
            "LLMBar", "princeton-nlp/LLMBar", "MIT", "llmbar/Dataset/LLMBar/**/dataset.json",
            config="LLMBar",
            splits=("Natural", "Adversarial_Neighbor", "Adversarial_GPTInst",
                    "Adversarial_GPTOut", "Adversarial_Manual"),
        ),
        rows_of.llmbar,
    ),
    "acecodepair": Source(
        _at(
            "AceCodePair", "TIGER-Lab/AceCodePair-300K", "none stated (AceCode-87K is MIT)",
            "acecodepair/data/*.parquet", splits=("train",),
        ),
        rows_of.acecodepair,
        is_for_training=True,
    ),
    "codeultrafeedback": Source(
        _at(
            "CodeUltraFeedback", "coseal/CodeUltraFeedback", "MIT",
            "codeultrafeedback/data/*.parquet", splits=("train",),
        ),
        rows_of.codeultrafeedback,
        is_for_training=True,
    ),
    "bigcodereward": Source(
        _at(
            "BigCodeReward", "bigcode/bigcodereward", "BigCode OpenRAIL-M",
            "bigcodereward/data/*.parquet", splits=("train",),
        ),
        rows_of.bigcodereward,
    ),
}  # fmt: skip
