# What others wait while fsyncs of the files named are under way: prints {"fsync": seconds, "worst": seconds, "looks": count}.
import json, os, sys, threading, time

other, *paths = sys.argv[1:]
took = []


def sync(path):
    fd = os.open(path, os.O_RDWR | (os.O_APPEND if path.endswith("jsonl") else 0))
    if path.endswith("messages.jsonl"):
        os.write(fd, b'{"role":"user","content":"x"}\n')
    elif path.endswith("decisions.jsonl"):
        os.write(fd, b'{"decision":"x"}\n')
    start = time.monotonic()
    os.fsync(fd)
    took.append(time.monotonic() - start)
    os.close(fd)


def dsync(path):
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_DSYNC)
    start = time.monotonic()
    os.write(fd, b'{"role":"user","content":"d"}\n')
    took.append(time.monotonic() - start)
    os.close(fd)


threads = [threading.Thread(target=sync, args=[path]) for path in paths]
threads.append(threading.Thread(target=dsync, args=[paths[0]]))
worst, looks = 0.0, 0
for thread in threads:
    thread.start()
while any(thread.is_alive() for thread in threads):
    start = time.monotonic()
    os.stat(other)
    with open(other, "ab", buffering=0) as file:
        file.write(b'{"role":"user","content":"y"}\n')
    worst = max(worst, time.monotonic() - start)
    looks += 1
    time.sleep(0.005)
print(json.dumps({"fsync": min(took), "worst": worst, "looks": looks, "count": len(took)}))
