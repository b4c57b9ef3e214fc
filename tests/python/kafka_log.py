"""Record batches in the log of a Kafka broker that is down: what no client sends, and disks and hostile clients may leave.

Each function takes an order of `engines.py`: `file` is a segment of the log. Laid from Kafka's description of a batch.
"""

import io
import struct

HEADER_BYTES = 61
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
CHUNK = bytes(1 << 20)


def crc32c_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


TABLE = crc32c_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def varint(number):
    """Zigzag, then seven bits a byte, the lowest first."""
    rest = number << 1 if number >= 0 else (-number << 1) - 1
    out = bytearray()
    while rest >= 0x80:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def record_parts(index, value, zeros):
    """A record, with so many bytes 0 behind its value's own."""
    head = b"\0\0" + varint(index) + varint(-1) + varint(len(value) + zeros) + value
    yield varint(len(head) + zeros + 1) + head
    for begin in range(0, zeros, len(CHUNK)):
        yield CHUNK[: min(len(CHUNK), zeros - begin)]
    yield b"\0"


def squeeze(codec, parts):
    """Compressed piece by piece, so that a bomb takes no memory here, and tells no length beforehand."""
    import pyarrow

    sink = io.BytesIO()
    if codec == "none":
        for part in parts:
            sink.write(part)
        return sink.getvalue()
    out = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(out, codec) as stream:
        for part in parts:
            stream.write(part)
    return out.getvalue().to_pybytes()


def batch(order):
    values = [value.encode() for value in order["values"]]
    zeros = order.get("zeros", 0)
    parts = (part for index, value in enumerate(values) for part in record_parts(index, value, zeros))
    body = squeeze(order.get("codec", "none"), parts)
    last, count = order.get("last_delta", len(values) - 1), order.get("count", len(values))
    attributes = order.get("attributes", CODECS[order.get("codec", "none")])
    checked = struct.pack(">hiqqqhii", attributes, last, 0, 0, -1, -1, -1, count) + body
    return struct.pack(">qiibI", order["base"], 9 + len(checked), 0, 2, crc32c(checked)) + checked


def log_lay(order):
    """Puts batches at the log's end."""
    with open(order["file"], "ab") as log:
        for each in order["batches"]:
            log.write(batch(each))


def batches_of(data):
    """Where each batch begins, and its first offset."""
    begin = 0
    while begin + HEADER_BYTES <= len(data):
        base, length = struct.unpack_from(">qi", data, begin)
        if length <= 0:
            break
        yield begin, base
        begin += 12 + length


def log_flip(order):
    """Turns a bit of the last byte of the batch of an offset; a second time turns it back."""
    with open(order["file"], "r+b") as log:
        data = log.read()
        found = list(batches_of(data))
        begins = [begin for begin, _ in found] + [len(data)]
        place = max(index for index, (_, base) in enumerate(found) if base <= order["offset"])
        log.seek(begins[place + 1] - 2)
        log.write(bytes([data[begins[place + 1] - 2] ^ 1]))


ORDERS = {name: function for name, function in list(globals().items()) if name.startswith("log_")}
