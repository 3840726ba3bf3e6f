"""Python's first output from a filled cache: how long it takes, that it is right, and that no compiler was needed.

    python tests/python/first_output.py DATABASE [--problem preset=gpt-oss-20b] [--tokens 64] [--may-compile]

Without PyTorch: the tensors lie in the library's own memory. Prints JSON. Exit code: 0 right, 1 wrong or failed, 2 NVRTC was
loaded although the cache should have held everything (with --may-compile it may be).
"""

import time

start = time.perf_counter()

import argparse  # noqa: E402
import ctypes  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402

import rtjit  # noqa: E402

imported = time.perf_counter()


def create_context():
    """What every program that uses the GPU must do first: the driver's own work."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return  # emulated
    device, context = ctypes.c_int(), ctypes.c_void_p()
    for status in (
        cuda.cuInit(0),
        cuda.cuDeviceGet(ctypes.byref(device), 0),
        cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device),
    ):
        if status:
            sys.exit(f"first_output: the driver has no context for GPU 0 (error {status})")


def numbers(problem):
    """The keys of a problem's text that are whole numbers."""
    pairs = (part.split("=") for part in problem.split(","))
    return {key: int(value) for key, value in pairs if value.lstrip("-").isdigit()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("database")
    parser.add_argument("--problem", default="preset=gpt-oss-20b")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--may-compile", action="store_true")
    arguments = parser.parse_args()

    begin = time.perf_counter()
    create_context()
    context = time.perf_counter()
    library = rtjit.Library(database=arguments.database)
    kernel = library.open("moe_mxfp4", arguments.problem, max_bucket=arguments.tokens)
    opened = time.perf_counter()

    # An engine has its weights and tokens already.
    import moe_reference as reference
    import numpy as np
    import tensors

    sizes = numbers(kernel.problem)
    weights = reference.weights(problem=sizes)
    bias = next(a for a in kernel.arguments if a["name"] == "b1")["dtypes"]
    if "bf16" in bias:
        weights |= {name: reference.to_bf16(weights[name]) for name in ("b1", "b2")}
    x, ids, routing = reference.inputs(arguments.tokens, problem=sizes)

    def put(array):
        dtype = "bf16" if array.dtype == np.uint16 else None
        return tensors.OnHost(array, dtype) if library.emulated else tensors.InMemory(library, array, dtype)

    held = {name: put(array) for name, array in weights.items()}
    held_inputs = [put(array) for array in (x, ids, routing)]
    out = put(np.full_like(x, 0x7FC0))

    packing = time.perf_counter()
    experts = kernel.pack_weights(**{name: tensor.given for name, tensor in held.items()})
    packed = time.perf_counter()
    experts(*(tensor.given for tensor in held_inputs), out=out.given)
    got = reference.from_bf16(out.read())
    done = time.perf_counter()
    with open("/proc/self/maps") as maps:
        nvrtc = sorted({line.split()[-1] for line in maps if "nvrtc" in line})

    looked_at = slice(0, min(arguments.tokens, 2))  # NumPy takes seconds per token of a large problem
    if "bf16" in bias:
        weights |= {name: reference.from_bf16(weights[name]) for name in ("b1", "b2")}
    expected = reference.forward(weights, x[looked_at], ids[looked_at], routing[looked_at])
    error = float(reference.relative_error(got[looked_at], expected))
    right = error < 6e-3 and bool(np.isfinite(got).all())
    milliseconds = {
        "import_ms": imported - start, "context_ms": context - begin, "open_ms": opened - context,
        "pack_ms": packed - packing, "launch_and_read_ms": done - packed,
        "first_output_without_context_ms": imported - start + opened - context + done - packing,
    }  # fmt: skip
    report = {
        "right": right, "relative_error": error, "nvrtc_loaded": nvrtc, "tokens": arguments.tokens,
        "torch_loaded": "torch" in sys.modules, **{key: round(1e3 * value, 2) for key, value in milliseconds.items()},
        "device": library.device_name, "provenance": kernel.provenance(arguments.tokens),
    }  # fmt: skip
    print(json.dumps(report))
    if not right:
        return 1
    return 2 if nvrtc and not arguments.may_compile else 0


if __name__ == "__main__":
    sys.exit(main())
