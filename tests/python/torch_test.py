"""rtjit.torch: on the emulated library with tensors on the CPU, on a GPU with tensors there. Needs PyTorch:
`pip install torch transformers`, or RTJIT_TEST_TORCH=1 ./run test."""

import os
import pathlib
import runpy
import sys

import pytest

torch = pytest.importorskip("torch", reason="PyTorch cannot be imported")

import moe_reference as reference  # noqa: E402
import rtjit  # noqa: E402
import rtjit.torch  # noqa: E402

KEYS = {key: reference.PROBLEM[key] for key in ("limited", "limit")}


@pytest.fixture(scope="module", autouse=True)
def device(library):
    """Where tensors must be. rtjit.open() without a library takes the one of the device: here the tests'."""
    rtjit._libraries[0] = library
    yield "cpu" if library.emulated else "cuda"


def weights(device, seed=1):
    return {name: torch.from_numpy(value).to(device) for name, value in reference.weights(seed).items()}


@pytest.fixture(scope="module")
def experts(device):
    return rtjit.torch.Mxfp4Experts(**weights(device), top_k=reference.PROBLEM["top_k"], max_tokens=8, **KEYS)


@pytest.fixture(scope="module")
def inputs(device):
    def make(tokens):
        x, ids, routing = (torch.from_numpy(array) for array in reference.inputs(tokens))
        return x.view(torch.bfloat16).to(device), ids.to(device), routing.to(device)

    return make


def expected(tokens):
    return reference.forward(reference.weights(), *reference.inputs(tokens))


def error(got, tokens):
    return reference.relative_error(got.float().cpu().numpy(), expected(tokens))


def test_the_module_computes_what_numpy_does(experts, inputs):
    assert error(experts(*inputs(5)), 5) < 6e-3


def test_other_types_and_shapes_are_converted(experts, inputs):
    x, ids, routing = inputs(4)
    whole = experts(x, ids, routing)
    batched = experts(x.float().reshape(2, 2, -1), ids.long().reshape(2, 2, -1), routing.double())
    assert batched.dtype == torch.float32 and batched.shape == (2, 2, x.shape[1])
    assert torch.equal(batched.reshape(4, -1).bfloat16(), whole)


def test_layers_of_one_problem_share_a_kernel(experts, inputs, device):
    other = rtjit.torch.Mxfp4Experts(**weights(device, seed=9), top_k=reference.PROBLEM["top_k"], max_tokens=8, **KEYS)
    assert other.kernel is experts.kernel
    assert not torch.equal(other(*inputs(3)), experts(*inputs(3)))


def test_the_operator_is_registered_as_pytorch_wants_it(experts, inputs):
    x, ids, routing = inputs(3)
    arguments = (experts._operator.number, [x, ids, routing], experts.packed, torch.empty_like(x))
    torch.library.opcheck(
        torch.ops.rtjit.launch.default, arguments, test_utils=("test_schema", "test_faketensor", "test_autograd_registration")
    )


def test_it_is_traced_without_a_break_and_without_a_launch(experts, inputs):
    def step(x, ids, routing):
        return experts(x * 1.0, ids, routing) + 1

    x, ids, routing = inputs(4)
    compiled = torch.compile(step, backend="aot_eager", fullgraph=True)
    assert torch.equal(compiled(x, ids, routing), step(x, ids, routing))
    with torch._subclasses.FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fake = step(*(mode.from_tensor(tensor) for tensor in (x, ids, routing)))
    assert fake.shape == x.shape and fake.dtype == x.dtype


def test_packed_weights_are_a_tensor_like_others(experts, inputs):
    x, ids, routing = inputs(2)
    copied = experts._operator([x, ids, routing], torch.empty_like(x), experts.packed.clone())
    assert torch.equal(copied, experts(x, ids, routing))
    with pytest.raises(rtjit.InvalidArgument, match="packed_bytes"):
        experts._operator([x, ids, routing], torch.empty_like(x), experts.packed[:-1].clone())


def test_mxfp4_is_exact_for_what_was_mxfp4():
    generator = torch.Generator().manual_seed(3)
    codes = torch.randint(0, 256, (7, 4, 48), dtype=torch.uint8, generator=generator)
    scales = torch.randint(60, 180, (7, 4, 3), dtype=torch.uint8, generator=generator)
    codes[0] = 0
    values = rtjit.torch.dequantize_mxfp4(codes, scales)
    again = rtjit.torch.dequantize_mxfp4(*rtjit.torch.quantize_mxfp4(values))
    assert torch.equal(values, again)
    assert torch.equal(values.float(), torch.from_numpy(reference.widen(codes.numpy(), scales.numpy())))


def test_mxfp4_rounds_to_the_nearest_and_ties_to_even():
    values = torch.zeros(32)
    values[:9] = torch.tensor([4.0, 0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0, -5.1])
    got = rtjit.torch.dequantize_mxfp4(*rtjit.torch.quantize_mxfp4(values), dtype=torch.float32)
    assert got[:9].tolist() == [4.0, 0.0, 1.0, 1.0, 2.0, 2.0, 4.0, 4.0, -6.0]
    with pytest.raises(ValueError, match="must be a multiple of 32"):
        rtjit.torch.quantize_mxfp4(torch.zeros(4, 33))


def test_a_checkpoints_tensors_are_taken_as_they_are(device):
    pytest.importorskip("transformers", reason="transformers cannot be imported")
    example = runpy.run_path(os.path.join(os.environ["RTJIT_SOURCE_DIR"], "examples", "gpt_oss.py"))
    model, checkpoint = example["random_model"](example["SIZES"]["tiny"], device)
    tokens = torch.arange(6, device=device).reshape(1, 6)
    with torch.no_grad():
        before = model(tokens).logits
        assert rtjit.torch.replace_experts(model, checkpoint, max_tokens=8) == len(model.model.layers)
        after = model(tokens).logits
    assert ((after - before).norm() / before.norm()).item() < 2e-2
    with pytest.raises(ValueError, match="has no GptOssMLP"):
        rtjit.torch.replace_experts(torch.nn.Linear(2, 2))


def test_the_readmes_three_lines(device, tmp_path):
    """A checkpoint in a folder, as they are published, loaded and replaced as README.md has it."""
    transformers = pytest.importorskip("transformers", reason="transformers cannot be imported")
    from safetensors.torch import save_file

    example = runpy.run_path(os.path.join(os.environ["RTJIT_SOURCE_DIR"], "examples", "gpt_oss.py"))
    original, experts = example["random_model"](example["SIZES"]["tiny"], "cpu")
    others = {name: tensor.clone() for name, tensor in original.state_dict().items() if ".mlp.experts." not in name}
    experts = {name: tensor.contiguous() for name, tensor in experts.items()}
    save_file(others | experts, tmp_path / "model.safetensors", metadata={"format": "pt"})
    original.config.quantization_config = {
        "quant_method": "mxfp4",
        "modules_to_not_convert": ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"],
    }
    original.config.save_pretrained(tmp_path)

    dequantized = transformers.Mxfp4Config(dequantize=True)
    model = transformers.GptOssForCausalLM.from_pretrained(tmp_path, quantization_config=dequantized, dtype="auto").to(device)
    tokens = torch.arange(6, device=device).reshape(1, 6)
    with torch.no_grad():
        before = model(tokens).logits
        # Without the folder the dense matrices are quantised again, which is exact.
        for checkpoint in (None, tmp_path):
            again = transformers.GptOssForCausalLM.from_pretrained(tmp_path, quantization_config=dequantized, dtype="auto")
            assert rtjit.torch.replace_experts(again.to(device), checkpoint=checkpoint, max_tokens=8) == 2
            assert ((again(tokens).logits - before).norm() / before.norm()).item() < 2e-2
    with pytest.raises(FileNotFoundError, match="holds no"):
        rtjit.torch.replace_experts(model, checkpoint=tmp_path / "nowhere")

    class OnTheTestsDevice:
        @staticmethod
        def from_pretrained(folder, device_map, **options):
            return transformers.GptOssForCausalLM.from_pretrained(folder, **options).to(device)

    sys.path.insert(0, os.path.join(os.environ["RTJIT_SOURCE_DIR"], "tests", "docs"))
    import snippets

    (block,) = snippets.blocks(pathlib.Path(os.environ["RTJIT_SOURCE_DIR"], "README.md"), "python")
    names = {"GptOssForCausalLM": OnTheTestsDevice, "Mxfp4Config": transformers.Mxfp4Config, "folder": tmp_path}
    exec(block.code, names)
    with torch.no_grad():
        assert ((names["model"](tokens).logits - before).norm() / before.norm()).item() < 2e-2


def test_the_example_runs(capsys, device):
    pytest.importorskip("transformers", reason="transformers cannot be imported")
    example = runpy.run_path(os.path.join(os.environ["RTJIT_SOURCE_DIR"], "examples", "gpt_oss.py"))
    assert example["main"](["--size", "tiny", "--device", device, "--prefill", "5", "--repeat", "1"]) == 0
    printed = capsys.readouterr().out
    assert "logits" in printed and "decode" in printed and "prefill" in printed
