"""Content of a table as one small document, equal for every reader of equal content.

The document: `{"rows": N, "content": HEX, "columns": {PATH: {"nulls": N, "hash": HEX}}}`.

- PATH is a leaf column, dotted (`address.city`): structs are descended into, lists and maps are leaves.
- `hash` is the sum modulo 2^64 of the hash of every value that is not null, as 16 hex digits: the order of
  rows does not matter, a missing, doubled or changed value does.
- `content` is the same sum over whole rows: the hash of the JSON array of a row's canonical texts (null as
  null), columns in the order of their paths, columns that begin with `_tableflow_` left out. It notices
  values that changed places between rows.
- The hash of a text is the first 8 bytes, big-endian, of the BLAKE2b-512 digest of its UTF-8 bytes.

Canonical text of a value, by its Iceberg type:

    int, long         decimal digits                      -7
    boolean           true, false
    float, double     Python's repr of the value          0.1, 1e+16, nan, inf, -0.0 (a float is widened first)
    decimal           no exponent, no trailing zeros      12.5, 0, -300
    string, uuid      as it is
    date              ISO                                 2026-01-31
    time              microseconds since midnight
    timestamp(tz)     microseconds since the epoch, UTC
    binary, fixed     lower-case hex
    list, struct, map compact JSON of the canonical texts of the parts, null as null, keys sorted
"""

import base64
import datetime
import decimal
import hashlib
import json
import struct

MASK = (1 << 64) - 1
EPOCH = datetime.datetime(1970, 1, 1)
METADATA_PREFIX = "_tableflow_"


def hash_text(text):
    return int.from_bytes(hashlib.blake2b(text.encode()).digest()[:8], "big")


def canonical(kind, value):
    """The canonical text of a value; `kind` is a type word, ("list", K), ("map", K, V) or ("struct", {name: K})."""
    if isinstance(kind, tuple):
        return json.dumps(nested(kind, value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return SCALARS[kind](value)


def nested(kind, value):
    if value is None:
        return None
    if not isinstance(kind, tuple):
        return canonical(kind, value)
    if kind[0] == "list":
        return [nested(kind[1], item) for item in value]
    if kind[0] == "map":
        pairs = value.items() if isinstance(value, dict) else value
        return {canonical(kind[1], key): nested(kind[2], item) for key, item in pairs}
    return {name: nested(part, value.get(name)) for name, part in kind[1].items()}


def micros(value):
    """From a datetime, ISO text (no offset means UTC), or a JSON number of epoch milliseconds."""
    if isinstance(value, (int, decimal.Decimal)):
        return int(value * 1000)
    if isinstance(value, str):
        value = datetime.datetime.fromisoformat(value)
    if value.tzinfo is not None:
        value = value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    return (value - EPOCH) // datetime.timedelta(microseconds=1)


def time_micros(value):
    value = datetime.time.fromisoformat(value) if isinstance(value, str) else value
    return ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond


def plain_decimal(value):
    value = decimal.Decimal(str(value)) if isinstance(value, (float, str)) else decimal.Decimal(value)
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def single(value):
    return struct.unpack("f", struct.pack("f", float(value)))[0]


def raw(value):
    """JSON carries bytes as base64 text."""
    return base64.b64decode(value) if isinstance(value, str) else bytes(value)


SCALARS = {
    "int": lambda v: str(int(v)),
    "long": lambda v: str(int(v)),
    "boolean": lambda v: "true" if v else "false",
    "float": lambda v: repr(single(v)),
    "double": lambda v: repr(float(v)),
    "decimal": plain_decimal,
    "string": str,
    "uuid": str,
    "date": lambda v: v if isinstance(v, str) else v.isoformat(),
    "time": lambda v: str(time_micros(v)),
    "timestamp": lambda v: str(micros(v)),
    "timestamptz": lambda v: str(micros(v)),
    "binary": lambda v: raw(v).hex(),
}


def leaves(fields, prefix=""):
    """(path, kind) of every leaf, sorted by path."""
    found = []
    for name, kind in fields.items():
        path = prefix + name
        if isinstance(kind, tuple) and kind[0] == "struct":
            found += leaves(kind[1], path + ".")
        else:
            found.append((path, kind))
    return sorted(found)


def value_at(row, fields, path):
    """The value of a leaf; names may hold dots, so the schema leads the way."""
    for name, kind in fields.items():
        if path == name:
            return row.get(name)
        if isinstance(kind, tuple) and kind[0] == "struct" and path.startswith(name + "."):
            inner = row.get(name)
            return None if inner is None else value_at(inner, kind[1], path[len(name) + 1 :])
    return None


class Content:
    """The document, built row by row."""

    def __init__(self, fields):
        self.fields = fields
        self.leaves = leaves(fields)
        self.rows = 0
        self.content = 0
        self.columns = {path: [0, 0] for path, _ in self.leaves}

    def add(self, row):
        texts = []
        for path, kind in self.leaves:
            value = value_at(row, self.fields, path)
            text = None if value is None else canonical(kind, value)
            tally = self.columns[path]
            if text is None:
                tally[0] += 1
            else:
                tally[1] = (tally[1] + hash_text(text)) & MASK
            if not path.startswith(METADATA_PREFIX):
                texts.append(text)
        self.rows += 1
        whole = json.dumps(texts, separators=(",", ":"), ensure_ascii=False)
        self.content = (self.content + hash_text(whole)) & MASK

    def document(self):
        columns = {path: {"nulls": nulls, "hash": f"{total:016x}"} for path, (nulls, total) in self.columns.items()}
        return {"rows": self.rows, "content": f"{self.content:016x}", "columns": columns}
