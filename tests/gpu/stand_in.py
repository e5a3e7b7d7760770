"""A GPU for tests on machines without one: its tensors say they lie on cuda:0 and keep their numbers in memory of the CPU.

Everything runs with its real values, so results can be held against those of the CPU, and what a GPU does not allow
raises here as it does there: operations on tensors of both devices, a generator of the CPU for numbers on the device, an
array of numpy from a tensor of the device. What makes the CPU wait for a GPU (numbers that are fetched, copies between both,
masks as indices) raises where ``torch.cuda.set_sync_debug_mode("error")`` asks for it. Memory is counted, so that it runs
out; factors of products in float32 are rounded to ten bits where TF32 is allowed, and that torch rounds convolutions of its
own accord is an error. It knows nothing of kernels, streams or speed.

``PYTHONPATH=tests/gpu python -m pytest -n0 -p stand_in tests/gpu/test_cuda.py`` runs a file with it. Torch must not have
been imported before: parts of it ask once for the device that ``stand_in.cpp`` puts there.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).with_name("stand_in.cpp")


def _library() -> Path:
    """The compiled ``stand_in.cpp``, kept beside compiled Python under a name that its source and torch decide."""
    torch = Path(importlib.util.find_spec("torch").origin).parent
    given = SOURCE.read_bytes() + (torch / "version.py").read_bytes() + str(torch).encode()
    made = SOURCE.parent / "__pycache__" / f"stand_in-{hashlib.sha256(given).hexdigest()[:16]}.so"
    if not made.exists():
        made.parent.mkdir(exist_ok=True)
        part = made.with_suffix(f".{os.getpid()}")
        subprocess.run(["g++", "-std=c++20", "-O0", "-shared", "-fPIC", f"-I{torch / 'include'}", SOURCE, "-o", part,
                        f"-L{torch / 'lib'}", "-lc10", "-ltorch_cpu"], check=True, capture_output=True, text=True)
        part.rename(made)
    return made


def _load() -> None:
    if "torch" in sys.modules:
        raise ImportError("stand_in must be imported before torch.")
    libraries = Path(importlib.util.find_spec("torch").origin).parent / "lib"
    for name in ("libc10.so", "libtorch_cpu.so"):
        ctypes.CDLL(libraries / name, mode=ctypes.RTLD_GLOBAL)
    ctypes.CDLL(_library())


_load()


def pytest_configure(config) -> None:
    """From now on torch finds a GPU."""
    from there import Device

    Device().begin()
