"""What a process costs, and what a handful of figures say."""

import json
import os
import subprocess
import time
from dataclasses import dataclass
from statistics import median


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
        raise SystemExit(f"error: {' '.join(map(str, command))} ended with {process.returncode}")
    return Usage(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, output.decode())


class Server:
    """A process that answers each line with a line of JSON."""

    def __init__(self, command):
        words = [str(word) for word in command]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

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
