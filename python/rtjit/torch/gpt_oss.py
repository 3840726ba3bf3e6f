"""The experts of Hugging Face's gpt-oss (transformers' GptOssForCausalLM) by librtjit."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping

import torch

from .moe import Mxfp4Experts
from .mxfp4 import quantize_mxfp4


class GptOssExperts(torch.nn.Module):
    """Takes the place of transformers' GptOssExperts: the same call, the same result."""

    def __init__(self, experts: Mxfp4Experts) -> None:
        super().__init__()
        self.experts = experts

    def forward(
        self,
        hidden_states: torch.Tensor,
        router_indices: torch.Tensor,
        routing_weights: torch.Tensor,
    ) -> torch.Tensor:
        return self.experts(hidden_states, router_indices, routing_weights)


def _problem(experts: Any) -> dict[str, Any]:
    return {
        "layout": "interleaved", "activation": "swiglu_oai", "alpha": float(experts.alpha), "beta": 1.0, "limited": 1,
        "limit": float(experts.limit),
    }  # fmt: skip


def _tensors_of(experts: Any) -> dict[str, torch.Tensor]:
    """Of the dense module, whose matrices are [E, in, out]. Exact where they were dequantised from MXFP4."""
    w1, s1 = quantize_mxfp4(experts.gate_up_proj.detach().transpose(1, 2))
    w2, s2 = quantize_mxfp4(experts.down_proj.detach().transpose(1, 2))
    b1, b2 = experts.gate_up_proj_bias.detach(), experts.down_proj_bias.detach()
    return {"w1": w1, "s1": s1, "b1": b1, "w2": w2, "s2": s2, "b2": b2}


def experts_from_checkpoint(
    tensors: Mapping[str, torch.Tensor], prefix: str, device: torch.device | str | None = None
) -> dict[str, torch.Tensor]:
    """What Mxfp4Experts takes, from a checkpoint's `prefix`gate_up_proj_blocks, _scales, _bias and down_proj_*."""
    found = {}
    for name, end in (("1", "gate_up_proj"), ("2", "down_proj")):
        blocks = tensors[f"{prefix}{end}_blocks"].to(device)  # [E, rows, K / 32, 16]
        found["w" + name] = blocks.flatten(-2).contiguous()
        found["s" + name] = tensors[f"{prefix}{end}_scales"].to(device).contiguous()
        found["b" + name] = tensors[f"{prefix}{end}_bias"].to(device).contiguous()
    return found


class _Folder(Mapping[str, torch.Tensor]):
    """The tensors of all *.safetensors of a folder, read when asked for."""

    def __init__(self, folder: Path) -> None:
        from safetensors import safe_open

        self._files = {}
        for file in sorted(folder.glob("*.safetensors")):
            opened = safe_open(str(file), framework="pt")
            self._files.update({name: opened for name in opened.keys()})
        if not self._files:
            raise FileNotFoundError(f"{folder}: holds no *.safetensors")

    def __getitem__(self, name: str) -> torch.Tensor:
        return self._files[name].get_tensor(name)

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def replace_experts(
    model: torch.nn.Module,
    checkpoint: str | Path | Mapping[str, torch.Tensor] | None = None,
    *,
    max_tokens: int = 0,
    **problem: Any,
) -> int:
    """Puts librtjit in the place of every experts module of a gpt-oss model; how many there were.

    checkpoint: the model's folder or its tensors by name, whose MXFP4 codes are then taken as they are. None: the model's own
    dense matrices are quantised, which is exact for a model that was loaded with Mxfp4Config(dequantize=True).
    max_tokens: see Mxfp4Experts. problem: further keys of moe_mxfp4, such as sums="any_order" or activations="mxfp8". The dense
    matrices are freed, one layer after the other.
    """
    source = _Folder(Path(checkpoint)) if isinstance(checkpoint, (str, Path)) else checkpoint
    layers = [
        (name, module) for name, module in model.named_modules() if type(module).__name__ == "GptOssMLP"
    ]
    if not layers:
        raise ValueError(f"{type(model).__name__}: has no GptOssMLP; this replaces the experts of gpt-oss models")
    for name, layer in layers:
        experts = layer.experts
        device = next(experts.parameters()).device
        if source is not None:
            tensors = experts_from_checkpoint(source, f"{name}.experts.", device)
        elif experts.gate_up_proj.dtype == torch.uint8:
            raise ValueError(f"{name}: its weights are in a layout of another kernel; pass checkpoint=, the model's folder")
        else:
            tensors = _tensors_of(experts)
        layer.experts = GptOssExperts(
            Mxfp4Experts(**tensors, top_k=layer.router.top_k, max_tokens=max_tokens, **{**_problem(experts), **problem})
        )
        del experts, tensors
    return len(layers)
