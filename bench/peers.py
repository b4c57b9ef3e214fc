"""The peers, each in a process of its own, answering with JSON.

usage: peers.py append NDJSON DIR              PyArrow reads the lines, PyIceberg appends them to a table in DIR
       peers.py commits DATA_DIR TABLE TIMES   PyIceberg appends one row at a time to a table of the embedded catalog
       peers.py upsert DIR KEYS CHANGES        PyIceberg: KEYS rows, then CHANGES of them by one upsert, two in three of them new
       peers.py merge DIR KEYS CHANGES         delta-rs: the same by one merge
       peers.py queries LOCATION               DuckDB: statements from stdin, {table} stands for the table
       peers.py copy LOCATION DIR COLUMN       DuckDB: the rows into files of 128 MB in DIR, sorted by COLUMN if it is named
       peers.py query LOCATION SQL             DuckDB: one statement, as a process
"""

import json
import pathlib
import resource
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tests" / "python"))

import read_table  # noqa: E402


def cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def append(lines, directory):
    """Imports and the making of the table are not counted."""
    import pyarrow.compute
    import pyarrow.json
    from pyiceberg.catalog.sql import SqlCatalog

    folder = pathlib.Path(directory).resolve()
    catalog = SqlCatalog("peer", uri=f"sqlite:///{folder}/peer.db", warehouse=f"file://{folder}/peer")
    catalog.create_namespace("bronze")
    with open(lines, "rb") as file:
        first = file.readline()
    table = catalog.create_table("bronze.bids", pyarrow.json.read_json(pyarrow.BufferReader(first)).schema)
    started, cpu_started = time.perf_counter(), cpu_seconds()
    rows = pyarrow.json.read_json(lines)
    table.append(rows)
    seconds, cpu = time.perf_counter() - started, cpu_seconds() - cpu_started
    files = table.inspect.files()
    return {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "rows": rows.num_rows,
        "price_sum": pyarrow.compute.sum(rows["price"]).as_py(),
        "files": files.num_rows,
        "bytes": pyarrow.compute.sum(files["file_size_in_bytes"]).as_py(),
    }


def commits(data_dir, name, times):
    import pyarrow

    table = read_table.load_table(data_dir, name)
    row = pyarrow.Table.from_pylist([{}], schema=table.schema().as_arrow())
    took = []
    for _ in range(int(times)):
        started = time.perf_counter()
        table.append(row)
        took.append((time.perf_counter() - started) * 1000)
    return {"ms": took}


def customers(ids, value):
    import pyarrow

    columns = {
        "id": ids,
        "value": [(number * 7 + value) % 1_000_003 for number in ids],
        "name": [f"customer {number:012}" for number in ids],
        "city": [f"city {number % 1000}" for number in ids],
        "active": [True] * len(ids),
    }
    return pyarrow.table(columns)


def changed(keys, changes):
    """Which of the keys are changed, and all rows that come."""
    import random

    known = random.Random(10).sample(range(keys), changes // 3)
    return known, customers(known + list(range(keys, keys + changes - len(known))), 1)


def upsert(directory, keys, changes):
    """Imports, the making of the table and its first rows are not counted; nothing is deleted, which it cannot say."""
    from pyiceberg.catalog.sql import SqlCatalog

    folder, keys, changes = pathlib.Path(directory).resolve(), int(keys), int(changes)
    catalog = SqlCatalog("upserts", uri=f"sqlite:///{folder}/upserts.db", warehouse=f"file://{folder}/upserts")
    catalog.create_namespace("bronze")
    first = customers(list(range(keys)), 0)
    table = catalog.create_table("bronze.customers", first.schema)
    table.append(first)
    known, rows = changed(keys, changes)
    started, cpu_started = time.perf_counter(), cpu_seconds()
    done = table.upsert(rows, join_cols=["id"])
    seconds, cpu = time.perf_counter() - started, cpu_seconds() - cpu_started
    if (done.rows_updated, done.rows_inserted) != (len(known), changes - len(known)):
        raise SystemExit(f"error: {done}, but {len(known)} rows were changed of {changes}")
    return {"seconds": seconds, "cpu_seconds": cpu}


def merge(directory, keys, changes):
    """The same work as the upsert, and counted alike."""
    import deltalake

    folder, keys, changes = pathlib.Path(directory).resolve() / "merged", int(keys), int(changes)
    deltalake.write_deltalake(folder, customers(list(range(keys)), 0))
    table = deltalake.DeltaTable(folder)
    known, rows = changed(keys, changes)
    started, cpu_started = time.perf_counter(), cpu_seconds()
    merging = table.merge(rows, "s.id = t.id", source_alias="s", target_alias="t")
    done = merging.when_matched_update_all().when_not_matched_insert_all().execute()
    seconds, cpu = time.perf_counter() - started, cpu_seconds() - cpu_started
    if (done["num_target_rows_updated"], done["num_target_rows_inserted"]) != (len(known), changes - len(known)):
        raise SystemExit(f"error: {done}, but {len(known)} rows were changed of {changes}")
    return {"seconds": seconds, "cpu_seconds": cpu}


def duckdb_query(connection, location, sql):
    scan = f"iceberg_scan('{location.removeprefix('file://')}')"
    started = time.perf_counter()
    rows = connection.execute(sql.replace("{table}", scan)).fetchall()
    return {"seconds": time.perf_counter() - started, "rows": len(rows), "first": rows[0] if rows else None}


def queries(location):
    connection = read_table.duckdb_connection()
    for sql in sys.stdin:
        print(json.dumps(duckdb_query(connection, location, sql)), flush=True)


def copy(location, directory, column):
    """The start of the process is not counted."""
    connection = read_table.duckdb_connection()
    connection.execute("set preserve_insertion_order = true")
    order = f"order by {column}" if column else ""
    scan = f"select * from iceberg_scan('{location.removeprefix('file://')}') {order}"
    options = "format parquet, compression zstd, compression_level 1, file_size_bytes '128MB'"
    started, cpu_started = time.perf_counter(), cpu_seconds()
    connection.execute(f"copy ({scan}) to '{directory}' ({options})")
    return {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": cpu_seconds() - cpu_started,
        "files": len(list(pathlib.Path(directory).glob("*.parquet"))),
    }


def main(verb, *arguments):
    if verb == "append":
        print(json.dumps(append(*arguments)))
    elif verb == "commits":
        print(json.dumps(commits(*arguments)))
    elif verb == "upsert":
        print(json.dumps(upsert(*arguments)))
    elif verb == "merge":
        print(json.dumps(merge(*arguments)))
    elif verb == "queries":
        queries(*arguments)
    elif verb == "copy":
        print(json.dumps(copy(*arguments)))
    elif verb == "query":
        print(json.dumps(duckdb_query(read_table.duckdb_connection(), *arguments)))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
