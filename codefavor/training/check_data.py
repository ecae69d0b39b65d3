"""The rows that a recipe trains and measures on: their form, their splits, their number."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from codefavor.errors import DataError
from codefavor.records import canonical_json
from codefavor.training.check_answers import answer_findings, system_findings
from codefavor.training.check_cues import cue_findings
from codefavor.training.check_readers import (
    METHOD_FORMATS,
    SAMPLING_METHODS,
    columns_of_reward,
    missing_column,
    type_name,
)
from codefavor.training.check_rows import row_findings
from codefavor.training.check_texts import text_findings
from codefavor.training.data_rows import (
    FILE_FORMS,
    files_of,
    first_rows,
    n_rows,
    rows_taken,
    selected_rows,
)
from codefavor.training.findings import (
    Finding,
    Sample,
    at,
    entries_of,
    error,
    number,
    unknown_name,
    warning,
)
from codefavor.training.formats import FORMATS
from codefavor.training.plan import is_local_path
from codefavor.training.recipes import global_batch, method_of

# Below it nothing that generalises is learnt.
_FEW_ROWS = 16
# With fewer steps of the optimizer a model hardly moves.
_FEW_STEPS = 5
_ROLES = {"system", "user", "assistant", "tool", "human", "gpt", "model", "ipython", "input"}
# What a role is, by any of its usual names.
MEANINGS = {
    "system": "system",
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("assistant", "gpt", "model"), "assistant"),
}
# What Axolotl's older readers of supervised rows take from a row.
_OLDER_COLUMNS = {"alpaca": ("instruction", "output"), "completion": ("text",)}


def data_findings(
    config: Mapping[str, Any], folder: Path, gpus: int | None, made: Sequence[str] = ()
) -> Iterator[Finding]:
    """Everything that is wrong with the data sets that are here, each by itself.

    `made` are the commands of the recipe's header that make them.
    """
    formats = set(re.findall(r"--format (pairwise\w*)", "\n".join(made)))
    if at(config, "dev_accuracy.judge") == "pairwise":
        formats = {"pairwise"}
    wanted = formats.pop() if len(formats) == 1 else ""
    for key, entry in entries_of(config):
        yield from _split_findings(key, entry, folder)
        yield from _role_findings(key, entry)
        for sample in samples_of(key, entry, folder):
            if isinstance(sample, Finding):
                yield sample
                continue
            yield from _column_findings(config, entry, sample)
            yield from row_findings(config, key, entry, sample)
            yield from answer_findings(config, wanted, key, entry, sample)
            if type_name(entry) != "user_defined":
                yield from text_findings(method_of(config), key, entry, sample)
            if key == "datasets":
                yield from cue_findings(method_of(config), key, entry, sample)
                yield from system_findings(config, sample)
    yield from _twice_findings(config)
    yield from _length_findings(config, folder, gpus)


def samples_of(key: str, entry: Mapping[str, Any], folder: Path) -> Iterator[Sample | Finding]:
    """The first rows of a data set's files, and what is wrong with the files."""
    files = files_of(entry, folder)
    kinds = {file.name.partition(".")[2] for file in files}
    name = entry.get("path")
    if len(kinds) > 1:
        yield error(
            f"{key}: {name} holds files of several formats ({', '.join(sorted(kinds))}), of which "
            "only one is read; name one in path, or keep one format"
        )
    columns: dict[Path, set[str]] = {}
    for file in files:
        form = entry.get("ds_type")
        if form and form not in FILE_FORMS.get(file.name.partition(".")[2], (form,)):
            yield error(f"{key}: ds_type: {form} cannot read {file.name}; leave it out")
        try:
            rows = first_rows(file)
        except DataError as problem:
            yield error(f"{key}: {problem}")
            continue
        columns[file] = set(rows[0][1])
        yield rows
    if len({frozenset(one) for one in columns.values()}) > 1:
        told = "; ".join(f"{file.name}: {', '.join(sorted(columns[file]))}" for file in columns)
        yield error(f"{key}: the files of {name} have rows of several forms ({told})")


def _split_findings(key: str, entry: Mapping[str, Any], folder: Path) -> Iterator[Finding]:
    path, split = str(entry.get("path") or ""), str(entry.get("split") or "train")
    is_file = is_local_path(path, folder)
    if is_file and not re.match(r"train(\[|$)", split):
        text = f"{key}: {path} has no split {split!r}: a file is one split; write split: train"
        yield error(text)
        return
    try:
        rows = selected_rows(entry, folder)
    except ValueError as problem:
        yield error(f"{key}: split: {split!r} of {path} cannot be read: {problem}")
        return
    if rows is not None and not rows:
        yield error(f"{key}: split: {split!r} of {path} has no rows; write split: train")
    total = sum(map(n_rows, files_of(entry, folder))) if rows else 0
    if rows and len(rows) < _FEW_ROWS and total >= _FEW_ROWS:
        yield error(
            f"{key}: split: {split!r} takes {len(rows)} of the {total} rows of {path}, as for a "
            "try; write split: train"
        )


def _role_findings(key: str, entry: Mapping[str, Any]) -> Iterator[Finding]:
    if "chat_template" not in type_name(entry) or type_name(entry).startswith("bradley_terry"):
        return
    own = {str(name) for name in entry.get("roles") or {}}
    for role, listed in (entry.get("roles") or {}).items():
        for name in listed or []:
            meant = MEANINGS.get(str(name))
            if meant and meant != MEANINGS.get(str(role)) in MEANINGS.values():
                yield error(
                    f"{key}: roles: {role}: [{name}] makes a turn of the {meant} one of the {role}:"
                    f" the wrong turns would be trained; write {meant}: [{name}]"
                )
    roles = entry.get("roles_to_train") or []
    for role in roles:
        if role not in _ROLES | own:
            found = unknown_name("role", role, _ROLES)
            yield error(f"{key}: roles_to_train: {found.message}")
    if roles and not {"assistant", "gpt", "model"} & set(roles):
        yield warning(
            f"{key}: roles_to_train: {roles} trains no answer; the judges and generators of this "
            "package need roles_to_train: [assistant]"
        )
    if str(entry.get("train_on_eos")) == "none":
        yield warning(
            f"{key}: train_on_eos: none never trains where an answer ends, so the trained model "
            "writes on until it is cut; write train_on_eos: turn"
        )


def _column_findings(
    config: Mapping[str, Any], entry: Mapping[str, Any], sample: Sample
) -> Iterator[Finding]:
    """Columns that the first row lacks for its reader, or has in another form."""
    where, first = sample[0]
    path, method, kind = where.rpartition(":")[0], method_of(config), type_name(entry)
    formats = METHOD_FORMATS.get(method, ())
    read = {one for form in formats for one in FORMATS[form].axolotl_types}
    found = {name: type(value) for name, value in first.items() if name != "id"}
    has = _columns_text(found) or "nothing"
    if kind in read or entry.get("type") is None:
        wanted = [
            {str(entry.get(f"field_{name}") or name): kind for name, kind in columns.items()}
            for columns in (FORMATS[form].columns for form in formats)
        ]
        if method in SAMPLING_METHODS:
            wanted = [{"prompt": type(first.get("prompt", ""))}]  # all else is the rewards' own
            yield from _reward_column_findings(config, path, found)
        is_tokens = entry.get("type") is None and "input_ids" in first
        fits = [all(isinstance(first.get(name), one[name]) for name in one) for one in wanted]
        if wanted and not any(fits) and not is_tokens:
            yield error(
                f"{path}: its rows have {has}; the method {method} needs "
                f"{_columns_text(wanted[0])} (codefavor convert --format {formats[0]})"
            )
        return
    older = [str(entry.get("field") or name) for name in _OLDER_COLUMNS.get(kind, ())]
    missing = next((repr(name) for name in older if name not in first), None)
    if config.get("rl"):
        missing = missing_column({**config, "datasets": [entry]}, first)
    if missing:
        yield error(f"{path}: the type {kind!r} reads {missing}; its rows have {has}")
    if method == "kto" and not isinstance(first.get("label"), bool) and kind != "user_defined":
        yield error(f"{path}: KTO needs label (bool) in each row; its rows have {has}")


def _reward_column_findings(
    config: Mapping[str, Any], path: str, found: Mapping[str, type]
) -> Iterator[Finding]:
    for name in map(str, at(config, "trl.reward_funcs") or []):
        missing = [one for one in columns_of_reward(name) if one not in found]
        if missing:
            how = " --task tests" if "reference" in missing else ""
            yield error(
                f"{path}: trl.reward_funcs: {name} reads {', '.join(missing)}; its rows have "
                f"{_columns_text(found) or 'nothing'} (codefavor convert --format grpo{how})"
            )


def _columns_text(columns: Mapping[str, type]) -> str:
    return ", ".join(f"{name} ({columns[name].__name__})" for name in sorted(columns))


def _twice_findings(config: Mapping[str, Any]) -> Iterator[Finding]:
    seen = set()
    for key, entry in entries_of(config, "datasets"):
        text = canonical_json(dict(entry))
        if text in seen:
            yield warning(f"{key}: {entry.get('path')} stands twice: its rows count double")
        seen.add(text)


def _length_findings(
    config: Mapping[str, Any], folder: Path, gpus: int | None
) -> Iterator[Finding]:
    """Rows that are left out, a held-out part that takes all, and paces beyond the run."""
    warmup, held_out = number(config, "warmup_steps"), number(config, "val_set_size")
    taken, total, causes = _rows_trained(config, folder)
    yield from _left_out_findings(taken, total, causes)
    entries = [entry for _, entry in entries_of(config, "datasets")]
    files = [files_of(entry, folder) for entry in entries]
    is_known = all(files) and not any("[" in str(entry.get("split")) for entry in entries)
    if not is_known:
        yield from pace_findings(config, number(config, "max_steps"))
        return
    rows = sum(n_rows(file) for group in files for file in group)
    for entry, group in zip(entries, files, strict=True):
        shards, own = number(entry, "shards"), sum(map(n_rows, group))
        place = number(entry, "shards_idx")
        if place and place >= (shards or 1):
            yield error(
                f"datasets: shards_idx: {place:g} is none of the {shards or 1:g} shards of "
                f"{entry.get('path')}, counted from 0; write a smaller one, or remove it"
            )
        if shards and shards > own:
            yield error(
                f"datasets: shards: {shards:g} of the {own} rows of {entry.get('path')} leaves "
                "none; remove it"
            )
    if held_out and held_out >= max(2, rows):
        yield error(
            f"val_set_size: {held_out:g} of the {rows} rows: none is left to train on; write a "
            "share of them (0.05), or a smaller number"
        )
    if method_of(config) in {"grpo", "gdpo"}:
        yield from pace_findings(config, number(config, "max_steps"))
        return
    # Packed rows give fewer steps still.
    epochs = max(1.0, float(config.get("num_epochs") or 1))
    steps = taken * epochs / global_batch(config, gpus or 1)
    steps = number(config, "max_steps") or steps
    yield from pace_findings(config, steps)
    if total >= _FEW_ROWS and steps < _FEW_STEPS and not config.get("max_steps"):
        yield warning(
            f"gradient_accumulation_steps: {global_batch(config, gpus or 1)} rows a step and "
            f"{taken:.0f} trained rows are {max(1, steps):.0f} steps of the run, too few to learn "
            "by; lower it or micro_batch_size, or raise num_epochs"
        )
    if steps <= 1 and (warmup or number(config, "warmup_ratio")):
        # Warming up begins at rate 0.
        yield warning(
            f"datasets: {rows} rows give one step, whose learning rate is 0 while it warms up: "
            "nothing would be trained; write warmup_steps: 0 or give more rows"
        )
    if warmup and not config.get("max_steps") and 1 < steps <= warmup:
        yield warning(
            f"warmup_steps: {warmup:g} of the {steps:.0f} steps that {rows} rows give: the "
            "learning rate never gets to its height; use warmup_ratio: 0.1"
        )


def _left_out_findings(taken: float, total: int, causes: list[str]) -> Iterator[Finding]:
    """Settings that leave out half of the rows or more."""
    if causes and 0 < 2 * taken <= total:
        yield warning(
            f"{', '.join(causes)}: trains on {taken / total:.0%} of the rows"
            + (f" ({taken:.0f} of {total})" if total < 10**7 else "")
            + "; write a smaller share to hold out, or none, or more of the rows"
        )


def _rows_trained(config: Mapping[str, Any], folder: Path) -> tuple[float, int, list[str]]:
    """How many rows are trained on, of how many, and the settings that leave out the others."""
    most: dict[str, tuple[float, int]] = {}
    causes = []
    for _, entry in entries_of(config, "datasets"):
        taken, total = rows_taken(entry, folder)
        before, _ = most.get(str(entry.get("path")), (0, 0))
        # Two slices of one file are trained on together.
        most[str(entry.get("path"))] = min(before + taken, total), total
        if "[" in str(entry.get("split")):
            causes.append(f"split: {entry['split']}")
        if entry.get("shards"):
            causes.append(f"shards: {entry['shards']}")
    rows, total = sum(one for one, _ in most.values()), sum(one for _, one in most.values())
    held_out, epochs = number(config, "val_set_size"), number(config, "num_epochs")
    if held_out:
        causes.append(f"val_set_size: {held_out:g}")
        rows -= held_out if held_out >= 1 else held_out * rows
    if epochs and epochs < 1 and not config.get("max_steps"):
        causes.append(f"num_epochs: {epochs:g}")
        rows *= epochs
    return rows, total, causes


def pace_findings(config: Mapping[str, Any], steps: float | None) -> Iterator[Finding]:
    """What is to happen every so many steps, more than the run has; None where that is not known.

    A pace below 1 is a share of the run.
    """
    if not steps:
        return
    beyond = max(1.0, steps)
    every = number(config, "dev_accuracy.every")
    if every and every > beyond:
        yield error(
            f"dev_accuracy.every: {every:g} is beyond the {steps:.0f} steps of the run: only the "
            "untrained model would be measured, and kept; write a share, as 0.1"
        )
    is_held_out = bool(config.get("test_datasets") or number(config, "val_set_size"))
    lost = {
        "logging_steps": "no loss is shown while it trains",
        "save_steps": "nothing is saved before its end, so that a killed run begins anew",
        **({"eval_steps": "nothing is measured while it trains"} if is_held_out else {}),
    }
    for key, why in lost.items():
        pace = number(config, key)
        if pace and pace > beyond:
            yield warning(
                f"{key}: {pace:g} is beyond the {steps:.0f} steps of the run: {why}; write a share "
                "of it, as 0.1"
            )
