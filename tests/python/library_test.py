"""Opening: libraries, problems, logging, exceptions, and where things are looked for."""

import ast
import os
import pathlib
import subprocess
import sys
import threading

import pytest

import moe_reference as reference
import rtjit
from rtjit import _locate, _rtjit, errors


@pytest.mark.emulated
def test_the_device_is_emulated(library):
    assert library.emulated and library.target == "sm_90a" and library.ordinal == 0 and library.sm_count > 0
    assert "emulator" in library.device_name and library.file == os.environ["RTJIT_LIBRARY"]
    assert rtjit.version() == "0.1.0"


def test_every_status_has_its_exception(library):
    api = _rtjit.load(library.file)
    number = 1
    while api.status_name(number) != "unknown":
        assert errors.class_for(number).status == api.status_name(number)
        number += 1
    assert number > 13  # an older library may lack some; a newer one must not have more
    assert errors.class_for(len(errors._CLASSES)) is rtjit.Error


def test_problems_come_as_text_as_mapping_and_as_keywords(library):
    by_mapping = library.open("moe_mxfp4", reference.PROBLEM, max_bucket=1, miss="default")
    text = ",".join(f"{key}={value}" for key, value in reference.PROBLEM.items())
    by_text = library.open("moe_mxfp4", text + ",limit=5", max_bucket=1, miss="default", limit=7.0)
    assert by_text.problem == by_mapping.problem
    with pytest.raises(rtjit.InvalidArgument, match="hiden"):
        library.open("moe_mxfp4", hiden=64)
    with pytest.raises(rtjit.NotFound, match="no_such_template"):
        library.open("no_such_template")
    with pytest.raises(rtjit.InvalidArgument, match="miss: 'never', allowed are nearest"):
        library.open("moe_mxfp4", reference.PROBLEM, miss="never")
    with pytest.raises(rtjit.NotFound, match="rtjit tune"):
        library.open("moe_mxfp4", reference.PROBLEM, max_bucket=1, miss="fail")


@pytest.mark.emulated
def test_an_emulated_library_has_one_device():
    with pytest.raises(rtjit.Unavailable, match="device: 1, the emulated library has one device"):
        rtjit.Library(1)


@pytest.mark.emulated
def test_another_target_is_emulated_on_request(tmp_path):
    code = "import rtjit; print(rtjit.Library(database='c.db').target)"
    environment = {**os.environ, "RTJIT_EMULATED_TARGET": "sm_120a"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert run.stdout == "sm_120a\n", run.stderr


def test_the_stubs_name_what_the_module_has():
    stubs = ast.parse((pathlib.Path(rtjit.__file__).parent / "_rtjit.pyi").read_text()).body
    stubs = [node for node in stubs if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name != "Argument"]
    assert {node.name for node in stubs} == {name for name in vars(_rtjit) if not name.startswith("_")}
    for node in stubs:
        if isinstance(node, ast.ClassDef):
            named = {member.name for member in node.body if isinstance(member, ast.FunctionDef)} - {"__init__"}
            has = set(vars(getattr(_rtjit, node.name))) - set(vars(object)) - {"__module__", "__weakref__", "__weakrefoffset__"}
            assert named == {name for name in has if not name.startswith("__nb_")}, node.name


def test_messages_go_to_the_log_function(tmp_path):
    messages = []
    library = rtjit.Library(database=str(tmp_path / "c.db"), log=lambda level, text: messages.append((level, text)))
    library.open("moe_mxfp4", reference.PROBLEM, max_bucket=1, miss="default")
    assert any(level == 2 and "compiling with nvrtc" in text for level, text in messages)


def test_threads_open_and_launch_at_once(library):
    failures = []

    def work():
        try:
            library.open("moe_mxfp4", reference.PROBLEM, max_bucket=1, miss="default").provenance(1)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_library_that_is_not_there():
    code = "import rtjit; rtjit.version()"
    environment = {**os.environ, "RTJIT_LIBRARY": "/nowhere/librtjit.so"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert run.returncode != 0 and "ImportError: librtjit cannot be opened: /nowhere/librtjit.so" in run.stderr


def test_without_a_driver_the_real_library_says_so(tmp_path):
    code = "import rtjit\ntry: rtjit.Library(database=':memory:')\nexcept rtjit.Error as e: print(e.status, e)"
    environment = {**os.environ, "RTJIT_LIBRARY": os.environ["RTJIT_REAL_LIBRARY"], "CUDA_VISIBLE_DEVICES": ""}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert run.returncode == 0 and ("CUDA driver" in run.stdout or "GPU" in run.stdout), run


def test_importing_needs_neither_torch_nor_numpy_nor_a_library():
    code = "import sys, rtjit; print([m for m in ('torch', 'numpy') if m in sys.modules])"
    environment = {**os.environ, "RTJIT_LIBRARY": "/nowhere"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert run.stdout == "[]\n", run.stderr


def test_what_is_kept_until_the_process_ends_is_not_called_a_leak(tmp_path):
    code = (
        "import ctypes, rtjit; library = rtjit.Library(database='c.db');"
        "ctypes.pythonapi.Py_IncRef(ctypes.py_object(library))"  # as PyTorch's compiled code keeps kernels
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0 and run.stderr == ""


def test_nvrtc_of_this_pythons_wheels_is_offered(tmp_path, monkeypatch):
    folder = tmp_path / "nvidia" / "cu13" / "lib"
    folder.mkdir(parents=True)
    (folder / "libnvrtc.so.13").touch()
    monkeypatch.delenv("RTJIT_NVRTC_PATH", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    _locate.offer_nvrtc()
    assert os.environ["RTJIT_NVRTC_PATH"].split(":")[0] == str(folder)
    monkeypatch.setenv("RTJIT_NVRTC_PATH", "/mine")
    _locate.offer_nvrtc()
    assert os.environ["RTJIT_NVRTC_PATH"] == "/mine"
