"""A mixture of experts with MXFP4 weights as a module."""

from __future__ import annotations

import weakref
from typing import Any

import torch

from .. import Kernel
from .. import open as open_kernel
from .op import Operator

_operators: weakref.WeakValueDictionary[tuple[Any, ...], Operator] = weakref.WeakValueDictionary()


def _operator(device: torch.device, problem: dict[str, Any], max_tokens: int) -> Operator:
    """One kernel serves all layers of a model: they are one problem."""
    ordinal = device.index if device.type == "cuda" and device.index is not None else 0
    if device.type == "cuda" and device.index is None:
        ordinal = torch.cuda.current_device()
    key = (device.type, ordinal, max_tokens, tuple(problem.items()))
    operator = _operators.get(key)
    if operator is None:
        operator = Operator(open_kernel("moe_mxfp4", problem, device=ordinal, max_bucket=max_tokens))
        _operators[key] = operator
    return operator


class Mxfp4Experts(torch.nn.Module):
    """out[t] = sum over s of weights[t, s] * expert(ids[t, s])(x[t]); for inference.

    w1 [E, 2 I, H / 2], s1 [E, 2 I, H / 32], b1 [E, 2 I], w2 [E, H, I / 2], s2 [E, H, I / 32], b2 [E, H]: codes, scales and
    biases as checkpoints have them; b1 and b2 may be None. `problem`: further keys of moe_mxfp4 (layout, activation, ...).
    max_tokens: the most tokens of one call; 0: no limit, and more kernels to open.
    """

    packed: torch.Tensor

    def __init__(
        self,
        w1: torch.Tensor,
        s1: torch.Tensor,
        b1: torch.Tensor | None,
        w2: torch.Tensor,
        s2: torch.Tensor,
        b2: torch.Tensor | None,
        *,
        top_k: int,
        max_tokens: int = 0,
        **problem: Any,
    ) -> None:
        super().__init__()
        if (b1 is None) != (b2 is None):
            raise ValueError("b1 and b2: both or none")
        tensors = {"w1": w1, "s1": s1, "w2": w2, "s2": s2}
        bias = "none"
        if b1 is not None and b2 is not None:
            # The kernel takes both in one type; float32 holds whatever else may come.
            both_bf16 = b1.dtype == b2.dtype == torch.bfloat16
            bias, kind = ("bf16", torch.bfloat16) if both_bf16 else ("f32", torch.float32)
            tensors |= {"b1": b1.to(kind), "b2": b2.to(kind)}
        full = {
            "hidden": 2 * w1.shape[-1], "intermediate": w1.shape[-2] // 2, "experts": w1.shape[0], "top_k": top_k,
            "bias": bias, **problem,
        }  # fmt: skip
        self._operator = _operator(w1.device, full, max_tokens)
        with torch.no_grad():
            packed = self._operator.pack(**{name: tensor.contiguous() for name, tensor in tensors.items()})
        self.register_buffer("packed", packed, persistent=False)

    @property
    def kernel(self) -> Kernel:
        return self._operator.kernel

    def forward(self, x: torch.Tensor, ids: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """x [..., H], ids and weights [T, top_k] with T the rows of x. What is not bfloat16 is computed as bfloat16."""
        rows = x.reshape(-1, x.shape[-1]).to(torch.bfloat16)
        if weights.dtype not in (torch.float32, torch.bfloat16):
            weights = weights.float()
        out = torch.empty_like(rows, memory_format=torch.contiguous_format)
        inputs = [rows, ids.reshape(rows.shape[0], -1).contiguous(), weights.reshape(rows.shape[0], -1).contiguous()]
        torch.ops.rtjit.launch(self._operator.number, inputs, self.packed, out)
        return out.reshape(x.shape).to(x.dtype)
