"""The peers that read from Kafka: Flink, and Kafka Connect with Iceberg's sink, each in a process of its own.

Both write Parquet as we do (zstd, level 1) into a table of Iceberg's catalog of plain folders, with two tasks, and
commit every five seconds. Their costs are read at each commit: so what they spend before they are warm is told apart.
- I1: the CPU time of a process is all of it: start, compilation, collection of garbage.
- I2: warm is what lies between the first commit with a tenth of the rows and the last one. The work on rows that were
  read ahead of the first of them is not in it, which is in the peer's favour.
"""

import subprocess
import time
from dataclasses import dataclass

from measure import Load
from sizes import HERE
from watch import rows_of

INTERVAL_S = 5
TASKS = 2
PATIENCE_S = 600
LOOK_EVERY_S = 0.02
JAVA = ["java", "-Xmx1500m", "-XX:+UseSerialGC", "-Dlog4j2.level=WARN"]
# Packages of Java that Flink looks into.
OPENED = """java.lang java.net java.io java.nio sun.nio.ch java.lang.reflect java.text java.time java.util
java.util.concurrent java.util.concurrent.atomic java.util.concurrent.locks""".split()

FLINK_SETTINGS = """execution.target: local
execution.checkpointing.interval: {interval} s
execution.checkpointing.dir: file://{folder}/checkpoints
io.tmp.dirs: {folder}
parallelism.default: {tasks}
table.dml-sync: true
rest.address: 127.0.0.1
rest.bind-address: 127.0.0.1
rest.bind-port: 0
taskmanager.numberOfTaskSlots: {tasks}
taskmanager.memory.network.min: 64mb
taskmanager.memory.network.max: 64mb
taskmanager.memory.managed.size: 64mb
classloader.check-leaked-classloader: false
"""
FLINK_STATEMENTS = """CREATE TABLE source ({columns}) WITH ('connector' = 'kafka', 'topic' = '{topic}',
  'properties.bootstrap.servers' = '{servers}', 'properties.group.id' = 'flink', 'scan.startup.mode' = 'earliest-offset',
  'scan.bounded.mode' = 'latest-offset', {format});
CREATE CATALOG lake WITH ('type' = 'iceberg', 'catalog-type' = 'hadoop', 'warehouse' = 'file://{folder}/warehouse');
CREATE DATABASE lake.bronze;
CREATE TABLE lake.bronze.bids ({columns}) WITH ('format-version' = '2', 'write.parquet.compression-codec' = 'zstd',
  'write.parquet.compression-level' = '1');
INSERT INTO lake.bronze.bids SELECT * FROM source;
"""
FLINK_FORMATS = {
    "json": "'format' = 'json'",
    "avro": "'format' = 'avro-confluent', 'avro-confluent.url' = '{registry}'",
}
COLUMNS = "auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING, `dateTime` BIGINT, extra STRING"

CONNECT_WORKER = """bootstrap.servers={servers}
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
value.converter.schemas.enable=false
offset.storage.file.filename={folder}/offsets
listeners=http://127.0.0.1:0
consumer.max.poll.records=10000
offset.flush.interval.ms=1000
"""
CONNECT_SINK = """name=sink
connector.class=org.apache.iceberg.connect.IcebergSinkConnector
tasks.max={tasks}
topics={topic}
iceberg.tables=bronze.bids
iceberg.tables.auto-create-enabled=true
iceberg.tables.auto-create-props.format-version=2
iceberg.tables.auto-create-props.write.parquet.compression-codec=zstd
iceberg.tables.auto-create-props.write.parquet.compression-level=1
iceberg.catalog.type=hadoop
iceberg.catalog.warehouse=file://{folder}/warehouse
iceberg.control.topic={control}
iceberg.control.commit.interval-ms={interval_ms}
iceberg.kafka.bootstrap.servers={servers}
"""


@dataclass
class Commit:
    at: float
    cpu_seconds: float
    rows: int


@dataclass
class Cost:
    """A peer's run from its start on."""

    seconds: float
    cpu_seconds: float
    rss_mebibytes: float
    rows: int
    commits: list
    location: str

    @property
    def cold(self):
        return self.rows / self.cpu_seconds

    @property
    def warm(self):
        """I2; none where there was one commit."""
        first = next(commit for commit in self.commits if commit.rows >= self.rows / 10)
        last = self.commits[-1]
        return (last.rows - first.rows) / (last.cpu_seconds - first.cpu_seconds) if first.rows < last.rows else None


def newest(table):
    """The table's metadata in a catalog of plain folders."""
    versions = {int(path.name.split(".")[0].removeprefix("v")): path for path in table.glob("metadata/v*.metadata.json")}
    return versions[max(versions)] if versions else None


def watch(command, folder, rows):
    """Runs a peer until its table has the rows."""
    with open(folder / "log", "w") as log:
        began = time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder)
    try:
        load, commits, known = Load(process.pid), [], None
        while not commits or commits[-1].rows < rows:
            location = newest(folder / "warehouse" / "bronze" / "bids")
            if location != known:
                at, cpu_seconds = time.monotonic() - began, load.cpu_seconds()
                known, found = location, rows_of(str(location))
                if found > (commits[-1].rows if commits else 0):
                    commits.append(Commit(at, cpu_seconds, found))
            elif process.poll() is not None or time.monotonic() - began > PATIENCE_S:
                print((folder / "log").read_text()[-4000:])
                raise SystemExit(f"error: {command[0]} {command[-2]} did not bring {rows} rows into its table")
            time.sleep(LOOK_EVERY_S)
        last = commits[-1]
        return Cost(last.at, last.cpu_seconds, load.mebibytes("VmHWM"), last.rows, commits, str(known))
    finally:
        process.kill()
        process.wait()


def flink(jars, folder, servers, topic, format, rows, registry=None):
    folder.mkdir()
    subprocess.run(["javac", "-d", folder, "-cp", f"{jars}/*", HERE / "real" / "flink" / "Statements.java"], check=True)
    facts = {"folder": folder, "tasks": TASKS, "interval": INTERVAL_S, "servers": servers, "topic": topic}
    settings, statements = folder / "settings", folder / "statements.sql"
    settings.write_text(FLINK_SETTINGS.format(**facts))
    decoded = FLINK_FORMATS[format].format(registry=registry)
    statements.write_text(FLINK_STATEMENTS.format(**facts, columns=COLUMNS, format=decoded))
    opened = [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in OPENED]
    command = [*JAVA, *opened, "-cp", f"{folder}:{jars}/*", "Statements", settings, statements]
    return watch(command, folder, rows)


def connect(jars, folder, broker, topic, rows):
    """The path of a worker's file must have no blanks: the sink looks for it in the words of its process. A task without
    new records rests until its offsets are due: they are soon, or the last rows would wait for a minute.
    """
    folder.mkdir()
    control = f"control-{topic}"
    broker.create([control], 1)
    facts = {"folder": folder, "tasks": TASKS, "servers": broker.servers, "topic": topic}
    worker, sink = folder / "worker.properties", folder / "sink.properties"
    worker.write_text(CONNECT_WORKER.format(**facts))
    sink.write_text(CONNECT_SINK.format(**facts, control=control, interval_ms=INTERVAL_S * 1000))
    standalone = "org.apache.kafka.connect.cli.ConnectStandalone"
    return watch([*JAVA, "-cp", f"{jars}/*", standalone, worker, sink], folder, rows)
