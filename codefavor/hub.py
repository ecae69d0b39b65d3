"""Finished folders to the Hugging Face Hub, and models from it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from codefavor.errors import ConfigError, MissingPackageError


def check_push(repository: str) -> None:
    """Raise ConfigError for a push that cannot work: offline, no token, no `owner/name`."""
    if os.environ.get("HF_HUB_OFFLINE") == "1":
        raise ConfigError("HF_HUB_OFFLINE=1 is set, so nothing can be pushed; unset it and retry")
    owner, _, name = repository.partition("/")
    if not owner or not name or "/" in name:
        raise ConfigError(f"--push {repository!r}: expected OWNER/NAME")
    try:
        from huggingface_hub import get_token
    except ImportError as error:
        raise MissingPackageError("huggingface_hub", "hub", "pushing to the Hub") from error
    if not get_token():
        raise ConfigError("no Hub token: set HF_TOKEN, or log in once with `hf auth login`")


def push_folder(
    folder: Path,
    repository: str,
    *,
    kind: Literal["model", "dataset"],
    private: bool = True,
    endpoint: str | None = None,
) -> str:
    """Upload a folder with its README.md as one commit; returns the commit's address.

    A missing repository is made, private unless told otherwise; the visibility of one that
    exists stays. The token is that of `HF_TOKEN` or of `hf auth login`. Raises ConfigError,
    before anything is sent, when the machine is set to be offline, the name is not
    `owner/name`, or there is no card or token.
    """
    check_push(repository)
    if not (folder / "README.md").is_file():
        raise ConfigError(f"{folder}: no README.md (the {kind} card); nothing was pushed")
    from httpx import HTTPError
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi(endpoint=endpoint)
    try:
        api.create_repo(repository, repo_type=kind, private=private, exist_ok=True)
        commit = api.upload_folder(
            folder_path=folder,
            repo_id=repository,
            repo_type=kind,
            commit_message=f"Upload {folder.name}",
        )
    except HfHubHTTPError as error:
        raise ConfigError(f"the Hub refused {repository}: {_reason(error)}") from error
    except (HTTPError, OSError) as error:
        raise ConfigError(f"the Hub cannot be reached, nothing was pushed: {error}") from error
    return str(commit.commit_url)


# What the same weights are also published as; a folder needs them once.
_OTHER_WEIGHTS = ["*.bin", "*.pth", "*.h5", "*.msgpack", "*.onnx", "*.gguf", "original/*", "onnx/*"]


def download_model(
    repository: str, out: Path, *, revision: str = "", endpoint: str | None = None
) -> Path:
    """The files of a model, adapter or tokenizer as the folder `out`; returns `out`.

    A download that was stopped goes on. Where there are safetensors, the same weights in other
    forms are left out. Raises ConfigError where nothing can be downloaded: offline, no
    `owner/name`, unknown or closed to this token, or a folder that holds something else.
    """
    if os.environ.get("HF_HUB_OFFLINE") == "1":
        raise ConfigError(
            f"HF_HUB_OFFLINE=1 is set, so {repository} cannot be downloaded; unset it, or copy the "
            "model's folder here from a machine that has it, and name that folder"
        )
    owner, _, name = repository.partition("/")
    if not owner or not name or "/" in name:
        raise ConfigError(f"{repository!r}: expected OWNER/NAME, as in HuggingFaceTB/SmolLM2-135M")
    if out.exists() and not (out / ".cache" / "huggingface").is_dir() and any(out.iterdir()):
        raise ConfigError(f"{out}: holds other files; name another folder")
    try:
        from httpx import HTTPError
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    except ImportError as error:
        raise MissingPackageError("huggingface_hub", "hub", "downloading a model") from error
    api = HfApi(endpoint=endpoint)
    try:
        files = api.list_repo_files(repository, revision=revision or None)
        is_safe = any(file.endswith(".safetensors") for file in files)
        ignored = _OTHER_WEIGHTS if is_safe else []
        api.snapshot_download(
            repository, revision=revision or None, local_dir=out, ignore_patterns=ignored
        )
    except (HfHubHTTPError, HFValidationError) as error:
        raise ConfigError(f"the Hub refused {repository}: {_reason(error)}") from error
    except (HTTPError, OSError) as error:
        raise ConfigError(f"the Hub cannot be reached for {repository}: {error}") from error
    return out


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2]) or type(error).__name__
