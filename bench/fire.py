"""A table of changes that is compacted while it is fed: what that costs whoever feeds it, and what readers meet meanwhile."""

import json
import re
import subprocess
import sys
import time
import urllib.request

from measure import Load, Server
from sizes import FIRE_CHANGES, FIRE_KEYS, FIRE_RATE, FIRE_SECONDS, HERE
from upkeep import CUSTOMERS, hold
from watch import Watch, percentile

sys.path.insert(0, str(HERE.parent / "tests" / "python"))

from read_table import metadata_location  # noqa: E402

INTERVAL_S = 2
# The service looks so often; a table that grows fast is looked after before.
COMPACT_EVERY_S = 10
SCAN_EVERY_S = 5
PATIENCE_S = 600
SCAN = "select count(*), sum(value), max(name) from {table}"


def filled(suite, name, mode):
    """A data directory whose table has each key once, and what it holds."""
    home = suite.folder / name
    suite.tableflow_in(home, "topic", "create", "customers", "--partitions", "4")
    put = suite.bench("changes", home, str(FIRE_KEYS), "0", "preload")
    key = ["--key", "id"] if mode == "upsert" else []
    enable = ["enable", "customers", "--mode", mode, *key, "--metadata-columns", "none"]
    suite.tableflow_in(home, *enable, "--commit-interval", f"{INTERVAL_S}s")
    suite.tableflow_in(home, "sync")
    hold(suite, home, put)
    return home, put


class Fire:
    """A service that feeds a table of keys that are there already, and compacts it or not."""

    def __init__(self, suite, name, compacts, mode):
        self.suite, self.compacts, self.mode = suite, compacts, mode
        self.home, self.put = filled(suite, name, mode)

    def __enter__(self):
        settings = f"[upkeep]\nenabled = {str(self.compacts).lower()}\ncompact.every = '{COMPACT_EVERY_S}s'\n"
        config = self.home / "fire.toml"
        config.write_text(settings)
        words = ["--data-dir", self.home, "--config", config, "up", "--listen", "127.0.0.1:0"]
        command = [str(word) for word in [self.suite.tableflow_binary, *words]]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.address = re.search("http://[^ ]+", self.process.stdout.readline())[0].strip()
        self.load, self.watch = Load(self.process.pid), Watch(self.home, many=True)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        if self.process.wait() != 0:
            raise SystemExit(f"error: the service ended with {self.process.returncode}")
        self.process.stdout.close()

    def metric(self, name):
        with urllib.request.urlopen(f"{self.address}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if re.match(rf"tableflow_{name}[ {{]", line))

    def lag(self):
        return self.suite.tableflow_in(self.home, "status", "customers", "-o", "json").json()["lag"]

    def change(self, changes, per_second=None):
        rate = ["--per-second", str(per_second)] if per_second else []
        rate += ["--puts"] if self.mode == "append" else []
        words = [self.suite.bench_binary, "changes", self.home, FIRE_KEYS, changes, "zipf", *rate]
        return subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE, text=True)

    def hold(self, changed):
        """Where every record is a row, all that were sent are there."""
        if self.mode == "append":
            sent = [self.put, changed]
            changed = {"rows": sum(it["records"] for it in sent), "value_sum": sum(it["sent_sum"] for it in sent)}
        hold(self.suite, self.home, changed)

    def commits(self):
        """Seconds between the table's commits, upkeep's among them."""
        times = [seen.at for seen in self.watch.seen]
        return sorted(later - at for at, later in zip(times, times[1:]))


def fire(suite):
    for mode in "upsert", "append":
        seconds = [throughput(suite, mode, compacts) for compacts in (False, True)]
        slower = f"{seconds[1] / seconds[0]:.2f} x without"
        work = f"{FIRE_CHANGES:,} changes of {FIRE_KEYS:,} keys by the service, {mode}"
        suite.add(f"{work}: seconds; beside compactions", f"{seconds[0]:.1f}; {seconds[1]:.1f}", ratio=slower)
    scanned(suite)


def throughput(suite, mode, compacts):
    """All changes at once: how long until they are in the table."""
    with Fire(suite, f"fire-{mode}-{'on' if compacts else 'off'}", compacts, mode) as fire:
        began, cpu = time.time(), fire.load.cpu_seconds()
        changed = json.loads(fire.change(FIRE_CHANGES).communicate()[0])
        fire.watch.until(lambda: fire.lag() == 0, PATIENCE_S)
        seconds, cpu = time.time() - began, fire.load.cpu_seconds() - cpu
        waited, figures = fire.commits(), [fire.metric(name) for name in COUNTS]
        memory = fire.load.mebibytes("VmHWM")
    fire.hold(changed)
    work = f"{FIRE_CHANGES:,} changes of {FIRE_KEYS:,} keys by the service, {mode}"
    work += f", {'with' if compacts else 'without'} compaction"
    between = f"{percentile(waited, 50):.2f} / {percentile(waited, 99):.2f}" if waited else "none"
    figure = f"{FIRE_CHANGES / cpu:,.0f}; {between}; {memory:,.0f}"
    suite.add(f"{work}: changes per CPU second; between commits p50 / p99, s; peak MiB", figure)
    figure = "; ".join(f"{figure:,.0f}" for figure in [len(waited) + 1, *figures])
    suite.add(f"{work}: commits; conflicts; files compacted; upkeep that failed", figure)
    return seconds


COUNTS = ["commit_conflicts_total", "compaction_files_total", "upkeep_failures_total"]


def scanned(suite):
    """Changes at a steady rate, and scans of whatever the table is just then, beside scans of a clean one."""
    samples = []
    clean = filled(suite, "fire-clean", "upsert")[0]
    suite.tableflow_in(clean, "compact", "customers")
    with Fire(suite, "fire-scanned", True, "upsert") as fire, Readers(suite, fire.home) as now, Readers(suite, clean) as then:
        quiet = [min(times) for times in zip(*(then.ask() for _ in range(6)))]
        now.ask()
        began, cpu = time.time(), fire.load.cpu_seconds()
        producer = fire.change(FIRE_RATE * FIRE_SECONDS, FIRE_RATE)
        while producer.poll() is None:
            samples.append((then.ask(), now.ask(), then.ask()))
            fire.watch.look()
            time.sleep(SCAN_EVERY_S)
        changed = json.loads(producer.communicate()[0])
        fire.watch.until(lambda: fire.lag() == 0, PATIENCE_S)
        seconds, cpu = time.time() - began, fire.load.cpu_seconds() - cpu
        memory, compacted = fire.load.mebibytes("VmHWM"), fire.metric("compaction_files_total")
    fire.hold(changed)
    work = f"{FIRE_RATE:,} changes/s of {FIRE_KEYS:,} keys for {FIRE_SECONDS} s, compacted meanwhile"
    suite.add(f"{work}: cores; peak MiB; files compacted", f"{cpu / seconds:.2f}; {memory:,.0f}; {compacted:,.0f}")
    for place, who in enumerate(("ours", "DuckDB")):
        beside = [now[place] * 2 / (before[place] + after[place]) for before, now, after in samples]
        alone = [now[place] / quiet[place] for _, now, _ in samples]
        for ratios, what in (beside, "scanned beside it"), (alone, "when nothing else is at work"):
            ratios.sort()
            middle, most = percentile(ratios, 50), ratios[-1]
            suite.add(f"{work}: a scan by {who}, times that of a clean table {what}, by row: p50 / most", f"{middle:.2f} / {most:.2f}")


class Readers:
    """Our reader and DuckDB, on the table of one data directory."""

    def __init__(self, suite, home):
        self.home = home
        self.ours = Server([suite.bench_binary, "queries", home])
        self.theirs = Server([sys.executable, HERE / "peers.py", "queries", "nowhere"])

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self.ours.__exit__(*why)
        self.theirs.__exit__(*why)

    def ask(self):
        """Seconds a row, ours and DuckDB's."""
        location = metadata_location(self.home, CUSTOMERS).removeprefix("file://")
        us = self.ours.ask(SCAN.replace("{table}", CUSTOMERS))
        them = self.theirs.ask(SCAN.replace("{table}", f"iceberg_scan('{location}')"))
        rows = them["first"][0]
        return us["seconds"] / rows, them["seconds"] / rows
