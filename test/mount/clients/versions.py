"""Readers of one derived file while a writer appends. usage: versions.py SESSION VERSIONS LOOKS

Each look opens the file, asks fstat, reads all, and asks fstat again: the sizes must be the bytes read, and the bytes
one whole version (JSON that parses and names its own revision consistently). Goes on until it has seen so many
versions in so many looks, and prints how many.
"""
import hashlib, json, os, signal, sys, time

session, versions, least = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
reader = os.getpid()
writer = os.fork()
if writer == 0:
    fd = os.open(session + "/messages.jsonl", os.O_WRONLY | os.O_APPEND)
    number = 0
    while os.getppid() == reader:
        os.write(fd, b'{"role":"user","content":"message %d, %s"}\n' % (number, b"word " * (number % 40)))
        number += 1
        time.sleep(0.002)
    os._exit(0)

seen, looks = set(), 0
while len(seen) < versions or looks < least:
    if os.waitpid(writer, os.WNOHANG)[0] != 0:
        sys.exit("the writer failed")
    for name in ("pack.json", "pack.md", "prompt.json", "summary.md"):
        fd = os.open(f"{session}/context/{name}", os.O_RDONLY)
        before = os.fstat(fd)
        parts = []
        while True:
            piece = os.read(fd, 1000)  # many small reads: appends happen in between
            if not piece:
                break
            parts.append(piece)
        data = b"".join(parts)
        after = os.fstat(fd)
        again = os.pread(fd, len(data) + 1, 0)
        os.close(fd)
        if not (before.st_size == len(data) == after.st_size and again == data):
            sys.exit(f"{name}: fstat {before.st_size} and {after.st_size}, read {len(data)}, again {len(again)}")
        if name.endswith(".json"):
            json.loads(data)
        if name == "pack.json":
            seen.add(hashlib.sha256(data).hexdigest())
        looks += 1
os.kill(writer, signal.SIGKILL)
os.waitpid(writer, 0)
print(json.dumps({"versions": len(seen), "looks": looks}))
