"""Regenerates the PTX of the Triton kernels in ptx/. Needs `pip install triton`, no GPU."""
import os

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource


@triton.jit
def triton_softmax(out, source, columns, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    x = tl.load(source + row * columns + at, mask=at < columns, other=-float("inf"))
    weight = tl.exp(x - tl.max(x, axis=0))
    tl.store(out + row * columns + at, weight / tl.sum(weight, axis=0), mask=at < columns)


@triton.jit
def triton_matmul(a, b, c, n, k, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
    rows = tl.program_id(0) * M + tl.arange(0, M)
    columns = tl.program_id(1) * N + tl.arange(0, N)
    inner = tl.arange(0, K)
    total = tl.zeros((M, N), dtype=tl.float32)
    for start in range(0, k, K):
        left = tl.load(a + rows[:, None] * k + start + inner[None, :])
        right = tl.load(b + (start + inner[:, None]) * n + columns[None, :])
        total = tl.dot(left, right, total)
    tl.store(c + rows[:, None] * n + columns[None, :], total)


def write(name, kernel, signature, constants, capability):
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants,
                       attrs={(i,): [["tt.divisibility", 16]] for i, kind in enumerate(signature.values()) if kind[0] in "*i"
                              and kernel is triton_matmul})
    compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": 4})
    # Debug sections name the paths of the machine.
    text = compiled.asm["ptx"].split("\t.section")[0]
    lines = [line for line in text.splitlines() if not line.strip().startswith((".loc", ".file", "$L__tmp"))]
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "ptx", name + ".ptx"), "w") as file:
        file.write("\n".join(lines) + "\n")
    print(name, "shared", compiled.metadata.shared, [line for line in lines if ".param" in line and "ld" not in line])


pointers = {"out": "*fp32", "source": "*fp32", "columns": "i32", "BLOCK": "constexpr"}
product = {"a": "*fp16", "b": "*fp16", "c": "*fp32", "n": "i32", "k": "i32",
           "M": "constexpr", "N": "constexpr", "K": "constexpr"}
for capability in (80, 90):
    write(f"triton_softmax_sm{capability}", triton_softmax, pointers, {"BLOCK": 512}, capability)
    write(f"triton_matmul_sm{capability}", triton_matmul, product, {"M": 64, "N": 64, "K": 32}, capability)
