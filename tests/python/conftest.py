"""The tests' libraries: each is opened once, on the emulated device, with a cache of its own."""

import os

import pytest

import rtjit


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    return rtjit.Library(database=str(tmp_path_factory.mktemp("cache") / "cache.db"))


@pytest.fixture(scope="session")
def moe(library):
    import moe_reference

    return library.open("moe_mxfp4", moe_reference.PROBLEM, max_bucket=8, miss="default")


@pytest.fixture(scope="session")
def source_folder():
    return os.environ["RTJIT_SOURCE_DIR"]
