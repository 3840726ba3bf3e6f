"""Where librtjit is, and where this Python's NVRTC is."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

_PACKAGE = Path(__file__).parent


def library_file() -> str:
    """RTJIT_LIBRARY, else the library in this package, else whatever the loader finds."""
    given = os.environ.get("RTJIT_LIBRARY")
    if given:
        return given
    packaged = sorted((_PACKAGE / "lib").glob("librtjit.so.*"))
    return str(packaged[0]) if packaged else "librtjit.so.0"


def offer_nvrtc() -> None:
    """Tells the library of NVRTC in NVIDIA's wheels (nvidia-cuda-nvrtc) that this very Python can import.

    The library cannot know: the interpreter of a virtual environment that was not activated is not in PATH.
    """
    if os.environ.get("RTJIT_NVRTC_PATH"):
        return
    spec = importlib.util.find_spec("nvidia")
    folders = [
        str(folder)
        for place in (spec.submodule_search_locations if spec else None) or ()
        for folder in sorted(Path(place).glob("*/lib"), reverse=True)
        if any(folder.glob("libnvrtc.so.*"))
    ]
    if folders:
        os.environ["RTJIT_NVRTC_PATH"] = ":".join(folders)


def command_file() -> str:
    """The `rtjit` command of this package, else the one in PATH."""
    packaged = _PACKAGE / "bin" / "rtjit"
    return str(packaged) if packaged.exists() else "rtjit"
