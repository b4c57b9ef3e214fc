"""The whole way from a real broker into a table, beside its limit and the peers that go it too.

The broker's own work is not counted, and nothing is said of a table that does not hold what was produced.
"""

import os
import re
from contextlib import contextmanager
from dataclasses import dataclass

import engines
from measure import Server, mebibytes, rate_text, run
from sizes import PEER_ROWS, PEERS, PLAIN, ROWS

FORMATS = ["json", "avro"]
COUNT_AND_SUM = "select count(*), sum(price) from {table}"
# What each peer can read.
READS = {"flink": ["json", "avro"], "connect": ["json"]}
NAMES = {"flink": "Flink", "connect": "Kafka Connect"}


@dataclass
class Topic:
    name: str
    format: str
    rows: int
    bytes: int
    price_sum: int
    schema: str


def fill(suite, broker, format, rows):
    name = f"bids-{format}-{rows}"
    filled = suite.bench("fill", broker.servers, name, format, str(rows))
    return Topic(name, format, rows, filled["bytes"], filled["price_sum"], filled["schema"])


def ingest(suite, broker):
    """Answers the names of the topics."""
    parts = suite.parts
    encode, avro = parts["encode"], suite.bench("avro", str(min(ROWS, 1_000_000)))["decoders"][0]["rate"]
    decode = {"json": parts["decode"], "avro": avro}
    topics = []
    for format in FORMATS:
        topic = fill(suite, broker, format, ROWS)
        fetched = suite.bench("fetch", broker.servers, topic.name)
        suite.check("what was fetched", fetched["rows"], ROWS)
        fetch = fetched["rows"] / fetched["cpu_seconds"]
        limit = 1 / (1 / fetch + 1 / decode[format]["median"] + 1 / encode["median"])
        suite.add(f"part, fetch {format} from Kafka: rows per CPU second", f"{fetch:,.0f}")
        usage = ours(suite, broker, topic, limit)
        readers = [peer for peer in PEERS if format in READS[peer]]
        if readers and PEER_ROWS != ROWS:
            topic_of_peers = fill(suite, broker, format, PEER_ROWS)
            beside(suite, broker, topic_of_peers, readers, sync(suite, broker, topic_of_peers)[0])
        else:
            beside(suite, broker, topic, readers, usage)
        topics.append(topic)
    return topics


def sync(suite, broker, topic):
    """One process from the topic's beginning to its end; its table must hold what was produced."""
    home = suite.folder / f"home-{topic.name}"
    environment = {"TABLEFLOW__KAFKA__BOOTSTRAP__SERVERS": broker.servers}

    def tableflow(*words):
        return run([suite.tableflow_binary, "--quiet", "--data-dir", home, *words], environment)

    if topic.format == "avro":
        schema = suite.folder / "bids.avsc"
        schema.write_text(topic.schema)
        tableflow("schema", "register", f"{topic.name}-value", schema)
    tableflow("enable", topic.name, "--table", "bids", "--metadata-columns", "none")
    usage = tableflow("sync", PLAIN, "-o", "json")
    suite.gate({"rows": topic.rows, "price_sum": topic.price_sum}, PLAIN, home)
    files = tableflow("files", PLAIN, "-o", "json").json()
    return usage, sum(file["bytes"] for file in files)


def ours(suite, broker, topic, limit):
    usage, written = sync(suite, broker, topic)
    what, rate = f"from Kafka, {topic.format}", topic.rows / usage.cpu_seconds
    suite.add(f"{what}: rows per CPU second", f"{rate:,.0f}", f"{limit:,.0f}", ratio=f"{rate / limit:.2f} of the limit")
    suite.add(f"{what}: CPU seconds per GB of values", f"{usage.cpu_seconds / (topic.bytes / 1e9):.2f}")
    suite.add(f"{what}: wall seconds", f"{usage.seconds:.2f}")
    suite.add(f"{what}: peak memory, MiB", mebibytes(usage.rss_bytes))
    commits = usage.json()[0]["commits"]
    suite.add(f"{what}: commits; Parquet bytes per byte of values", f"{commits}; {written / topic.bytes:.3f}")
    return usage


def beside(suite, broker, topic, peers, usage):
    """The same topic, read by others; `usage` is what we needed for it."""
    rate = topic.rows / usage.cpu_seconds
    for peer in peers:
        cost = run_peer(suite, broker, topic, peer)
        what = f"from Kafka, {topic.format}, {topic.rows:,} rows, beside {NAMES[peer]}"
        for state, theirs in ("cold", cost.cold), ("warm", cost.warm):
            work = f"{what}, {state}: rows per CPU second"
            # One that committed once was never warm.
            if theirs:
                suite.add(work, f"{rate:,.0f}", peer=f"{theirs:,.0f}", ratio=f"{rate / theirs:.1f} x peer")
        us = f"{usage.seconds:.2f}; {mebibytes(usage.rss_bytes)}"
        suite.add(f"{what}: wall seconds; peak memory, MiB", us, peer=f"{cost.seconds:.2f}; {cost.rss_mebibytes:,.0f}")


def run_peer(suite, broker, topic, peer):
    jars, folder = os.environ[f"TABLEFLOW_{peer.upper()}"], suite.folder / f"{peer}-{topic.format}"
    if peer == "connect":
        cost = engines.connect(jars, folder, broker, topic.name, topic.rows)
    elif topic.format == "avro":
        with registry(suite, topic) as url:
            cost = engines.flink(jars, folder, broker.servers, topic.name, "avro", topic.rows, url)
    else:
        cost = engines.flink(jars, folder, broker.servers, topic.name, "json", topic.rows)
    found = suite.peer("query", cost.location, COUNT_AND_SUM).json()["first"]
    suite.check(f"the table of {NAMES[peer]}", [int(value) for value in found], [topic.rows, topic.price_sum])
    return cost


@contextmanager
def registry(suite, topic):
    """Our embedded one, which knows the schema of the topic under the first id."""
    home, schema = suite.folder / "registry", suite.folder / "bids.avsc"
    schema.write_text(topic.schema)
    run([suite.tableflow_binary, "--data-dir", home, "schema", "register", f"{topic.name}-value", schema])
    with Server([suite.tableflow_binary, "--data-dir", home, "up", "--listen", "127.0.0.1:0"]) as up:
        (address,) = re.findall(r"http://\S+", up.process.stdout.readline())
        yield f"{address}/registry"
        up.process.terminate()
