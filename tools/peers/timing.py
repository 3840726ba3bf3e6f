"""How the peers are timed: a CUDA graph of several calls with data that no cache holds, replayed; the median counts."""

from __future__ import annotations

import statistics
from typing import Callable, Sequence

import torch


def graph_of(calls: Sequence[Callable[[], object]]) -> torch.cuda.CUDAGraph:
    """Each call runs twice before: kernels are compiled, and whatever is made lazily is there."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(2):
            for call in calls:
                call()
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        for call in calls:
            call()
    return graph


def microseconds_per_call(
    graph: torch.cuda.CUDAGraph, calls: int, replays: int = 9, budget_ms: float = 400
) -> list[float]:
    """Of each replay: at least `replays`, more while the budget lasts. The first replay is not counted."""
    graph.replay()
    torch.cuda.synchronize()
    times: list[float] = []
    spent = 0.0
    while len(times) < replays or (spent < budget_ms and len(times) < 5 * replays):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        took = begin.elapsed_time(end)
        spent += took
        times.append(1e3 * took / calls)
    return times


def median(times: Sequence[float]) -> float:
    return statistics.median(times)
