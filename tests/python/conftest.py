"""The tests' library, on the device that RTJIT_LIBRARY has: emulated (librtjit_emulated.so) or a GPU (librtjit.so)."""

import os

import pytest

import rtjit
import tensors


def pytest_configure(config):
    config.addinivalue_line("markers", "emulated: about the emulated device, or NumPy's tensors on it")


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """One for all tests, with a cache of its own."""
    opened = rtjit.Library(database=str(tmp_path_factory.mktemp("cache") / "cache.db"))
    if opened.emulated and os.environ.get("RTJIT_REQUIRE_DEVICE"):
        pytest.exit(f"RTJIT_REQUIRE_DEVICE is set, but {opened.file} has {opened.device_name}", returncode=1)
    return opened


@pytest.fixture(autouse=True)
def _skip_what_is_about_the_emulator(request):
    if request.node.get_closest_marker("emulated") and not request.getfixturevalue("library").emulated:
        pytest.skip("about the emulated device")


@pytest.fixture(scope="session")
def tensor(library):
    """tensor(array, dtype=None): the array where the library's device can have it."""
    return tensors.OnHost if library.emulated else tensors.OnGpu


@pytest.fixture(scope="session")
def moe(library):
    import moe_reference

    return library.open("moe_mxfp4", moe_reference.PROBLEM, max_bucket=8, miss="default")
