"""What a reader that is not ours sees in a table, as the document that canonical.py defines.

usage: read_table.py pyiceberg DATA_DIR TABLE       PyIceberg, through the embedded catalog
       read_table.py duckdb DATA_DIR TABLE          DuckDB, from the metadata file that the catalog names
       read_table.py ndjson DATA_DIR TABLE FILE     rows printed by `tableflow query -o ndjson`; types from the table

TABLE is `namespace.name`; the name may hold dots. Nothing is fetched from outside: DuckDB's extensions come
as wheels.
"""

import glob
import importlib.util
import json
import pathlib
import sqlite3
import sys
from decimal import Decimal

from canonical import Content

CATALOG_NAME = "tableflow"
# The order matters: iceberg needs avro.
DUCKDB_EXTENSIONS = ("avro", "httpfs", "iceberg")


def open_catalog(data_dir):
    from pyiceberg.catalog.sql import SqlCatalog

    folder = pathlib.Path(data_dir).resolve()
    return SqlCatalog(CATALOG_NAME, uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}/warehouse")


def load_table(data_dir, table):
    return open_catalog(data_dir).load_table(tuple(table.split(".", 1)))


def kind_of(iceberg_type):
    """canonical.py's word for a PyIceberg type."""
    from pyiceberg import types

    if isinstance(iceberg_type, types.StructType):
        return "struct", {field.name: kind_of(field.field_type) for field in iceberg_type.fields}
    if isinstance(iceberg_type, types.ListType):
        return "list", kind_of(iceberg_type.element_type)
    if isinstance(iceberg_type, types.MapType):
        return "map", kind_of(iceberg_type.key_type), kind_of(iceberg_type.value_type)
    word = str(iceberg_type).split("(")[0].split("[")[0]
    return {"fixed": "binary"}.get(word, word)


def duckdb_connection():
    import duckdb

    connection = duckdb.connect(
        config={
            "allow_unsigned_extensions": True,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
    )
    for name in DUCKDB_EXTENSIONS:
        folder = importlib.util.find_spec(f"duckdb_extension_{name}").submodule_search_locations[0]
        pattern = f"{folder}/extensions/v{duckdb.__version__}/**/{name}.duckdb_extension"
        (path,) = glob.glob(pattern, recursive=True)
        connection.execute(f"LOAD '{path}'")
    return connection


def metadata_location(data_dir, table):
    namespace, name = table.split(".", 1)
    with sqlite3.connect(f"file:{pathlib.Path(data_dir).resolve()}/catalog.db?mode=ro", uri=True) as catalog:
        found = catalog.execute(
            "select metadata_location from iceberg_tables where catalog_name = ? and table_namespace = ? and table_name = ?",
            (CATALOG_NAME, namespace, name),
        ).fetchone()
    if found is None:
        sys.exit(f"error: the catalog has no table {table}")
    return found[0]


def by_pyiceberg(data_dir, table):
    return load_table(data_dir, table).scan().to_arrow_batch_reader()


def by_duckdb(data_dir, table):
    location = metadata_location(data_dir, table).removeprefix("file://")
    return duckdb_connection().execute("select * from iceberg_scan(?)", [location]).to_arrow_reader()


ENGINES = {"pyiceberg": by_pyiceberg, "duckdb": by_duckdb}


def rows(reader, data_dir, table):
    """Every row as a dict, one after the other."""
    for batch in ENGINES[reader](data_dir, table):
        yield from batch.to_pylist()


def printed_rows(path):
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line, parse_float=Decimal)


def read(reader, data_dir, table, path=None):
    content = Content(kind_of(load_table(data_dir, table).schema().as_struct())[1])
    for row in printed_rows(path) if reader == "ndjson" else rows(reader, data_dir, table):
        content.add(row)
    return content.document()


def main(arguments):
    sizes = {"pyiceberg": 3, "duckdb": 3, "ndjson": 4}
    if not arguments or sizes.get(arguments[0]) != len(arguments):
        sys.exit(__doc__)
    json.dump(read(*arguments), sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main(sys.argv[1:])
