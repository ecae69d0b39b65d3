"""A recipe for a model of one's own: what its files say, checked on its real class."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from codefavor.errors import CodefavorError, ConfigError
from codefavor.pairs.split import shared_questions, split_of
from codefavor.records import Row
from codefavor.sources.row_files import read_any_rows
from codefavor.training.check_attention import kernels_of
from codefavor.training.check_model import layers_left_out
from codefavor.training.derive import Hardware, Model, derive, find_listed
from codefavor.training.model_shapes import (
    adapter_places,
    build_on_meta,
    cached_file,
    complete_config,
    find_config,
    shape_of_config,
)
from codefavor.training.recipes import (
    HEAD_CLASSES,
    Recipe,
    build,
    data_words,
    global_batch,
    load_yaml,
    method_of,
    render,
)
from codefavor.training.reply_text import thinks

_PAIRS, _DEV_PAIRS = "outputs/pairs/train.jsonl", "outputs/pairs/dev.jsonl"
_PROBLEMS = "datasets/starter/problems.jsonl"
_PROBE = "codefavorprobe"
_WINDOW = 2048
# Tokens that families keep for padding, or never use: a padding that is another token than the end
# of a turn, which else would be masked with the padding.
_PADS = ("<|finetune_right_pad_id|>", "<pad>", "<|endoftext|>", "<|end_of_text|>", "<unk>")


def new_recipe(
    name: str,
    method: str,
    gpus: str,
    *,
    data: Path | None = None,
    dev: Path | None = None,
    out: Path | None = None,
    root: Path,
) -> str:
    """The text of a recipe for a model (a folder, or a name on the Hub), a method and some GPUs.

    `data` are pairs of one's own (for GRPO problems), `dev` those that are held out; without `dev`
    a part of `data` is.

    Raises ConfigError where the model's files are not here, its architecture has no class for the
    method, its template cannot be used, or nothing fits.
    """
    hardware = Hardware.parse(gpus)
    left: tuple[str, ...] = ()
    model = find_listed(name, root) or read_model(name, root)
    meta = build_on_meta(model.config, HEAD_CLASSES.get(method, "AutoModelForCausalLM"))
    if not model.layer:
        notes = list(model.header.get("notes", []))
        if model.header.get("thinks") and method != "grpo":
            notes.append("the model can think: it is trained and asked to answer without thinking")
        targets = lora_targets(meta, root)
        left = _left_out(model.config, method, targets, root)
        model = replace(
            model,
            settings={**model.settings, **targets},
            header={**model.header, "notes": notes},
        )
    words = f"--model {shlex.quote(name)} --method {method} --gpus {gpus}"
    slug = out.stem if out else f"{Path(name).name.lower()}-{method}-{gpus}"
    path = str(out or f"{slug}.yaml")
    recipe = build(derive(slug, model, method, hardware, root), root)
    if left and recipe.config.get("adapter"):
        note = (
            f"not on every linear layer: PEFT gives no adapter to {', '.join(left)}, whose names "
            "it takes for the routed experts'; they stay as they are"
        )
        noted = [*recipe.header.get("notes", []), note]
        recipe = replace(recipe, header={**recipe.header, "notes": noted})
    for option, file in (("--data", data), ("--dev", dev)):
        if file is not None and not file.is_file():
            raise ConfigError(f"{option} {file}: no such file")
        words += f" {option} {shlex.quote(str(file))}" if file else ""
    if dev:
        _refuse_shared(data or Path(_PROBLEMS if method == "grpo" else _PAIRS), dev)
    if data or dev:
        recipe = _with_data(recipe, data, dev, slug, path)
    made_by = f"# Made by `codefavor recipes new {words}`: yours to edit."
    return render(recipe, made_by=made_by, path=path)


def read_model(name: str, root: Path) -> Model:
    """A model that no layer describes, from its configuration and its tokenizer's template."""
    with _refused(f"the configuration of {name}"):
        config = find_config(name, Path.cwd(), root)
        refuse_quantised(config, name)
        config = dict(complete_config(config, name))
    text = config.get("text_config") or config
    with _refused(f"the tokenizer of {name}, or its chat template,"):
        settings, header = template_settings(load_tokenizer(name))
    if (kernel := kernels_of(config)[0]) != "flash_attention_2":
        settings |= {"attn_implementation": kernel}
        header.setdefault("notes", []).append(f"its class takes no FlashAttention 2, but {kernel}")
        if kernel == "eager":
            # It is slow on long windows, and not every class keeps packed rows apart with it.
            settings |= {"sample_packing": False, "pad_to_sequence_len": False}
    window = int(text.get("max_position_embeddings") or _WINDOW)
    settings = {
        "base_model": name,
        "chat_template": "tokenizer_default",
        **settings,
        "sequence_len": min(_WINDOW, window),
    }
    return Model(name, config, shape_of_config(config), settings=settings, header=header)


@contextmanager
def _refused(what: str) -> Iterator[None]:
    """Raises ConfigError for whatever a library makes of somebody's broken files."""
    try:
        yield
    except CodefavorError:
        raise
    except Exception as error:  # readers of configurations and templates raise whatever they like
        text = " ".join(str(error).split())[:300]
        raise ConfigError(f"{what} cannot be used: {type(error).__name__}: {text}") from error


def refuse_quantised(config: Row, name: str) -> None:
    """Raises ConfigError for a model whose weights are quantised already."""
    if quantised := config.get("quantization_config"):
        kind = quantised.get("quant_method") if isinstance(quantised, dict) else quantised
        raise ConfigError(
            f"{name} is quantised already ({kind}): its weights cannot be trained, nor LoRA be "
            "merged into them; take the model that it was made from, which QLoRA quantises itself"
        )


def template_settings(tokenizer: Any) -> tuple[Row, Row]:
    """The settings of a recipe that a tokenizer and its chat template ask for, and its header's.

    `special_tokens`: the end of a turn that the template writes, and a padding of its own.
    `system` in the header is "empty" where the template would write a default system turn.
    """
    template = str(getattr(tokenizer, "chat_template", None) or "")
    if not template:
        raise ConfigError(
            f"the tokenizer of {tokenizer.name_or_path} has no chat template, so it is no chat "
            "model: take the one that was tuned for chat, or set a chat_template in its tokenizer"
        )
    question = [{"role": "user", "content": "question"}]
    asked = str(tokenizer.apply_chat_template(question, tokenize=False))
    answered = [*question, {"role": "assistant", "content": _PROBE}]
    _, is_written, after = str(tokenizer.apply_chat_template(answered, tokenize=False)).rpartition(
        _PROBE
    )
    if not is_written or "question" not in asked:
        raise ConfigError(
            f"the chat template of {tokenizer.name_or_path} does not write what the user and the "
            "assistant say as it is: a recipe could not tell what is trained on"
        )
    specials = set(tokenizer.all_special_tokens) | set(tokenizer.get_added_vocab())
    ends = [token for token in specials if token and after.lstrip().startswith(token)]
    end = max(ends, key=len, default=tokenizer.eos_token)
    special: Row = {} if end == tokenizer.eos_token else {"eos_token": end}
    if tokenizer.pad_token is None or tokenizer.pad_token == end:
        vocabulary = tokenizer.get_vocab()
        named = [*_PADS, *(token for token in sorted(specials) if "pad" in token)]
        special["pad_token"] = next((pad for pad in named if pad in vocabulary and pad != end), end)
    header: Row = {
        "system": "empty" if "system" in asked.split("question", maxsplit=1)[0] else "none"
    }
    if thinks(template):
        header["thinks"] = True
    if not ends:
        header["notes"] = [
            "the template writes no end of an answer: supervised training trains none"
        ]
    return ({"special_tokens": special} if special else {}), header


def lora_targets(meta: Any, root: Path) -> Row:
    """The targets that LoRA's layer would miss in a model: other names, and experts."""
    usual = str(load_yaml(root / "layers" / "adapter" / "lora.yaml")["lora_target_modules"])
    linear, tensors, _ = adapter_places(meta)
    found: Row = {}
    if any(not re.fullmatch(usual, name) for name in linear):
        ends = "|".join(sorted({name.rsplit(".", 1)[-1] for name in linear}))
        found["lora_target_modules"] = rf"(?!.*(vision|visual|audio)).*layers\.\d+\..*\.({ends})"
    if tensors:
        found["lora_target_parameters"] = sorted(
            {re.sub(r".*layers\.\d+\.", "", name) for name in tensors}
        )
    if not linear and not tensors:
        raise ConfigError(
            f"LoRA finds no linear layer below `layers.N` in {type(meta).__name__}: recipes are "
            "made for decoders that name them as Llama does"
        )
    return found


def _left_out(config: Row, method: str, targets: Row, root: Path) -> tuple[str, ...]:
    """The linear layers that LoRA would leave out; asked of PEFT for mixtures of experts alone."""
    experts = targets.get("lora_target_parameters")
    if not experts:
        return ()
    usual = load_yaml(root / "layers" / "adapter" / "lora.yaml")["lora_target_modules"]
    return layers_left_out(
        json.dumps(config, sort_keys=True),
        HEAD_CLASSES.get(method, "AutoModelForCausalLM"),
        json.dumps(targets.get("lora_target_modules", usual)),
        tuple(experts),
    )


def load_tokenizer(name: str) -> Any:
    """The tokenizer of a folder or of the Hub's cache; nothing is downloaded."""
    import transformers

    auto: Any = transformers.AutoTokenizer
    folder = Path(name) if Path(name).is_dir() else None
    if folder is None and cached_file(name, "tokenizer_config.json") is None:
        raise ConfigError(
            f"the tokenizer of {name} is not in the Hub's cache of this machine, so its template "
            f"is not known; with a network: hf download {name} config.json tokenizer.json "
            "tokenizer_config.json"
        )
    try:
        # Without the last, a terminal is asked whether to run somebody's code.
        return auto.from_pretrained(
            str(folder or name), local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        text = " ".join(str(error).split())
        raise ConfigError(f"the tokenizer of {name} cannot be read: {text}") from error


def _refuse_shared(data: Path, dev: Path) -> None:
    """Raise ConfigError where a question is trained on and measured, whatever the answers are."""
    if not data.is_file():
        return
    trained = list(read_any_rows(data))
    if "tests" in trained[0][1]:
        trained = [row for row in trained if split_of(str(row[1].get("id"))) == "train"]
    shared, n_questions = shared_questions(read_any_rows(dev), trained)
    if shared:
        raise ConfigError(
            f"--dev {dev}: {shared} of its {n_questions} questions are in {data}, and an accuracy "
            "on what was trained on says nothing; without --dev a part of --data is held out by "
            "its questions"
        )


def _with_data(recipe: Recipe, data: Path | None, dev: Path | None, slug: str, path: str) -> Recipe:
    """The recipe on pairs (for GRPO problems) of one's own, and on what is held out of them."""
    config = dict(recipe.config)
    is_grpo = method_of(config) == "grpo"
    renamed = {config["datasets"][0]["path"]: f"outputs/data/{slug}.jsonl"}
    renamed |= {
        entry["path"]: f"outputs/data/{slug}-dev.jsonl" for entry in config.get("test_datasets", [])
    }
    made, notes = [], list(recipe.header.get("notes", []))
    if data and is_grpo:
        renamed[_PROBLEMS] = str(data)
        notes.append("trained on are the problems that `convert` puts into its split train: half")
    elif data and dev is None:
        folder = f"outputs/pairs/{slug}"
        made.append(shlex.join(["codefavor", "pair", "split", str(data), "--out", folder]))
        renamed |= {_PAIRS: f"{folder}/train.jsonl", _DEV_PAIRS: f"{folder}/dev.jsonl"}
        notes.append(
            "a tenth of the questions is held out by `pair split`, each with all its rows; to hold "
            "out pairs of your own: recipes new --dev FILE"
        )
    elif data:
        renamed[_PAIRS] = str(data)
    comments = dict(recipe.comments)
    if data and not is_grpo:
        n_pairs = sum(1 for _ in read_any_rows(data))
        trained = n_pairs if dev else n_pairs * 9 // 10
        told = f"{data} has {n_pairs} rows, of which {trained} are trained on"
        if not config.get("sample_packing"):
            batch = global_batch(config, recipe.line.gpus)
            rows = trained * (2 if config.get("rl") == "kto" else 1)
            steps = math.ceil(rows * float(config.get("num_epochs") or 1) / batch)
            told += f": about {steps} steps of {batch} rows"
            if "warmup_steps" in config:
                config["warmup_steps"] = max(1, round(steps / 10))
                comments["warmup_steps"] = (f"# A tenth of the about {steps} steps of the data.",)
        notes.append(told)
    if dev:
        renamed[_DEV_PAIRS] = str(dev)
        if is_grpo:
            system = {"system": "none"} if recipe.header.get("system") == "none" else {}
            config["dev_accuracy"] = {"data": _DEV_PAIRS, "every": 0.1, **system}
    for command in recipe.header.get("produce", []):
        words = shlex.split(command.format(recipe=shlex.quote(path), **data_words(recipe.header)))
        made.append(shlex.join(renamed.get(word, word) for word in words))
    # Commands are templates still: `render` fills them in.
    produce = [command.replace("{", "{{").replace("}", "}}") for command in made]
    header = {**recipe.header, "produce": produce, "notes": notes}
    origins = {**recipe.origins, "dev_accuracy": "matrix"}
    config = _renamed(config, renamed)
    return replace(recipe, config=config, header=header, origins=origins, comments=comments)


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """A setting, with other paths wherever one of `names` stands in it."""
    if isinstance(value, dict):
        return {key: _renamed(value[key], names) for key in value}
    if isinstance(value, list):
        return [_renamed(one, names) for one in value]
    return names.get(value, value) if isinstance(value, str) else value
