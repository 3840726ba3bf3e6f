"""Runs the peer at every token count: data, check against PyTorch, time."""

from __future__ import annotations

import math
from typing import Any, Callable

import torch

import timing
from triton_kernels_moe import ALPHA, LIMIT, Routing, Unusable, Weights, find

__all__ = ["Unusable", "measure"]

_VALUES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
WRONG = 1e-2  # relative error above which a result is wrong; bfloat16 roundings make about 3e-3


def drawn_weights(experts: int, hidden: int, intermediate: int, device: str, seed: int) -> Weights:
    generator = torch.Generator(device).manual_seed(seed)

    def pair(rows: int, columns: int) -> tuple[torch.Tensor, torch.Tensor]:
        codes = torch.randint(
            0, 256, (experts, rows, columns // 2), dtype=torch.uint8, device=device, generator=generator
        )
        scales = torch.randint(
            119, 123, (experts, rows, columns // 32), dtype=torch.uint8, device=device, generator=generator
        )
        return codes, scales

    w1, s1 = pair(2 * intermediate, hidden)
    w2, s2 = pair(hidden, intermediate)
    b1 = torch.randn(experts, 2 * intermediate, device=device, generator=generator)
    b2 = torch.randn(experts, hidden, device=device, generator=generator)
    return Weights(w1, s1, b1, w2, s2, b2)


def widened(codes: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    table = torch.tensor([*_VALUES, *(-value for value in _VALUES)], device=codes.device)
    values = torch.stack((table[(codes & 15).long()], table[(codes >> 4).long()]), -1).flatten(-2)
    return torch.ldexp(values.unflatten(-1, (-1, 32)), (scales.int() - 127).unsqueeze(-1)).flatten(-2)


def expected(weights: Weights, x: torch.Tensor, routing: Routing) -> torch.Tensor:
    """In float32, with bfloat16 only where activations are stored."""
    out = torch.zeros(x.shape, device=x.device)
    for token in range(x.shape[0]):
        for expert, share in zip(routing.ids[token].tolist(), routing.weights[token].tolist()):
            both = widened(weights.w1[expert], weights.s1[expert]) @ x[token].float() + weights.b1[expert]
            gate, up = both[0::2].clamp(max=LIMIT), both[1::2].clamp(-LIMIT, LIMIT)
            hidden = (gate * torch.sigmoid(ALPHA * gate) * (up + 1)).bfloat16().float()
            out[token] += share * (widened(weights.w2[expert], weights.s2[expert]) @ hidden + weights.b2[expert])
    return out


def calls_of(tokens: int) -> int:
    """Distinct routings and inputs in a graph: fewer where one call reads every expert anyway."""
    return 16 if tokens <= 64 else 8 if tokens <= 512 else 4


def measure(
    problem: dict[str, str], sizes: list[int], path: str | None, warps: list[int], say: Callable[[str], None]
) -> tuple[dict[int, dict[str, Any]], str, dict[str, str]]:
    """{tokens: {us, warps, error, all_us, notes}}, the package's interface, and versions."""
    layer = find(path)
    if not torch.cuda.is_available():
        raise Unusable("PyTorch sees no GPU")
    import triton

    experts, hidden, intermediate, top_k = (int(problem[key]) for key in ("experts", "hidden", "intermediate", "top_k"))
    copies = 4 if experts <= 32 else 3
    results: dict[int, dict[str, Any]] = {
        size: {"us": None, "warps": None, "error": None, "wrong": False, "all_us": {}, "notes": []} for size in sizes
    }
    with torch.no_grad():
        for num_warps in warps:
            layers = []
            for copy in range(copies):
                weights = drawn_weights(experts, hidden, intermediate, "cuda", seed=copy)
                layers.append(layer(weights, top_k, num_warps))
                if copy == 0:
                    checked = weights
            for size in sizes:
                try:
                    times, error = _one(layers, checked, size, experts, hidden, top_k)
                except Exception as failure:  # a peer that fails at one size still has the others
                    text = f"{num_warps} warps: {type(failure).__name__}: {str(failure).splitlines()[0] if str(failure) else ''}"
                    results[size]["notes"].append(text)
                    say(f"{size} tokens, {text}")
                    continue
                us = timing.median(times)
                say(f"{size} tokens, {num_warps} warps: {us:.1f} us, error {error:.1e}")
                _take(results[size], us, num_warps, error)
            del layers, checked, weights
            torch.cuda.empty_cache()
    interface = layer.interface + (" with torch.sum for reduce" if getattr(layer, "sums_by_torch", False) else "")
    return results, interface, {"triton": triton.__version__, "torch": torch.__version__}


def _take(result: dict[str, Any], us: float, num_warps: int, error: float) -> None:
    """The fastest counts, but what is right before what is not."""
    result["all_us"][str(num_warps)] = us
    wrong = not error < WRONG
    if wrong:
        result["notes"].append(f"{num_warps} warps: the peer's result is wrong (relative error {error:.1e})")
    if result["us"] is None or (wrong, us) < (result["wrong"], result["us"]):
        known = error if math.isfinite(error) else None  # JSON has no NaN
        result.update(us=us, warps=num_warps, error=known, wrong=wrong)


def _one(
    layers: list[Any], checked: Weights, tokens: int, experts: int, hidden: int, top_k: int
) -> tuple[list[float], float]:
    generator = torch.Generator("cuda").manual_seed(tokens)
    count = calls_of(tokens)
    calls = []
    for index in range(count):
        x = torch.randn(tokens, hidden, device="cuda", generator=generator).bfloat16()
        routing = Routing.of_logits(torch.randn(tokens, experts, device="cuda", generator=generator), top_k)
        layer = layers[index % len(layers)]
        if index == 0:
            few = min(tokens, 8)
            right = expected(checked, x[:few], routing)
            got = layer.run(x, layer.prepare(routing))[:few].float()
            error = float((got - right).norm() / right.norm())
        calls.append(lambda layer=layer, x=x, prepared=layer.prepare(routing): layer.run(x, prepared))
    graph = timing.graph_of(calls)
    return timing.microseconds_per_call(graph, count), error
