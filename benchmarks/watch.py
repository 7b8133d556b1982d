"""Memory and processor time of a process and all below it, for the benchmarks at size."""

import threading

import psutil


class Watch:
    """What this process and all its children took between entering and leaving.

    `peak_rss`: the greatest sum of resident memory, in bytes, sampled every second; pages that processes share count
    more than once, with `shared_once` only once. `cpu_seconds`: of all cores together; those of a child that has ended
    count as of the last sample.
    """

    def __init__(self, shared_once: bool = False) -> None:
        self.peak_rss = 0
        self._shared_once = shared_once
        self._cpu_at_start: dict[int, float] = {}
        self._cpu: dict[int, float] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def cpu_seconds(self) -> float:
        return sum(self._cpu.values()) - sum(self._cpu_at_start.values())

    def __enter__(self) -> "Watch":
        self._sample()
        self._cpu_at_start = dict(self._cpu)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._sample()

    def _watch(self) -> None:
        while not self._done.wait(1.0):
            self._sample()

    def _sample(self) -> None:
        me = psutil.Process()
        total = 0
        for process in [me, *me.children(recursive=True)]:
            try:
                memory = process.memory_full_info().pss if self._shared_once else process.memory_info().rss
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += memory
            self._cpu[process.pid] = times.user + times.system
        self.peak_rss = max(self.peak_rss, total)
