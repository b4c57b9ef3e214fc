"""What a table must hold, from the lines that were produced, as the document that canonical.py defines.

usage: expected.py [--envelope] [--columns COLUMNS] FILE...

Each line of a FILE is one JSON object; with --envelope it is `{"key":..,"value":{..},..}` and the value counts.
COLUMNS is what `tableflow enable --columns` takes (Flink's type words: `ts TIMESTAMP_LTZ(3), a ARRAY<INT>`).
Columns that are not declared are inferred: whole numbers are long, fractions double, objects structs.
"""

import argparse
import json
import re
import sys
from decimal import Decimal

from canonical import Content

WORDS = {
    "TINYINT": "int", "SMALLINT": "int", "INT": "int", "INTEGER": "int", "BIGINT": "long", "BOOLEAN": "boolean",
    "FLOAT": "float", "DOUBLE": "double", "DECIMAL": "decimal", "NUMERIC": "decimal", "STRING": "string",
    "VARCHAR": "string", "CHAR": "string", "DATE": "date", "TIME": "time", "TIMESTAMP": "timestamp",
    "TIMESTAMP_LTZ": "timestamptz", "BYTES": "binary", "VARBINARY": "binary", "BINARY": "binary",
}  # fmt: skip


class Columns:
    """A reader of `name TYPE, name TYPE, ...`."""

    def __init__(self, text):
        self.tokens = re.findall(r"`[^`]*`|\w+|[<>(),]", text)

    def peek(self):
        return self.tokens[0] if self.tokens else None

    def take(self, wanted=None):
        token = self.tokens.pop(0)
        if wanted is not None and token != wanted:
            raise ValueError(f"expected {wanted}, found {token}")
        return token

    def fields(self):
        found = {}
        while True:
            name = self.take().strip("`")
            found[name] = self.kind()
            if self.peek() != ",":
                return found
            self.take(",")

    def kind(self):
        word = self.take().upper()
        if word == "ROW":
            return "struct", self.bracketed(self.fields)
        if word == "ARRAY":
            return "list", self.bracketed(self.kind)
        if word == "MAP":
            return "map", *self.bracketed(lambda: (self.kind(), self.take(",") and self.kind()))
        while self.peek() == "(":
            while self.take() != ")":
                pass
        for word_after in ("NOT", "NULL"):
            if (self.peek() or "").upper() == word_after:
                self.take()
        return WORDS[word]

    def bracketed(self, inside):
        self.take("<")
        found = inside()
        self.take(">")
        return found


def infer(value):
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "long"
    if isinstance(value, Decimal):
        return "double"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list):
        kind = None
        for item in value:
            kind = widen(kind, infer(item))
        return "list", kind
    if isinstance(value, dict):
        return "struct", {name: infer(item) for name, item in value.items()}
    return None


def widen(known, seen):
    """None is a column of which only nulls were seen."""
    if known is None or seen is None:
        return known if seen is None else seen
    if (known, seen) in (("long", "double"), ("double", "long")):
        return "double"
    if isinstance(known, tuple) and isinstance(seen, tuple) and known[0] == seen[0] == "struct":
        names = {**known[1], **seen[1]}
        return "struct", {name: widen(known[1].get(name), seen[1].get(name)) for name in names}
    if isinstance(known, tuple) and isinstance(seen, tuple) and known[0] == seen[0] == "list":
        return "list", widen(known[1], seen[1])
    return known


def settle(fields):
    """Columns that never had a value are no columns."""
    found = {}
    for name, kind in fields.items():
        if isinstance(kind, tuple) and kind[0] == "struct":
            kind = "struct", settle(kind[1])
        if kind is not None and kind != ("list", None):
            found[name] = kind
    return found


def read_lines(paths, envelope):
    for path in paths:
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line, parse_float=Decimal)
                yield row["value"] if envelope else row


def expected(paths, columns="", envelope=False):
    declared = Columns(columns).fields() if columns.strip() else {}
    inferred = None
    for row in read_lines(paths, envelope):
        inferred = widen(inferred, infer(row))
    content = Content({**settle(inferred[1] if inferred else {}), **declared})
    for row in read_lines(paths, envelope):
        content.add(row)
    return content.document()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envelope", action="store_true")
    parser.add_argument("--columns", default="")
    parser.add_argument("files", nargs="+", metavar="FILE")
    options = parser.parse_args()
    json.dump(expected(options.files, options.columns, options.envelope), sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
