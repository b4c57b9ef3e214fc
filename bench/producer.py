"""Produces at a steady rate, and knows when each record was produced.

usage: producer.py SERVERS LINES RATE BURST TOPICS PARTITIONS    until stdin ends

Each partition of each topic (a list with commas) gets BURST records in turn; `watch.Produced` counts them in the same
way. The value of record `i` is line `i` of LINES, over and over. On stdout: a line once the first record is under way,
and at the end what was produced: [time, records before it] of every tick, and how many records.
"""

import itertools
import json
import sys
import threading
import time

from confluent_kafka import Producer

TICK_S = 0.01
SETTINGS = {"enable.idempotence": True, "compression.type": "lz4", "linger.ms": 5, "log_level": 3}


def send(producer, topic, value, partition, timestamp):
    while True:
        try:
            return producer.produce(topic, value, partition=partition, timestamp=timestamp)
        except BufferError:
            producer.poll(TICK_S)


def main(servers, lines, rate, burst, topics, partitions):
    channels = [(topic, partition) for topic in topics.split(",") for partition in range(int(partitions))]
    with open(lines, "rb") as file:
        values = [line.rstrip(b"\n") for line in itertools.islice(file, 10_000)]
    producer = Producer({"bootstrap.servers": servers, **SETTINGS})
    stopped = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stopped.set()), daemon=True).start()
    ticks, sent, began = [], 0, time.time()
    while not stopped.is_set():
        now = time.time()
        due = int((now - began + TICK_S) * int(rate))
        ticks.append((now, sent))
        for number in range(sent, due):
            topic, partition = channels[number // int(burst) % len(channels)]
            send(producer, topic, values[number % len(values)], partition, int(now * 1000))
        if not sent:
            print(flush=True)
        sent = max(sent, due)
        producer.poll(max(0, now + TICK_S - time.time()))
    if producer.flush(30):
        sys.exit("error: records were not delivered")
    print(json.dumps({"ticks": ticks, "records": sent}))


if __name__ == "__main__":
    if len(sys.argv) != 7:
        sys.exit(__doc__)
    main(*sys.argv[1:])
