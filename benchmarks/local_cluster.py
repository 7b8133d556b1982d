"""A Spark standalone cluster on this machine, from the pyspark package alone: a master and workers as processes.

    python -m benchmarks.local_cluster FOLDER [--workers 2] [--apart]

It prints the options for spark-submit and runs until Ctrl-C. With `--apart` (Linux, as root) each worker is in
namespaces of its own: it has its own host name and address (10.77.0.2, 10.77.0.3, ... on a bridge that only they use),
its own /tmp and scratch directories, and sees neither this checkout nor this virtual environment. All that it shares
with the driver is FOLDER/shared, where the workdir belongs; and, as on any node, Java, Spark and the base Python.
"""

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pyspark

ROOT = Path(__file__).parents[1]
SPARK_HOME = Path(pyspark.__file__).parent
DEVICE = "seqrec0"  # The bridge, and each worker's end: Horovod wants one name of the network on all machines.
NETWORK = "10.77.0"
# Else a worker keeps the unpacked environment, gigabytes, of every application that it ever ran.
_CLEANUP = " ".join(f"-Dspark.worker.cleanup.{key}" for key in ("enabled=true", "interval=20", "appDataTtl=20"))


@dataclass
class LocalCluster:
    """Use as a context manager; `options` are for spark-submit.

    Args:
        folder: everything is below it; with `apart` it must not be below this checkout.
    """

    folder: Path
    num_workers: int = 2
    apart: bool = False
    cores: int = 1  # Cores of each worker.
    memory: str = "2g"  # Memory of each worker, for its executors' JVMs.
    port: int = 7077
    daemons: list[subprocess.Popen] = field(default_factory=list)  # The master, then the workers.

    def __post_init__(self) -> None:
        self.folder = self.folder.resolve()
        self.host = f"{NETWORK}.1" if self.apart else "127.0.0.1"
        self.shared = self.folder / "shared"

    @property
    def url(self) -> str:
        return f"spark://{self.host}:{self.port}"

    @property
    def options(self) -> list[str]:
        addresses = ["--conf", f"spark.driver.host={self.host}", "--conf", f"spark.driver.bindAddress={self.host}"]
        return ["--master", self.url, *addresses]

    def __enter__(self) -> "LocalCluster":
        self.shared.mkdir(parents=True, exist_ok=True)
        try:
            if self.apart:
                self._make_network()
            self._start("master", ["org.apache.spark.deploy.master.Master", "--webui-port", str(self.port + 1)])
            self._wait(lambda: self._page() is not None, "the master")
            for number in range(1, self.num_workers + 1):
                self._start_worker(number)
            self._wait(lambda: self._num_alive() >= self.num_workers, "the workers")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for daemon in reversed(self.daemons):
            for process in [*_descendants(daemon.pid), daemon]:
                if psutil.pid_exists(process.pid):
                    os.kill(process.pid, signal.SIGKILL)
            daemon.wait()
        self.daemons.clear()
        if self.apart:
            self._remove_network()

    def executors(self, worker: int) -> list[psutil.Process]:
        """The executors' JVMs of a worker, numbered from 1."""
        found = []
        for process in _descendants(self.daemons[worker].pid):
            try:
                if any("CoarseGrainedExecutorBackend" in part for part in process.cmdline()):
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
        return found

    def _start_worker(self, number: int) -> None:
        node = self.folder / f"node-{number}"
        for name in ("tmp", "scratch", "work"):
            (node / name).mkdir(parents=True, exist_ok=True)
        address = f"{NETWORK}.{number + 1}" if self.apart else self.host
        worker = ["org.apache.spark.deploy.worker.Worker", "--cores", str(self.cores), "--memory", self.memory]
        worker += ["--work-dir", str(node / "work"), "--webui-port", str(self.port + 1 + number), self.url]
        settings = {"SPARK_LOCAL_IP": address, "SPARK_LOCAL_DIRS": str(node / "scratch"), "SPARK_WORKER_OPTS": _CLEANUP}
        self._start(f"worker-{number}", worker, settings, self._inside(number, node) if self.apart else ())

    def _start(self, name: str, command: list[str], settings: dict[str, str] | None = None, prefix=()) -> None:
        spark = self._spark_of_nodes if self.apart and prefix else SPARK_HOME
        # As on a fresh machine: of this environment only what any process has, and Java.
        environment = {key: os.environ[key] for key in ("HOME", "JAVA_HOME", "LANG") if key in os.environ}
        environment |= {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", **(settings or {})}
        environment |= {"SPARK_HOME": str(spark), "SPARK_DAEMON_MEMORY": "256m", "SPARK_NO_DAEMONIZE": "1"}
        environment |= {"SPARK_MASTER_HOST": self.host, "SPARK_MASTER_PORT": str(self.port)}
        environment.setdefault("SPARK_LOCAL_IP", self.host)
        with (self.folder / f"{name}.log").open("wb") as log:
            whole = [*prefix, str(spark / "bin" / "spark-class"), *command]
            self.daemons.append(subprocess.Popen(whole, env=environment, stdout=log, stderr=log, cwd="/"))

    @property
    def _spark_of_nodes(self) -> Path:
        return Path("/tmp/spark")  # A node's own /tmp.

    def _inside(self, number: int, node: Path) -> list[str]:
        """Runs what follows in the namespaces of a node. `ip netns exec` makes the mounts below private to it."""
        inner = node / "tmp"
        mounts = [(SPARK_HOME, inner / "spark")]
        if self.folder.is_relative_to("/tmp"):  # Else hidden with the rest of /tmp.
            below = self.folder.relative_to("/tmp")
            mounts += [(self.shared, inner / below / "shared"), (node, inner / below / node.name)]
        lines = ["set -e"]
        for source, target in mounts:
            target.mkdir(parents=True, exist_ok=True)
            lines.append(f"mount --bind {shlex.quote(str(source))} {shlex.quote(str(target))}")
        # A name of its own, or Horovod would take all nodes for one machine.
        (node / "hosts").write_text(f"127.0.0.1 localhost\n{NETWORK}.{number + 1} node-{number}\n")
        lines += [f"mount --bind {shlex.quote(str(node / 'hosts'))} /etc/hosts", f"hostname node-{number}"]
        lines.append(f"mount --rbind {shlex.quote(str(inner))} /tmp")
        for hidden in (sys.prefix, str(ROOT)):
            place = shlex.quote(hidden)  # Below /tmp it is hidden already.
            lines.append(f"if [ -d {place} ]; then mount -t tmpfs -o ro,size=4k none {place}; fi")
        lines.append('exec "$@"')
        return ["ip", "netns", "exec", f"seqrec-{number}", "unshare", "--uts", "bash", "-c", "\n".join(lines), "node"]

    def _make_network(self) -> None:
        self._remove_network()
        _run(f"ip link add {DEVICE} type bridge")
        _run(f"ip addr add {self.host}/24 dev {DEVICE}")
        _run(f"ip link set {DEVICE} up")
        for number in range(1, self.num_workers + 1):
            name, outside = f"seqrec-{number}", f"seqrec-v{number}"
            _run(f"ip netns add {name}")
            _run(f"ip link add {outside} type veth peer name {DEVICE} netns {name}")
            _run(f"ip link set {outside} master {DEVICE} up")
            _run(f"ip -n {name} addr add {NETWORK}.{number + 1}/24 dev {DEVICE}")
            _run(f"ip -n {name} link set {DEVICE} up")
            _run(f"ip -n {name} link set lo up")

    def _remove_network(self) -> None:
        for number in range(1, self.num_workers + 1):
            # The pair goes with its namespace, but not while a process of a killed cluster is in there.
            subprocess.run(["ip", "link", "del", f"seqrec-v{number}"], capture_output=True)
            subprocess.run(["ip", "netns", "del", f"seqrec-{number}"], capture_output=True)
        subprocess.run(["ip", "link", "del", DEVICE], capture_output=True)

    def _page(self) -> str | None:
        try:
            with urllib.request.urlopen(f"http://{self.host}:{self.port + 1}/json", timeout=5) as answer:
                return answer.read().decode()
        except OSError:
            return None

    def _num_alive(self) -> int:
        page = self._page()
        return 0 if page is None else sum(worker["state"] == "ALIVE" for worker in json.loads(page)["workers"])

    def _wait(self, is_ready, what: str) -> None:
        end = time.monotonic() + 300
        while not is_ready():
            ended = [daemon for daemon in self.daemons if daemon.poll() is not None]
            if ended or time.monotonic() > end:
                raise RuntimeError(f"{what} did not start: see the logs in {self.folder}.")
            time.sleep(0.3)


def can_be_apart() -> bool:
    """Whether this process may make network namespaces."""
    if os.geteuid() != 0:
        return False
    made = subprocess.run(["ip", "netns", "add", "seqrec-probe"], capture_output=True).returncode == 0
    subprocess.run(["ip", "netns", "del", "seqrec-probe"], capture_output=True)
    return made


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _run(command: str) -> None:
    done = subprocess.run(command.split(), capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{command}: {done.stderr.strip()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--apart", action="store_true")
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--memory", default="2g")
    chosen = parser.parse_args()
    with LocalCluster(chosen.folder, chosen.workers, chosen.apart, chosen.cores, chosen.memory) as cluster:
        print(f"./spark-submit.sh JOB --set workdir={cluster.shared}/work ... -- {shlex.join(cluster.options)}")
        print("Ctrl-C ends it.", flush=True)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    main()
