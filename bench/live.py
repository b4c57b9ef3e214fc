"""Tables that follow their topics: how soon others see a row, and what that costs.

Owns the measurements of freshness, of a backfill beside live rows, and of many small tables. The service is a process of
its own; all that is said of its tables is read from the catalog.
"""

import itertools
import json
import sys
import time

from measure import Load, Server, run
from sizes import FRESHNESS_INTERVALS_S, HERE, IDLE_TABLES, LIVE_RATE, LIVE_SECONDS, ROWS, TABLES
from watch import Produced, Watch, percentile

PARTITIONS = 4
# Rows of the first seconds are not counted.
WARM_UP_S = 5
PATIENCE_S = 120
TABLES_INTERVAL_S = 10
TABLES_RATE = 10
IDLE_SECONDS = 20
# Each of many idle tables puts its first report.
SETTLE_SECONDS = 60
IDLE_MINUTE_S = 60
# Of the process with many tables, in MiB: the default of a machine with 16 GiB, and a small one with the most that it may
# take in all.
BUDGET_MIB = 4096
SMALL_BUDGET_MIB = 512
SMALL_PEAK_MIB_MAX = 900
REQUESTS = ["puts", "gets", "lists", "deletes"]


class Live:
    """A data directory over the broker's topics."""

    def __init__(self, suite, broker, name):
        self.suite, self.broker = suite, broker
        self.home = suite.folder / name
        self.environment = {"TABLEFLOW__KAFKA__BOOTSTRAP__SERVERS": broker.servers}
        self.lines = suite.home / "bids.ndjson"

    def tableflow(self, *words):
        return run([self.suite.tableflow_binary, "--quiet", "--data-dir", self.home, *words], self.environment)

    def enable(self, topics, interval_s):
        sample = json.loads(open(self.lines).readline())
        columns = ", ".join(f"`{name}` {'BIGINT' if type(value) is int else 'STRING'}" for name, value in sample.items())
        # The mode is said, so that no topic's settings are asked for.
        settings = ["--mode", "append", "--metadata-columns", "none", "--commit-interval", f"{interval_s}s"]
        self.tableflow("enable", *topics, "--columns", columns, *settings)

    def service(self, far=False, budget_mib=BUDGET_MIB):
        distance = ["--far"] if far else []
        budget = ["--budget-mib", budget_mib]
        return Server([self.suite.bench_binary, "serve", self.home, self.broker.servers, *distance, *budget])

    def producer(self, topics, partitions, rate, burst=1):
        words = [self.broker.servers, self.lines, rate, burst, ",".join(topics), partitions]
        return Server([sys.executable, HERE / "producer.py", *words])

    def gate(self, table, records):
        """The table holds each record that was produced to it alone, once."""
        prices = [json.loads(line)["price"] for line in itertools.islice(open(self.lines), 10_000)]
        rounds, rest = divmod(records, len(prices))
        self.suite.gate({"rows": records, "price_sum": rounds * sum(prices) + sum(prices[:rest])}, table, self.home)


def end(producer):
    """What was produced, once the producer has ended."""
    producer.process.stdin.close()
    return json.loads(producer.process.stdout.readline())


def freshness(suite, broker):
    for far in False, True:
        for interval_s in FRESHNESS_INTERVALS_S:
            fresh_at(suite, broker, interval_s, far)


def fresh_at(suite, broker, interval_s, far):
    name = f"live-{interval_s}{'-far' if far else ''}"
    live = Live(suite, broker, name)
    broker.create([name], PARTITIONS)
    live.enable([name], interval_s)
    with live.service(far) as service, live.producer([name], PARTITIONS, LIVE_RATE) as producer:
        producer.process.stdout.readline()
        watch, load = Watch(live.home), Load(service.process.pid)
        watch.seconds(WARM_UP_S + interval_s)
        begins, cpu = time.time(), load.cpu_seconds()
        watch.seconds(LIVE_SECONDS)
        ends, cpu = time.time(), load.cpu_seconds() - cpu
        produced = Produced(end(producer), [(name, partition) for partition in range(PARTITIONS)], 1)
        watch.until(lambda: watch.rows(name) == produced.records, PATIENCE_S)
        memory = load.mebibytes("VmHWM")
    live.gate(f"bronze.{name}", produced.records)
    waited = produced.freshness(watch.seen, begins, ends)
    what = f"freshness at {produced.rate():,.0f} rows/s, commits every {interval_s} s"
    what += ", far" if far else ""
    suite.add(f"{what}: p50 / p99 / most, s", spread(waited))
    commits = sum(begins <= commit.at < ends for commit in watch.seen)
    suite.add(f"{what}: cores; peak memory, MiB; commits", f"{cpu / (ends - begins):.3f}; {memory:,.0f}; {commits}")


def spread(waited):
    return f"{percentile(waited, 50):.2f} / {percentile(waited, 99):.2f} / {waited[-1]:.2f}"


def backfill(suite, broker, filled):
    """A table follows its topic while others of the same service read theirs from the beginning."""
    name, interval_s = "tail", 2
    topics = [topic.name for topic in filled if topic.format == "json"]
    live = Live(suite, broker, name)
    broker.create([name], PARTITIONS)
    live.enable([name], interval_s)
    with live.service() as service, live.producer([name], PARTITIONS, LIVE_RATE) as producer:
        producer.process.stdout.readline()
        watch, load = Watch(live.home), Load(service.process.pid)
        watch.seconds(WARM_UP_S)
        begins, cpu = time.time(), load.cpu_seconds()
        live.enable(topics, interval_s)
        watch.until(lambda: all(watch.rows(topic) == ROWS for topic in topics), 10 * PATIENCE_S)
        ends, cpu = time.time(), load.cpu_seconds() - cpu
        produced = Produced(end(producer), [(name, partition) for partition in range(PARTITIONS)], 1)
        watch.until(lambda: watch.rows(name) == produced.records, PATIENCE_S)
    live.gate(f"bronze.{name}", produced.records)
    waited = produced.freshness(watch.seen, begins, ends)
    rows, seconds = len(topics) * ROWS, ends - begins
    what = f"backfill of {rows:,} rows beside {produced.rate():,.0f} live rows/s"
    suite.add(f"{what}: wall seconds; cores; rows/s", f"{seconds:.1f}; {cpu / seconds:.2f}; {rows / seconds:,.0f}")
    suite.add(f"{what}: live freshness, commits every {interval_s} s: p50 / p99 / most, s", spread(waited))


def tables(suite, broker):
    many(suite, broker, "many", BUDGET_MIB)
    memory = many(suite, broker, "many-in-little", SMALL_BUDGET_MIB)
    if TABLES <= 1_000 and memory > SMALL_PEAK_MIB_MAX:
        raise SystemExit(f"error: {memory:,.0f} MiB at the peak of {TABLES:,} tables in a budget of {SMALL_BUDGET_MIB} MiB")
    idle(suite, broker)


def many(suite, broker, name, budget_mib):
    """Many tables; each gets a few rows once a second. Answers the most memory."""
    live = Live(suite, broker, name)
    topics = [f"{name}{number:05}" for number in range(TABLES)]
    broker.create(topics, 1)
    enabled = time.time()
    live.enable(topics, TABLES_INTERVAL_S)
    enabled = time.time() - enabled
    producing = live.producer(topics, 1, TABLES * TABLES_RATE, TABLES_RATE)
    with live.service(budget_mib=budget_mib) as service, producing as producer:
        producer.process.stdout.readline()
        watch, load = Watch(live.home, many=True), Load(service.process.pid)
        watch.seconds(2 * TABLES_INTERVAL_S)
        begins, cpu, requests = time.time(), load.cpu_seconds(), service.ask("")
        watch.seconds(LIVE_SECONDS)
        ends, cpu, later = time.time(), load.cpu_seconds() - cpu, service.ask("")
        produced = Produced(end(producer), [(topic, 0) for topic in topics], TABLES_RATE)
        found, patient_until = 0, time.time() + PATIENCE_S
        while found != produced.records and time.time() < patient_until:
            watch.seconds(TABLES_INTERVAL_S)
            found = sum(watch.rows(topic) for topic in topics)
        suite.check("all tables together", found, produced.records)
        memory = load.mebibytes("VmHWM")
        quiet = load.cpu_seconds()
        time.sleep(IDLE_SECONDS)
        quiet = (load.cpu_seconds() - quiet) / IDLE_SECONDS
    waited = produced.freshness(watch.seen, begins, ends)
    seconds = ends - begins
    what = f"{TABLES:,} tables at {produced.rate() / TABLES:.1f} rows/s each, commits every {TABLES_INTERVAL_S} s"
    what += f", budget {budget_mib} MiB" if budget_mib != BUDGET_MIB else ""
    suite.add(f"{what}: freshness p50 / p99 / most, s", spread(waited))
    suite.add(f"{what}: cores; peak memory, MiB", f"{cpu / seconds:.2f}; {memory:,.0f}")
    hourly = [f"{(later[kind] - requests[kind]) * 3600 / seconds:,.0f}" for kind in REQUESTS]
    suite.add(f"{what}: {' / '.join(REQUESTS)} an hour", " / ".join(hourly))
    if budget_mib == BUDGET_MIB:
        suite.add(f"{TABLES:,} tables: `enable` of all, s; cores when nothing comes", f"{enabled:.1f}; {quiet:.3f}")
    return memory


def idle(suite, broker):
    """Many more tables that nothing comes to, over a minute once all have reported."""
    live = Live(suite, broker, "idle")
    topics = [f"i{number:05}" for number in range(IDLE_TABLES)]
    broker.create(topics, 1)
    enabled = time.time()
    live.enable(topics, TABLES_INTERVAL_S)
    enabled = time.time() - enabled
    with live.service() as service:
        load = Load(service.process.pid)
        time.sleep(SETTLE_SECONDS)
        cpu, requests = load.cpu_seconds(), service.ask("")
        time.sleep(IDLE_MINUTE_S)
        cpu, later = load.cpu_seconds() - cpu, service.ask("")
        memory, peak = load.mebibytes(), load.mebibytes("VmHWM")
    cost = f"{cpu / IDLE_MINUTE_S:.3f}; {memory:,.0f}; {peak:,.0f}; {later['puts'] - requests['puts']}"
    suite.add(f"{IDLE_TABLES:,} idle tables: cores; memory, MiB; peak, MiB; puts in {IDLE_MINUTE_S} s", cost)
    suite.add(f"{IDLE_TABLES:,} idle tables: `enable` of all, s", f"{enabled:.1f}")
