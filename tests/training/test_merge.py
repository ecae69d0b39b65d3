"""Merging against formulas written here, and folders that transformers would load."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file  # noqa: E402

from codefavor.errors import ConfigError  # noqa: E402
from codefavor.training import merge, model_folders  # noqa: E402


def model_folder(path: Path, seed: int, dtype=torch.float32) -> Path:
    path.mkdir()
    (path / "config.json").write_text('{"model_type": "tiny"}')
    generator = torch.Generator().manual_seed(seed)
    tensors = {name: torch.randn(3, 4, generator=generator).to(dtype) for name in ("a.w", "b.w")}
    save_file(tensors, path / "model.safetensors")
    return path


def adapter_folder(path: Path, seed: int, rank: int, alpha: int) -> Path:
    path.mkdir()
    config = {"base_model_name_or_path": "base", "r": rank, "lora_alpha": alpha}
    (path / "adapter_config.json").write_text(json.dumps(config))
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        "m.lora_A.weight": torch.randn(rank, 5, generator=generator),
        "m.lora_B.weight": torch.randn(6, rank, generator=generator),
    }
    save_file(tensors, path / "adapter_model.safetensors")
    return path


def delta(path: Path) -> torch.Tensor:
    tensors = load_file(path / "adapter_model.safetensors")
    config = json.loads((path / "adapter_config.json").read_text())
    scale = config["lora_alpha"] / config["r"]
    return scale * tensors["m.lora_B.weight"] @ tensors["m.lora_A.weight"]


def test_linear_is_the_weighted_mean(tmp_path: Path):
    folders = [model_folder(tmp_path / str(seed), seed) for seed in (1, 2)]
    merge.merge_models(folders, tmp_path / "out", weights=[1, 3])
    first, second, out = (load_file(f / "model.safetensors") for f in (*folders, tmp_path / "out"))
    for name in first:
        assert torch.allclose(out[name], 0.25 * first[name] + 0.75 * second[name], atol=1e-6)
    assert (tmp_path / "out" / "config.json").is_file()


def test_slerp_of_orthogonal_vectors_stays_on_the_circle():
    a, b = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    third = merge.slerp(a, b, 1 / 3)
    expected = [math.cos(math.pi / 6), math.sin(math.pi / 6)]
    assert third.tolist() == pytest.approx(expected)
    assert merge.slerp(a, 2 * a, 0.5).tolist() == [1.5, 0.0]


def test_ties_keeps_the_largest_differences_of_the_elected_sign():
    """By hand, density 1/2. base 0; differences x = (4, -1, 3, 0.5), y = (2, -5, -2.5, 0.1).

    Trimmed to the two largest: x (4, 0, 3, 0), y (0, -5, -2.5, 0). Signs of the sums: +, -, +, 0.
    Means of those that agree: 4, -5, 3, 0.
    """
    base = torch.zeros(4)
    x, y = torch.tensor([4.0, -1.0, 3.0, 0.5]), torch.tensor([2.0, -5.0, -2.5, 0.1])
    assert merge.ties(base, [x, y], [1, 1], 0.5).tolist() == [4.0, -5.0, 3.0, 0.0]


def test_adapters_of_different_rank_merge_exactly(tmp_path: Path):
    folders = [
        adapter_folder(tmp_path / "one", 1, rank=2, alpha=8),
        adapter_folder(tmp_path / "two", 2, rank=3, alpha=3),
    ]
    merge.merge_adapters(folders, tmp_path / "out", [1, 3])
    expected = 0.25 * delta(folders[0]) + 0.75 * delta(folders[1])
    assert torch.allclose(delta(tmp_path / "out"), expected, atol=1e-5)


def test_large_models_are_sharded_with_an_index(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(model_folders, "SHARD_BYTES", 30)
    folders = [model_folder(tmp_path / str(seed), seed, torch.bfloat16) for seed in (1, 2)]
    merge.merge_models(folders, tmp_path / "out")
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert index["weight_map"] == {
        "a.w": "model-00001-of-00002.safetensors",
        "b.w": "model-00002-of-00002.safetensors",
    }
    shard = load_file(tmp_path / "out" / "model-00001-of-00002.safetensors")
    assert shard["a.w"].dtype == torch.bfloat16


def test_models_of_different_shape_are_refused_and_nothing_is_left(tmp_path: Path):
    one = model_folder(tmp_path / "one", 1)
    other = tmp_path / "other"
    other.mkdir()
    save_file({"a.w": torch.zeros(3, 4), "b.w": torch.zeros(2, 2)}, other / "model.safetensors")
    with pytest.raises(ConfigError, match=r"b\.w is \(2, 2\)"):
        merge.merge_models([one, other], tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "other"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "dare"}, "known: linear, slerp, ties"),
        ({"method": "ties"}, "needs the base model"),
        ({"weights": [1.0]}, "as many weights"),
        ({"weights": [1.0, -1.0]}, "none below 0"),
        ({"method": "slerp", "n": 3}, "slerp merges two"),
    ],
)
def test_requests_that_mean_nothing_are_refused(tmp_path: Path, options, message):
    folders = [tmp_path / str(n) for n in range(options.pop("n", 2))]
    with pytest.raises(ConfigError, match=message):
        merge.merge_models(folders, tmp_path / "out", **options)


def lora_folder(path: Path, seed: int) -> Path:
    """A LoRA adapter of the matrix a.w (3 x 4) of `model_folder`."""
    path.mkdir()
    config = {"base_model_name_or_path": "base", "r": 2, "lora_alpha": 6}
    (path / "adapter_config.json").write_text(json.dumps(config))
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        "base_model.model.a.lora_A.weight": torch.randn(2, 4, generator=generator),
        "base_model.model.a.lora_B.weight": torch.randn(3, 2, generator=generator),
    }
    save_file(tensors, path / "adapter_model.safetensors")
    return path


def adapted(path: Path) -> torch.Tensor:
    tensors = load_file(path / "adapter_model.safetensors")
    first, second = (tensors[f"base_model.model.a.lora_{one}.weight"] for one in "AB")
    return 3.0 * second @ first  # alpha 6 / rank 2


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    folder.mkdir()
    generator = torch.Generator().manual_seed(9)
    tensors = {f"{one}.weight": torch.randn(3, 4, generator=generator) for one in "ab"}
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    return folder


@pytest.mark.parametrize("method", ["linear", "slerp", "ties"])
def test_adapters_merge_on_their_base_by_every_method(method: str, base: Path, tmp_path: Path):
    folders = [lora_folder(tmp_path / str(seed), seed) for seed in (1, 2)]
    merge.merge_models(folders, tmp_path / "out", method=method, base=base, density=0.5)
    plain = load_file(base / "model.safetensors")
    found = load_file(tmp_path / "out" / "model.safetensors")
    both = [plain["a.weight"] + adapted(folder) for folder in folders]
    expected = {
        "linear": sum(both) / 2,
        "slerp": merge.slerp(*both, 0.5),
        "ties": merge.ties(plain["a.weight"], both, [1, 1], 0.5),
    }[method]
    assert torch.allclose(found["a.weight"], expected, atol=1e-5)
    assert torch.equal(found["b.weight"], plain["b.weight"])
    assert not (tmp_path / "out" / "adapter_config.json").exists()


def test_an_adapter_merges_with_a_whole_model(base: Path, tmp_path: Path):
    adapter = lora_folder(tmp_path / "adapter", 1)
    merge.merge_models([base, adapter], tmp_path / "out", base=base)
    found = load_file(tmp_path / "out" / "model.safetensors")["a.weight"]
    plain = load_file(base / "model.safetensors")["a.weight"]
    assert torch.allclose(found, plain + 0.5 * adapted(adapter), atol=1e-5)


def test_an_adapter_without_its_base_is_refused(base: Path, tmp_path: Path):
    adapter = lora_folder(tmp_path / "adapter", 1)
    with pytest.raises(ConfigError, match="name the model that it was trained on"):
        merge.merge_models([base, adapter], tmp_path / "out")


def test_an_adapter_of_another_model_is_refused(tmp_path: Path):
    adapter = lora_folder(tmp_path / "adapter", 1)
    other = tmp_path / "other"
    other.mkdir()
    save_file({"c.weight": torch.zeros(3, 4)}, other / "model.safetensors")
    with pytest.raises(ConfigError, match=r"adapts a\.weight, which .*other does not have"):
        merge.merge_models([adapter, adapter], tmp_path / "out", base=other)


def test_files_beside_the_models_own_are_not_read(base: Path, tmp_path: Path):
    """Some repositories hold their weights a second time under other names."""
    save_file({"x": torch.zeros(1)}, base / "consolidated.safetensors")
    merge.merge_models([base, base], tmp_path / "out")
    assert set(load_file(tmp_path / "out" / "model.safetensors")) == {"a.weight", "b.weight"}


def test_adapters_on_experts_are_refused_with_what_to_do(base: Path, tmp_path: Path):
    """Their matrices hold every expert's ranks in turn: stacked, they would be another adapter."""
    folders = [lora_folder(tmp_path / name, seed) for seed, name in enumerate("ab")]
    for folder in folders:
        path = folder / "adapter_config.json"
        config = {**json.loads(path.read_text()), "target_parameters": ["mlp.experts.down_proj"]}
        path.write_text(json.dumps(config))
    message = r"adapts experts \(mlp\.experts\.down_proj\).*codefavor export"
    with pytest.raises(ConfigError, match=message):
        merge.merge_adapters(folders, tmp_path / "out")
    with pytest.raises(ConfigError, match=message):
        merge.merge_models(folders, tmp_path / "out", base=base)
    assert not (tmp_path / "out").exists()
