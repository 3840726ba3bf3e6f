"""MXFP4 in PyTorch: blocks of 32 E2M1 codes, two per byte (low nibble first), with one E8M0 scale."""

from __future__ import annotations

import torch

BLOCK = 32
_VALUES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
_BIAS = 127  # a scale byte b stands for 2^(b - 127)


def quantize_mxfp4(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes [..., K / 2] and scales [..., K / 32], both uint8, of a tensor [..., K].

    Nearest codes, ties to even. What was dequantised from MXFP4 before gets codes of exactly the same values.
    """
    if weight.shape[-1] % BLOCK:
        raise ValueError(f"weight: last dimension {weight.shape[-1]}, must be a multiple of {BLOCK}")
    blocks = weight.float().unflatten(-1, (-1, BLOCK))
    largest = blocks.abs().amax(-1)
    # 4 is the largest power of two among the values. frexp is exact where log2 may round up.
    exponent = torch.where(largest > 0, torch.frexp(largest).exponent - 3, -_BIAS).clamp(-_BIAS, _BIAS)
    scaled = torch.ldexp(blocks, -exponent.unsqueeze(-1))
    values = torch.tensor(_VALUES, device=weight.device)
    middles = (values[1:] + values[:-1]) / 2
    magnitude = scaled.abs().contiguous()
    code = torch.bucketize(magnitude, middles)  # a value at a middle gets the lower code
    tie = (code < 7) & (magnitude == middles[code.clamp(max=6)]) & (code % 2 == 1)
    code = (code + tie) | (torch.signbit(scaled).to(code.dtype) << 3)
    code = code.flatten(-2).to(torch.uint8)
    return code[..., 0::2] | (code[..., 1::2] << 4), (exponent + _BIAS).to(torch.uint8)


def dequantize_mxfp4(codes: torch.Tensor, scales: torch.Tensor, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    """The tensor [..., K] that codes [..., K / 2] and scales [..., K / 32] stand for; exact in bfloat16."""
    table = torch.tensor([*_VALUES, *(-value for value in _VALUES)], device=codes.device)
    values = torch.stack((table[(codes & 15).long()], table[(codes >> 4).long()]), -1).flatten(-2)
    exponents = (scales.int() - _BIAS).unsqueeze(-1)
    return torch.ldexp(values.unflatten(-1, (-1, BLOCK)), exponents).flatten(-2).to(dtype)
