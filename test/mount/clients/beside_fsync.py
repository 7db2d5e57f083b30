# Others work while every fsync of the files named waits for the disk. usage: beside_fsync.py HOLD OTHER FILE...
# HOLD holds the disk (slow-sync.cjs). Prints {"before": fsyncs that ended while it was held, "looks": what others did
# meanwhile, "count": fsyncs that ended once it was let go}.
import json, os, sys, threading, time

hold, other, *paths = sys.argv[1:]
begun, ended = [], []


def opened(path):
    fd = os.open(path, os.O_RDWR | (os.O_APPEND if path.endswith("jsonl") else 0))
    if path.endswith("messages.jsonl"):
        os.write(fd, b'{"role":"user","content":"x"}\n')
    elif path.endswith("decisions.jsonl"):
        os.write(fd, b'{"decision":"x"}\n')
    return fd


def sync(path, fd):
    begun.append(path)
    os.fsync(fd)
    ended.append(path)


def dsync(path, fd):
    begun.append(path)
    os.write(fd, b'{"role":"user","content":"d"}\n')
    ended.append(path)


def waiting():
    return os.path.exists(hold + ".waiting")


# Everything is written before: the kernel lets nobody write to a file that is being synced.
threads = [threading.Thread(target=sync, args=[path, opened(path)], daemon=True) for path in paths]
through = os.open(paths[0], os.O_WRONLY | os.O_APPEND | os.O_DSYNC)
threads.append(threading.Thread(target=dsync, args=[paths[0], through], daemon=True))
with open(hold, "w") as file:
    file.write("held")
for thread in threads:
    thread.start()
while len(begun) < len(threads) or not waiting():
    time.sleep(0.005)
looks = 0
while looks < 50:
    os.stat(other)
    with open(other, "ab", buffering=0) as file:
        file.write(b'{"role":"user","content":"y"}\n')
    looks += 1
    time.sleep(0.005)
before = len(ended)
os.unlink(hold)
for thread in threads:
    thread.join()
print(json.dumps({"before": before, "looks": looks, "count": len(ended)}))
