#!/usr/bin/env python3
"""moe_mxfp4 beside its peer, in one run on one GPU: peers in, table out.

    tools/peers/moe_peers.py --rtjit build/ci/bin/rtjit --db tuned.db --peer-path triton/python/triton_kernels

The peer is triton_kernels (python/triton_kernels of Triton's sources) with its default heuristics: GEMM1 with the activation,
GEMM2, and the weighted sum over a token's experts. Its routing metadata is made before and not counted; ours is counted, since
`rtjit bench` times whole operations. Both replay CUDA graphs with the weights cold in L2: several routings and inputs, and
copies of the weights in turns. docs/bench.md says more. Exit code: 0, 1 where something failed, 3 where the peer is not there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))


def ours(arguments) -> dict:
    """What `rtjit bench --json` says, or said before."""
    if arguments.rtjit_json:
        return json.loads(Path(arguments.rtjit_json).read_text())
    command = [
        arguments.rtjit,
        "bench",
        "moe_mxfp4",
        "--preset",
        arguments.preset,
        "--tokens",
        arguments.tokens,
        "--json",
        "--quiet",
    ]
    if arguments.db:
        command += ["--db", arguments.db]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if not run.stdout.startswith("{"):
        sys.exit(f"moe_peers: {' '.join(command)} ended with {run.returncode} and no result")
    return json.loads(run.stdout)


def problem_of(report: dict) -> dict[str, str]:
    return dict(part.split("=", 1) for part in report["problem"].split(","))


def refusal(problem: dict[str, str]) -> str | None:
    """Why the peer has nothing to compare with this problem."""
    wanted = {"layout": "interleaved", "activation": "swiglu_oai"}
    for key, value in wanted.items():
        if problem.get(key, value) != value:
            return f"triton_kernels has gpt-oss's activation only ({key}={value}), this is {key}={problem[key]}"
    return None


def table(rows: list[dict]) -> str:
    head = ("tokens", "peer us", "warps", "peer error", "ours us", "peer/ours", "floor us", "ours of floor", "ours TB/s",
            "ours TFLOP/s", "peer TB/s", "peer TFLOP/s")  # fmt: skip
    number = lambda value, digits: "-" if value is None else f"{value:.{digits}f}"  # noqa: E731
    lines = [head]
    for row in rows:
        lines.append((
            str(row["tokens"]), number(row["peer_us"], 1), str(row["peer_warps"] or "-"),
            "-" if row["peer_error"] is None else f"{row['peer_error']:.1e}", number(row["ours_us"], 1), number(row["ratio"], 2),
            number(row["floor_us"], 1), number(row["ours_of_floor"], 2), number(row["ours_tb_per_s"], 2),
            number(row["ours_tflop_per_s"], 1), number(row["peer_tb_per_s"], 2), number(row["peer_tflop_per_s"], 1),
        ))  # fmt: skip
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths)) for line in lines)


def row_of(bench: dict, peer: dict | None) -> dict:
    """One line of the table: both sides count the bytes and operations that `rtjit bench` states for the size."""
    ours_us, peer_us = bench["time_us"], peer and peer["us"]
    return {
        "tokens": bench["tokens"], "ours_us": ours_us, "peer_us": peer_us,
        "peer_warps": peer and peer["warps"], "peer_error": peer and peer["error"], "peer_all_us": peer and peer["all_us"],
        "ratio": peer_us / ours_us if peer_us and ours_us else None,
        "floor_us": bench["floor_us"], "ours_of_floor": bench["of_floor"] if ours_us else None,
        "ours_tb_per_s": bench["tb_per_s"] if ours_us else None,
        "ours_tflop_per_s": bench["tflop_per_s"] if ours_us else None,
        "peer_tb_per_s": bench["bytes"] / peer_us / 1e6 if peer_us else None,
        "peer_tflop_per_s": bench["flops"] / peer_us / 1e6 if peer_us else None,
        "ours_is_default": bench["is_default"],
    }  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rtjit", default="rtjit", help="the command")
    parser.add_argument("--db", help="the database that rtjit tune filled; default: rtjit's own default")
    parser.add_argument(
        "--rtjit-json", metavar="FILE", help="what `rtjit bench --json` printed before, in place of running it"
    )
    parser.add_argument("--preset", default="gpt-oss-120b")
    parser.add_argument("--tokens", default="1,4,16,64,256,1024,4096,8192")
    parser.add_argument("--peer-path", metavar="FOLDER", help="the folder that holds triton_kernels")
    parser.add_argument("--peer-warps", default="4,8", help="warps that the scales are laid out for; the faster counts")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    arguments = parser.parse_args(argv)

    report = ours(arguments)
    problem = problem_of(report)
    measured, notes, interface, versions = {}, [], None, {}
    absent = refusal(problem)
    if absent is None:
        try:
            import peer_runs
        except ModuleNotFoundError as error:
            absent = f"it needs PyTorch ({error})"
    if absent is None:
        try:
            measured, interface, versions = peer_runs.measure(
                problem, [row["tokens"] for row in report["rows"]], arguments.peer_path,
                [int(warps) for warps in arguments.peer_warps.split(",")],
                (lambda text: None) if arguments.quiet else (lambda text: print(text, file=sys.stderr, flush=True)),
            )  # fmt: skip
        except peer_runs.Unusable as error:
            absent = str(error)
    if absent:
        notes.append(f"no peer: {absent}")
    rows = [row_of(row, measured.get(row["tokens"])) for row in report["rows"]]
    failed = [row["tokens"] for row in rows if row["ours_us"] is None or (not absent and row["peer_us"] is None)]
    for tokens, result in measured.items():
        notes += [f"{tokens} tokens: {text}" for text in result["notes"]]
    if report["knowledge"] == "predicted":
        notes.append("ours: predicted, not measured")
    if any(row["ours_is_default"] for row in rows):
        notes.append("ours: some sizes are served by default configs; `rtjit tune` with the same --db tunes them")
    result = {
        "device": report["device"], "preset": arguments.preset, "problem": report["problem"],
        "peer": {"name": "triton_kernels", "interface": interface, "absent": absent, **versions},
        "ours_includes_routing": True, "peer_includes_routing": False, "rows": rows, "notes": notes,
    }  # fmt: skip
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        version = ", ".join(f"{name} {text}" for name, text in versions.items())
        print(
            f"moe_mxfp4 {arguments.preset} on {report['device']}; peer: triton_kernels ({interface or 'absent'}; {version})"
        )
        print("times: ours with routing, the peer's without\n")
        print(table(rows))
        for note in notes:
            print(f"note: {note}")
    if failed:
        print(f"moe_peers: not measured: {failed} tokens", file=sys.stderr)
        return 1
    return 3 if absent else 0


if __name__ == "__main__":
    sys.exit(main())
