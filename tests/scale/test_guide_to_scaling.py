"""docs/scaling.md, followed literally: over SSH with a server of its own, and with a real Slurm where there is one."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from landscape import ROOT, configuration
from landscape.runs import Library

GUIDE = (ROOT / "docs" / "scaling.md").read_text()
SSHD = shutil.which("sshd", path="/usr/sbin:/usr/bin")
SLURM = ("munged", "slurmctld", "slurmd", "sbatch")
MEANS = "/usr/sbin:/usr/bin:/sbin:/bin"


def blocks(kind: str) -> str:
    return "".join(re.findall(rf"^```{kind}\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def place(tmp_path):
    """The folder that stands for /srv/landscape, with the program where the guide has it."""
    folder = tmp_path / "landscape"
    (folder / "venv/bin").mkdir(parents=True)
    (folder / "program").symlink_to(ROOT)
    for name, words in {"landscape": "-m landscape", "dask": "-m dask", "python3": ""}.items():
        command = folder / "venv/bin" / name
        command.write_text(f'#!/bin/sh\nexport PYTHONPATH="{ROOT}:$PYTHONPATH"\nexec {sys.executable} {words} "$@"\n')
        command.chmod(0o700)
    return folder


def followed(script: str, place: Path, **environment: str) -> subprocess.CompletedProcess:
    script = script.replace("/srv/landscape", str(place)).replace("10.0.0.1", "127.0.0.1").replace("8786", str(free_port()))
    plain = {name: value for name, value in os.environ.items()
             if name.removeprefix("LANDSCAPE_").lower() not in configuration.KEYS and not name.startswith("LANDSCAPE_REC")}
    given = {"HOME": str(place.parent), "LANDSCAPE_ENGINE_IDLE": "60"}
    try:
        return subprocess.run(["bash", "-euxc", script], cwd=place, env=plain | given | environment, capture_output=True,
                              text=True, timeout=180, check=False)
    finally:
        subprocess.run([str(place / "venv/bin/landscape"), "stop"], env=plain | {"LANDSCAPE_HOME": str(place / "store")},
                       capture_output=True, check=False)


def told(done: subprocess.CompletedProcess, place: Path) -> str:
    logs = "".join(f"\n--- {log.name}\n{log.read_text()[-1500:]}" for log in place.rglob("*.log"))
    return done.stdout[-2000:] + done.stderr[-3000:] + logs


@pytest.fixture
def ssh(tmp_path):
    """A folder with a command ``ssh`` that reaches a server of this machine under the names of the guide."""
    folder, port = tmp_path / "ssh", free_port()
    folder.mkdir(mode=0o700)
    for key in ("host", "own"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)], check=True)
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/own.pub\n"
        f"PidFile {folder}/sshd.pid\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nAllowTcpForwarding no\n")
    (folder / "config").write_text(
        f"Host node1 node2\n  HostName 127.0.0.1\n  Port {port}\n  IdentityFile {folder}/own\n  IdentitiesOnly yes\n"
        f"  StrictHostKeyChecking accept-new\n  UserKnownHostsFile {folder}/known\n  LogLevel ERROR\n")
    command = folder / "ssh"
    command.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/config "$@"\n')
    command.chmod(0o700)
    with suppress(PermissionError):
        Path("/run/sshd").mkdir(exist_ok=True)  # where the server locks itself in before a login
    with _process([SSHD, "-D", "-e", "-f", str(folder / "sshd_config")], folder / "sshd.log"):
        deadline = time.monotonic() + 10
        while subprocess.run([str(command), "node1", "true"], capture_output=True, check=False).returncode:
            if time.monotonic() > deadline:
                pytest.skip(f"no SSH server can be had here: {(folder / 'sshd.log').read_text()[-300:]}")
            time.sleep(0.2)
        yield folder


@contextmanager
def _process(words: list[str], log: Path, **environment: str):
    with log.open("wb") as file:
        process = subprocess.Popen(words, stdout=file, stderr=file, env=os.environ | environment)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.skipif(not SSHD or not shutil.which("ssh"), reason="no SSH server is installed")
def test_the_guide_is_followed_over_ssh(place, ssh):
    done = followed(blocks("sh"), place, PATH=f"{ssh}:{os.environ['PATH']}")
    assert done.returncode == 0, told(done, place)
    library = Library(place / "store", gallery=None)
    assert {run.recipe: run.status for run in library.runs()} == {"valleys": "done", "training": "done"}
    assert "optima." in done.stdout  # what find has found
    assert all("Registered to" in (place / f"{node}.log").read_text() for node in ("node1", "node2"))


@pytest.fixture
def slurm(tmp_path):
    """A Slurm of one node on the loopback, its configuration in a folder: the environment that finds it."""
    folder, host = tmp_path / "slurm", socket.gethostname().split(".")[0]
    folder.mkdir(mode=0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o400)
    (folder / "cgroup.conf").write_text("")
    (folder / "slurm.conf").write_text(
        f"ClusterName=test\nSlurmctldHost={host}(127.0.0.1)\nSlurmUser=root\nSlurmdUser=root\nAuthType=auth/munge\n"
        f"CredType=cred/munge\nAuthInfo=socket={folder}/munge.socket\nSlurmctldPort={free_port()}\nSlurmdPort={free_port()}\n"
        f"StateSaveLocation={folder}/state\nSlurmdSpoolDir={folder}/spool\nSlurmctldPidFile={folder}/slurmctld.pid\n"
        f"SlurmdPidFile={folder}/slurmd.pid\nProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nSelectType=select/cons_tres\n"
        f"SelectTypeParameters=CR_Core\nSchedulerParameters=sched_interval=1\nReturnToService=2\nMpiDefault=none\n"
        f"NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=3000 State=UNKNOWN\n"
        f"PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4\n")
    environment = {"SLURM_CONF": str(folder / "slurm.conf")}
    munged = ["munged", "--foreground", "--force", f"--key-file={folder}/munge.key", f"--socket={folder}/munge.socket",
              f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log", f"--seed-file={folder}/munge.seed"]
    with _process(_found(munged), folder / "munge.out"), \
            _process(_found(["slurmctld", "-D"]), folder / "slurmctld.out", **environment), \
            _process(_found(["slurmd", "-D", "-N", host]), folder / "slurmd.out", **environment):
        deadline = time.monotonic() + 20
        while "idle" not in _sinfo(environment):
            if time.monotonic() > deadline:
                outs = "".join(file.read_text(errors="replace")[-600:] for file in sorted(folder.glob("*.out")))
                pytest.skip(f"Slurm does not run here: {outs}")
            time.sleep(0.3)
        yield environment


def _found(words: list[str]) -> list[str]:
    return [shutil.which(words[0], path=MEANS) or words[0], *words[1:]]


def _sinfo(environment: dict[str, str]) -> str:
    return subprocess.run(_found(["sinfo", "-h", "-o", "%T"]), env=os.environ | environment, capture_output=True, text=True,
                          check=False).stdout


@pytest.mark.skipif(os.getuid() != 0 or not all(shutil.which(name, path=MEANS) for name in SLURM)
                    or importlib.util.find_spec("dask_jobqueue") is None, reason="Slurm or dask-jobqueue is not installed")
def test_the_guide_is_followed_with_slurm(place, slurm):
    done = followed(blocks("slurm"), place, **slurm)
    assert done.returncode == 0, told(done, place)
    (run,) = Library(place / "store", gallery=None).runs()
    assert (run.recipe, run.status) == ("valleys", "done")
    assert done.stdout.count(" R ") == 2, done.stdout  # both workers were Slurm's jobs
    deadline = time.monotonic() + 20
    while "idle" not in _sinfo(slurm):
        assert time.monotonic() < deadline, "its jobs do not end with the cluster"
        time.sleep(0.3)


def test_every_setting_of_the_guide_is_one():
    for name in re.findall(r"LANDSCAPE_(\w+)", GUIDE):
        assert name.lower() in configuration.KEYS, name
    for path in re.findall(r"`(deploy/[\w/.]+|tests/[\w/.]+\.py)`", GUIDE):
        assert (ROOT / path).exists(), path


def test_the_package_for_s3_is_of_the_pinned_fsspec():
    """Each of their releases takes the other of the same number alone."""
    (named,) = re.findall(r"pip install 's3fs==([\d.]+)'", GUIDE)
    assert f"fsspec=={named}\n" in (ROOT / "constraints.txt").read_text()
