"""Launches that were decided ahead: they are what a call is, and refuse what they were not frozen for."""

import gc

import numpy as np
import pytest

import moe_reference as reference
import rtjit


@pytest.fixture(scope="module")
def packed(tensor):
    return lambda kernel: kernel.pack_weights(
        **{name: tensor(array).given for name, array in reference.weights().items()}
    )


@pytest.fixture(scope="module")
def experts(moe, packed):
    return packed(moe)


@pytest.fixture(scope="module")
def arguments(tensor):
    """arguments(tokens, seed): x, ids, weights and out; all of out is NaN."""

    def make(tokens, seed=2):
        x, ids, routing = reference.inputs(tokens, seed)
        return (
            tensor(x, "bf16"),
            tensor(ids),
            tensor(routing),
            tensor(np.full(x.shape, 0x7FC0, dtype=np.uint16), "bf16"),
        )

    return make


@pytest.fixture(scope="module")
def expected(arguments):
    def eager(experts, tokens, seed=2):
        x, ids, routing, out = arguments(tokens, seed)
        experts(x.given, ids.given, routing.given, out=out.given)
        return out.read()

    return eager


def test_launches_what_a_call_does(experts, arguments, expected):
    x, ids, routing, out = arguments(3)
    frozen = experts.freeze(x.given, ids.given, routing.given, out=out.given)
    assert (out.read() == 0x7FC0).all()  # freezing launches nothing
    assert frozen() is out.given and frozen.kernel is experts.kernel
    assert np.array_equal(out.read(), expected(experts, 3))
    # The tensors are read when it is launched, not when it was frozen.
    for tensor, other in zip((x, ids, routing), reference.inputs(3, seed=7)):
        tensor.write(other)
    for stream in (None, 0):
        out.write(0 * out.read())
        frozen(stream=stream)
        assert np.array_equal(out.read(), expected(experts, 3, seed=7))


def test_launches_with_other_tensors(moe, experts, arguments, expected):
    x, ids, routing, out = arguments(2)
    frozen = moe.freeze(x.given, ids.given, routing.given, out=out.given, packed=experts)
    x2, ids2, routing2, out2 = arguments(2, seed=9)
    # In any order, as calls are.
    assert frozen(out=out2.given, weights=routing2.given, ids=ids2.given, x=x2.given) is out2.given
    assert np.array_equal(out2.read(), expected(experts, 2, seed=9)) and (out.read() == 0x7FC0).all()
    frozen()
    assert np.array_equal(out.read(), expected(experts, 2))


def test_refuses_what_it_was_not_frozen_for(moe, experts, tensor, arguments):
    x, ids, routing, out = (argument.given for argument in arguments(2))
    frozen = experts.freeze(x, ids, routing, out=out)
    x3, ids3, routing3, _ = (argument.given for argument in arguments(3))
    hidden = reference.PROBLEM["hidden"]
    wide = tensor(np.zeros((2, 2 * hidden), dtype=np.uint16), "bf16").columns(hidden).given
    long = tensor(reference.inputs(2)[1].astype(np.int64)).given
    for tensors, words in (
        ((x3, ids3, routing3), r"x: shape \[3, 64\], was frozen with \[2, 64\]; freeze again"),
        ((x, long, routing), "ids: dtype i64, was frozen with i32"),
        ((wide, ids, routing), "x: stride 0 is 128, was frozen with 64"),
        ((x, ids), "weights: missing; a frozen launch takes all tensors"),
    ):
        with pytest.raises(rtjit.InvalidArgument, match=words):
            frozen(*tensors, out=out)
    ones = tensor(np.ones(reference.PROBLEM["experts"], dtype=np.float32)).given
    with pytest.raises(rtjit.InvalidArgument, match="alpha_e: was not given"):
        frozen(x, ids, routing, out=out, alpha_e=ones)
    with pytest.raises(rtjit.InvalidArgument, match="packed and workspace are those"):
        frozen(x, ids, routing, out=out, packed=experts)
    with pytest.raises(rtjit.InvalidArgument, match="stream: a str"):
        frozen(stream="main")
    with pytest.raises(rtjit.InvalidArgument, match="weights: null; moe_mxfp4 needs packed weights"):
        moe.freeze(x, ids, routing, out=out)
    with pytest.raises(rtjit.InvalidArgument, match="packed: what pack_weights"):
        moe.freeze(x, ids, routing, out=out, packed=3)
    with pytest.raises(rtjit.InvalidArgument, match=r"ids: shape \[3, 2\]"):
        experts.freeze(x, ids3, routing, out=out)


def test_keeps_what_it_needs(library, packed, arguments, expected):
    kernel = library.open("moe_mxfp4", reference.PROBLEM, max_bucket=8, miss="default")
    experts = packed(kernel)
    right = expected(experts, 2)
    x, ids, routing, out = arguments(2)
    workspace = rtjit.empty(kernel.workspace_size(2), library=library)
    frozen = experts.freeze(x.given, ids.given, routing.given, out=out.given, workspace=workspace)
    del kernel, experts, workspace, x, ids, routing
    gc.collect()
    frozen()
    assert np.array_equal(out.read(), right)


def test_weights_serve_kernels_that_differ_in_what_packing_does_not_read(library, experts, packed, arguments, expected):
    other = library.open("moe_mxfp4", reference.PROBLEM, limit=0.01, max_bucket=8, miss="default")
    assert other.problem != experts.kernel.problem and other.layout == experts.layout
    x, ids, routing, out = arguments(2)
    other(x.given, ids.given, routing.given, out=out.given, packed=experts)
    assert np.array_equal(out.read(), expected(packed(other), 2))
    assert not np.array_equal(out.read(), expected(experts, 2))
