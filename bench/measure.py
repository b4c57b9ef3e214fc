"""What a process costs, and what a handful of figures say."""

import json
import os
import pathlib
import subprocess
import time
from dataclasses import dataclass
from statistics import median

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass
class Usage:
    """A process from its start to its end, with every thread."""

    seconds: float
    cpu_seconds: float
    rss_bytes: int
    output: str

    def json(self):
        return json.loads(self.output)


def run(command, environment=None):
    """Runs a command to its end; one that fails ends the benchmark."""
    started = time.perf_counter()
    words = [str(word) for word in command]
    variables = {**os.environ, **(environment or {})}
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=variables)
    output = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.stdout.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"error: {' '.join(words)[:500]} ended with {process.returncode}")
    return Usage(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, output.decode())


class Server:
    """A process that answers each line with a line of JSON, until its stdin ends."""

    def __init__(self, command, environment=None):
        words = [str(word) for word in command]
        variables = {**os.environ, **(environment or {})}
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables
        )

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"error: {self.process.args} gave no answer to {line}")
        return json.loads(answer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Load:
    """What a running process costs."""

    def __init__(self, pid):
        self.folder = pathlib.Path(f"/proc/{pid}")

    def cpu_seconds(self):
        """With its children, once it has waited for them."""
        fields = (self.folder / "stat").read_text().rpartition(")")[2].split()
        return sum(int(field) for field in fields[11:15]) / TICKS_PER_SECOND

    def mebibytes(self, name="VmRSS"):
        lines = (self.folder / "status").read_text().splitlines()
        (kibibytes,) = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
        return int(kibibytes) / 1024


@dataclass
class Spread:
    """Several measurements of one thing."""

    values: list

    @property
    def median(self):
        return median(self.values)

    def text(self, digits=1):
        low, high = min(self.values), max(self.values)
        return f"{self.median:,.{digits}f} [{low:,.{digits}f}..{high:,.{digits}f}]"


def alternate(ours, theirs, pairs=5):
    """A B A B ..., after one of each that is not counted: their spreads, and that of the ratios of the pairs."""
    ours(), theirs()
    both = [(ours(), theirs()) for _ in range(pairs)]
    return (
        Spread([our for our, _ in both]),
        Spread([their for _, their in both]),
        Spread([their / our for our, their in both]),
    )


def mebibytes(size):
    return f"{size / 2**20:,.0f}"


def rate_text(rate):
    return f"{rate['median']:,.0f} [{rate['min']:,.0f}..{rate['max']:,.0f}]"
