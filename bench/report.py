"""The one table: on stdout, and between two comments of docs/benchmarks.md."""

import datetime
import os
import pathlib
import subprocess
from dataclasses import astuple, dataclass

BEGIN = "<!-- bench/run writes from here -->"
END = "<!-- to here -->"
HEADING = "## The product beside its limits and peers"
COLUMNS = ["work", "limit", "us", "peer", "ratio"]

NOTES = """\
Rates are by CPU time, user and system, all threads: ours of the whole process from start to end, the peer's without
its start and imports. The limit of the append is 1 / sum(1 / rate) of the parts, each alone in one thread.
Peers: append, PyArrow reads the lines and PyIceberg appends them; decode, who the line names; commit, PyIceberg appends one
row, which also writes its data file (ours commits a file that is there); query, DuckDB's iceberg_scan, as a process
with Python's start. The limit of a commit is its bytes in three durable objects, one after the other.
`a [b..c]` is the median, the least and the most; pairs alternate.

From Kafka: one broker on the same machine, whose work is not counted; four partitions, lz4. The limit is that of the
append, with the fetching (all threads of librdkafka) in place of the reading. Flink 2.2.1 runs SQL with its connectors to
Kafka and Iceberg, Kafka Connect 4.3.1 the Iceberg sink 1.11.0: Java 17, 1.5 GB of heap, two tasks, a commit every
five seconds, Parquet with zstd 1 as we write it. `cold` is all their CPU time from the start of the process to the last
commit; `warm` is that from the first commit with a tenth of the rows on, which leaves out what had been read ahead by then,
in the peer's favour. Ours is cold in both. Ours runs with metadata columns off, since the peers write none.

Freshness: for each record the time from its making to the first look at the catalog at which the table holds it; one
look every 5 ms, of many tables every 50 ms. `far` puts every object as far away as S3's: PUT 60 ms, GET 25 ms to the first
byte, LIST 50 ms, 90 MB/s a stream; the catalog's database stays near. Requests are those to the object store, reports of
status too. Memory is the most that was resident; cores are CPU seconds per second. The producer and the watcher run in
Python on the same cores, beside the broker.

Compaction: MB are those of the small files; the peer is DuckDB, which copies the same rows (of iceberg_scan, sorted where ours
are) into Parquet of the same size with zstd 1. Changes: 60 % inserts, 30 % updates, 10 %
deletes, of JSON from an embedded topic, commits every two seconds, no compaction beside them; every figure has the process's start and, from the
second run on, the reading of all keys for the index. A scan is a sum and a maximum over all rows."""


@dataclass
class Line:
    work: str
    limit: str | None
    us: str
    peer: str | None
    ratio: str


def first_match(path, name):
    lines = pathlib.Path(path).read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "unknown")


def machine():
    memory = int(first_match("/proc/meminfo", "MemTotal").split()[0]) / 2**20
    cores, loads = os.cpu_count(), " ".join(f"{load:.1f}" for load in os.getloadavg())
    return f"{first_match('/proc/cpuinfo', 'model name')}, {cores} cores, {memory:.0f} GiB; load at the end {loads}"


def commit(repository):
    def git(*words):
        return subprocess.run(["git", *words], cwd=repository, capture_output=True, text=True, check=True).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + (" with changes" if git("status", "--porcelain") else "")


def facts(repository, made):
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return [
        f"{made['rows']:,} rows, {made['bytes']:,} bytes of JSON ({made['bytes'] / made['rows']:.0f} each)",
        f"machine: {machine()}",
        f"commit: {commit(repository)}, date: {today}",
    ]


def plain(lines):
    rows = [COLUMNS, *([cell or "" for cell in astuple(line)] for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def markdown(lines, about):
    table = [f"| {' | '.join(COLUMNS)} |", "|---|--:|--:|--:|---|"]
    table += [f"| {' | '.join(cell or '' for cell in astuple(line))} |" for line in lines]
    return "\n".join([*(f"- {fact}" for fact in about), "", *table, "", NOTES])


def replace(page, text):
    """The page with `text` between the comments; a page without them gets them at its end."""
    if BEGIN not in page:
        page = f"{page.rstrip()}\n\n{HEADING}\n\n`bench/run`, release build.\n\n{BEGIN}\n{END}\n"
    before, rest = page.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def publish(repository, lines, made, page):
    """On stdout, and on the page if it is to be."""
    about = facts(repository, made)
    print("\n".join([plain(lines), "", *about]))
    if not page:
        return
    page = repository / "docs" / "benchmarks.md"
    page.write_text(replace(page.read_text(), markdown(lines, about)))
