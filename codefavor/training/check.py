"""Checks a recipe harder than Axolotl does, on a machine without a GPU and before anything loads.

Axolotl's own schema runs first. What it lets pass is found by the modules `check_*` and `mistakes`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from codefavor.errors import CodefavorError, MissingPackageError
from codefavor.records import Row
from codefavor.training.check_arguments import argument_findings
from codefavor.training.check_attention import kernels_of
from codefavor.training.check_data import data_findings
from codefavor.training.check_files import deepspeed_settings, file_findings
from codefavor.training.check_held_out import held_out_findings
from codefavor.training.check_keys import dropped_keys
from codefavor.training.check_model import model_findings
from codefavor.training.check_readers import one_line, quiet, reader_findings, warnings_of
from codefavor.training.findings import Finding, error, form_findings, warning
from codefavor.training.mistakes import mistakes
from codefavor.training.model_shapes import find_config
from codefavor.training.plan import needs_of
from codefavor.training.recipes import find_recipes, load_yaml

# What the schema is told of a machine that is not here: an 8-GPU node of today.
_GPU = {"bf16": True, "fp8": True, "tf32": True, "compute_capability": "sm_90"}
_CPU = {"bf16": False, "fp8": False, "tf32": False, "compute_capability": None}

_PACKED = (
    "sample_packing: this attention lets rows that share a sequence see each other; set it to "
    "false{}"
)
# Of what Axolotl logs as a warning: the error above, older names, what it does or likes unharmed.
_NO_WARNING = ("cross-sample", "deprecated", "Auto-enabling LoRA kernel", "is recommended when")


class RecipeChecker:
    """Axolotl's schema, loaded once (about 10 CPU seconds), and the stricter checks around it."""

    def __init__(self) -> None:
        os.environ.setdefault("AXOLOTL_DO_NOT_TRACK", "1")
        try:
            with quiet():
                from axolotl.integrations.base import PluginManager
                from axolotl.utils.config import prepare_plugins, validate_config
                from axolotl.utils.dict import DictDefault
                from axolotl.utils.schemas.config import AxolotlInputConfig
        except ModuleNotFoundError as problem:
            raise MissingPackageError("axolotl", "train", "checking recipes") from problem
        self._plugins = PluginManager
        self._prepare_plugins = prepare_plugins
        self._validate_config = validate_config
        self._dict = DictDefault
        self._fields = AxolotlInputConfig.model_fields
        self._checked: Any = None  # the recipe, as the schema has it
        # The schema's result has the field's name where a recipe wrote its alias (model_type).
        self._aliases = {
            str(field.validation_alias or field.alias): name
            for name, field in self._fields.items()
            if field.validation_alias or field.alias
        }

    def check(
        self,
        path: Path,
        *,
        config: Row | None = None,
        gpus: int | None = 0,
        folder: Path | None = None,
    ) -> list[Finding]:
        """Everything that is wrong with a recipe, errors first, the schema's complaint before all.

        `config` is the recipe with changed settings (default: as its file says), `gpus` how many it
        is for (`check_files.gpus_of`), `folder` where its relative paths start; data that is not
        there yet must have a producer named in the recipe's header.
        """
        if config is None:
            config = load_yaml(path)
        where = folder or Path.cwd()
        if wrong := list(form_findings(config)):
            return wrong
        findings = list(self._schema_findings(config, gpus, where))
        told = deepspeed_settings(config, path, where)
        is_refused = any(one.severity == "error" for one in findings)
        for found in (
            reader_findings(config),
            file_findings(config, path, where),
            data_findings(config, where, gpus, needs_of(path)),
            held_out_findings(config, path, where),
            mistakes(config, gpus),
            model_findings(config, where),
            self._trainer_findings(config, gpus, told, findings),
        ):
            findings += _whole(found, is_refused=is_refused)
        return sorted(dict.fromkeys(findings), key=lambda one: one.severity)

    def _trainer_findings(
        self, config: Row, gpus: int | None, told: Row | None, others: list[Finding]
    ) -> Iterator[Finding]:
        """What the trainer itself refuses, where nothing was found that says so in other words."""
        if self._checked is not None and all(one.severity != "error" for one in others):
            yield from argument_findings(config, self._checked, gpus, told)

    def _schema_findings(self, config: Row, gpus: int | None, folder: Path) -> Iterator[Finding]:
        manager = self._plugins.get_instance()
        manager.plugins.clear()  # a singleton: it would keep the plugins of the recipe before
        self._checked = None
        machine = {**(_CPU if gpus == 0 else _GPU), "n_gpu": max(1, gpus or 1)}
        environment = {"torch_version": _torch_version()}
        cfg = self._dict(json.loads(json.dumps(config)))
        try:
            with warnings_of("axolotl.utils.schemas") as warned:
                self._prepare_plugins(cfg)
                checked = self._validate_config(
                    cfg, capabilities=machine, env_capabilities=environment
                )
        except ImportError as problem:
            yield warning(f"Axolotl's schema stops here: {one_line(problem)}")
            return
        except Exception as problem:  # validators raise whatever they like
            yield error(f"Axolotl's schema: {one_line(problem)}")
            return
        self._checked, kept = checked, checked.to_dict()
        if kept.get("sample_packing") and not kept.get("attn_decontaminates_packing"):
            kernels = kernels_of(_words(config, folder))
            others = f", or write attn_implementation: {' or '.join(kernels)}"
            yield error(_PACKED.format("" if kernels == ("eager",) else others))
        for text in dict.fromkeys(warned):
            if not any(part in text for part in _NO_WARNING):
                yield warning(f"Axolotl: {text}")
        for alias, name in self._aliases.items():
            if name in kept:
                kept.setdefault(alias, kept[name])
        yield from dropped_keys(config, kept, self._fields)


def _words(config: Row, folder: Path) -> Row:
    """The configuration of a recipe's model, {} where it is not known here."""
    try:
        return find_config(str(config.get("base_model")), folder, find_recipes())
    except (CodefavorError, ValueError):
        return {}


def _whole(findings: Iterator[Finding], *, is_refused: bool) -> Iterator[Finding]:
    """Findings, and instead of a traceback where they end, if the schema did not say why."""
    try:
        yield from findings
    except CodefavorError:
        raise
    except Exception as problem:  # values of any form reach libraries that raise what they like
        if not is_refused:
            what = f"{type(problem).__name__}: {one_line(problem)}"
            yield error(f"some checks stop at a value of a form that they cannot read ({what})")


def _torch_version() -> str:
    from importlib.metadata import version

    return version("torch").split("+")[0]
