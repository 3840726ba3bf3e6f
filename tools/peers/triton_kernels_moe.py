"""One layer of gpt-oss's experts by the package triton_kernels: MXFP4 weights, its default heuristics and layouts.

The package changed its interface over its releases; each class below speaks one of them, `find()` takes the one that is there:
  3.5  matmul_ogs, and routing() in a module of its own
  3.6  matmul_ogs, with ragged metadata made from the experts' counts
  main matmul and reduce, since the beginning of 2026
The package comes with Triton's sources (python/triton_kernels) and works with the Triton of its release.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import sys
from typing import Any

import torch

ALPHA, LIMIT = 1.702, 7.0  # gpt-oss's activation, the only one that the package has fused


@dataclasses.dataclass
class Weights:
    """As a checkpoint has them: codes [E, N, K / 2], scales [E, N, K / 32], biases [E, N] in float32."""

    w1: torch.Tensor
    s1: torch.Tensor
    b1: torch.Tensor
    w2: torch.Tensor
    s2: torch.Tensor
    b2: torch.Tensor


@dataclasses.dataclass
class Routing:
    """Of tokens to experts: ids and weights [T, k], and the same as rows sorted by expert."""

    ids: torch.Tensor
    weights: torch.Tensor
    experts: int
    order: torch.Tensor  # order[row] = token * k + slot, rows by expert
    position: torch.Tensor  # the inverse
    counts: torch.Tensor
    sorted_weights: torch.Tensor

    @staticmethod
    def of_logits(logits: torch.Tensor, top_k: int) -> Routing:
        values, ids = torch.topk(logits.float(), top_k, dim=-1)
        return Routing.of_ids(ids, torch.softmax(values, dim=-1), logits.shape[-1])

    @staticmethod
    def of_ids(ids: torch.Tensor, weights: torch.Tensor, experts: int) -> Routing:
        flat = ids.flatten()
        order = torch.argsort(flat, stable=True)
        position = torch.empty_like(order)
        position[order] = torch.arange(order.numel(), device=order.device)
        counts = torch.bincount(flat, minlength=experts)
        return Routing(
            ids, weights, experts, order.int(), position.int(), counts.int(), weights.flatten()[order].contiguous()
        )


class Unusable(Exception):
    """The package is not there, or not one that works here; the text says what to do."""


def _module(name: str) -> Any:
    return importlib.import_module(f"triton_kernels.{name}")


def _has(name: str) -> bool:
    return importlib.util.find_spec(f"triton_kernels.{name}") is not None


def find(path: str | None = None) -> type[_Layer]:
    """The class for the package that is there. path: the folder that holds `triton_kernels`, before all others."""
    if path:
        sys.path.insert(0, path)
    if importlib.util.find_spec("triton_kernels") is None:
        raise Unusable(
            "triton_kernels cannot be imported: it lies in python/triton_kernels of Triton's sources; "
            "name the folder that holds it with --peer-path"
        )
    try:
        if _has("matmul"):
            _module("matmul")
            return Matmul
        if _has("matmul_ogs"):
            _module("matmul_ogs")
            return MatmulOgsWithRouting if _has("routing") else MatmulOgs
    except (ImportError, AttributeError) as error:
        import triton

        raise Unusable(
            f"triton_kernels does not go with Triton {triton.__version__} ({error}); take the one of that release's sources"
        ) from None
    raise Unusable("triton_kernels has neither `matmul` nor `matmul_ogs`: a release that this program does not know")


class _Layer:
    """Weights in the package's layouts. prepare() is not timed; run() is what is."""

    interface = ""

    def __init__(self, weights: Weights, top_k: int, num_warps: int) -> None:
        self.top_k = top_k
        self.b1, self.b2 = weights.b1, weights.b2
        self.w1, scale1 = self._converted(weights.w1, weights.s1, num_warps)
        self.w2, scale2 = self._converted(weights.w2, weights.s2, num_warps)
        self.precision1, self.precision2 = self._precision(scale1), self._precision(scale2)

    def _converted(self, codes: torch.Tensor, scales: torch.Tensor, num_warps: int) -> tuple[Any, Any]:
        tensor, layout = _module("tensor"), _module("tensor_details.layout")
        axis = 1  # of [E, K, N]: the one that scales stand for 32 elements of
        try:
            value = layout.make_default_matmul_mxfp4_w_layout(mx_axis=axis)
        except AssertionError:  # later releases count it from the end
            axis = -2
            value = layout.make_default_matmul_mxfp4_w_layout(mx_axis=axis)
        scale = layout.make_default_matmul_mxfp4_w_scale_layout(mx_axis=axis, num_warps=num_warps)

        def convert(data: torch.Tensor, wanted: Any, **kind: Any) -> Any:
            wrapped = tensor.wrap_torch_tensor(data.transpose(-2, -1), **kind)  # [E, K, N], K contiguous
            if isinstance(wanted, tuple):  # up to 3.6 a class and what it is made with
                return tensor.convert_layout(wrapped, wanted[0], **wanted[1])
            return tensor.convert_layout(wrapped, wanted)

        return convert(codes, value, dtype=tensor.FP4), convert(scales, scale)

    def _matmul(self) -> Any:
        raise NotImplementedError

    def _precision(self, scale: Any) -> Any:
        kind = self._matmul().PrecisionConfig
        names = {field.name for field in dataclasses.fields(kind)}
        named = {"b_mx_scale" if "b_mx_scale" in names else "weight_scale": scale}
        if "b_microblock_size" in names:
            named["b_microblock_size"] = 32
        return kind(flex_ctx=self._matmul().FlexCtx(), **named)

    def _activation(self) -> Any:
        matmul, swiglu = self._matmul(), _module("swiglu").swiglu_fn
        specs, names = _module("specialize").FnSpecs, ("alpha", "limit")
        if "reduction_n" in {field.name for field in dataclasses.fields(specs)}:
            return matmul.FusedActivation(specs("swiglu", swiglu, names, reduction_n=2), (ALPHA, LIMIT))
        return matmul.FusedActivation(specs("swiglu", swiglu, names), (ALPHA, LIMIT), 2)

    def prepare(self, routing: Routing) -> Any:
        raise NotImplementedError

    def run(self, x: torch.Tensor, prepared: Any) -> torch.Tensor:
        raise NotImplementedError


class MatmulOgs(_Layer):
    interface = "matmul_ogs"

    def _matmul(self) -> Any:
        return _module("matmul_ogs")

    def prepare(self, routing: Routing) -> Any:
        matmul = self._matmul()
        ragged = _module("tensor").make_ragged_tensor_metadata(routing.counts, routing.order.numel())
        data = matmul.RoutingData(routing.sorted_weights, routing.counts, routing.experts, self.top_k, ragged)
        gather = matmul.GatherIndx(routing.order, routing.position)
        return data, gather, matmul.ScatterIndx(routing.position, routing.order)

    def run(self, x: torch.Tensor, prepared: Any) -> torch.Tensor:
        data, gather, scatter = prepared
        matmul_ogs = self._matmul().matmul_ogs
        hidden = matmul_ogs(
            x,
            self.w1,
            self.b1,
            data,
            gather_indx=gather,
            precision_config=self.precision1,
            fused_activation=self._activation(),
        )
        return matmul_ogs(
            hidden,
            self.w2,
            self.b2,
            data,
            scatter_indx=scatter,
            precision_config=self.precision2,
            gammas=data.gate_scal,
        )


class MatmulOgsWithRouting(MatmulOgs):
    interface = "matmul_ogs with routing()"

    def prepare(self, routing: Routing) -> Any:
        module = _module("routing")
        count = routing.order.numel()
        experts = module.compute_expt_data(routing.counts, routing.experts, count)
        data = module.RoutingData(routing.sorted_weights, routing.counts, routing.experts, self.top_k, experts)
        gather = module.GatherIndx(routing.order, routing.position)
        return data, gather, module.ScatterIndx(routing.position, routing.order)


class Matmul(_Layer):
    interface = "matmul"
    sums_by_torch = False

    def _matmul(self) -> Any:
        return _module("matmul")

    def prepare(self, routing: Routing) -> Any:
        ragged = _module("tensor").make_ragged_tensor_metadata(routing.counts, routing.order.numel())
        return ragged, routing.order // self.top_k, routing.order, routing.sorted_weights

    def run(self, x: torch.Tensor, prepared: Any) -> torch.Tensor:
        ragged, tokens, order, sorted_weights = prepared
        matmul = self._matmul().matmul
        hidden = matmul(
            x, self.w1, self.b1, a_ragged_metadata=ragged, gather_indx=tokens, precision_config=self.precision1,
            fused_activation=self._activation(),
        )  # fmt: skip
        rows = matmul(
            hidden, self.w2, self.b2, a_ragged_metadata=ragged, scatter_indx=order, precision_config=self.precision2,
            gammas=sorted_weights,
        )  # fmt: skip
        rows = rows.view(x.shape[0], self.top_k, rows.shape[-1])
        if not Matmul.sums_by_torch:
            try:
                return _module("reduce").reduce(rows, dim=1)[0]
            except Exception as error:  # some releases' reduce() does not compile with an older Triton
                print(
                    f"triton_kernels.reduce fails ({type(error).__name__}); torch.sum takes its place", file=sys.stderr
                )
                Matmul.sums_by_torch = True
        return torch.sum(rows, dim=1)
