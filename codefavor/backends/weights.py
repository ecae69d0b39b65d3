"""The content of local weights as one hash: a model trained again under its name is another."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from codefavor.once import once
from codefavor.records import content_id, file_sha256

_CONTENT = frozenset(
    {".json", ".jinja", ".model", ".txt", ".safetensors", ".bin", ".gguf", ".pt", ".pth"}
)
# What a trainer leaves beside the weights and no model is loaded from.
_TRAINER = ("optimizer", "scheduler", "rng_state", "training_args", "trainer_state", "scaler")


def weights_sha256(path: Path) -> str:
    """The hash of a model folder (weights, tokenizer, settings), or of one file.

    Every byte is read, as loading does: half of a training may change a thousandth of a file.
    """
    return once(("weights", str(path)), lambda: _sha256(path))


def _sha256(path: Path) -> str:
    if path.is_file():
        return file_sha256(path)
    files = [
        file
        for file in sorted(path.iterdir())
        if file.is_file() and file.suffix in _CONTENT and not file.name.startswith(_TRAINER)
    ]
    # Hashing lets other threads run, so the shards of a large model take all cores.
    with ThreadPoolExecutor() as threads:
        digests = threads.map(file_sha256, files)
        return content_id([[file.name, one] for file, one in zip(files, digests, strict=True)])
