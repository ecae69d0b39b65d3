"""Everything that can be known before a launch, in a process of its own: `python -m` this file.

The schema, the tokens of the whole data set, the labels of an A/B judge and whether the model is
there: their imports would otherwise stay in memory beside the training.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import version
from inspect import signature
from pathlib import Path
from typing import Any

from codefavor.errors import CodefavorError
from codefavor.records import Row
from codefavor.training.check import RecipeChecker
from codefavor.training.check_readers import quiet
from codefavor.training.check_trained import foreign_findings, trained_findings
from codefavor.training.findings import Finding
from codefavor.training.model_shapes import cached_file
from codefavor.training.plan import is_local_path
from codefavor.training.preview import Preview, TokenRow, token_budget

# How many of the rows that are too long are named; all of them are counted.
_N_NAMED = 20


def preflight(recipe: Path, config: Row, *, gpus: int, folder: Path) -> list[Finding]:
    """What stands against launching a recipe with these settings; nothing is downloaded."""
    findings = RecipeChecker().check(recipe, config=config, gpus=gpus, folder=folder)
    findings += [Finding("error", text) for text in model_errors(config, folder)]
    findings += [Finding("error", text) for text in tracker_errors(config)]
    if any(finding.severity == "error" for finding in findings):
        return findings
    if _has_tokenizer(config, folder):
        findings += token_findings(config, folder)
    return findings


def model_errors(
    config: Mapping[str, Any], folder: Path, endpoint: str | None = None
) -> Iterator[str]:
    """Why a base model on the Hub cannot be had; asks the Hub for the head of one small file."""
    name = str(config["base_model"])
    if is_local_path(name, folder) or cached_file(name, "config.json"):
        return
    if os.environ.get("HF_HUB_OFFLINE") == "1":
        yield f"base_model: {name} is not in this machine's cache, and HF_HUB_OFFLINE=1 is set"
        return
    from httpx import HTTPError
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
    )

    try:
        url = hf_hub_url(name, "config.json", endpoint=endpoint)
        get_hf_file_metadata(url, timeout=20)
    except GatedRepoError:
        yield f"base_model: {name} is gated: accept its licence on the Hub, then set HF_TOKEN"
    except RepositoryNotFoundError:
        yield f"base_model: the Hub has no model {name} (or it is private: set HF_TOKEN)"
    except EntryNotFoundError:
        yield f"base_model: {name} has no config.json; it is no transformers model"
    except HFValidationError as error:
        yield f"base_model: {name!r} is neither a folder here nor a name on the Hub: {error}"
    except (HfHubHTTPError, HTTPError, OSError) as error:
        yield f"base_model: the Hub cannot be asked for {name}: {type(error).__name__}: {error}"


def tracker_errors(config: Mapping[str, Any]) -> Iterator[str]:
    """Trackers that would end the training at its first step, when the model is loaded."""
    for name in ("wandb", "trackio", "mlflow", "tensorboard"):
        if not config.get(f"use_{name}"):
            continue
        try:
            with quiet():
                tracker = import_module(name)
        except ImportError as error:
            yield f"use_{name}: {name} does not import ({error}); pip install {name}"
            continue
        # Axolotl pins a trackio that is older than what the transformers it pins calls.
        if name == "trackio" and "bucket_id" not in signature(tracker.init).parameters:
            yield (
                f"use_trackio: trackio {version('trackio')} lacks what transformers "
                f"{version('transformers')} asks of it; pip install --upgrade trackio"
            )


def _has_tokenizer(config: Mapping[str, Any], folder: Path) -> bool:
    name = str(config["base_model"])
    place = folder / name / "tokenizer_config.json"
    return place.is_file() or cached_file(name, "tokenizer_config.json") is not None


def token_findings(config: Row, folder: Path) -> Iterator[Finding]:
    """Rows that would be cut or train nothing, and A/B labels that the tokenizer splits."""
    reader = Preview(config, folder)
    sequences = list(reader.sequences())
    limit = int(config.get("sequence_len") or 0)
    budget = token_budget(sequences, limit)
    if budget.too_long:
        is_allowed = (config.get("excess_length_strategy") or "drop") != "raise"
        named = ", ".join(budget.too_long[:_N_NAMED])
        more = len(budget.too_long) - _N_NAMED
        yield Finding(
            "warning" if is_allowed else "error",
            f"{len(budget.too_long)} of {budget.n_sequences} sequences are above sequence_len "
            f"{limit} (longest {budget.longest}): {named}{f' and {more} more' if more > 0 else ''}"
            "; raise sequence_len, or allow it with --set excess_length_strategy=drop",
        )
    if reader.is_trained_on_rows and (idle := [one for one in sequences if one.n_trained == 0]):
        yield Finding("error", f"{len(idle)} sequences train nothing, first {_where(idle[0])}")
    shortest = int(config.get("min_sample_len") or 0)
    n_short = sum(len(one.input_ids) < shortest for one in sequences)
    if n_short and reader.method == "sft":
        yield Finding(
            "error" if n_short == len(sequences) else "warning",
            f"min_sample_len: {shortest} drops {n_short} of {len(sequences)} sequences; lower it",
        )
    yield from trained_findings(reader, sequences)
    yield from foreign_findings(reader, sequences)
    if _answers_with_a_letter(reader, sequences) and (problem := reader.label_error()):
        yield Finding("error", f"{problem}; take another model")


def _where(sequence: TokenRow) -> str:
    return f"{sequence.where} {sequence.part}".strip()


def _answers_with_a_letter(reader: Preview, sequences: list[TokenRow]) -> bool:
    """Whether the first row's trained text is one of the labels of an A/B judge."""
    if reader.method != "sft" or not sequences:
        return False
    trained = "".join(span.text for span in reader.spans(sequences[0]) if span.is_trained)
    return trained.strip()[:1] in {"A", "B"} and not trained.strip()[1:2].isalnum()


def main() -> int:
    """Read {"recipe", "config", "gpus", "folder"} from stdin; print findings, one a line."""
    request = json.load(sys.stdin)
    try:
        findings = preflight(
            Path(request["recipe"]),
            request["config"],
            gpus=int(request["gpus"]),
            folder=Path(request["folder"]),
        )
    except CodefavorError as error:
        findings = [Finding("error", str(error))]
    for finding in findings:
        sys.stdout.write(f"{finding.severity}: {finding.message}\n")
    return 1 if any(finding.severity == "error" for finding in findings) else 0


if __name__ == "__main__":
    sys.exit(main())
