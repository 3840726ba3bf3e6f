"""tools/peers: what it makes of bench's JSON, what it says without a peer, and the routing that the peer gets."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PEERS = Path(os.environ["RTJIT_SOURCE_DIR"]) / "tools" / "peers"
sys.path.insert(0, str(PEERS))

import moe_peers  # noqa: E402


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """What `rtjit bench --json` prints, predicted: its form is the same."""
    file = tmp_path_factory.mktemp("bench") / "bench.json"
    command = [os.path.join(os.environ["RTJIT_BINARY_DIR"], "bin", "rtjit"), "bench", "moe_mxfp4", "--json", "--quiet"]
    arguments = ["--preset", "gpt-oss-20b", "--tokens", "1,64", "--target", "sm_90a", "--db", ":memory:"]
    with open(file, "w") as output:
        subprocess.run(command + arguments, check=True, stdout=output)
    return file


def run(*arguments):
    command = [sys.executable, str(PEERS / "moe_peers.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_without_the_peer_it_says_so_and_shows_ours(bench):
    finished = run("--rtjit-json", bench, "--preset", "gpt-oss-20b", "--json")
    assert finished.returncode == 3, finished.stderr
    report = json.loads(finished.stdout)
    assert report["peer"]["absent"] and f"no peer: {report['peer']['absent']}" in report["notes"]
    assert [row["tokens"] for row in report["rows"]] == [1, 64]
    for row, came in zip(report["rows"], json.loads(bench.read_text())["rows"]):
        assert row["ours_us"] == came["time_us"] and row["floor_us"] == came["floor_us"] and row["peer_us"] is None
    text = run("--rtjit-json", bench, "--preset", "gpt-oss-20b").stdout
    assert "peer: triton_kernels (absent" in text and "peer/ours" in text


def test_a_line_has_both_sides_in_the_same_units(bench):
    came = json.loads(bench.read_text())["rows"][1]
    row = moe_peers.row_of(
        came, {"us": 4 * came["time_us"], "warps": 4, "error": 3e-3, "all_us": {"4": 4 * came["time_us"]}}
    )
    assert row["ratio"] == pytest.approx(4)
    assert row["peer_tb_per_s"] == pytest.approx(row["ours_tb_per_s"] / 4)
    assert row["peer_tflop_per_s"] == pytest.approx(row["ours_tflop_per_s"] / 4)
    lines = moe_peers.table([row]).splitlines()
    assert len(lines) == 2 and len(lines[0]) == len(lines[1]) and "4.00" in lines[1] and "3.0e-03" in lines[1]


def test_problems_that_the_peer_cannot_compute_are_not_compared(bench):
    problem = moe_peers.problem_of(json.loads(bench.read_text()))
    assert problem["experts"] == "32" and moe_peers.refusal(problem) is None
    assert "activation=silu" in moe_peers.refusal(problem | {"activation": "silu"})


def test_rows_are_sorted_by_expert():
    torch = pytest.importorskip("torch", reason="PyTorch cannot be imported")
    from triton_kernels_moe import Routing

    logits = torch.randn(37, 8, generator=torch.Generator().manual_seed(1))
    routing = Routing.of_logits(logits, 2)
    rows = routing.ids.flatten()[routing.order.long()]
    assert (rows.diff() >= 0).all() and torch.equal(rows.bincount(minlength=8).int(), routing.counts)
    assert torch.equal(routing.order[routing.position.long()], torch.arange(74, dtype=torch.int32))
    assert torch.allclose(routing.weights.sum(-1), torch.ones(37))
    assert torch.equal(routing.sorted_weights, routing.weights.flatten()[routing.order.long()])


def test_the_check_of_results_is_right():
    """The same layer by NumPy."""
    torch = pytest.importorskip("torch", reason="PyTorch cannot be imported")
    import moe_reference
    import peer_runs
    from triton_kernels_moe import Routing, Weights

    numpy_weights = moe_reference.weights()
    x, ids, shares = moe_reference.inputs(5)
    weights = Weights(**{name: torch.from_numpy(array) for name, array in numpy_weights.items()})
    routing = Routing.of_ids(torch.from_numpy(ids).long(), torch.from_numpy(shares), 4)
    got = peer_runs.expected(weights, torch.from_numpy(x).view(torch.bfloat16), routing)
    assert moe_reference.relative_error(got.numpy(), moe_reference.forward(numpy_weights, x, ids, shares)) < 3e-3


def test_a_wrong_result_does_not_win():
    pytest.importorskip("torch", reason="PyTorch cannot be imported")
    import peer_runs

    result = {"us": None, "warps": None, "error": None, "wrong": False, "all_us": {}, "notes": []}
    peer_runs._take(result, 10.0, 4, float("nan"))
    assert result["us"] == 10.0 and result["error"] is None and result["wrong"]
    peer_runs._take(result, 20.0, 8, 3e-3)
    assert result["us"] == 20.0 and result["warps"] == 8 and not result["wrong"]
    peer_runs._take(result, 15.0, 2, 3e-3)
    peer_runs._take(result, 1.0, 1, 1.0)
    assert result["us"] == 15.0 and result["all_us"] == {"4": 10.0, "8": 20.0, "2": 15.0, "1": 1.0}
    assert len(result["notes"]) == 2
