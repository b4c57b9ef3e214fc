"""An independent client of a Kafka cluster: what the tests produce there, and do to its topics.

Each function takes an order of `engines.py` with the cluster's address in `servers`, and answers something JSON can hold.
"""

import json
import time

ANSWER_WITHIN_S = 30
# Transactions that an order left open, until another one ends them.
OPEN = {}
ADMINS = {}
# Brokers die in these tests: that is no news.
QUIET = {"log_level": 0}


def admin(order):
    """One client a cluster: an answer comes only while its client is there."""
    from confluent_kafka.admin import AdminClient

    servers = order["servers"]
    if servers not in ADMINS:
        ADMINS[servers] = AdminClient({"bootstrap.servers": servers, **QUIET})
    return ADMINS[servers]


def wait_for(futures):
    for future in futures.values():
        future.result(timeout=ANSWER_WITHIN_S)


def partitions_of(order):
    metadata = admin(order).list_topics(order["topic"], timeout=ANSWER_WITHIN_S).topics[order["topic"]]
    return sorted(metadata.partitions) if metadata.error is None else []


def wait_until_there(order, count):
    started = time.monotonic()
    while len(partitions_of(order)) != count:
        if time.monotonic() - started > ANSWER_WITHIN_S:
            raise RuntimeError(f"{order['topic']} does not come to {count} partitions")
        time.sleep(0.05)


def kafka_create(order):
    from confluent_kafka.admin import NewTopic

    replicas = order.get("replicas", 1)
    topic = NewTopic(order["topic"], order["partitions"], replicas, config=order.get("config", {}))
    wait_for(admin(order).create_topics([topic]))
    wait_until_there(order, order["partitions"])


def kafka_delete(order):
    wait_for(admin(order).delete_topics([order["topic"]]))
    wait_until_there(order, 0)


def kafka_add_partitions(order):
    from confluent_kafka.admin import NewPartitions

    wait_for(admin(order).create_partitions([NewPartitions(order["topic"], order["partitions"])]))
    wait_until_there(order, order["partitions"])


def right(order):
    """The right of a login on the topic, with `group` on a consumer group, with `transactional_id` on one of these."""
    from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, ResourcePatternType, ResourceType

    kind, name = ResourceType.TOPIC, order["topic"]
    if "group" in order:
        kind, name = ResourceType.GROUP, order["group"]
    if "transactional_id" in order:
        kind, name = ResourceType.TRANSACTIONAL_ID, order["transactional_id"]
    operation, literal = AclOperation[order["right"]], ResourcePatternType.LITERAL
    return AclBinding(kind, name, literal, f"User:{order['login']}", "*", operation, AclPermissionType.ALLOW)


def kafka_grant(order):
    wait_for(admin(order).create_acls([right(order)]))


def kafka_revoke(order):
    from confluent_kafka.admin import AclBindingFilter

    granted = right(order)
    names = ("restype", "name", "resource_pattern_type", "principal", "host", "operation", "permission_type")
    wait_for(admin(order).delete_acls([AclBindingFilter(*(getattr(granted, name) for name in names))]))


def kafka_password(order):
    """Gives a login another password, by SCRAM-SHA-512."""
    from confluent_kafka.admin import ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion

    how = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    wait_for(
        admin(order).alter_user_scram_credentials(
            [UserScramCredentialUpsertion(order["login"], how, order["password"].encode())]
        )
    )


def kafka_delete_records(order):
    """Forgets what is before an offset, as retention does."""
    from confluent_kafka import TopicPartition

    place = TopicPartition(order["topic"], order["partition"], order["before"])
    wait_for(admin(order).delete_records([place]))


def value_of(record):
    """`raw`, as `raw_key`, is hexadecimal."""
    return bytes.fromhex(record["raw"]) if "raw" in record else bytes_of(record.get("value"))


def bytes_of(value):
    return None if value is None else value if isinstance(value, (str, bytes)) else json.dumps(value)


def kafka_produce(order):
    """Sends records; answers where each went, in their order. `transaction` is how the one around them ends."""
    from confluent_kafka import Producer

    settings = {"bootstrap.servers": order["servers"], "linger.ms": 5, "partitioner": "murmur2_random", **QUIET}
    # What it sends again is no second record.
    settings["enable.idempotence"] = True
    transaction = order.get("transaction")
    if transaction:
        settings["transactional.id"] = order["transactional_id"]
    producer = Producer({**settings, **order.get("settings", {})})
    if transaction:
        producer.init_transactions(ANSWER_WITHIN_S)
        producer.begin_transaction()
    places = [None] * len(order["records"])

    def delivered(index):
        def note(error, message):
            if error is None:
                places[index] = [message.partition(), message.offset()]

        return note

    for index, record in enumerate(order["records"]):
        extra = {name: record[name] for name in ("partition", "timestamp") if name in record}
        headers = [(name, bytes_of(value)) for name, value in record.get("headers", [])]
        key = bytes.fromhex(record["raw_key"]) if "raw_key" in record else bytes_of(record.get("key"))
        value = value_of(record)
        while True:
            try:
                producer.produce(
                    order["topic"], value, key, on_delivery=delivered(index), headers=headers or None, **extra
                )
                break
            except BufferError:
                producer.poll(0.1)
    left = producer.flush(ANSWER_WITHIN_S)
    if left or None in places:
        raise RuntimeError(f"{left} records were not sent, {places.count(None)} not acknowledged")
    if transaction == "commit":
        producer.commit_transaction(ANSWER_WITHIN_S)
    elif transaction == "abort":
        producer.abort_transaction(ANSWER_WITHIN_S)
    elif transaction == "open":
        OPEN[order["transactional_id"]] = producer
    return places


def kafka_end(order):
    """Ends a transaction that was left open."""
    producer = OPEN.pop(order["transactional_id"])
    end = producer.commit_transaction if order["transaction"] == "commit" else producer.abort_transaction
    end(ANSWER_WITHIN_S)


def kafka_group(order):
    """How far a group has come in the topic, as [partition, offset] of what is committed; and who has joined it."""
    from confluent_kafka import ConsumerGroupTopicPartitions

    group = order["group"]
    listed = admin(order).list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group]
    places = listed.result(timeout=ANSWER_WITHIN_S).topic_partitions
    places = sorted([place.partition, place.offset] for place in places if place.topic == order["topic"])
    described = admin(order).describe_consumer_groups([group])[group].result(timeout=ANSWER_WITHIN_S)
    return {"places": places, "members": len(described.members)}


def kafka_forget_group(order):
    """As a broker does with offsets that nobody renewed for long."""
    wait_for(admin(order).delete_consumer_groups([order["group"]]))


def kafka_set_group(order):
    """Sets the offset of a group to anything: `kafka-consumer-groups --reset-offsets` keeps to what the partition has."""
    from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

    place = TopicPartition(order["topic"], order["partition"], order["offset"])
    wait_for(admin(order).alter_consumer_group_offsets([ConsumerGroupTopicPartitions(order["group"], [place])]))


def kafka_end_of(order):
    """Behind the last record of a partition, markers of transactions too."""
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import OffsetSpec

    place = TopicPartition(order["topic"], order["partition"])
    return admin(order).list_offsets({place: OffsetSpec.latest()})[place].result(timeout=ANSWER_WITHIN_S).offset


def kafka_records(order):
    """Every committed record, as [partition, offset, key, value, headers]."""
    from confluent_kafka import Consumer, KafkaError, TopicPartition

    consumer = Consumer(
        {
            "bootstrap.servers": order["servers"],
            "group.id": "tests",
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
        }
    )
    left = set(partitions_of(order))
    consumer.assign([TopicPartition(order["topic"], partition, 0) for partition in left])
    found = []
    while left:
        message = consumer.poll(ANSWER_WITHIN_S)
        if message is None:
            raise RuntimeError("the broker does not answer")
        if message.error() is None:
            texts = [None if raw is None else raw.decode() for raw in (message.key(), message.value())]
            headers = [[name, None if raw is None else raw.decode()] for name, raw in message.headers() or []]
            found.append([message.partition(), message.offset(), *texts, headers])
        elif message.error().code() == KafkaError._PARTITION_EOF:
            left.discard(message.partition())
        else:
            raise RuntimeError(message.error().str())
    consumer.close()
    return sorted(found, key=lambda record: record[:2])


ORDERS = {name: function for name, function in list(globals().items()) if name.startswith("kafka_")}
