"""Kernels through Python: results, names, memory, and what a caller gets wrong."""

import numpy as np
import pytest

import moe_reference as reference
import rtjit


@pytest.fixture(scope="module")
def weights():
    return reference.weights()


@pytest.fixture(scope="module")
def given_weights(weights, tensor):
    return {name: tensor(array).given for name, array in weights.items()}


@pytest.fixture(scope="module")
def experts(moe, given_weights):
    return moe.pack_weights(**given_weights)


@pytest.fixture(scope="module")
def given(tensor):
    """given(tokens): x, ids, weights and out, as the library takes them; all of out is NaN."""

    def make(tokens):
        x, ids, routing = reference.inputs(tokens)
        out = tensor(np.full(x.shape, 0x7FC0, dtype=np.uint16), "bf16")
        return tensor(x, "bf16").given, tensor(ids).given, tensor(routing).given, out

    return make


@pytest.fixture(scope="module")
def run(given):
    def launch(experts, tokens, **options):
        x, ids, routing, out = given(tokens)
        assert experts(x, ids, routing, out=out.given, **options) is out.given
        return reference.from_bf16(out.read())

    return launch


@pytest.mark.parametrize("tokens", [1, 5, 8])
def test_results_are_those_of_numpy(experts, weights, run, tokens):
    expected = reference.forward(weights, *reference.inputs(tokens))
    assert reference.relative_error(run(experts, tokens), expected) < 6e-3


def test_weights_by_position_and_in_memory_of_the_caller(moe, library, weights, given_weights, run):
    packed = rtjit.empty(moe.packed_size, library=library)
    experts = moe.pack_weights(*given_weights.values(), packed=packed)
    assert experts.memory is packed
    expected = reference.forward(weights, *reference.inputs(3))
    assert reference.relative_error(run(experts, 3), expected) < 6e-3

    # The bytes may be kept and used again, as long as the layout is the same.
    other = rtjit.empty(packed.nbytes, library=library)
    other.write(packed.read())
    assert np.array_equal(run(moe.adopt_weights(moe.layout, other), 3), run(experts, 3))
    with pytest.raises(rtjit.InvalidArgument, match='layout: "another"'):
        moe.adopt_weights("another", other)


def test_packed_weights_go_with_the_kernel_as_well(moe, experts, given, run):
    x, ids, routing, out = given(2)
    moe(x, weights=routing, ids=ids, out=out.given, packed=experts)
    assert np.array_equal(reference.from_bf16(out.read()), run(experts, 2))
    with pytest.raises(rtjit.InvalidArgument, match="weights: null; moe_mxfp4 needs packed weights"):
        moe(x, ids, routing, out=out.given)
    with pytest.raises(rtjit.InvalidArgument, match="packed: what pack_weights"):
        moe(x, ids, routing, out=out.given, packed=3)


def test_strides_are_those_of_the_array(experts, tensor, given, run):
    x = reference.inputs(4)[0]
    wide = np.zeros((4, 2 * x.shape[1]), dtype=np.uint16)
    wide[:, : x.shape[1]] = x
    _, ids, routing, out = given(4)
    experts(tensor(wide, "bf16").columns(x.shape[1]).given, ids, routing, out=out.given)
    assert np.array_equal(reference.from_bf16(out.read()), run(experts, 4))


def test_workspace_of_the_caller(moe, library, experts, run):
    workspace = rtjit.empty(moe.workspace_size(4), library=library)
    assert np.array_equal(run(experts, 4, workspace=workspace), run(experts, 4))
    with pytest.raises(rtjit.InvalidArgument, match="workspace: 256 B given"):
        run(experts, 4, workspace=rtjit.empty(256, library=library))


def test_sums_in_any_order_of_weights_packed_for_ordered_ones(moe, experts, library, weights, run):
    add = "gemm2=mma:block_m=8,block_n=32,block_k=128,warps=4,stages=4,store=add"
    unordered = library.open("moe_mxfp4", moe.problem, sums="any_order", max_bucket=8, miss="default", configs=[add])
    assert unordered.layout == moe.layout
    assert unordered.workspace_size(8) < moe.workspace_size(8), "there is no y"
    expected = reference.forward(weights, *reference.inputs(5))
    assert reference.relative_error(run(unordered.adopt_weights(moe.layout, experts.memory), 5), expected) < 6e-3
    with pytest.raises(rtjit.Unsupported, match="needs sums = any_order"):
        library.open("moe_mxfp4", moe.problem, max_bucket=8, miss="default", configs=[add])


def test_streams(moe, experts, run):
    class Torch:
        cuda_stream = 0

    class Protocol:
        def __cuda_stream__(self):
            return (0, 0)

    for stream in (None, 0, Torch(), Protocol()):
        run(experts, 1, stream=stream)
    moe.reserve(8, stream=Torch())
    with pytest.raises(rtjit.InvalidArgument, match="stream: a str; None"):
        run(experts, 1, stream="main")


def test_arguments_describe_themselves(moe):
    names = [argument["name"] for argument in moe.arguments]
    assert names[:3] == ["x", "ids", "weights"]
    by_name = {argument["name"]: argument for argument in moe.arguments}
    assert by_name["out"]["written"] and by_name["w1"]["packed"]
    assert by_name["b1"]["dtypes"] == ["f32"] and not by_name["b1"]["optional"]
    assert by_name["alpha_e"]["optional"]


def test_provenance_and_refresh(moe):
    moe.refresh()
    assert "default" in moe.provenance(4)


def test_the_librarys_words_reach_the_caller(experts, given):
    typed, ids, routing, out = given(3)
    out = out.given
    with pytest.raises(rtjit.InvalidArgument, match=r"ids: shape \[2, 2\]") as caught:
        experts(typed, ids[:2], routing, out=out)
    assert caught.value.status == "invalid_argument" and isinstance(caught.value, ValueError)
    with pytest.raises(rtjit.InvalidArgument, match="ids: dtype f32, allowed are i32, i64, i16"):
        experts(typed, routing, routing, out=out)
    with pytest.raises(rtjit.InvalidArgument, match="wieghts"):
        experts(typed, ids, wieghts=routing, out=out)
    with pytest.raises(rtjit.InvalidArgument, match="out: missing"):
        experts(typed, ids, routing)
    with pytest.raises(rtjit.InvalidArgument, match="more positional"):
        experts(typed, ids, routing, None, None, None, None, None)


@pytest.mark.emulated
def test_what_is_no_tensor_is_refused(experts):
    x, ids, routing = reference.inputs(2)
    out = np.zeros_like(x)
    with pytest.raises(rtjit.InvalidArgument, match="x: a list; a tensor"):
        experts([1, 2], ids, routing, out=rtjit.tensor(out, "bf16"))
    with pytest.raises(rtjit.InvalidArgument, match="x: elements of a type that the library does not know"):
        experts(x, ids, routing, out=rtjit.tensor(out, "bf16"))
    with pytest.raises(rtjit.InvalidArgument, match="x: elements of 2 bytes cannot be taken as f32"):
        experts(rtjit.tensor(x, "f32"), ids, routing, out=rtjit.tensor(out, "bf16"))
    with pytest.raises(rtjit.InvalidArgument, match="dtype: bfloat, allowed are u8"):
        rtjit.tensor(x, "bfloat")
    with pytest.raises(rtjit.InvalidArgument, match="all strides are 0"):
        experts(rtjit.tensor(np.broadcast_to(x[:1, :1], x.shape), "bf16"), ids, routing, out=out)
    out.flags.writeable = False
    with pytest.raises(rtjit.InvalidArgument, match="out: is written, but read-only"):
        experts(rtjit.tensor(x, "bf16"), ids, routing, out=rtjit.tensor(out, "bf16"))


@pytest.mark.emulated  # gpu_test.py has what such arrays are for
def test_an_array_interface_serves_where_there_is_no_dlpack(experts):
    class Array:
        def __init__(self, shape, strides=None):
            self.__cuda_array_interface__ = {
                "shape": shape, "strides": strides, "typestr": "<i4", "data": (4096, False), "version": 3,
            }  # fmt: skip

    x, _, routing = reference.inputs(2)
    out = rtjit.tensor(np.zeros_like(x), "bf16")
    # It is understood: what is wrong with it is only that it lies on a GPU.
    with pytest.raises(rtjit.InvalidArgument, match="ids: in cuda:-1, must be in host memory"):
        experts(rtjit.tensor(x, "bf16"), Array((2, 2)), routing, out=out)
    with pytest.raises(rtjit.InvalidArgument, match="no whole number of elements"):
        experts(rtjit.tensor(x, "bf16"), Array((2, 2), (6, 4)), routing, out=out)


def test_memory(library):
    memory = rtjit.empty(16, library=library)
    memory.write(b"0123456789abcdef")
    memory.write(b"xy", offset=4)
    assert memory.read() == b"0123xy6789abcdef" and memory.nbytes == 16 and memory.ptr % 256 == 0
    with pytest.raises(rtjit.InvalidArgument, match="2 bytes at 15 of memory of 16 bytes"):
        memory.write(b"xy", offset=15)
    # The memory of an emulated device is not the program's.
    assert hasattr(memory, "__cuda_array_interface__") == (not library.emulated)
