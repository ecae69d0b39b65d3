"""A finished run as a folder that others can use: whole weights, tokenizer, model card; pushed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from codefavor.errors import ConfigError, TrainingError
from codefavor.records import whole_folder, write_text
from codefavor.training.merge import fold_adapter
from codefavor.training.model_card import model_card, public_card
from codefavor.training.model_folders import ADAPTER_FILE, copy_small_files
from codefavor.training.runcard import METRICS_FILE, RUN_CARD, load_card

CARD_FILE = "README.md"


def export(
    run: Path,
    out: Path,
    *,
    base: Path | None = None,
    adapter_only: bool = False,
    name: str = "",
    license_id: str = "",
) -> Path:
    """Write the result of a finished run to `out`, whole or not at all; returns `out`.

    An adapter is added to its base model (`base`, by default the folder that the run trained
    on), unless `adapter_only`. `out` gets a model card, the run card and the logged metrics.
    `name` is the model's in the card (default: the folder's), `license_id` its licence by SPDX
    or Hub name. Raises ConfigError for a run that did not finish or an `out` that exists.
    """
    card = load_card(run)
    if card.get("status") != "finished":
        raise ConfigError(f"{run}: the training is not finished; run the same command to its end")
    if out.exists():
        raise ConfigError(f"{out}: exists already; remove it or name another folder")
    has_adapter = (run / ADAPTER_FILE).is_file()
    if adapter_only and not has_adapter:
        raise ConfigError(f"{run}: all weights were trained; there is no adapter to export")
    if has_adapter and not adapter_only:
        origin = base or Path(str(card["config"]["base_model"]))
        if not (origin / "config.json").is_file():
            raise ConfigError(
                f"{origin}: no model folder here; name the base model's folder with --base, or "
                "export the adapter alone with --adapter-only"
            )
        fold_adapter(origin, run, out)
    else:
        _copy_weights(run, out, is_adapter=adapter_only)
    write_text(out / RUN_CARD, [json.dumps(public_card(card, out), indent=1) + "\n"])
    if (run / METRICS_FILE).is_file():
        shutil.copy(run / METRICS_FILE, out / METRICS_FILE)
    title = name or out.name
    text = model_card(card, name=title, license_id=license_id, is_adapter=adapter_only)
    write_text(out / CARD_FILE, [text])
    return out


def _copy_weights(run: Path, out: Path, *, is_adapter: bool) -> None:
    pattern = ADAPTER_FILE if is_adapter else "model*.safetensors*"
    files = sorted(run.glob(pattern))
    if not files:
        raise TrainingError(f"{run}: no {pattern}; the run's weights are gone")
    with whole_folder(out) as partial:
        copy_small_files(run, partial)
        extra = [run / "adapter_config.json"] if is_adapter else []
        for file in [*files, *extra]:
            shutil.copy(file, partial / file.name)
