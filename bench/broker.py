"""A Kafka broker for the time of a measurement."""

import pathlib
import socket
import subprocess
import time

PATIENCE_S = 60
PATIENTLY = {"operation_timeout": PATIENCE_S, "request_timeout": PATIENCE_S}
CREATED_AT_ONCE = 500
CLUSTER_ID = "4L6g3nShT-eMCtK--X86sw"
SETTINGS = """process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={folder}/data
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
# The rows have the same times on every day: they must not be too old.
log.retention.ms=-1
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(futures):
    for future in futures.values():
        future.result()


class Broker:
    """One node in a folder of its own; it ends with the block."""

    def __init__(self, jars, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        self.port = free_port()
        self.java = ["java", "-Xmx1g", "-cp", f"{jars}/*"]
        self.settings = self.folder / "server.properties"
        self.settings.write_text(SETTINGS.format(port=self.port, controller=free_port(), folder=self.folder))

    @property
    def servers(self):
        return f"127.0.0.1:{self.port}"

    def __enter__(self):
        log = open(self.folder / "server.log", "w")
        format = ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "--standalone", "-c", self.settings]
        subprocess.run([*self.java, *format], stdout=log, stderr=log, check=True)
        self.process = subprocess.Popen([*self.java, "kafka.Kafka", self.settings], stdout=log, stderr=log)
        started = time.monotonic()
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return self
            except OSError:
                if time.monotonic() - started > PATIENCE_S:
                    raise SystemExit(f"error: the broker does not answer, see {self.folder}/server.log")
                time.sleep(0.1)

    def create(self, topics, partitions):
        """Topics that can be read and written at once: a broker answers before it leads what it made."""
        from confluent_kafka import KafkaException, TopicPartition
        from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

        admin = AdminClient({"bootstrap.servers": self.servers, "log_level": 0})
        for first in range(0, len(topics), CREATED_AT_ONCE):
            some = topics[first : first + CREATED_AT_ONCE]
            wait_for(admin.create_topics([NewTopic(topic, partitions, 1) for topic in some], **PATIENTLY))
            places = {TopicPartition(topic, part): OffsetSpec.latest() for topic in some for part in range(partitions)}
            started = time.monotonic()
            while time.monotonic() - started < PATIENCE_S:
                try:
                    wait_for(admin.list_offsets(places, request_timeout=PATIENCE_S))
                    break
                except KafkaException:
                    time.sleep(0.1)

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
