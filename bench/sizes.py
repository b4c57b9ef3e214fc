"""How much is measured: bench/run says what each of these means."""

import os
import pathlib

HERE = pathlib.Path(__file__).resolve().parent
# The table of most measurements.
PLAIN = "bronze.bids"


def whole(name, default):
    return int(os.environ.get(name, default))


def wholes(name, default):
    return [int(word) for word in os.environ.get(name, default).split()]


ROWS = whole("BENCH_ROWS", 5_000_000)
COMMIT_FILES = wholes("BENCH_COMMIT_FILES", "100 1000 10000")
PEER_ROWS = whole("BENCH_PEER_ROWS", 2_000_000)
PEERS = os.environ.get("BENCH_PEERS", "flink connect").split()
FRESHNESS_INTERVALS_S = wholes("BENCH_FRESHNESS", "1 2 10")
LIVE_RATE = whole("BENCH_LIVE_RATE", 20_000)
LIVE_SECONDS = whole("BENCH_LIVE_SECONDS", 30)
TABLES = whole("BENCH_TABLES", 1_000)
IDLE_TABLES = whole("BENCH_IDLE_TABLES", 10_000)
SMALL_FILES = whole("BENCH_SMALL_FILES", 2_000)
SMALL_ROWS = whole("BENCH_SMALL_ROWS", 13_000)
KEYS = whole("BENCH_KEYS", 10_000_000)
CHANGES = whole("BENCH_CHANGES", 5_000_000)
PEER_KEYS = whole("BENCH_PEER_KEYS", 200_000)
PEER_CHANGES = whole("BENCH_PEER_CHANGES", 20_000)
MERGE_KEYS = whole("BENCH_MERGE_KEYS", 2_000_000)
MERGE_CHANGES = whole("BENCH_MERGE_CHANGES", 500_000)
FIRE_KEYS = whole("BENCH_FIRE_KEYS", 2_000_000)
FIRE_CHANGES = whole("BENCH_FIRE_CHANGES", 20_000_000)
FIRE_RATE = whole("BENCH_FIRE_RATE", 50_000)
FIRE_SECONDS = whole("BENCH_FIRE_SECONDS", 90)
GARBAGE_FILES = whole("BENCH_GARBAGE_FILES", 100_000)
ALL = "append decoders kafka freshness backfill tables commits compaction upserts fire garbage reads process"
PARTS = os.environ.get("BENCH_PARTS", ALL).split()
