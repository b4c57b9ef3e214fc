"""The benchmark: each piece of work beside its limit and its peer, in one run, on one set of rows.

usage: suite.py BINARIES    the folder with tableflow and tableflow-bench

`bench/run` builds and starts it, and says which sizes can be set. A table that does not hold what was generated
ends the run: then there is no figure at all.
"""

import functools
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import fire
import live
import upkeep
from broker import Broker
from ingest import ingest
from measure import Server, Spread, alternate, mebibytes, rate_text, run
from report import Line, publish
from sizes import COMMIT_FILES, HERE, PARTS, PLAIN, ROWS

sys.path.insert(0, str(HERE.parent / "tests" / "python"))

from read_table import metadata_location  # noqa: E402

WITH_ORIGIN = "bronze.bids_with_origin"
STARTS = 20
PEER_COMMITS = 20
IDLE_SECONDS = 5
# What the limits of decoding are called.
LIMITS = {"tape": "the tape of simd-json", "copy": "a copy of its bytes"}
COUNT = "select count(*) from {table}"


class Suite:
    def __init__(self, binaries, folder):
        self.tableflow_binary = pathlib.Path(binaries) / "tableflow"
        self.bench_binary = pathlib.Path(binaries) / "tableflow-bench"
        self.folder = pathlib.Path(folder)
        self.home = self.folder / "home"

        self.lines = []

    def tableflow(self, *words):
        return self.tableflow_in(self.home, *words)

    def tableflow_in(self, home, *words):
        return run([self.tableflow_binary, "--data-dir", home, *words])

    def query_in(self, home, sql):
        return self.tableflow_in(home, "query", sql, "-o", "csv").output.splitlines()[-1].split(",")

    def bench(self, *words):
        return run([self.bench_binary, *words]).json()

    def peer(self, *words):
        return run([sys.executable, HERE / "peers.py", *words])

    def add(self, work, us, limit=None, peer=None, ratio=""):
        self.lines.append(Line(work, limit, us, peer, ratio))
        print(f"  {work}: {us}", file=sys.stderr)

    def check(self, who, found, wanted):
        if found != wanted:
            raise SystemExit(f"error: {who} holds {found}, but {wanted} was generated; there is no result")

    def measure(self):
        self.tableflow("topic", "create", "bids", "--partitions", "4")
        made = self.bench("generate", self.home, str(ROWS))
        print(f"{made['rows']:,} rows, {made['bytes']:,} bytes of JSON", file=sys.stderr)
        if "append" in PARTS:
            self.append(made)
        if "decoders" in PARTS:
            self.decoders(made)
        if not {"kafka", "freshness", "backfill", "tables"}.isdisjoint(PARTS):
            self.kafka()
        for size in COMMIT_FILES if "commits" in PARTS else []:
            self.commits(size)
        for part in upkeep.compaction, upkeep.upserts, fire.fire, upkeep.garbage:
            if part.__name__ in PARTS:
                part(self)
        if "reads" in PARTS:
            self.reads(made)
        if "process" in PARTS:
            self.process()
        return made

    @functools.cached_property
    def parts(self):
        """Of the append, each alone."""
        return self.bench("parts", self.home)

    def sync(self, made, table, origin):
        name = table.split(".")[1]
        self.tableflow("enable", "bids", "--table", name, "--metadata-columns", origin)
        usage = self.tableflow("sync", table, "-o", "json")
        self.gate(made, table, self.home)
        return usage

    def gate(self, made, table, home):
        """The table holds what was produced, by our own reader and another one."""
        sql = "select count(*), sum(price) from {table}"
        wanted = [made["rows"], made["price_sum"]]
        quoted = ".".join(f'"{word}"' for word in table.split(".", 1))
        query = [self.tableflow_binary, "--data-dir", home, "query", sql.replace("{table}", quoted), "-o", "csv"]
        ours = run(query).output.splitlines()[-1]
        self.check(f"{table} (read by tableflow)", [int(value) for value in ours.split(",")], wanted)
        theirs = self.peer("query", metadata_location(home, table), sql).json()["first"]
        self.check(f"{table} (read by DuckDB)", [int(value) for value in theirs], wanted)

    def append(self, made):
        rows, gigabytes = made["rows"], made["bytes"] / 1e9
        plain = self.sync(made, PLAIN, "none")
        origin = self.sync(made, WITH_ORIGIN, "portable")
        parts = self.parts
        peer = self.peer("append", self.home / "bids.ndjson", self.folder)
        theirs = peer.json()
        self.check("the peer's table", [theirs["rows"], theirs["price_sum"]], [rows, made["price_sum"]])

        limit, their_rate = parts["composed"], rows / theirs["cpu_seconds"]
        for what, usage in ("values only", plain), ("with where each row came from", origin):
            rate = rows / usage.cpu_seconds
            ratio = f"{rate / limit:.2f} of the limit, {rate / their_rate:.2f} x peer"
            self.add(
                f"append, {what}: rows per CPU second", f"{rate:,.0f}", f"{limit:,.0f}", f"{their_rate:,.0f}", ratio
            )
        per_gigabyte = f"{plain.cpu_seconds / gigabytes:.2f}"
        self.add("append: CPU seconds per GB of JSON", per_gigabyte, peer=f"{theirs['cpu_seconds'] / gigabytes:.2f}")
        self.add("append: wall seconds", f"{plain.seconds:.2f}", peer=f"{theirs['seconds']:.2f}")
        self.add("append: peak memory, MiB", mebibytes(plain.rss_bytes), peer=mebibytes(peer.rss_bytes))
        files = self.tableflow("files", PLAIN, "-o", "json").json()
        written = sum(file["bytes"] for file in files) / made["bytes"]
        self.add(
            "append: Parquet bytes per byte of JSON", f"{written:.3f}", peer=f"{theirs['bytes'] / made['bytes']:.3f}"
        )
        self.add("append: files", str(len(files)), peer=str(theirs["files"]))
        self.add("append: commits", str(plain.json()[0]["commits"]), peer="1")
        for part in "read", "decode", "encode":
            self.add(f"part, {part}: rows per CPU second", rate_text(parts[part]))

    def decoders(self, made):
        """The same rows in each format: ours beside others, and beside what reading the bytes costs anybody."""
        for verb in "json", "avro", "protobuf":
            measured = self.bench(verb, str(made["rows"]))
            ours, *others = measured["decoders"]
            megabytes = measured["bytes_per_row"] / 1e6
            for other in others:
                if other["name"] in LIMITS:
                    continue
                ratio = f"{ours['rate']['median'] / other['rate']['median']:.2f} x peer"
                work = f"decode {verb} beside {other['name']}: rows per CPU second"
                self.add(work, rate_text(ours["rate"]), peer=rate_text(other["rate"]), ratio=ratio)
            for other in others:
                if other["name"] not in LIMITS:
                    continue
                limit, us = (rate["median"] * megabytes for rate in (other["rate"], ours["rate"]))
                work = f"decode {verb} beside {LIMITS[other['name']]}: MB per CPU second"
                self.add(work, f"{us:,.0f}", limit=f"{limit:,.0f}", ratio=f"{us / limit:.2f} of the limit")

    def kafka(self):
        """What runs against a real broker."""
        with Broker(os.environ["TABLEFLOW_KAFKA"], self.folder / "broker") as broker:
            topics = ingest(self, broker) if "kafka" in PARTS else []
            if "freshness" in PARTS:
                live.freshness(self, broker)
            if "backfill" in PARTS and topics:
                live.backfill(self, broker, topics)
            if "tables" in PARTS:
                live.tables(self, broker)

    def commits(self, size):
        folder = self.folder / "commits"
        ours = self.bench("commits", folder, str(size))
        theirs = Spread(self.peer("commits", folder, f"bronze.files_{size}", str(PEER_COMMITS)).json()["ms"])
        ratio = f"{ours['p50_ms'] / ours['limit_p50_ms']:.1f} x limit, {theirs.median / ours['p50_ms']:.1f} x faster than peer"
        self.add(
            f"commit at {size:,} files: p50 / p99 ms",
            f"{ours['p50_ms']:.1f} / {ours['p99_ms']:.1f}",
            f"{ours['limit_p50_ms']:.1f} / {ours['limit_p99_ms']:.1f}",
            theirs.text(),
            ratio,
        )
        self.add(
            f"commit at {size:,} files: bytes written, median / mean",
            f"{ours['bytes_median']:,} / {ours['bytes_mean']:,.0f}",
        )
        self.add(f"commit at {size:,} files: puts, mean; manifests at the end", f"{ours['puts_mean']:.2f}; {ours['manifests']}")

    def reads(self, made):
        first = made["first_time_ms"] + made["rows"] // 2
        last = first + made["rows"] // 100 - 1
        percent = f'select count(*), sum(price) from {{table}} where "dateTime" between {first} and {last}'
        location = metadata_location(self.home, PLAIN)
        with (
            Server([self.bench_binary, "queries", self.home]) as ours,
            Server([sys.executable, HERE / "peers.py", "queries", location]) as theirs,
        ):
            for what, sql in ("count(*)", COUNT), ("1 % by time", percent):
                us, peer, ratios = alternate(
                    lambda: ours.ask(sql.replace("{table}", PLAIN))["seconds"] * 1000,
                    lambda: theirs.ask(sql)["seconds"] * 1000,
                )
                self.add(f"query {what}, in the process: ms", us.text(), peer=peer.text(), ratio=faster(ratios))
        for what, sql in ("count(*)", COUNT), ("1 % by time", percent):
            us, peer, ratios = alternate(
                lambda: self.tableflow("query", sql.replace("{table}", PLAIN), "-o", "csv").seconds * 1000,
                lambda: self.peer("query", location, sql).seconds * 1000,
            )
            self.add(f"query {what}, whole process: ms", us.text(), peer=peer.text(), ratio=faster(ratios))

    def process(self):
        self.add("size of the binary, MB", f"{self.tableflow_binary.stat().st_size / 1e6:.1f}")
        for words in ["version"], ["query", "select 1"]:
            times = Spread([self.tableflow(*words).seconds * 1000 for _ in range(STARTS)])
            self.add(f"start to end of `{' '.join(words)}`: ms", times.text())
        self.add(f"`up`, idle, after {IDLE_SECONDS} s: MiB", self.idle())

    def idle(self):
        command = [self.tableflow_binary, "--data-dir", self.home, "up", "--listen", "127.0.0.1:0"]
        service = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        time.sleep(IDLE_SECONDS)
        status = pathlib.Path(f"/proc/{service.pid}/status").read_text()
        service.send_signal(signal.SIGTERM)
        if service.wait() != 0:
            raise SystemExit(f"error: the service ended with {service.returncode}")
        (kibibytes,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")]
        return mebibytes(int(kibibytes) * 1024)


def faster(ratios):
    return f"{ratios.text(2)} x faster than peer"


def main(binaries):
    folder = tempfile.mkdtemp(prefix="tableflow-bench-")
    try:
        suite = Suite(pathlib.Path(binaries).resolve(), folder)
        made = suite.measure()
        publish(HERE.parent, suite.lines, made, page=not any(name.startswith("BENCH_") for name in os.environ))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
