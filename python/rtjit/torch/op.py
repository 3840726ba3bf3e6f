"""rtjit::launch, the one operator behind everything here: a kernel writes `out` from `inputs`.

It is registered with the dispatcher rather than by torch.library.custom_op, whose wrapper costs more time than a launch. The
fake kernel does nothing: the operator returns nothing and writes a tensor that its caller made.
"""

from __future__ import annotations

import itertools
import weakref
from typing import Sequence

import torch

from .._rtjit import Kernel, Memory, Weights

_operators: weakref.WeakValueDictionary[int, Operator] = weakref.WeakValueDictionary()
_numbers = itertools.count(1)


class Operator:
    """A kernel as a function of tensors. Keep it as long as graphs that were captured or compiled with it are used."""

    _emulated: bool  # the device's memory is not PyTorch's: the C++ module copies tensors, here packed weights are copied

    def __init__(self, kernel: Kernel) -> None:
        written = [argument["name"] for argument in kernel.arguments if argument["written"]]
        if len(written) != 1:
            raise ValueError(f"the operator serves kernels that write one tensor; this one writes {written}")
        self.kernel = kernel
        self._written = written[0]
        self._emulated = kernel.library.emulated
        self._workspace_sizes: dict[int, int] = {}
        self._weights: dict[tuple[int, int], Weights] = {}  # by address and size: another tensor may get the same address
        self.number = next(_numbers)
        _operators[self.number] = self

    def pack(self, **tensors: torch.Tensor) -> torch.Tensor:
        """Packs weights into a tensor, which __call__ takes as `packed`. It may be moved and copied as tensors may."""
        first = next(iter(tensors.values()))
        if self._emulated:
            memory = self.kernel.pack_weights(**tensors).memory
            return torch.frombuffer(bytearray(memory.read()), dtype=torch.uint8)
        packed = torch.empty(self.kernel.packed_size, dtype=torch.uint8, device=first.device)
        self.kernel.pack_weights(packed=packed, **tensors)
        return packed

    def __call__(self, inputs: Sequence[torch.Tensor], out: torch.Tensor, packed: torch.Tensor | None = None) -> torch.Tensor:
        """`inputs`: the tensors that the kernel reads, in the manifest's order. Returns `out`."""
        torch.ops.rtjit.launch(self.number, inputs, packed, out)
        return out

    def _launch(self, inputs: Sequence[torch.Tensor], packed: torch.Tensor | None, out: torch.Tensor) -> None:
        weights = None if packed is None else self._weights_in(packed)
        named = {self._written: out}
        if self._emulated:
            self.kernel(*inputs, packed=weights, **named)
            return
        rows = out.shape[0]
        size = self._workspace_sizes.get(rows)
        if size is None:
            size = self._workspace_sizes[rows] = self.kernel.workspace_size(rows)
        # From PyTorch's allocator: right on every stream and in the pools of captured graphs.
        workspace = torch.empty(size, dtype=torch.uint8, device=out.device) if size else None
        self.kernel(*inputs, packed=weights, workspace=workspace, **named)

    def _weights_in(self, packed: torch.Tensor) -> Weights:
        if self._emulated:
            memory = Memory(self.kernel.library, packed.numel())
            memory.write(packed.numpy())
            return self.kernel.adopt_weights(self.kernel.layout, memory)
        place = (packed.data_ptr(), packed.numel())
        weights = self._weights.get(place)
        if weights is None:
            weights = self._weights[place] = self.kernel.adopt_weights(self.kernel.layout, _Borrowed(*place))
        return weights


class _Borrowed:
    """Memory of a tensor that the caller keeps: weights that are remembered must not keep it as well."""

    def __init__(self, address: int, nbytes: int) -> None:
        self.__cuda_array_interface__ = {"shape": (nbytes,), "typestr": "|u1", "data": (address, False), "version": 3}


_library = torch.library.Library("rtjit", "DEF")
_library.define("launch(int operator, Tensor[] inputs, Tensor? packed, Tensor(a!) out) -> ()")


def _launch(operator: int, inputs: Sequence[torch.Tensor], packed: torch.Tensor | None, out: torch.Tensor) -> None:
    _operators[operator]._launch(inputs, packed, out)


_library.impl("launch", _launch, "CUDA")
_library.impl("launch", _launch, "CPU")  # with librtjit_emulated.so; librtjit.so says where the tensors must be


@torch.library.register_fake("rtjit::launch", lib=_library)
def _(operator: int, inputs: Sequence[torch.Tensor], packed: torch.Tensor | None, out: torch.Tensor) -> None:
    return None
