"""What others see of tables: which metadata the catalog names, since when, and what stands in it."""

import gzip
import json
import pathlib
import sqlite3
import time
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

# So often for a few tables; for many a look costs more, and is worth less.
LOOK_EVERY_S = 0.005
LOOK_AT_MANY_EVERY_S = 0.05


def metadata(location):
    path = pathlib.Path(location.removeprefix("file://"))
    data = path.read_bytes()
    return json.loads(gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data)


def current_snapshot(document):
    current = document.get("current-snapshot-id")
    return next((snapshot for snapshot in document.get("snapshots", []) if snapshot["snapshot-id"] == current), None)


def rows_of(location):
    snapshot = current_snapshot(metadata(location))
    return int(snapshot["summary"]["total-records"]) if snapshot else 0


def offsets_of(location):
    """Where the newest snapshot ends in each partition: by the ledger, which the number of rows must bear out."""
    snapshot = current_snapshot(metadata(location))
    if snapshot is None:
        return {}
    (ledger,) = [value for name, value in snapshot["summary"].items() if name.startswith("tableflow.ledger.")]
    (topic,) = json.loads(ledger)["topics"].values()
    offsets = {int(partition): offset for partition, offset in topic["offsets"].items()}
    if sum(offsets.values()) != int(snapshot["summary"]["total-records"]):
        raise SystemExit(f"error: {location} has other rows than its ledger says: {snapshot['summary']}")
    return offsets


@dataclass
class Seen:
    """A table's metadata, from the moment on when the catalog named it."""

    at: float
    table: str
    location: str
    offsets: dict | None


class Watch:
    """Looks into the catalog all the time. Of a few tables it reads at once what the catalog names; that of many is there
    for ten commits more.
    """

    def __init__(self, home, many=False):
        self.catalog = sqlite3.connect(f"file:{home}/catalog.db?mode=ro", uri=True, timeout=30)
        self.many = many
        self.locations, self.seen = {}, []
        self.look()
        self.seen.clear()

    def look(self):
        rows = self.catalog.execute("select table_name, metadata_location from iceberg_tables").fetchall()
        now = time.time()
        for table, location in rows:
            if self.locations.get(table) != location:
                self.locations[table] = location
                self.seen.append(Seen(now, table, location, None if self.many else offsets_of(location)))

    def until(self, done, patience_s):
        """Looks until something is so."""
        ends = time.time() + patience_s
        while not done():
            if time.time() > ends:
                raise SystemExit(f"error: after {patience_s:.0f} s the tables are not what they should be")
            self.look()
            time.sleep(LOOK_AT_MANY_EVERY_S if self.many else LOOK_EVERY_S)

    def seconds(self, seconds):
        ends = time.time() + seconds
        self.until(lambda: time.time() >= ends, seconds + 60)

    def rows(self, table):
        return rows_of(self.locations[table]) if table in self.locations else 0


class Produced:
    """When each record was produced: `producer.py` says how they are numbered."""

    def __init__(self, answer, channels, burst):
        self.times = [at for at, _ in answer["ticks"]]
        self.counts = [count for _, count in answer["ticks"]]
        self.records, self.channels, self.burst = answer["records"], channels, burst

    def at(self, channel, offset):
        turn, place = divmod(offset, self.burst)
        record = (turn * len(self.channels) + channel) * self.burst + place
        return self.times[bisect_right(self.counts, record) - 1]

    def rate(self):
        return self.records / (self.times[-1] - self.times[0])

    def freshness(self, seen, begins, ends):
        """Of all records produced between two moments: how many seconds each took to be in a table, in order."""
        numbers = {channel: number for number, channel in enumerate(self.channels)}
        reached, waited = dict.fromkeys(self.channels, 0), []
        for commit in seen:
            for partition, end in (commit.offsets or offsets_of(commit.location)).items():
                channel = (commit.table, partition)
                if channel not in numbers:
                    continue
                for offset in range(reached[channel], end):
                    at = self.at(numbers[channel], offset)
                    if begins <= at < ends:
                        waited.append(commit.at - at)
                reached[channel] = max(end, reached[channel])
        first, last = (bisect_left(self.times, moment) for moment in (begins, ends))
        wanted = (self.counts[last] if last < len(self.counts) else self.records) - self.counts[first]
        if len(waited) != wanted:
            raise SystemExit(f"error: {len(waited)} records were seen of {wanted}; there is no result")
        return sorted(waited)


def percentile(ordered, percent):
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]
