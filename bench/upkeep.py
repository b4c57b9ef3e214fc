"""Tables of small files and of changes: what it takes to write them, to read them, and to keep them."""

import sys

from measure import Server, alternate, mebibytes
from sizes import CHANGES, GARBAGE_FILES, HERE, KEYS, MERGE_CHANGES, MERGE_KEYS, PEER_CHANGES, PEER_KEYS
from sizes import SMALL_FILES, SMALL_ROWS

sys.path.insert(0, str(HERE.parent / "tests" / "python"))

from read_table import metadata_location  # noqa: E402

CUSTOMERS = "bronze.customers"
TOTALS = "select count(*), sum(value) from {table}"


def compaction(suite):
    """Small files to large ones; the peer copies the same rows into files of the same size."""
    for what, name, flags in (
        ("plain", "plain", []),
        ("20 % deleted", "deleted", ["--deleted", "20"]),
        ("sorted", "sorted", ["--sorted"]),
    ):
        home = suite.folder / f"small-{name}"
        made = suite.bench("small", home, name, str(SMALL_FILES), str(SMALL_ROWS), *flags)
        table = f"bronze.{name}"
        location = metadata_location(home, table)
        peer = suite.peer("copy", location, home / "copied", "bidder" if name == "sorted" else "")
        theirs = peer.json()
        strategy = ["--strategy", "sort"] if name == "sorted" else []
        done = suite.tableflow_in(home, "compact", table, *strategy, "-o", "json")
        report = done.json()
        sums = suite.query_in(home, f"select sum(price) from {table}")
        suite.check(f"{table} after its compaction", int(sums[0]), made["price_sum"])
        megabytes = made["bytes"] / 1e6
        us, them = megabytes / done.cpu_seconds, megabytes / theirs["cpu_seconds"]
        work = f"compaction of {made['files']:,} files of {made['bytes'] / made['files'] / 1e6:.1f} MB, {what}"
        suite.add(f"{work}: MB per CPU second", f"{us:,.0f}", peer=f"{them:,.0f}", ratio=f"{us / them:.2f} x peer")
        suite.add(
            f"{work}: seconds; files; write amplification; peak MiB",
            f"{done.seconds:.1f}; {report['files_written']}; {report['write_amplification']:.2f}; {mebibytes(done.rss_bytes)}",
            peer=f"{theirs['seconds']:.1f}; {theirs['files']}; ; {mebibytes(peer.rss_bytes)}",
        )


def upserts(suite):
    """Changes of keys that are there: 60 % inserts, 30 % updates, 10 % deletes."""
    for chosen in "uniform", "zipf":
        home = suite.folder / f"changes-{chosen}"
        suite.tableflow_in(home, "topic", "create", "customers", "--partitions", "4")
        put = suite.bench("changes", home, str(KEYS), "0", "preload")
        enable = ["enable", "customers", "--mode", "upsert", "--key", "id", "--metadata-columns", "none"]
        suite.tableflow_in(home, *enable, "--commit-interval", "2s")
        preload = suite.tableflow_in(home, "sync", "-o", "json")
        hold(suite, home, put)
        suite.add(f"{KEYS:,} keys put once, {chosen}: changes per CPU second", f"{KEYS / preload.cpu_seconds:,.0f}")
        before = written(home)
        changed = suite.bench("changes", home, str(KEYS), str(CHANGES), chosen)
        done = suite.tableflow_in(home, "sync", "-o", "json")
        hold(suite, home, changed)
        commits = done.json()[0]["commits"]
        ratio = (written(home) - before) / changed["bytes"]
        work = f"{CHANGES:,} changes of {KEYS:,} keys, {chosen}"
        suite.add(f"{work}, with the index made anew: changes per CPU second", f"{CHANGES / done.cpu_seconds:,.0f}")
        suite.add(
            f"{work}: seconds; commits; bytes written per byte; peak MiB",
            f"{done.seconds:.1f}; {commits}; {ratio:.2f}; {mebibytes(done.rss_bytes)}",
        )
        scans(suite, home, work)
    beside_peer(suite, "upsert", "PyIceberg's upsert", PEER_KEYS, PEER_CHANGES)
    beside_peer(suite, "merge", "delta-rs's merge", MERGE_KEYS, MERGE_CHANGES)


def beside_peer(suite, verb, peer, keys, changes):
    """On a size that the peer can finish: ours with the start of its process, its index made anew, and its deletes."""
    home = suite.folder / f"changes-{verb}"
    suite.tableflow_in(home, "topic", "create", "customers", "--partitions", "4")
    suite.bench("changes", home, str(keys), "0", "preload")
    enable = ["enable", "customers", "--mode", "upsert", "--key", "id", "--metadata-columns", "none"]
    suite.tableflow_in(home, *enable)
    suite.tableflow_in(home, "sync")
    changed = suite.bench("changes", home, str(keys), str(changes), "uniform")
    done = suite.tableflow_in(home, "sync", "-o", "json")
    hold(suite, home, changed)
    theirs = suite.peer(verb, suite.folder, str(keys), str(changes)).json()
    us, them = changes / done.cpu_seconds, changes / theirs["cpu_seconds"]
    work = f"{changes:,} changes of {keys:,} keys, beside {peer}"
    suite.add(f"{work}: changes per CPU second", f"{us:,.0f}", peer=f"{them:,.0f}", ratio=f"{us / them:.1f} x peer")
    suite.add(f"{work}: seconds", f"{done.seconds:.2f}", peer=f"{theirs['seconds']:.2f}")


def hold(suite, home, wanted):
    found = [int(value) for value in suite.query_in(home, TOTALS.replace("{table}", CUSTOMERS))]
    suite.check(f"{CUSTOMERS} (read by tableflow)", found, [wanted["rows"], wanted["value_sum"]])
    theirs = suite.peer("query", metadata_location(home, CUSTOMERS), TOTALS).json()["first"]
    suite.check(f"{CUSTOMERS} (read by DuckDB)", [int(value) for value in theirs], [wanted["rows"], wanted["value_sum"]])


def written(home):
    return sum(file.stat().st_size for file in (home / "warehouse").rglob("*") if file.is_file())


def scans(suite, home, work):
    """The table as its changes left it, beside the same table once it is compacted."""
    left = timed(suite, home)
    suite.tableflow_in(home, "compact", CUSTOMERS)
    clean = timed(suite, home)
    for who, before, after in zip(("ours", "DuckDB"), left, clean):
        ratio = f"{before.median / after.median:.2f} x clean"
        suite.add(f"{work}: scan by {who}, ms; compacted", f"{before.text()}; {after.text()}", ratio=ratio)


def timed(suite, home):
    sql = "select sum(value), max(name) from {table}"
    location = metadata_location(home, CUSTOMERS)
    with (
        Server([suite.bench_binary, "queries", home]) as ours,
        Server([sys.executable, HERE / "peers.py", "queries", location]) as theirs,
    ):
        us, them, _ = alternate(
            lambda: ours.ask(sql.replace("{table}", CUSTOMERS))["seconds"] * 1000,
            lambda: theirs.ask(sql)["seconds"] * 1000,
        )
    return us, them


def garbage(suite):
    """What looking for it takes in a table of many files."""
    home = suite.folder / "garbage"
    suite.bench("small", home, "many", str(GARBAGE_FILES), "1")
    for verb in "expire", "vacuum":
        done = suite.tableflow_in(home, verb, "bronze.many", "-o", "json")
        work = f"{verb} of a table of {GARBAGE_FILES:,} files: seconds; peak MiB"
        suite.add(work, f"{done.seconds:.1f}; {mebibytes(done.rss_bytes)}")
