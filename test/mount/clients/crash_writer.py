"""Appends numbered lines as fast as it can, through every death of the daemon, until STOP exists.

usage: crash_writer.py JOURNAL START SYNC STOP
Each line has a number of its own; a line whose write failed is never sent again. Prints `N` for every line whose write
returned (so: acknowledged). With SYNC=1 some lines are fsynced too, so that kills land in fsync as well.
"""
import os, sys, time

journal, number, sync, stop = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "1", sys.argv[4]
acknowledged = []
fd = -1
while not os.path.exists(stop):
    try:
        if fd < 0:
            fd = os.open(journal, os.O_WRONLY | os.O_APPEND)
        for _ in range(50):
            number += 1
            data = b'{"role":"user","content":"line","n":%d}\n' % number
            if number % 7 == 0:  # in two pieces
                os.write(fd, data[:9])
                data = data[9:]
            if os.write(fd, data) == len(data):
                acknowledged.append(number)
            if sync and number % 5 == 0:
                os.fsync(fd)
            time.sleep(0.0005)
    except OSError:
        try:
            if fd >= 0:
                os.close(fd)
        except OSError:
            pass
        fd = -1
        time.sleep(0.01)
print("\n".join(map(str, acknowledged)))
