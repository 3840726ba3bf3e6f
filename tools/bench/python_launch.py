"""What a call from Python costs the host beyond the library's own work, and what the same call costs by ctypes.

    python tools/bench/python_launch.py                     # on a GPU, with PyTorch's tensors
    LD_LIBRARY_PATH=<folder of the tests' libcuda.so.1> python tools/bench/python_launch.py   # without one

Calls have no tokens, so the library checks its arguments and launches nothing. Figures are the best of many rounds.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import timeit

import rtjit
from rtjit._locate import library_file

PROBLEM = "hidden=64,intermediate=64,experts=4,top_k=2"
SHAPES = {"x": (0, 64), "ids": (0, 2), "weights": (0, 2), "out": (0, 64)}
DTYPES = {"x": 5, "ids": 3, "weights": 7, "out": 5}  # rtjit_dtype


class Tensor(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p), ("data", ctypes.c_void_p), ("dtype", ctypes.c_int), ("rank", ctypes.c_int32),
        ("shape", ctypes.c_int64 * 4), ("stride", ctypes.c_int64 * 4),
    ]  # fmt: skip


def torch_tensors():
    try:
        import torch
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None
    types = {5: torch.bfloat16, 3: torch.int32, 7: torch.float32}
    return {name: torch.empty(shape, dtype=types[DTYPES[name]], device="cuda") for name, shape in SHAPES.items()}


class Array:
    """Memory of the library by the array interface, for machines without PyTorch."""

    def __init__(self, shape, typestr):
        self.shape = shape
        self.memory = rtjit.empty(256)
        interface = {"shape": shape, "typestr": typestr, "data": (self.memory.ptr, False), "version": 3}
        self.__cuda_array_interface__ = interface

    def data_ptr(self):
        return self.memory.ptr

    def stride(self):
        return (self.shape[1], 1)


def array_tensors():
    made = {name: Array(shape, {5: "<i2", 3: "<i4", 7: "<f4"}[DTYPES[name]]) for name, shape in SHAPES.items()}
    return {name: rtjit.tensor(t, "bf16") if DTYPES[name] == 5 else t for name, t in made.items()}, made


def by_ctypes(plain, stream):
    """A careful ctypes binding: function and names prepared, structures filled per call as the tensors demand."""
    library = ctypes.CDLL(library_file())
    opened, kernel = ctypes.c_void_p(), ctypes.c_void_p()
    assert library.rtjit_library_open(None, ctypes.byref(opened)) == 0
    assert library.rtjit_kernel_open(opened, b"moe_mxfp4", PROBLEM.encode(), None, ctypes.byref(kernel)) == 0
    size = ctypes.c_size_t()
    library.rtjit_kernel_packed_size(kernel, ctypes.byref(size))
    packed, weights = ctypes.c_void_p(), ctypes.c_void_p()
    library.rtjit_memory_allocate(opened, size, ctypes.byref(packed))
    library.rtjit_kernel_layout.restype = ctypes.c_char_p
    layout = library.rtjit_kernel_layout(kernel)
    assert library.rtjit_weights_adopt(kernel, layout, packed, size, ctypes.byref(weights)) == 0
    launch = library.rtjit_kernel_launch
    launch.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t,
                       ctypes.c_void_p]  # fmt: skip
    names = [name.encode() for name in SHAPES]

    def call(*tensors):
        table = (Tensor * 4)()
        for entry, name, number, tensor in zip(table, names, DTYPES.values(), tensors):
            entry.name, entry.data, entry.dtype, entry.rank = name, tensor.data_ptr(), number, 2
            entry.shape[0:2], entry.stride[0:2] = tensor.shape, tensor.stride()
        status = launch(kernel, weights, table, 4, None, 0, stream)
        if status:
            raise RuntimeError(status)

    tensors = list(plain.values())
    return lambda: call(*tensors)


def best_ns(work, rounds=20, calls=2000) -> float:
    return 1e9 * min(timeit.repeat(work, number=calls, repeat=rounds)) / calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    json_wanted = parser.parse_args().json
    tensors = torch_tensors()
    kind = "PyTorch" if tensors else "array interface"
    plain = tensors
    if tensors is None:
        tensors, plain = array_tensors()
    kernel = rtjit.open("moe_mxfp4", PROBLEM, max_bucket=1)
    packed = rtjit.empty(kernel.packed_size)
    experts = kernel.adopt_weights(kernel.layout, packed)
    workspace = rtjit.empty(max(kernel.workspace_size(1), 1))
    x, ids, routing, out = tensors.values()
    figures = {
        "experts(x, ids, weights, out=out)": best_ns(lambda: experts(x, ids, routing, out=out)),
        "the same with stream= and workspace=": best_ns(
            lambda: experts(x, ids, routing, out=out, stream=0, workspace=workspace)
        ),
        "by ctypes": best_ns(by_ctypes(plain, 0)),
        "an empty Python function": best_ns(lambda: None),
    }
    if json_wanted:
        print(json.dumps({"tensors": kind, "library": os.path.basename(library_file()), "ns": figures}, indent=2))
        return
    print(f"tensors: {kind}")
    for name, value in figures.items():
        print(f"{name:40} {value:8.0f} ns")


if __name__ == "__main__":
    main()
