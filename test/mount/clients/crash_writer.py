"""Appends numbered lines as fast as it can and tells, on stdout, each number after its write returned.

usage: crash_writer.py JOURNAL START SYNC    Ends at the first error (the daemon was killed).
Prints `a N` when line N was acknowledged and `s N` when fsync returned after it.
"""
import os, sys

journal, number, sync = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "1"
out = os.fdopen(1, "wb", buffering=0)
try:
    fd = os.open(journal, os.O_WRONLY | os.O_APPEND)
    while True:
        data = b'{"role":"user","content":"line","n":%d}\n' % number
        if number % 7 == 0:  # in two pieces
            os.write(fd, data[:9])
            os.write(fd, data[9:])
        elif os.write(fd, data) != len(data):
            break
        out.write(b"a %d\n" % number)
        if sync and number % 5 == 0:
            os.fsync(fd)
            out.write(b"s %d\n" % number)
        number += 1
except OSError:
    pass
