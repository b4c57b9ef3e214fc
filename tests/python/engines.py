"""Other engines on a data directory, and clients of what it reads from, one order a line: `{"do":..,"data_dir":..,..}` -> `{"answer":..}`.

The documents are those of `canonical.py`; `engines.rs` is the other end of the line.
"""

import datetime
import json
import pathlib
import sys
import traceback

from prometheus_client.parser import text_string_to_metric_families

import expected
import kafka
import kafka_log
import read_table
import registered


def document(order):
    """What one reader sees; the types come from the table."""
    found = read_table.read(order["reader"], order["data_dir"], order["table"], order.get("file"))
    return {**found, "columns": own_columns(found["columns"])}


def own_columns(columns):
    return {path: column for path, column in columns.items() if not path.startswith("_tableflow_")}


def expect(order):
    """What the producer's lines say."""
    return expected.expected(order["files"], order["columns"], order.get("envelope", False))


def append(order):
    """Rows of another writer. Somebody else may commit between: as any PyIceberg user does, it loads again."""
    import pyarrow as pa
    from pyiceberg.exceptions import CommitFailedException

    for row in order["rows"]:
        for attempt in range(50):
            table = read_table.load_table(order["data_dir"], order["table"])
            try:
                table.append(pa.Table.from_pylist([row], schema=table.schema().as_arrow()))
                break
            except CommitFailedException:
                continue
        else:
            raise RuntimeError("50 times somebody else was first")
    return len(order["rows"])


def drop(order):
    read_table.open_catalog(order["data_dir"]).drop_table(tuple(order["table"].split(".", 1)))


def metadata(order):
    """What the table's metadata file says, as PyIceberg reads it."""
    table = read_table.load_table(order["data_dir"], order["table"])
    location = table.metadata_location.removeprefix("file://")
    return {
        "snapshots": len(table.snapshots()),
        "metadata_bytes": pathlib.Path(location).stat().st_size,
        "manifests": len(table.current_snapshot().manifests(table.io)),
        "metadata_files": len(list(pathlib.Path(location).parent.glob("*.metadata.json"))),
    }


def named(order):
    """Every file that the table's metadata names: of its data, and of the metadata itself."""
    table = read_table.load_table(order["data_dir"], order["table"])
    files = {table.metadata_location} | {log.metadata_file for log in table.metadata.metadata_log}
    for snapshot in table.snapshots():
        files.add(snapshot.manifest_list)
        for manifest in snapshot.manifests(table.io):
            files.add(manifest.manifest_path)
            entries = manifest.fetch_manifest_entry(table.io, discard_deleted=True)
            files.update(entry.data_file.file_path for entry in entries)
    return sorted(file.removeprefix("file://") for file in files)


def duckdb_rows(order):
    """Rows of a statement about `{table}`, as lists of texts."""
    location = read_table.metadata_location(order["data_dir"], order["table"]).removeprefix("file://")
    connection = read_table.duckdb_connection()
    connection.execute("set timezone = 'UTC'")
    answers = []
    for sql in order["statements"]:
        rows = connection.execute(sql.format(table=f"iceberg_scan('{location}')")).fetchall()
        answers.append([[str(value) for value in row] for row in rows])
    return answers


def plain(value):
    """Bytes as hexadecimal text, times as ISO text in UTC."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc).isoformat()
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return value


def values(order):
    """Some columns of every row, in the order of the first column."""
    names = order["columns"]
    if order["reader"] == "pyiceberg":
        scan = read_table.load_table(order["data_dir"], order["table"]).scan(selected_fields=tuple(names))
        found = scan.to_arrow()
    else:
        location = read_table.metadata_location(order["data_dir"], order["table"]).removeprefix("file://")
        quoted = ", ".join(f'"{name}"' for name in names)
        found = read_table.duckdb_connection().execute(f"select {quoted} from iceberg_scan('{location}')").to_arrow_table()
    rows = [plain(row) for row in found.to_pylist()]
    return sorted(rows, key=lambda row: row[names[0]])


def rows(order):
    """Every row as an object."""
    found = read_table.rows(order["reader"], order["data_dir"], order["table"])
    return [{name: plain(value) for name, value in row.items()} for row in found]


def columns(order):
    """The whole names of the table's columns, and their field ids."""
    schema = read_table.load_table(order["data_dir"], order["table"]).schema()
    return {schema.find_column_name(field): field for field in sorted(schema.field_ids)}


def required(order):
    """The whole names of the columns that take no null."""
    schema = read_table.load_table(order["data_dir"], order["table"]).schema()
    return [schema.find_column_name(field) for field in sorted(schema.field_ids) if schema.find_field(field).required]


def by_ids(order):
    """Every row as its files have it, whatever the table makes of them: values by field id, null left out."""
    import pyarrow.parquet as parquet

    table = read_table.load_table(order["data_dir"], order["table"])
    found = []
    for task in table.scan().plan_files():
        file = parquet.read_table(task.file.file_path.removeprefix("file://"))
        found.extend(values_by_id(row, file.schema) for row in file.to_pylist())
    return found


def values_by_id(row, schema):
    found = {}
    for field in schema:
        note_by_id(row[field.name], field, found)
    return found


def note_by_id(value, field, found):
    import pyarrow.types as types

    if value is None:
        return
    if types.is_struct(field.type):
        for inner in field.type:
            note_by_id(value[inner.name], inner, found)
    elif types.is_list(field.type) and types.is_struct(field.type.value_type):
        for inner in field.type.value_type:
            of_items = [item and plain(item[inner.name]) for item in value]
            if any(item is not None for item in of_items):
                found[inner.metadata[b"PARQUET:field_id"].decode()] = of_items
    elif not types.is_map(field.type):
        found[field.metadata[b"PARQUET:field_id"].decode()] = plain(value)


def alter(order):
    """Changes of columns, one commit each, as any engine may make them."""
    from pyiceberg.transforms import IdentityTransform
    from pyiceberg.types import LongType, StringType

    types = {"long": LongType(), "string": StringType()}
    table = read_table.load_table(order["data_dir"], order["table"])
    for word, path, *rest in order["changes"]:
        if word == "unpartition":
            with table.update_spec() as update:
                update.remove_field(path)
            continue
        if word == "set":
            with table.transaction() as transaction:
                transaction.set_properties({path: rest[0]})
            continue
        if word == "sort":
            with table.update_sort_order() as update:
                update.asc(path, IdentityTransform())
            continue
        with table.update_schema(allow_incompatible_changes=True) as update:
            match word:
                case "rename":
                    update.rename_column(path, rest[0])
                case "drop":
                    update.delete_column(path)
                case "add":
                    update.add_column(tuple(path.split(".")), types[rest[0]])
                case "widen":
                    update.update_column(path, types[rest[0]])
                case "require":
                    update.update_column(path, required=True)
                case "identify":
                    update.set_identifier_fields(*([path] if path else []), *rest)
                case "first":
                    update.move_first(path)
                case _:
                    raise ValueError(word)


def forget(order):
    """All snapshots but the newest one and one that a tag keeps."""
    table = read_table.load_table(order["data_dir"], order["table"])
    kept = int(order["tagged"])
    with table.manage_snapshots() as snapshots:
        snapshots.create_tag(kept, "kept")
    newest = table.current_snapshot().snapshot_id
    others = [it.snapshot_id for it in table.snapshots() if it.snapshot_id not in (kept, newest)]
    table.maintenance.expire_snapshots().by_ids(others).commit()
    return len(others)


def take_in(order):
    """A table of Parquet files that carry no field ids, as another engine takes them in; one for each list of rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    catalog = read_table.open_catalog(order["data_dir"])
    files = []
    for place, rows in enumerate(order["files"]):
        folder = order.get("folder", order["data_dir"])
        files.append(f'{folder}/{order["table"]}.{place}.parquet')
        pq.write_table(pa.Table.from_pylist(rows), files[-1])
    table = catalog.create_table(tuple(order["table"].split(".", 1)), pa.Table.from_pylist(order["files"][0]).schema)
    table.add_files(files)
    if not order["mapped"]:
        with table.transaction() as transaction:
            transaction.remove_properties("schema.name-mapping.default")


def metrics(order):
    """A scrape as Prometheus' own client reads it: the type of every metric, and its samples."""
    families = list(text_string_to_metric_families(order["text"]))
    names = [family.name for family in families]
    assert len(names) == len(set(names)), "the lines of a metric do not stand together"
    samples = {(sample.name, tuple(sorted(sample.labels.items()))) for family in families for sample in family.samples}
    assert len(samples) == sum(len(family.samples) for family in families), "two lines have the same labels"
    for family in families:
        assert family.type in ("counter", "gauge", "histogram") and family.documentation, family
        check_histograms(family)
    return {
        family.name + ("_total" if family.type == "counter" else ""): {
            "type": family.type,
            "samples": [[sample.name, sample.labels, sample.value] for sample in family.samples],
        }
        for family in families
    }


def check_histograms(family):
    """Buckets rise up to that of all observations, which is the count."""
    buckets = {}
    for sample in family.samples:
        if sample.name.endswith("_bucket"):
            labels = tuple(sorted((name, value) for name, value in sample.labels.items() if name != "le"))
            buckets.setdefault(labels, []).append((float(sample.labels["le"]), sample.value))
    assert (family.type == "histogram") == bool(buckets), family
    counts = {tuple(sorted(s.labels.items())): s.value for s in family.samples if s.name.endswith("_count")}
    for labels, of_one in buckets.items():
        assert of_one == sorted(of_one) and of_one[-1][0] == float("inf"), of_one
        assert [within for _, within in of_one] == sorted(within for _, within in of_one), of_one
        assert of_one[-1][1] == counts[labels], (labels, of_one)


def pkcs12(order):
    """A store with a certificate and its key."""
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, load_pem_private_key
    from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
    from cryptography.x509 import load_pem_x509_certificate

    key = load_pem_private_key(pathlib.Path(order["key"]).read_bytes(), None)
    certificate = load_pem_x509_certificate(pathlib.Path(order["certificate"]).read_bytes())
    sealed = BestAvailableEncryption(order["password"].encode())
    store = serialize_key_and_certificates(b"certified", key, certificate, None, sealed)
    pathlib.Path(order["file"]).write_bytes(store)


ORDERS = {
    f.__name__: f
    for f in (
        document,
        expect,
        append,
        drop,
        alter,
        forget,
        take_in,
        columns,
        required,
        by_ids,
        metadata,
        named,
        duckdb_rows,
        values,
        rows,
        metrics,
        pkcs12,
    )
}
ORDERS.update(kafka.ORDERS)
ORDERS.update(kafka_log.ORDERS)
ORDERS.update(registered.ORDERS)


def main():
    for line in sys.stdin:
        order = json.loads(line)
        try:
            answer = {"answer": ORDERS[order["do"]](order)}
        except BaseException:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
