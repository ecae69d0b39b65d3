"""What a data set is and where it came from: the facts of its card, counted from its rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from codefavor.engine.ledger import read_spent
from codefavor.errors import DataError
from codefavor.journal import read_journal
from codefavor.journal_manifest import manifest_path
from codefavor.records import Preference, Row
from codefavor.scoring.provenance import backing_of, rests_on_together
from codefavor.text import escape_markdown

# Licence ids that the Hub's card knows; any other is written "other".
_HUB_LICENSES = frozenset({
    "0bsd", "apache-2.0", "artistic-2.0", "bsd-2-clause", "bsd-3-clause", "bsl-1.0", "cc-by-4.0",
    "cc-by-nc-4.0", "cc-by-sa-4.0", "cc0-1.0", "epl-2.0", "gpl-2.0", "gpl-3.0", "isc",
    "lgpl-3.0", "mit", "mpl-2.0", "unlicense", "zlib",
})  # fmt: skip
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
COUNTED = ("source", "aspect", "language", "level", "license", "label")
_MAX_VALUES = 30


def count_rows(splits: Mapping[str, Sequence[Preference]]) -> Row:
    """Counts of rows by split, and over all splits by what `COUNTED` names."""
    pairs = [pair for rows in splits.values() for pair in rows]
    counts = {name: Counter(_value_of(pair, name) for pair in pairs) for name in COUNTED}
    return {
        "n_rows": len(pairs),
        "n_problems": len({pair.problem_id or pair.id for pair in pairs}),
        "n_together": sum(rests_on_together(pair.evidence) for pair in pairs),
        "splits": {name: len(rows) for name, rows in splits.items()},
        "counts": {name: dict(found.most_common()) for name, found in counts.items()},
        "models": dict(
            Counter(str(p.meta["model"]) for p in pairs if p.meta.get("model")).most_common()
        ),
    }


def _value_of(pair: Preference, name: str) -> str:
    if name == "aspect":
        return aspect_of(pair)
    if name == "label":
        return str(backing_of(pair.evidence))
    if name == "license":
        return pair.license.strip().lower()
    return str(getattr(pair, name))


def aspect_of(pair: Preference) -> str:
    """What the pair is about in one word: its aspect, or its criteria if they are one word."""
    aspect = str(pair.meta.get("aspect") or "")
    is_word = pair.criteria.strip().replace("-", "").isalpha()
    return aspect or (pair.criteria.strip() if is_word else "")


def describe_run(journal: Path) -> Row:
    """How one run of a pipeline ended: its settings, its yield, why rows were lost, its costs.

    Raises DataError for a missing or damaged journal.
    """
    status: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    reasons: dict[str, Counter[str]] = {"rejected": Counter(), "error": Counter()}
    for record in read_journal(journal):
        status[record["status"]] += 1
        if record["status"] == "ok":
            kinds[_kind_of(record["row"])] += 1
        else:
            reasons[record["status"]][record["reason"]] += 1
    n = sum(status.values())
    if not n:
        raise DataError(f"{journal}: the journal has no records")
    file = manifest_path(journal)
    spent = read_spent(journal)
    return {
        "name": journal.name,
        "n": n,
        "n_ok": status["ok"],
        "n_rejected": status["rejected"],
        "n_error": status["error"],
        "kinds": dict(kinds.most_common()),
        "rejected": dict(reasons["rejected"].most_common()),
        "errors": dict(reasons["error"].most_common()),
        "manifest": json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {},
        "tokens": None if spent is None else spent.usage.to_row(),
        "usd": None if spent is None else spent.usd,
    }


def _kind_of(row: Any) -> str:
    meta = row.get("meta") if isinstance(row, dict) else None
    return str((meta or {}).get("kind") or "row")


def describe_overlap(report: Path) -> Row:
    """What a report of `codefavor pair decontaminate` says, in the numbers a card shows.

    Raises DataError for a file that is no such report.
    """
    try:
        found = json.loads(report.read_text(encoding="utf-8"))
        benchmarks = {
            name: {
                "n_snippets": one["n_snippets"],
                "n_short": one["n_short"],
                "highest": max(one["similarities"], default=None),
                "n_rows": sum(one["rows"].values()),
            }
            for name, one in found["benchmarks"].items()
        }
        return {
            "name": report.name,
            "n_rows": found["n_rows"],
            "n_removed": found["n_removed"],
            "limits": {key: found["limits"][key] for key in ("similarity", "threshold")},
            "not_checked": sorted(found.get("not_checked", ())),
            "benchmarks": benchmarks,
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{report}: not a report of `codefavor pair decontaminate --report` "
            f"({type(error).__name__}: {error})"
        ) from error


def prompt_hashes(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Every sha256 of a prompt in a manifest, by its key; prompts given by name keep the name."""
    found: dict[str, str] = {}
    for key, value in manifest.items():
        if "prompt" in key and isinstance(value, str):
            found[key] = value
        elif "prompt" in key and isinstance(value, Mapping):
            found |= {str(name): str(digest) for name, digest in value.items()}
        elif isinstance(value, Mapping):
            found |= prompt_hashes(value)
    return found


def hub_metadata(facts: Row, name: str) -> Row:
    """The YAML header of the card, as the Hub and `datasets` read it."""
    n = facts["n_rows"]
    size = next((label for limit, label in _SIZES if n < limit), "n>1M")
    licenses = sorted({_hub_license(license_id) for license_id in facts["counts"]["license"]})
    header: Row = {
        "pretty_name": name,
        "license": licenses[0] if len(licenses) == 1 else licenses,
        "language": ["en"],
        "task_categories": ["text-ranking", "text-generation"],
        "tags": ["code", "preference", "codefavor", *_code_tags(facts["counts"]["language"])],
        "size_categories": [size],
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": split, "path": f"data/{split}-*.parquet"} for split in facts["splits"]
                ],
            }
        ],
    }
    if "other" in licenses:
        header["license_name"] = "see-the-column-license"
    return header


def _hub_license(license_id: str) -> str:
    known = license_id.strip().lower()
    if not known:
        return "unknown"
    return known if known in _HUB_LICENSES else "other"


def _code_tags(languages: Iterable[str]) -> list[str]:
    return [name for name in sorted(languages) if name]


def render_card(facts: Row, name: str) -> str:
    """The README.md of the data set folder: the YAML header and the card under it."""
    environment = Environment(
        loader=PackageLoader("codefavor.audits", ""),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        # Every text of the facts, or a model's name could be mark-up of the Hub's page.
        finalize=lambda value: escape_markdown(value) if type(value) is str else value,
    )
    environment.filters |= {"cell": _cell, "share": _share, "hashes": prompt_hashes}
    header = yaml.safe_dump(hub_metadata(facts, name), sort_keys=False, allow_unicode=True)
    body = environment.get_template("card.md.j2").render(
        name=name, facts=facts, max_values=_MAX_VALUES
    )
    return f"---\n{header}---\n\n{body}"


def _cell(value: object) -> str:
    """Text inside one cell of a table."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.strip() or "(none)"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"
