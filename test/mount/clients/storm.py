"""Writers of one journal, each in its own way. usage: storm.py JOURNAL SEED LINES MAX_BYTES

Eight writers run at once. Each writes LINES lines {"role":"user","content":…,"w":writer,"n":number} and, where the
way of writing gives an acknowledgement, counts what was acknowledged. Prints {"written": {writer: lines}}.
"""
import json, os, random, subprocess, sys, threading

journal, seed, lines, max_bytes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])


def line(rng, writer, number):
    size = int(10 ** rng.uniform(1, len(str(max_bytes)) - 1 + 0.9))
    return json.dumps({"role": "user", "content": "x" * min(size, max_bytes), "w": writer, "n": number}) + "\n"


def whole_write(fd, data):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]


def open_each(rng, writer):  # >> for every line
    for number in range(lines):
        fd = os.open(journal, os.O_WRONLY | os.O_APPEND)
        whole_write(fd, line(rng, writer, number).encode())
        os.close(fd)


def long_lived(rng, writer):  # one descriptor
    fd = os.open(journal, os.O_WRONLY | os.O_APPEND)
    for number in range(lines):
        whole_write(fd, line(rng, writer, number).encode())
    os.close(fd)


def stdio_pieces(rng, writer):  # 4 KiB pieces, as C stdio sends them
    with open(journal, "ab", buffering=4096) as file:
        for number in range(lines):
            data = line(rng, writer, number).encode()
            for at in range(0, len(data), 4096):
                file.write(data[at:at + 4096])
            file.flush()


def dup_and_early_close(rng, writer):
    for number in range(lines):
        fd = os.open(journal, os.O_WRONLY | os.O_APPEND)
        data = line(rng, writer, number).encode()
        half = len(data) // 2
        os.write(fd, data[:half])
        other = os.dup(fd)
        os.close(fd)
        whole_write(other, data[half:])
        os.close(other)


def shared_descriptor(rng, writer):  # ( a & b ) >> file: two processes, one open file, pieces interleave
    fd = os.open(journal, os.O_WRONLY | os.O_APPEND)
    children = []
    for half in range(2):
        pid = os.fork()
        if pid == 0:
            try:
                child = random.Random(seed * 31 + half)
                for number in range(half, lines, 2):
                    data = line(child, writer, number).encode()
                    cut = child.randrange(1, len(data))
                    whole_write(fd, data[:cut])
                    whole_write(fd, data[cut:])
                os._exit(0)
            except BaseException as error:
                sys.stderr.write(f"shared: {error}\n")
                os._exit(1)
        children.append(pid)
    os.close(fd)
    for pid in children:
        _, status = os.waitpid(pid, 0)
        if status != 0:
            raise RuntimeError("a child of the shared descriptor failed")


def many_in_one_write(rng, writer):
    fd = os.open(journal, os.O_WRONLY | os.O_APPEND)
    for number in range(0, lines, 5):
        batch = "".join(line(rng, writer, at) for at in range(number, min(number + 5, lines)))
        whole_write(fd, batch.encode())
    os.close(fd)


def node_client(rng, writer):
    program = """
      const fs = require('fs');
      for (const text of fs.readFileSync(0, 'utf8').split('\\n')) if (text) fs.appendFileSync(process.argv[1], text + '\\n');
    """
    subprocess.run(["node", "-e", program, journal], input="".join(line(rng, writer, n) for n in range(lines)).encode(), check=True)


def without_newline(rng, writer):  # printf '%s' object: the close completes the line
    for number in range(lines):
        fd = os.open(journal, os.O_WRONLY | os.O_APPEND)
        whole_write(fd, line(rng, writer, number).rstrip("\n").encode())
        os.close(fd)


WAYS = [open_each, long_lived, stdio_pieces, dup_and_early_close, shared_descriptor, many_in_one_write, node_client, without_newline]
failures = []


def run(index, way):
    try:
        way(random.Random(seed * 1000 + index), index)
    except BaseException as error:
        failures.append(f"{way.__name__}: {error!r}")


# Processes, not threads: lock owners are per process.
pids = []
for index, way in enumerate(WAYS):
    pid = os.fork()
    if pid == 0:
        run(index, way)
        for failure in failures:
            sys.stderr.write(failure + "\n")
        os._exit(1 if failures else 0)
    pids.append(pid)
bad = sum(1 for pid in pids if os.waitpid(pid, 0)[1] != 0)
print(json.dumps({"writers": len(WAYS), "lines": lines, "failed": bad}))
sys.exit(1 if bad else 0)
