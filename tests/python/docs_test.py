"""The blocks of Python that README and docs/ show: each compiles and names only what is there; docs/python.md's are run."""

import ast
import builtins
import os
import pathlib
import sys

import numpy as np
import pytest

import moe_reference as reference
import rtjit

SOURCE = pathlib.Path(os.environ["RTJIT_SOURCE_DIR"])
sys.path.insert(0, str(SOURCE / "tests" / "docs"))
import snippets  # noqa: E402


def program(page):
    """All blocks of a page in one syntax tree whose lines are the page's, and what the reader has already."""
    blocks = snippets.blocks(page, "python")
    body = []
    for block in blocks:
        tree = ast.parse(block.code, str(page))
        body += ast.increment_lineno(tree, block.line - 1).body
    return ast.Module(body, []), " ".join(block.given for block in blocks).split()


PAGES = [page for page in snippets.pages(SOURCE) if snippets.blocks(page, "python")]


def test_there_are_such_pages():
    assert {page.name for page in PAGES} >= {"README.md", "python.md"} and len(PAGES) >= 3


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(SOURCE)))
def test_every_name_is_there(page):
    tree, given = program(page)
    compile(tree, str(page), "exec")
    known = {*dir(builtins), *given}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            known |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            known.add(node.id)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            assert node.id in known, f"{page}:{node.lineno}: {node.id}"


def function_of_torch(name):
    """The definition of a function of rtjit.torch, which need not be importable for it."""
    for file in (SOURCE / "python" / "rtjit" / "torch").glob("*.py"):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name == name:
                return node
    raise AssertionError(f"rtjit.torch has no function {name}")


def test_the_readmes_call_fits_the_function():
    (call,) = [
        node for node in ast.walk(program(SOURCE / "README.md")[0])
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("rtjit.torch.")
    ]  # fmt: skip
    arguments = function_of_torch(call.func.attr).args
    assert len(call.args) <= len(arguments.args)
    assert {keyword.arg for keyword in call.keywords} <= {argument.arg for argument in arguments.args + arguments.kwonlyargs}


@pytest.mark.parametrize("name", ["docs/python.md", "python/README.md"])
def test_they_run(name, library, tensor, monkeypatch, capsys):
    """As they are, but for the problem: a small one in the place of gpt-oss-20b, whose weights an emulator packs for minutes."""
    asked = []

    def open_small(template, problem):
        asked.append((template, problem))
        return library.open(template, reference.PROBLEM, max_bucket=64, miss="default")

    monkeypatch.setattr(rtjit, "open", open_small)
    weights = reference.weights()
    has = {key: tensor(array).given for key, array in weights.items()}
    out = [tensor(np.full((3, reference.PROBLEM["hidden"]), 0x7FC0, np.uint16), "bf16") for _ in range(2)]
    inputs = [reference.inputs(3, seed) for seed in (2, 3)]
    for suffix, written, (x, ids, routing) in zip(("", "2"), out, inputs):
        has |= {f"x{suffix}": tensor(x, "bf16").given, f"ids{suffix}": tensor(ids).given, f"weights{suffix}": tensor(routing).given}
        has[f"out{suffix}"] = written.given
    page = SOURCE / name
    tree, given = program(page)
    exec(compile(tree, str(page), "exec"), {key: has[key] for key in given})
    assert asked == [("moe_mxfp4", "preset=gpt-oss-20b")]
    for key, written, data in zip(("out", "out2"), out, inputs):
        if key not in given:
            continue
        assert reference.relative_error(reference.from_bf16(written.read()), reference.forward(weights, *data)) < 6e-3
    if name == "docs/python.md":
        assert "gemm1: " in capsys.readouterr().out  # the provenance
