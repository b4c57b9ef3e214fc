"""Record batches in the log of a Kafka broker that is down: what no client sends, and disks and hostile clients may leave.

Each function takes an order of `engines.py`: `file` is a segment of the log. Laid from Kafka's description of a batch.
"""

import io
import struct

HEADER_BYTES = 61
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
CHUNK_BYTES = 1 << 20
# In a value: here comes what is there many times.
MARK = b"*"


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


def record_parts(index, value, repeated):
    """A record, piece by piece: a byte so many times is where the mark is in its value."""
    byte, count = repeated
    before, mark, behind = value.partition(MARK)
    count = count if mark else 0
    head = b"\0\0" + varint(index) + varint(-1) + varint(len(before) + count + len(behind)) + before
    yield varint(len(head) + count + len(behind) + 1) + head
    chunk = byte * CHUNK_BYTES
    for begin in range(0, count, CHUNK_BYTES):
        yield chunk[: min(CHUNK_BYTES, count - begin)]
    yield behind + b"\0"


def empty_parts(count):
    """So many records `{}`."""
    for begin in range(0, count, 1000):
        part = bytearray()
        for index in range(begin, min(begin + 1000, count)):
            record = b"\0\0" + varint(index) + b"\1\4{}\0"
            part.append(2 * len(record))
            part += record
        yield bytes(part)


def squeeze(codec, parts):
    """Compressed piece by piece, so that a bomb takes no memory here, and tells no length beforehand."""
    import pyarrow

    sink = io.BytesIO()
    if codec == "none":
        for part in parts:
            sink.write(part)
        return sink.getvalue()
    if codec == "snappy":
        return snappy(pyarrow.compress, parts)
    out = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(out, codec) as stream:
        for part in parts:
            stream.write(part)
    return out.getvalue().to_pybytes()


def snappy(compress, parts):
    """In blocks, as Java's library writes them: the codec itself knows no stream."""
    blocks = [compress(bytes(part), "snappy", asbytes=True) for part in parts]
    framed = b"".join(struct.pack(">i", len(block)) + block for block in blocks)
    return b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1) + framed


def batch(order):
    if "empty" in order:
        records, parts = order["empty"], empty_parts(order["empty"])
    else:
        values = [value.encode() for value in order["values"]]
        byte, times = order.get("repeated", ["", 0])
        repeated = byte.encode(), times
        parts = (part for index, value in enumerate(values) for part in record_parts(index, value, repeated))
        records = len(values)
    body = squeeze(order.get("codec", "none"), parts)
    last, count = order.get("last_delta", records - 1), order.get("count", records)
    attributes = order.get("attributes", CODECS[order.get("codec", "none")])
    checked = struct.pack(">hiqqqhii", attributes, last, 0, 0, -1, -1, -1, count) + body
    return struct.pack(">qiibI", order["base"], 9 + len(checked), 0, 2, crc32c(checked)) + checked


def log_lay(order):
    """Puts batches at the log's end; answers how many bytes each has there."""
    with open(order["file"], "ab") as log:
        return [log.write(batch(each)) for each in order["batches"]]


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
