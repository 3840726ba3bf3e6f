"""A small mixture of experts, computed by numpy as docs/moe_mxfp4.md defines it."""

import numpy as np

PROBLEM = {"hidden": 64, "intermediate": 32, "experts": 4, "top_k": 2, "bias": "f32", "limited": 1, "limit": 7.0}
_VALUES = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], dtype=np.float32)


def to_bf16(values):
    """Bits of the nearest bfloat16, as uint16."""
    bits = np.asarray(values, dtype=np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bf16(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def widen(codes, scales):
    values = np.stack([_VALUES[codes & 15], _VALUES[codes >> 4]], -1).reshape(*codes.shape[:-1], -1)
    return values * np.repeat(np.exp2(scales.astype(np.float32) - 127), 32, axis=-1)


def weights(seed=1, problem=PROBLEM):
    random = np.random.default_rng(seed)
    e, h, i = problem["experts"], problem["hidden"], problem["intermediate"]

    def codes(*shape):
        return random.integers(0, 256, shape, dtype=np.uint8)

    def scales(*shape):
        return random.integers(117, 121, shape, dtype=np.uint8)

    def bias(*shape):
        return random.normal(0, 0.1, shape).astype(np.float32)

    return {
        "w1": codes(e, 2 * i, h // 2), "s1": scales(e, 2 * i, h // 32), "b1": bias(e, 2 * i),
        "w2": codes(e, h, i // 2), "s2": scales(e, h, i // 32), "b2": bias(e, h),
    }  # fmt: skip


def inputs(tokens, seed=2, problem=PROBLEM):
    """x as bits, ids, routing weights."""
    random = np.random.default_rng(seed)
    k = problem["top_k"]
    x = to_bf16(random.normal(size=(tokens, problem["hidden"])))
    ids = np.stack([random.permutation(problem["experts"])[:k] for _ in range(tokens)]).astype(np.int32)
    routing = random.random((tokens, k)).astype(np.float32)
    return x, ids, routing / routing.sum(-1, keepdims=True)


def forward(packed, x, ids, routing, limit=PROBLEM["limit"]):
    out = np.zeros(x.shape, dtype=np.float32)
    for token in range(x.shape[0]):
        for expert, weight in zip(ids[token], routing[token]):
            w1, w2 = (widen(packed[f"w{i}"][expert], packed[f"s{i}"][expert]) for i in (1, 2))
            both = w1 @ from_bf16(x[token]) + packed["b1"][expert]
            gate, up = np.minimum(both[0::2], limit), np.clip(both[1::2], -limit, limit)
            hidden = from_bf16(to_bf16(gate / (1 + np.exp(-1.702 * gate)) * (up + 1)))
            out[token] += weight * from_bf16(to_bf16(w2 @ hidden + packed["b2"][expert]))
    return out


def relative_error(got, expected):
    return np.linalg.norm(got - expected) / np.linalg.norm(expected)
