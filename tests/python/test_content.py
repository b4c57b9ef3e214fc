"""Three readers of one table, and the lines it was made from, give one document; a wrong table does not."""

import datetime
import json
import pathlib
import tempfile
import unittest
from decimal import Decimal

import canonical
import expected
import read_table

COLUMNS = """
    id BIGINT, small INT, flag BOOLEAN, ratio DOUBLE, share FLOAT, amount DECIMAL(10, 2), name STRING, day DATE,
    made TIMESTAMP(6), seen TIMESTAMP_LTZ(3), body BYTES, tags ARRAY<STRING>,
    `home.address` ROW<city STRING, at ROW<lat DOUBLE, lon DOUBLE>>, marks MAP<STRING, BIGINT>
"""

LINES = [
    '{"id":9007199254740993,"small":-7,"flag":true,"ratio":0.1,"share":0.1,"amount":12.50,"name":"é \\"q\\"",'
    '"day":"2026-01-31","made":"2026-01-31T23:59:59.000001","seen":1767225599123,"body":"AP8=","tags":["b",null,"a"],'
    '"home.address":{"city":"Ulm","at":{"lat":48.4,"lon":10.0}},"marks":{"z":1,"a":null}}',
    '{"id":2,"flag":false,"ratio":1e300,"amount":-0.00,"name":"","seen":"2025-12-31T23:59:59.123Z","tags":[],'
    '"home.address":{"city":null,"at":null}}',
    '{"id":3,"small":null,"home.address":null,"marks":{}}',
]


def write_table(folder):
    """The rows of LINES, written by PyIceberg from Python values said once more by hand."""
    import pyarrow as pa

    point = pa.struct([("lat", pa.float64()), ("lon", pa.float64())])
    schema = pa.schema(
        [
            ("id", pa.int64()), ("small", pa.int32()), ("flag", pa.bool_()), ("ratio", pa.float64()),
            ("share", pa.float32()), ("amount", pa.decimal128(10, 2)), ("name", pa.string()), ("day", pa.date32()),
            ("made", pa.timestamp("us")), ("seen", pa.timestamp("us", "UTC")), ("body", pa.binary()),
            ("tags", pa.list_(pa.string())), ("home.address", pa.struct([("city", pa.string()), ("at", point)])),
            ("marks", pa.map_(pa.string(), pa.int64())),
        ]
    )  # fmt: skip
    seen = datetime.datetime(2025, 12, 31, 23, 59, 59, 123000, datetime.timezone.utc)
    rows = [
        {"id": 3, "marks": []},
        {"id": 2, "flag": False, "ratio": 1e300, "amount": Decimal("0.00"), "name": "", "seen": seen, "tags": [],
         "home.address": {"city": None, "at": None}},
        {"id": 2**53 + 1, "small": -7, "flag": True, "ratio": 0.1, "share": 0.1, "amount": Decimal("12.50"),
         "name": 'é "q"', "day": datetime.date(2026, 1, 31), "made": datetime.datetime(2026, 1, 31, 23, 59, 59, 1),
         "seen": seen, "body": b"\x00\xff", "tags": ["b", None, "a"],
         "home.address": {"city": "Ulm", "at": {"lat": 48.4, "lon": 10.0}}, "marks": [("z", 1), ("a", None)]},
    ]  # fmt: skip
    (folder / "warehouse").mkdir()
    catalog = read_table.open_catalog(folder)
    catalog.create_namespace("bronze")
    table = catalog.create_table(("bronze", "pg.public.shop"), schema)
    for row in rows:
        table.append(pa.Table.from_pylist([row], schema=schema))


class OneTable(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        write_table(cls.folder)
        cls.lines = cls.folder / "lines.ndjson"
        cls.lines.write_text("\n".join(LINES) + "\n", encoding="utf-8")

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def test_readers_and_lines_agree(self):
        said = expected.expected([self.lines], COLUMNS)
        self.assertEqual(said["rows"], 3)
        self.assertEqual(said["columns"]["home.address.at.lat"]["nulls"], 2)
        for reader, *path in (("pyiceberg",), ("duckdb",), ("ndjson", self.lines)):
            with self.subTest(reader):
                self.assertEqual(read_table.read(reader, self.folder, "bronze.pg.public.shop", *path), said)

    def test_another_value_is_another_document(self):
        said = expected.expected([self.lines], COLUMNS)
        for before, after in (("9007199254740993", "9007199254740992"), ("12.50", "12.51"), ("123Z", "124Z")):
            with self.subTest(before):
                changed = self.folder / "changed.ndjson"
                changed.write_text("\n".join(LINES).replace(before, after) + "\n", encoding="utf-8")
                self.assertNotEqual(expected.expected([changed], COLUMNS), said)

    def test_a_value_in_another_row_changes_the_content_alone(self):
        documents = []
        for lines in (['{"a":1,"b":1}', '{"a":2,"b":2}'], ['{"a":1,"b":2}', '{"a":2,"b":1}']):
            path = self.folder / "swapped.ndjson"
            path.write_text("\n".join(lines), encoding="utf-8")
            documents.append(expected.expected([path]))
        self.assertEqual(documents[0]["columns"], documents[1]["columns"])
        self.assertNotEqual(documents[0]["content"], documents[1]["content"])


class Words(unittest.TestCase):
    def test_texts_are_as_the_definition_says(self):
        cases = [
            ("double", 1e16, "1e+16"), ("double", Decimal("-0.0"), "-0.0"), ("double", "NaN", "nan"),
            ("float", Decimal("0.1"), "0.10000000149011612"), ("decimal", Decimal("-3E+2"), "-300"),
            ("decimal", Decimal("0.00"), "0"), ("time", "01:00:00.000002", "3600000002"), ("binary", "AP8=", "00ff"),
            ("timestamptz", "1970-01-01T01:00:00+01:00", "0"), ("timestamp", 1, "1000"),
            (("struct", {"b": "long", "a": "string"}), {"b": 1}, '{"a":null,"b":"1"}'),
        ]  # fmt: skip
        for kind, value, text in cases:
            with self.subTest(kind=kind, value=value):
                self.assertEqual(canonical.canonical(kind, value), text)

    def test_the_hash_is_the_start_of_blake2b(self):
        # BLAKE2b-512 of "abc", RFC 7693 appendix A.
        self.assertEqual(f"{canonical.hash_text('abc'):016x}", "ba80a53f981c4d0d")

    def test_columns_are_inferred_and_widened(self):
        lines = ['{"a":1,"b":{"c":null},"d":null}', '{"a":1.5,"b":{"c":2}}']
        kinds = None
        for line in lines:
            kinds = expected.widen(kinds, expected.infer(json.loads(line, parse_float=Decimal)))
        self.assertEqual(expected.settle(kinds[1]), {"a": "double", "b": ("struct", {"c": "long"})})


if __name__ == "__main__":
    unittest.main()
