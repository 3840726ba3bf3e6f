"""A gpt-oss of Hugging Face's transformers with its experts by librtjit: do the logits agree, and what becomes faster?

    python examples/gpt_oss.py --size 20b --layers 4       # on a GPU: real widths, few layers, random weights
    python examples/gpt_oss.py --size tiny --device cpu    # anywhere, with RTJIT_LIBRARY=librtjit_emulated.so

The weights are random MXFP4 codes and scales. The reference is the model as transformers runs it, with the same weights
dequantised to bfloat16 (which is exact). Logits are compared with the experts that the reference chose. Times are medians; each
forward pass ends with a synchronisation. On a GPU all layers' experts are timed in one CUDA graph as well, without the host.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import statistics
import sys
import time

import torch
from transformers import GptOssConfig, GptOssForCausalLM

import rtjit
import rtjit.torch

SIZES = {
    "tiny": dict(
        num_hidden_layers=2, num_local_experts=4, num_experts_per_tok=2, hidden_size=64, intermediate_size=64,
        vocab_size=128, head_dim=16, num_attention_heads=4, num_key_value_heads=2,
    ),
    "20b": dict(num_hidden_layers=24, num_local_experts=32),
    "120b": dict(num_hidden_layers=36, num_local_experts=128),
}  # fmt: skip


def random_model(size: dict, device: str, seed: int = 0) -> tuple[GptOssForCausalLM, dict[str, torch.Tensor]]:
    """The model with dequantised experts, and the MXFP4 tensors that they were made of, named as in a checkpoint."""
    torch.manual_seed(seed)
    config = GptOssConfig(**size, attn_implementation="eager")
    with torch.device(device):
        previous = torch.get_default_dtype()
        torch.set_default_dtype(torch.bfloat16)
        model = GptOssForCausalLM(config).eval()
        torch.set_default_dtype(previous)
    checkpoint = {}
    with torch.no_grad():
        for index, layer in enumerate(model.model.layers):
            layer.mlp.router.weight.normal_(0, 0.1)
            for name, dense in (
                ("gate_up_proj", layer.mlp.experts.gate_up_proj),
                ("down_proj", layer.mlp.experts.down_proj),
            ):
                experts, columns, rows = dense.shape
                # Values of about 2 * 2^-7: outputs stay near those of trained weights.
                codes = torch.randint(0, 256, (experts, rows, columns // 2), dtype=torch.uint8, device=device)
                scales = torch.randint(119, 121, (experts, rows, columns // 32), dtype=torch.uint8, device=device)
                for expert in range(experts):  # one at a time: the float32 in between is large
                    dense[expert] = rtjit.torch.dequantize_mxfp4(codes[expert], scales[expert]).T
                bias = getattr(layer.mlp.experts, f"{name}_bias").normal_(0, 0.05)
                prefix = f"model.layers.{index}.mlp.experts.{name}"
                checkpoint[f"{prefix}_blocks"] = codes.unflatten(-1, (-1, 16))
                checkpoint[f"{prefix}_scales"] = scales
                checkpoint[f"{prefix}_bias"] = bias.clone()
    return model, checkpoint


def synchronize(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def milliseconds(work, device: str, repeat: int) -> float:
    work()  # caches, workspaces, lazy initialisation
    times = []
    for _ in range(repeat):
        synchronize(device)
        start = time.perf_counter()
        work()
        synchronize(device)
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


class Case:
    """A model with a prompt in its cache: prefills of the prompt, and decode steps after it."""

    def __init__(self, model, device: str, batch: int, length: int) -> None:
        self.model = model
        generator = torch.Generator().manual_seed(1)
        vocabulary = model.config.vocab_size
        self.prompt = torch.randint(0, vocabulary, (batch, length), generator=generator).to(device)
        self.token = torch.randint(0, vocabulary, (batch, 1), generator=generator).to(device)
        self.cache = model(self.prompt, use_cache=True).past_key_values

    def prefill(self):
        return self.model(self.prompt, use_cache=False).logits

    def decode(self):
        return self.model(self.token, past_key_values=self.cache, use_cache=True).logits  # the cache grows by a token


class Routing:
    """Which experts the routers chose in one run, for another run to choose the same: where two experts are nearly as
    good, another rounding picks the other one, and the models no longer compute the same thing."""

    def __init__(self) -> None:
        self.recorded: list = []

    @contextlib.contextmanager
    def record(self, model):
        with self._hooked(model, lambda router, inputs, output: self.recorded.append(output)):
            yield

    @contextlib.contextmanager
    def replay(self, model):
        choices = iter(self.recorded)
        with self._hooked(model, lambda router, inputs, output: next(choices)):
            yield

    @staticmethod
    @contextlib.contextmanager
    def _hooked(model, hook):
        handles = [layer.mlp.router.register_forward_hook(hook) for layer in model.model.layers]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def measure(model, arguments, routing) -> dict:
    """`routing`: a context in which the logits that are compared are computed."""
    with routing:
        case = Case(model, arguments.device, arguments.batch, arguments.prefill)
        logits = {"prefill_logits": case.prefill().float(), "decode_logits": case.decode().float()}
    return logits | {
        "free_prefill_logits": case.prefill().float(),
        "prefill_ms": milliseconds(case.prefill, arguments.device, arguments.repeat),
        "decode_ms": milliseconds(case.decode, arguments.device, arguments.repeat),
    }


def experts_only(model, arguments, tokens: int) -> dict:
    """One layer's experts alone, with the routing of random tokens; and each layer's one after the other in a CUDA graph."""
    generator = torch.Generator(arguments.device).manual_seed(2)
    x = torch.randn(tokens, model.config.hidden_size, device=arguments.device, generator=generator).bfloat16()
    calls = []
    for layer in model.model.layers:
        _, weights, ids = layer.mlp.router(x)
        calls.append(functools.partial(layer.mlp.experts, x, ids, weights))
    times = {"eager": milliseconds(calls[0], arguments.device, arguments.repeat), "graph": None}
    if arguments.device.startswith("cuda"):
        try:
            times["graph"] = graph_milliseconds(calls, arguments)
        except RuntimeError as error:
            print(f"experts cannot be captured in a CUDA graph: {error}", file=sys.stderr)
    return times


def graph_milliseconds(calls, arguments, replays: int = 10) -> float:
    """Per call, of a graph of all calls."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            for call in calls:
                call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for call in calls:
            call()

    def work():
        for _ in range(replays):
            graph.replay()

    return milliseconds(work, arguments.device, arguments.repeat) / (replays * len(calls))


def relative_error(new: torch.Tensor, old: torch.Tensor) -> float:
    return ((new - old).norm() / old.norm()).item()


@torch.no_grad()
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="20b")
    parser.add_argument("--layers", type=int, help="fewer layers than the model has")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--prefill", type=int, default=1024, help="tokens of the prompt")
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(argv)

    size = dict(SIZES[arguments.size])
    if arguments.layers:
        size["num_hidden_layers"] = arguments.layers
    model, checkpoint = random_model(size, arguments.device)
    tokens = {"decode": arguments.batch, "prefill": arguments.batch * arguments.prefill}
    routing = Routing()
    before = measure(model, arguments, routing.record(model))
    experts_before = {phase: experts_only(model, arguments, count) for phase, count in tokens.items()}

    start = time.perf_counter()
    replaced = rtjit.torch.replace_experts(model, checkpoint, max_tokens=max(tokens.values()))
    synchronize(arguments.device)
    replacing = time.perf_counter() - start

    after = measure(model, arguments, routing.replay(model))
    experts_after = {phase: experts_only(model, arguments, count) for phase, count in tokens.items()}

    kernel = model.model.layers[0].mlp.experts.experts.kernel
    report = {
        "device": kernel.library.device_name, "size": arguments.size, "layers": replaced, "batch": arguments.batch,
        "prompt": arguments.prefill, "experts_of_transformers": getattr(model.config, "_experts_implementation", None) or "eager",
        "replacing_s": replacing, "provenance": kernel.provenance(tokens["decode"]),
    }  # fmt: skip
    worst = 0.0
    for phase in ("decode", "prefill"):
        old, new = before[f"{phase}_logits"], after[f"{phase}_logits"]
        error = relative_error(new, old)
        worst = max(worst, error)
        report[phase] = {
            "logits_relative_error": error,
            "same_next_token": (new[:, -1].argmax(-1) == old[:, -1].argmax(-1)).float().mean().item(),
            "transformers_ms": before[f"{phase}_ms"],
            "rtjit_ms": after[f"{phase}_ms"],
            "experts_transformers_ms": experts_before[phase]["eager"],
            "experts_rtjit_ms": experts_after[phase]["eager"],
            "experts_in_graph_transformers_ms": experts_before[phase]["graph"],
            "experts_in_graph_rtjit_ms": experts_after[phase]["graph"],
        }
    report["prefill"]["free_logits_relative_error"] = relative_error(
        after["free_prefill_logits"], before["free_prefill_logits"]
    )
    if arguments.json:
        print(json.dumps(report, indent=2))
    else:
        print(
            f"{report['device']}: gpt-oss-{arguments.size}, {replaced} layers, random weights, batch {arguments.batch}, ",
            end="",
        )
        print(f"prompt of {arguments.prefill} tokens; experts replaced in {replacing:.1f} s")
        print(f"experts of a decode step: transformers' {report['experts_of_transformers']}; {report['provenance']}")
        for phase in ("decode", "prefill"):
            row = report[phase]
            print(
                f"{phase:8} logits differ by {row['logits_relative_error']:.2e} (relative, with the same experts chosen), ",
                end="",
            )
            print(f"next tokens that agree: {100 * row['same_next_token']:.0f} %")
            for what, old, new in (
                ("model", row["transformers_ms"], row["rtjit_ms"]),
                ("one layer's experts", row["experts_transformers_ms"], row["experts_rtjit_ms"]),
                ("the same in a graph", row["experts_in_graph_transformers_ms"], row["experts_in_graph_rtjit_ms"]),
            ):
                if old is None or new is None:
                    continue
                print(f"{phase:8} {what:20} transformers {old:10.3f} ms   librtjit {new:10.3f} ms   {old / new:6.2f}x")
    # bfloat16 roundings in other places, over all layers.
    limit = 5e-2
    if worst > limit:
        print(f"logits differ by {worst:.2e}, allowed is {limit:.0e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
