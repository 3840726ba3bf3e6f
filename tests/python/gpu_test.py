"""What only a GPU can show: streams, CUDA graphs, torch.compile, and other libraries' memory. Needs PyTorch."""

import time

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch cannot be imported")
from torch._dynamo.utils import counters  # noqa: E402

import moe_reference as reference  # noqa: E402
import rtjit  # noqa: E402
import rtjit.torch  # noqa: E402

if rtjit.Library(database=":memory:").emulated:
    pytest.skip("needs a GPU; this library's device is emulated", allow_module_level=True)

MOST = 8


@pytest.fixture(scope="module")
def experts(moe):
    return moe.pack_weights(**{name: torch.from_numpy(array).cuda() for name, array in reference.weights().items()})


@pytest.fixture(scope="module")
def module(library):
    rtjit._libraries[0] = library
    tensors = {name: torch.from_numpy(array).cuda() for name, array in reference.weights().items()}
    return rtjit.torch.Mxfp4Experts(**tensors, top_k=2, max_tokens=MOST, limited=1, limit=7.0)


def inputs(tokens, seed=2):
    x, ids, routing = (torch.from_numpy(array).cuda() for array in reference.inputs(tokens, seed))
    return x.view(torch.bfloat16), ids, routing


def unwritten(x):
    return torch.full_like(x, float("nan"))


def same(got, expected):
    """Bit for bit."""
    return torch.equal(got.view(torch.int16), expected.view(torch.int16))


def right(got, tokens, seed=2):
    expected = reference.forward(reference.weights(), *reference.inputs(tokens, seed))
    return reference.relative_error(got.float().cpu().numpy(), expected) < 6e-3


@pytest.mark.parametrize("tokens", range(1, MOST + 1))
def test_a_captured_frozen_launch_serves_other_tokens(experts, tokens):
    x, ids, routing = inputs(tokens)
    out = unwritten(x)
    frozen = experts.freeze(x, ids, routing, out=out)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        frozen()
    assert out.isnan().all()  # capturing launches nothing
    for seed in (3, 4, 5):
        for tensor, other in zip((x, ids, routing), inputs(tokens, seed)):
            tensor.copy_(other)
        out.fill_(float("nan"))
        graph.replay()
        eager = unwritten(x)
        experts(*inputs(tokens, seed), out=eager)
        assert same(out, eager) and right(out, tokens, seed)


def test_a_call_is_captured_on_the_callers_stream(moe, experts):
    x, ids, routing = inputs(5)
    out, stream, graph = unwritten(x), torch.cuda.Stream(), torch.cuda.CUDAGraph()
    moe.reserve(MOST, stream)
    with torch.cuda.graph(graph, stream=stream):
        experts(x, ids, routing, out=out)
    for tensor, other in zip((x, ids, routing), inputs(5, seed=8)):
        tensor.copy_(other)
    graph.replay()
    eager = unwritten(x)
    experts(x, ids, routing, out=eager)
    assert same(out, eager) and right(out, 5, seed=8)


def test_the_operator_is_captured_with_workspace_of_the_graph(module):
    x, ids, routing = inputs(6)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = module(module(x, ids, routing), ids, routing)
    for tensor, other in zip((x, ids, routing), inputs(6, seed=8)):
        tensor.copy_(other)
    torch.full((1 << 20,), float("nan"), device="cuda")  # whoever left memory of the graph to others would see this
    graph.replay()
    assert same(out, module(module(x, ids, routing), ids, routing))


@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_compiled_code_launches_it(module, mode):
    def step(x, ids, routing):
        return torch.nn.functional.silu(module(x * 2.0, ids, routing)) + x

    counters.clear()
    compiled = torch.compile(step, fullgraph=True, mode=mode, dynamic=False)
    for seed in (2, 3, 4, 5):  # reduce-overhead: warms up, captures, replays
        arguments = inputs(4, seed)
        got, expected = compiled(*arguments).float(), step(*arguments).float()
        assert (got - expected).norm() < 1e-2 * expected.norm(), seed  # what is compiled rounds less often
    assert counters["inductor"]["cudagraph_skips"] == 0


def test_launches_on_pytorchs_current_stream(moe, experts):
    x, ids, routing = inputs(3)
    other = inputs(3, seed=6)[0]
    out, stream = unwritten(x), torch.cuda.Stream()
    moe.reserve(MOST, stream)  # allocating may wait
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        torch.cuda._sleep(200_000_000)  # about 0.1 s: what does not wait for the copy sees the old x
        x.copy_(other)
        start = time.perf_counter()
        experts(x, ids, routing, out=out)
        took, running = time.perf_counter() - start, not stream.query()
    stream.synchronize()
    eager = unwritten(x)
    experts(other, ids, routing, out=eager)
    assert same(out, eager)
    assert running and took < 0.05  # nor did the host wait


def test_a_given_stream_wins(moe, experts):
    x, ids, routing = inputs(3)
    out, stream = unwritten(x), torch.cuda.Stream()
    moe.reserve(MOST, stream)
    torch.cuda.synchronize()
    torch.cuda._sleep(400_000_000)  # the current stream is busy
    experts(x, ids, routing, out=out, stream=stream)
    stream.synchronize()
    assert not torch.cuda.current_stream().query() and right(out, 3)
    torch.cuda.synchronize()


def test_other_ways_to_pass_a_tensor(experts):
    """By the array interface and by DLPack's method alone, as libraries do that have no exchange functions."""

    class ArrayInterface:
        def __init__(self, tensor):
            bits = tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor
            self.keep, self.__cuda_array_interface__ = bits, bits.__cuda_array_interface__

    class Dlpack:
        def __init__(self, tensor):
            self.tensor = tensor

        def __dlpack__(self, **options):
            return self.tensor.__dlpack__(**options)

        def __dlpack_device__(self):
            return self.tensor.__dlpack_device__()

    x, ids, routing = inputs(4)
    expected = unwritten(x)
    experts(x, ids, routing, out=expected)
    torch.cuda.synchronize()
    out = unwritten(x)
    experts(Dlpack(x), Dlpack(ids), Dlpack(routing), out=Dlpack(out), stream=torch.cuda.current_stream())
    assert same(out, expected)
    out = unwritten(x)
    typed = [rtjit.tensor(ArrayInterface(tensor), "bf16") for tensor in (x, out)]
    experts(typed[0], ArrayInterface(ids), ArrayInterface(routing), out=typed[1], stream=torch.cuda.current_stream())
    assert same(out, expected)


def test_arrays_of_cupy(experts):
    cupy = pytest.importorskip("cupy", reason="CuPy cannot be imported")
    x, ids, routing = (cupy.asarray(array) for array in reference.inputs(4))
    out = cupy.asarray(np.full(x.shape, 0x7FC0, dtype=np.uint16))
    experts(rtjit.tensor(x, "bf16"), ids, routing, out=rtjit.tensor(out, "bf16"))
    assert right(torch.from_numpy(cupy.asnumpy(out).view("i2")).view(torch.bfloat16), 4)


def test_memory_of_the_library_is_a_tensor(moe, library, experts):
    memory = rtjit.empty(moe.packed_size, library=library)
    memory.write(experts.memory.read())
    view = torch.as_tensor(memory, device="cuda")
    assert view.data_ptr() == memory.ptr and view.numel() == memory.nbytes
    x, ids, routing = inputs(2)
    out = unwritten(x)
    moe(x, ids, routing, out=out, packed=moe.adopt_weights(moe.layout, view))
    assert right(out, 2)


def test_host_memory_is_refused(experts, module):
    x, ids, routing = inputs(2)
    with pytest.raises(
        rtjit.InvalidArgument, match="ids: in host memory, must be in cuda:0, where the library is open"
    ):
        experts(x, ids.cpu(), routing, out=unwritten(x))
    with pytest.raises(rtjit.InvalidArgument, match="x: in host memory, must be in cuda:0"):
        module(x.cpu(), ids.cpu(), routing.cpu())


def test_packed_weights_of_another_size_at_a_known_address_are_refused(module):
    arguments = inputs(2)
    whole = module.packed.clone()
    module._operator(arguments, torch.empty_like(arguments[0]), whole)
    with pytest.raises(rtjit.InvalidArgument, match="packed_bytes"):
        module._operator(arguments, torch.empty_like(arguments[0]), whole[:-1])
