"""Launches that were decided ahead: they are what a call is, and refuse what they were not frozen for."""

import gc

import numpy as np
import pytest

import moe_reference as reference
import rtjit


@pytest.fixture(scope="module")
def experts(moe):
    return moe.pack_weights(**reference.weights())


def arguments(tokens, seed=2):
    x, ids, routing = reference.inputs(tokens, seed)
    return x, ids, routing, np.full(x.shape, 0x7FC0, dtype=np.uint16)


def expected(experts, tokens, seed=2):
    x, ids, routing, out = arguments(tokens, seed)
    experts(rtjit.tensor(x, "bf16"), ids, routing, out=rtjit.tensor(out, "bf16"))
    return out


def test_launches_what_a_call_does(experts):
    x, ids, routing, out = arguments(3)
    result = rtjit.tensor(out, "bf16")
    frozen = experts.freeze(rtjit.tensor(x, "bf16"), ids, routing, out=result)
    assert (out == 0x7FC0).all()  # freezing launches nothing
    assert frozen() is result and frozen.kernel is experts.kernel
    assert np.array_equal(out, expected(experts, 3))
    # The tensors are read when it is launched, not when it was frozen.
    other_x, other_ids, other_routing, _ = arguments(3, seed=7)
    x[:], ids[:], routing[:] = other_x, other_ids, other_routing
    for stream in (None, 0):
        out[:] = 0
        frozen(stream=stream)
        assert np.array_equal(out, expected(experts, 3, seed=7))


def test_launches_with_other_tensors(moe, experts):
    x, ids, routing, out = arguments(2)
    frozen = moe.freeze(rtjit.tensor(x, "bf16"), ids, routing, out=rtjit.tensor(out, "bf16"), packed=experts)
    x2, ids2, routing2, out2 = arguments(2, seed=9)
    result = rtjit.tensor(out2, "bf16")
    # In any order, as calls are.
    assert frozen(out=result, weights=routing2, ids=ids2, x=rtjit.tensor(x2, "bf16")) is result
    assert np.array_equal(out2, expected(experts, 2, seed=9)) and (out == 0x7FC0).all()
    frozen()
    assert np.array_equal(out, expected(experts, 2))


def test_refuses_what_it_was_not_frozen_for(moe, experts):
    x, ids, routing, out = arguments(2)
    x, out = rtjit.tensor(x, "bf16"), rtjit.tensor(out, "bf16")
    frozen = experts.freeze(x, ids, routing, out=out)
    x3, ids3, routing3, _ = arguments(3)
    wide = np.zeros((2, 2 * reference.PROBLEM["hidden"]), dtype=np.uint16)[:, : reference.PROBLEM["hidden"]]
    for tensors, words in (
        ((rtjit.tensor(x3, "bf16"), ids3, routing3), r"x: shape \[3, 64\], was frozen with \[2, 64\]; freeze again"),
        ((x, ids.astype(np.int64), routing), "ids: dtype i64, was frozen with i32"),
        ((rtjit.tensor(wide, "bf16"), ids, routing), "x: stride 0 is 128, was frozen with 64"),
        ((x, ids), "weights: missing; a frozen launch takes all tensors"),
    ):
        with pytest.raises(rtjit.InvalidArgument, match=words):
            frozen(*tensors, out=out)
    ones = np.ones(reference.PROBLEM["experts"], dtype=np.float32)
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


def test_keeps_what_it_needs(library):
    kernel = library.open("moe_mxfp4", reference.PROBLEM, max_bucket=8, miss="default")
    experts = kernel.pack_weights(**reference.weights())
    right = expected(experts, 2)
    x, ids, routing, out = arguments(2)
    workspace = rtjit.empty(kernel.workspace_size(2), library=library)
    frozen = experts.freeze(rtjit.tensor(x, "bf16"), ids, routing, out=rtjit.tensor(out, "bf16"), workspace=workspace)
    del kernel, experts, workspace, x, ids, routing
    gc.collect()
    frozen()
    assert np.array_equal(out, right)


def test_weights_serve_kernels_that_differ_in_what_packing_does_not_read(library, experts):
    other = library.open("moe_mxfp4", reference.PROBLEM, limit=0.01, max_bucket=8, miss="default")
    assert other.problem != experts.kernel.problem and other.layout == experts.layout
    x, ids, routing, out = arguments(2)
    other(rtjit.tensor(x, "bf16"), ids, routing, out=rtjit.tensor(out, "bf16"), packed=experts)
    own = other.pack_weights(**reference.weights())
    assert np.array_equal(out, expected(own, 2)) and not np.array_equal(out, expected(experts, 2))
