"""An independent client of a schema registry: records with ids of schemas, as Confluent's serializers write them.

Each function takes an order of `engines.py`, like those of `kafka.py`: `registry` is the registry's address.
"""

import warnings

import kafka

TYPES = {"int64": 3, "int32": 5, "bool": 8, "string": 9, "double": 1}


def client(order):
    warnings.filterwarnings("ignore")
    from confluent_kafka.schema_registry import SchemaRegistryClient

    return SchemaRegistryClient({"url": order["registry"]})


def settings_of(order, **further):
    from confluent_kafka.schema_registry import header_schema_id_serializer, topic_subject_name_strategy

    settings = {"auto.register.schemas": True, "subject.name.strategy": topic_subject_name_strategy, **further}
    if order.get("ids") == "header":
        settings["schema.id.serializer"] = header_schema_id_serializer
    return settings


def avro(order, schema):
    from confluent_kafka.schema_registry.avro import AvroSerializer

    return AvroSerializer(client(order), schema, conf=settings_of(order))


def json(order, schema):
    from confluent_kafka.schema_registry.json_schema import JSONSerializer

    return JSONSerializer(schema, client(order), conf=settings_of(order))


def protobuf(order, schema):
    """`schema` is a list of messages, each `[name, [[field, type], ..]]`; records are of the last one.

    A field may say its number: `[field, type, number]`.
    """
    from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="order.proto", syntax="proto3")
    for name, fields in schema:
        message = file.message_type.add(name=name)
        for number, (field, kind, *own) in enumerate(fields, 1):
            added = message.field.add(name=field, number=own[0] if own else number, label=1)
            if kind in TYPES:
                added.type = TYPES[kind]
            else:
                added.type, added.type_name = 11, f".{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName(schema[-1][0]))
    serializer = ProtobufSerializer(kind, client(order), conf=settings_of(order, **{"use.deprecated.format": False}))
    return lambda value, context: serializer(kind(**value), context)


SERIALIZERS = {"avro": avro, "json": json, "protobuf": protobuf}


def widened(data):
    """The id in eight bytes, as Apicurio's serializers wrote it."""
    return data[:1] + bytes(4) + data[1:]


def registered_produce(order):
    """Sends values, each written with its batch's schema, or null; answers where each went, in their order.

    A batch may have `keys`, one for each value, written with its `key_schema`; null is no key. It goes to its `partition`,
    or to the first.
    """
    from confluent_kafka import Producer
    from confluent_kafka.serialization import MessageField, SerializationContext

    producer = Producer({"bootstrap.servers": order["servers"], "linger.ms": 5, **kafka.QUIET})
    places, failures = {}, []

    def delivered(index):
        def note(error, message):
            if error is None:
                places[index] = [message.partition(), message.offset()]
            else:
                failures.append(error.str())

        return note

    count = 0
    for batch in order["batches"]:
        write = SERIALIZERS[order["format"]](order, batch["schema"])
        keys = batch.get("keys", [None] * len(batch["values"]))
        write_key = SERIALIZERS[order["key_format"]](order, batch["key_schema"]) if "key_schema" in batch else None
        for key, value in zip(keys, batch["values"], strict=True):
            headers = []
            context = SerializationContext(order["topic"], MessageField.VALUE, headers)
            data = None if value is None else write(value, context)
            key = write_key and key is not None and write_key(
                key, SerializationContext(order["topic"], MessageField.KEY, headers)
            )
            if order.get("ids") == "wide":
                data, key = data and widened(data), key and widened(key)
            producer.produce(
                order["topic"],
                data,
                key or None,
                partition=batch.get("partition", 0),
                headers=headers or None,
                on_delivery=delivered(count),
            )
            count += 1
    if producer.flush(kafka.ANSWER_WITHIN_S) or failures:
        raise RuntimeError(f"records were not sent: {failures}")
    return [places[index] for index in range(count)]


def registered_only(order):
    """Registers a schema that no record has."""
    from confluent_kafka.schema_registry import Schema

    kind = {"avro": "AVRO", "json": "JSON"}[order["format"]]
    return client(order).register_schema(f"{order['topic']}-value", Schema(order["schema"], kind))


def registered_level(order):
    """How much the next version of the topic's schema may differ."""
    client(order).set_config(f"{order['topic']}-value", config=server_config(order["level"]))


def server_config(level):
    from confluent_kafka.schema_registry.common.schema_registry_client import ConfigCompatibilityLevel, ServerConfig

    return ServerConfig(compatibility=ConfigCompatibilityLevel[level])


ORDERS = {name: function for name, function in list(globals().items()) if name.startswith("registered_")}
