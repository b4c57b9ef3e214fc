"""The power goes off: what the disk holds then is enough to go on, at every moment of a real run.

usage: power_cut.py TABLEFLOW    the binary; needs strace

The verbs run once under strace, which tells every write, link, rename, unlink and fsync with its bytes. From that the
disk is rebuilt as it is after each fsync, and at moments between: what was synced is there, of the rest nothing is, or
by lot a part (a file's bytes and its name each by themselves, as file systems may). On each such disk the topic must
hold every acknowledged record and the table every row that `sync` has reported; one more `sync`, and the table holds
each of the topic's records once.
"""

import json
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile

CALLS = "openat,write,pwrite64,fsync,fdatasync,linkat,link,rename,renameat,renameat2,unlink,unlinkat,ftruncate,mkdir,mkdirat"
# How many disks by lot there are for each moment, beside the one that has lost all that was not synced.
LOTS = 2
SEED = 20261121

LINE = re.compile(r"^(\d+)\s+(.*)$")
RESUMED = re.compile(r"^<\.\.\. \w+ resumed>(.*)$")
CALL = re.compile(r"^(\w+)\((.*)\)\s+= (-?\d+|\?)(<.*>)?.*$", re.DOTALL)
DESCRIPTOR = re.compile(r"^(\d+)<(.*?)>")
TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


def unquoted(text):
    return bytes.fromhex(text.replace("\\x", ""))


class File:
    def __init__(self):
        self.now = bytearray()
        self.synced = None

    def write(self, offset, data):
        if len(self.now) < offset:
            self.now.extend(bytes(offset - len(self.now)))
        self.now[offset : offset + len(data)] = data


class Disk:
    """Names and contents, as they are and as they were last synced. A directory is a name without a file."""

    def __init__(self, root):
        self.root = str(root)
        self.names = {}
        self.synced = {}
        self.positions = {}

    def is_ours(self, path):
        return path == self.root or path.startswith(self.root + "/")

    def make(self, path):
        if path not in self.names:
            self.names[path] = File()
        return self.names[path]

    def sync(self, path):
        if self.names.get(path) is not None:
            self.names[path].synced = bytes(self.names[path].now)
            return
        # A directory: its entries, not what is in them.
        inside = lambda name: str(pathlib.PurePosixPath(name).parent) == path
        self.synced = {name: file for name, file in self.synced.items() if not inside(name)}
        self.synced.update({name: file for name, file in self.names.items() if inside(name)})

    def rename(self, source, target):
        """With all that is inside, whose own names are as much on disk as they were."""
        self.names[target] = self.names.pop(source)
        for names, keep in ((self.names, False), (self.synced, True)):
            for name in [name for name in names if name.startswith(source + "/")]:
                names[target + name.removeprefix(source)] = names[name]
                if not keep:
                    del names[name]

    def after_cut(self, lots):
        """What is found: names to bytes, None for a directory. `lots` decides what of the unsynced stayed."""
        names = dict(self.synced)
        for name in {*self.names, *self.synced}:
            if self.names.get(name, "none") is not self.synced.get(name, "none") and lots():
                if name in self.names:
                    names[name] = self.names[name]
                else:
                    del names[name]
        found = {}
        for name, file in names.items():
            content = None
            if file is not None:
                content = bytes(file.now) if lots() else file.synced or b""
            found[name] = content
        parents = lambda name: [str(parent) for parent in pathlib.PurePosixPath(name).parents]
        known = lambda name: all(parent in found or not self.is_ours(parent) or parent == self.root for parent in parents(name))
        return {name: content for name, content in found.items() if known(name)}


class Trace:
    """The run, call by call; `moments` are the places where the power may go off."""

    def __init__(self, lines, disk):
        self.disk = disk
        self.lines = lines
        self.pending = {}

    def calls(self):
        for line in self.lines:
            process, rest = LINE.match(line).groups()
            if rest.endswith("<unfinished ...>"):
                self.pending[process] = rest.removesuffix("<unfinished ...>").rstrip()
                continue
            resumed = RESUMED.match(rest)
            if resumed:
                rest = self.pending.pop(process, "") + resumed.group(1)
            call = CALL.match(rest)
            if call and not call.group(3).startswith("-") and call.group(3) != "?":
                yield call.group(1), call.group(2), int(call.group(3)), call.group(4)

    def apply(self, name, words, result, opened):
        """Plays one call; tells whether it is a moment, and what was printed."""
        disk = self.disk
        texts = [unquoted(text) for text in TEXT.findall(words)]
        descriptor = DESCRIPTOR.match(words)
        # -y prints a descriptor's path as hexadecimal text, too.
        path = self.path(descriptor.group(2)) if descriptor else None
        if name == "openat":
            path = self.path(opened[1:-1]) if opened else None
            if path and disk.is_ours(path) and "O_CREAT" in words:
                disk.make(path)
            if path and disk.is_ours(path) and "O_TRUNC" in words and disk.names.get(path):
                disk.names[path].now.clear()
            if path:
                disk.positions[(path, result)] = len(disk.names[path].now) if "O_APPEND" in words and disk.names.get(path) else 0
            return False, b""
        if name in ("write", "pwrite64"):
            if descriptor.group(1) == "1" and not disk.is_ours(path):
                return True, texts[0][:result]
            if disk.is_ours(path):
                number = int(descriptor.group(1))
                offset = int(words.rsplit(",", 1)[1]) if name == "pwrite64" else disk.positions.get((path, number), 0)
                disk.make(path).write(offset, texts[0][:result])
                if name == "write":
                    disk.positions[(path, number)] = offset + result
            return False, b""
        if name == "ftruncate" and disk.is_ours(path):
            file, length = disk.make(path), int(words.rsplit(",", 1)[1])
            del file.now[length:]
            file.now.extend(bytes(length - len(file.now)))
        elif name in ("fsync", "fdatasync") and disk.is_ours(path):
            disk.sync(path)
            return True, b""
        elif name in ("link", "linkat", "rename", "renameat", "renameat2"):
            source, target = (text.decode() for text in texts[-2:])
            if disk.is_ours(target):
                if name.startswith("rename"):
                    disk.rename(source, target)
                else:
                    disk.names[target] = disk.names[source]
                return True, b""
        elif name in ("unlink", "unlinkat") and disk.is_ours(texts[-1].decode()):
            disk.names.pop(texts[-1].decode(), None)
        elif name in ("mkdir", "mkdirat") and disk.is_ours(texts[-1].decode()):
            disk.names[texts[-1].decode()] = None
        return False, b""

    @staticmethod
    def path(text):
        return unquoted(text).decode() if text.startswith("\\x") else text


def run_traced(binary, root, folder):
    """Produces and syncs three times; the trace, with all bytes."""
    words = f"{binary} --data-dir {root}"
    steps = [f"{words} topic create t --partitions 2 -o ndjson", f"{words} enable t --columns 'id BIGINT' -o ndjson"]
    for batch in range(3):
        lines = folder / f"lines-{batch}"
        lines.write_text("".join(json.dumps({"id": id}) + "\n" for id in range(batch * 10, batch * 10 + 10)))
        steps += [f"{words} produce t {lines} -o ndjson", f"{words} sync -o ndjson"]
    trace = folder / "trace"
    tracer = ["strace", "-f", "-y", "-xx", "-s", "10000000", "-e", f"trace={CALLS}", "-o", trace]
    subprocess.run([*tracer, "sh", "-ec", "\n".join(steps)], check=True, stdout=subprocess.PIPE)
    return trace.read_text().splitlines()


def rebuild(root, found):
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    for name in sorted(found):
        if found[name] is None:
            pathlib.Path(name).mkdir(parents=True, exist_ok=True)
    for name, content in found.items():
        if content is not None:
            pathlib.Path(name).parent.mkdir(parents=True, exist_ok=True)
            pathlib.Path(name).write_bytes(content)


def answer(binary, root, *words):
    done = subprocess.run([binary, "--data-dir", root, *words], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"error: {' '.join(words)} on the disk after the cut: {done.stdout}{done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(binary, root, produced, synced, moment):
    """The promise, on the disk as it is."""
    read = ("query", "select id from t", "-o", "ndjson")
    rows = len(answer(binary, root, *read)) if synced else 0
    if rows < synced:
        raise SystemExit(f"error: {moment}: sync reported {synced} rows, {rows} are there")
    answer(binary, root, "sync", "-o", "ndjson")
    consumed = answer(binary, root, "consume", "t", "--from", "earliest", "-o", "ndjson")
    topic = sorted(record["value"]["id"] for record in consumed)
    lost = set(range(produced)) - set(topic)
    if lost:
        raise SystemExit(f"error: {moment}: {produced} records were acknowledged, lost are {sorted(lost)}")
    table = sorted(row["id"] for row in answer(binary, root, *read))
    if table != topic:
        raise SystemExit(f"error: {moment}: the topic holds {topic}, the table {table}")


def main(binary):
    random.seed(SEED)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        root = folder / "data"
        lines = run_traced(binary, root, folder)
        disk = Disk(root)
        trace = Trace(lines, disk)
        printed, moments, enabled, produced, synced = b"", 0, False, 0, 0
        for number, call in enumerate(trace.calls()):
            is_moment, output = trace.apply(*call)
            printed += output
            *whole, printed = printed.split(b"\n") if output else [printed]
            for answered in whole:
                document = json.loads(answered)
                if "format_version" in document:
                    enabled = True
                elif enabled:
                    produced += document.get("records", 0)
                    synced += document.get("rows_committed", 0)
            if not (is_moment and enabled):
                continue
            for lot in range(1 + LOTS):
                lots = (lambda: False) if lot == 0 else (lambda: random.random() < 0.5)
                rebuild(root, disk.after_cut(lots))
                check(binary, root, produced, synced, f"cut after call {number} ({call[0]}), lot {lot}, seed {SEED}")
                moments += 1
        if (produced, synced) != (30, 30):
            raise SystemExit(f"error: the run acknowledged {produced} records and {synced} rows instead of 30")
        print(f"{moments} disks after a power cut: every acknowledged record and row is there, once")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    if shutil.which("strace") is None:
        raise SystemExit("error: strace is not installed\n  hint: apt-get install strace")
    main(pathlib.Path(sys.argv[1]).resolve())
