"""The wheel: built from an installed librtjit, installed into an environment of its own, used there."""

import os
import re
import subprocess
import sys
import venv
import zipfile

import pytest

pytest.importorskip("scikit_build_core", reason="scikit-build-core cannot be imported")

import rtjit  # noqa: E402


def run(*command, **options):
    finished = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run("cmake", "--install", os.environ["RTJIT_BINARY_DIR"], "--prefix", folder / "prefix", "--component", "library")
    package = next((folder / "prefix").rglob("rtjit-config.cmake")).parent
    run(
        sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", folder,
        "--config-settings", f"cmake.define.rtjit_DIR={package}", "--config-settings", f"build-dir={folder}/build",
        os.path.join(os.environ["RTJIT_SOURCE_DIR"], "python"),
    )  # fmt: skip
    return next(folder.glob("rtjit-*.whl"))


def test_it_holds_the_library_the_stubs_and_nothing_foreign(wheel):
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
    for name in ("rtjit/__init__.py", "rtjit/py.typed", "rtjit/_rtjit.pyi", "rtjit/lib/librtjit.so.0", "rtjit/torch/op.py"):
        assert name in names
    assert not [name for name in names if not re.match(r"rtjit/|rtjit-", name)]
    assert not [name for name in names if "emulated" in name]
    stable = sys.version_info >= (3, 12)
    assert [name for name in names if name.endswith(".abi3.so")] or not stable
    assert ("cp312-abi3" if stable else f"cp3{sys.version_info.minor}-cp3{sys.version_info.minor}") in wheel.name


def test_it_works_where_it_is_installed(wheel, tmp_path):
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "--no-index", "--no-deps", wheel)
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "RTJIT_LIBRARY")}
    code = "import rtjit; print(rtjit.version(), rtjit._locate.library_file())"
    version, file = run(python, "-c", code, env=environment, cwd=tmp_path).split()
    assert version == rtjit.version() and file.startswith(str(tmp_path / "venv")) and file.endswith("rtjit/lib/librtjit.so.0")
