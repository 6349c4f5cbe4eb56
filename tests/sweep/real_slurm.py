"""A real Slurm on this machine: Debian's packages, unpacked without root, with one node that is bound to loopback.

Its accounting is off, as on a small cluster: sacct fails. The memory of jobs is enforced.
"""

import getpass
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from filelock import FileLock

_PACKAGES = ("slurmctld", "slurmd", "slurm-client")
_CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
PluginDir={plugins}
PlugStackConfig={root}/no-plugstack.conf
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd.log
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SchedulerType=sched/builtin
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=8000
PartitionName=main Nodes=ALL Default=YES
"""


def unpack(cache: Path) -> Path:
    """Download and unpack Slurm and the libraries that are missing on this machine, once; return their root."""
    root = cache / "root"
    with FileLock(cache / "lock"):
        if not (cache / "done").exists():
            if missing := [name for name in ("apt-get", "dpkg-deb") if shutil.which(name) is None]:
                pytest.skip(f"a real Slurm is unpacked from Debian's packages; there is no {' and no '.join(missing)}")
            for folder in ("lists/partial", "archives/partial", "root"):
                (cache / folder).mkdir(parents=True, exist_ok=True)
            options = ["-qq", "-o", f"Dir::State::lists={cache}/lists", "-o", f"Dir::Cache={cache}"]
            options += ["-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User="]  # without root
            install = ["install", "--yes", "--no-install-recommends", "--reinstall", "--download-only", *_PACKAGES]
            for command in (["update"], install):
                done = subprocess.run(["apt-get", *options, *command], capture_output=True, text=True, check=False)
                if done.returncode:
                    pytest.skip(f"Debian's packages of Slurm cannot be downloaded: {done.stderr}")
            for package in (cache / "archives").glob("*.deb"):
                subprocess.run(["dpkg-deb", "-x", package, root], check=True)
            (cache / "done").touch()
    return root


class RealSlurm:
    """A running Slurm, for commands with its `environment`.

    Args:
        packages: see `unpack`.
        root: takes its configuration, state and logs, and the commands for the PATH in ``bin``.
    """

    def __init__(self, packages: Path, root: Path) -> None:
        host = socket.gethostname().partition(".")[0]
        try:
            address = socket.gethostbyname(socket.gethostname())
        except OSError:
            address = "unknown"
        if not address.startswith("127."):
            pytest.skip(f"Slurm listens on loopback only where the name of the machine is 127.x; {host} is {address}")
        self.root = root
        for folder in ("bin", "state", "spool"):
            (root / folder).mkdir(parents=True)
        (plugins,) = packages.glob("usr/lib/*/slurm-wlm")
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        ports = [each.getsockname()[1] for each in sockets]
        for each in sockets:
            each.close()
        (root / "slurm.conf").write_text(
            _CONFIG.format(host=host, ports=ports, user=getpass.getuser(), plugins=plugins, root=root)
        )
        (root / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        for program in (*packages.glob("usr/bin/s*"), *packages.glob("usr/sbin/slurm*-wlm")):
            (root / "bin" / program.name.removesuffix("-wlm")).symlink_to(program)  # each checks its name
        self.environment = {
            "PATH": f"{root}/bin{os.pathsep}{os.environ['PATH']}",
            "SLURM_CONF": f"{root}/slurm.conf",
            "LD_LIBRARY_PATH": f"{plugins}:{plugins.parent}",
        }
        self.daemons = [self._start("slurmctld"), self._start("slurmd", "-d", f"{root}/bin/slurmstepd")]
        deadline = time.monotonic() + 30
        while "idle" not in self.run("sinfo", "--noheader", "--format=%T"):
            if time.monotonic() > deadline or any(daemon.poll() is not None for daemon in self.daemons):
                logs = [path.read_text() for path in root.glob("*.log")]
                self.close()
                pytest.fail("Slurm does not start:\n" + "\n".join(logs))
            time.sleep(0.1)

    def _start(self, name: str, *options: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [self.root / "bin" / name, "-D", *options],
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # each has a log
        )

    def run(self, name: str, *arguments: str) -> str:
        """Run a command of Slurm; return its output."""
        command, environment = [self.root / "bin" / name, *arguments], {**os.environ, **self.environment}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False).stdout

    def show(self, key: str) -> dict[str, str]:
        """Return what Slurm knows of a job, such as 7 or 7_0."""
        return dict(
            part.split("=", 1) for part in self.run("scontrol", "--oneliner", "show", "job", key).split() if "=" in part
        )

    def close(self) -> None:
        """Cancel all jobs, and end Slurm."""
        deadline = time.monotonic() + 30
        while self.run("squeue", "--noheader") and time.monotonic() < deadline:
            self.run("scancel", "--me")
            time.sleep(0.1)
        for daemon in reversed(self.daemons):
            daemon.terminate()
            daemon.wait(30)
