"""flock(2), fcntl(2) locks; that a wait for a lock can be interrupted and killed."""
import errno
import fcntl
import os
import signal
import struct
import time

from suite import case, fails, in_child, write_file

BLOCKED = (errno.EAGAIN, errno.EACCES)


def opened():
    return os.open('f', os.O_CREAT | os.O_RDWR, 0o644)


def try_flock(how):
    fd = opened()
    fcntl.flock(fd, how | fcntl.LOCK_NB)
    os.close(fd)


def try_range(how, length, start):
    fcntl.lockf(opened(), how | fcntl.LOCK_NB, length, start)


@case('flock: an exclusive lock keeps others out, a shared one lets shared ones in')
def _():
    fd = opened()
    fcntl.flock(fd, fcntl.LOCK_EX)
    fails(errno.EWOULDBLOCK, try_flock, fcntl.LOCK_EX)
    fails(errno.EWOULDBLOCK, in_child, try_flock, fcntl.LOCK_SH)
    fcntl.flock(fd, fcntl.LOCK_SH)
    in_child(try_flock, fcntl.LOCK_SH)
    fails(errno.EWOULDBLOCK, in_child, try_flock, fcntl.LOCK_EX)
    fcntl.flock(fd, fcntl.LOCK_UN)
    in_child(try_flock, fcntl.LOCK_EX)


@case('flock: ends with the last copy of the descriptor')
def _():
    fd = opened()
    fcntl.flock(fd, fcntl.LOCK_EX)
    copy = os.dup(fd)
    os.close(fd)
    fails(errno.EWOULDBLOCK, in_child, try_flock, fcntl.LOCK_EX)
    os.close(copy)
    in_child(try_flock, fcntl.LOCK_EX)


@case('flock: ends with its process')
def _():
    pid = os.fork()
    readable, writable = os.pipe()
    if pid == 0:
        fcntl.flock(opened(), fcntl.LOCK_EX)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    try_flock(fcntl.LOCK_EX)


@case('flock and fcntl locks do not see each other')
def _():
    fd = opened()
    fcntl.flock(fd, fcntl.LOCK_EX)
    in_child(try_range, fcntl.LOCK_EX, 0, 0)


@case('fcntl: write locks of overlapping ranges conflict, others do not')
def _():
    fd = opened()
    fcntl.lockf(fd, fcntl.LOCK_EX, 10, 100)
    fails(BLOCKED, in_child, try_range, fcntl.LOCK_EX, 1, 109)
    fails(BLOCKED, in_child, try_range, fcntl.LOCK_SH, 0, 0)
    in_child(try_range, fcntl.LOCK_EX, 100, 0)
    in_child(try_range, fcntl.LOCK_EX, 0, 110)
    fcntl.lockf(fd, fcntl.LOCK_UN, 5, 100)
    in_child(try_range, fcntl.LOCK_EX, 5, 100)
    fails(BLOCKED, in_child, try_range, fcntl.LOCK_EX, 1, 105)


@case('fcntl: read locks share; a read lock needs a readable descriptor (EBADF)')
def _():
    fd = opened()
    fcntl.lockf(fd, fcntl.LOCK_SH, 0, 0)
    in_child(try_range, fcntl.LOCK_SH, 0, 0)
    fails(BLOCKED, in_child, try_range, fcntl.LOCK_EX, 0, 0)
    fails(errno.EBADF, fcntl.lockf, os.open('f', os.O_WRONLY), fcntl.LOCK_SH | fcntl.LOCK_NB)


@case('fcntl: F_GETLK names the holder and its range')
def _():
    fd = opened()
    fcntl.lockf(fd, fcntl.LOCK_EX, 7, 30)
    holder = os.getpid()

    def ask():
        query = struct.pack('hhlli', fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        found = struct.unpack('hhlli', fcntl.fcntl(opened(), fcntl.F_GETLK, query)[:struct.calcsize('hhlli')])
        return list(found)
    kind, _, start, length, pid = in_child(ask)
    assert (kind, start, length, pid) == (fcntl.F_WRLCK, 30, 7, holder), (kind, start, length, pid)
    fcntl.lockf(fd, fcntl.LOCK_UN)
    assert in_child(ask)[0] == fcntl.F_UNLCK


@case('fcntl: closing any descriptor of the file drops the locks of the process')
def _():
    fd = opened()
    fcntl.lockf(fd, fcntl.LOCK_EX)
    os.close(opened())
    in_child(try_range, fcntl.LOCK_EX, 0, 0)


@case('fcntl: a child inherits no lock')
def _():
    fd = opened()
    fcntl.lockf(fd, fcntl.LOCK_EX)
    fails(BLOCKED, in_child, lambda: fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB))


@case('fcntl: open-file-description locks conflict between descriptors of one process')
def _():
    first, second = opened(), opened()
    lock = struct.pack('hhlli', fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    fcntl.fcntl(first, fcntl.F_OFD_SETLK, lock)
    fails(BLOCKED, fcntl.fcntl, second, fcntl.F_OFD_SETLK, lock)
    os.close(first)
    fcntl.fcntl(second, fcntl.F_OFD_SETLK, lock)


def waits(take):
    """Another process that waits for a lock we hold; returns its id once it is surely waiting."""
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        try:
            take()
        except OSError as error:
            os._exit(error.errno)
        os._exit(0)
    while not asleep_in(pid, LOCK_CALLS):
        assert os.waitpid(pid, os.WNOHANG) == (0, 0), 'it did not wait'
        time.sleep(0.002)
    return pid


# flock(2) and fcntl(2), by machine.
LOCK_CALLS = {'x86_64': (73, 72), 'aarch64': (32, 25)}[os.uname().machine]


def asleep_in(pid, calls):
    """Whether the process sleeps inside one of these system calls: what it asks for has been sent."""
    with open(f'/proc/{pid}/stat') as file:
        state = file.read().rpartition(')')[2].split()[0]
    with open(f'/proc/{pid}/syscall') as file:
        call = file.read().split()[0]
    return state == 'S' and call in [str(each) for each in calls]


def status_of(pid):
    """How it ended; the case's own limit says when it never does."""
    return os.waitpid(pid, 0)[1]


LOCKS = {
    'flock': (lambda fd: fcntl.flock(fd, fcntl.LOCK_EX), lambda fd: fcntl.flock(fd, fcntl.LOCK_UN)),
    'fcntl': (lambda fd: fcntl.lockf(fd, fcntl.LOCK_EX), lambda fd: fcntl.lockf(fd, fcntl.LOCK_UN)),
}


def each_lock(name):
    take, drop = LOCKS[name]

    @case(f'{name}: a waiting process gets the lock when it is free')
    def _():
        fd = opened()
        take(fd)
        pid = waits(lambda: take(opened()))
        drop(fd)
        assert status_of(pid) == 0

    @case(f'{name}: SIGKILL ends a process that waits for a lock')
    def _():
        fd = opened()
        take(fd)
        pid = waits(lambda: take(opened()))
        os.kill(pid, signal.SIGKILL)
        assert os.WTERMSIG(status_of(pid)) == signal.SIGKILL
        drop(fd)
        in_child(lambda: take(opened()))

    @case(f'{name}: a signal handler interrupts a wait for a lock with EINTR')
    def _():
        class Interrupted(Exception):
            pass

        def handler(number, frame):
            raise Interrupted

        def take_interrupted():
            signal.signal(signal.SIGUSR1, handler)
            try:
                take(opened())
            except Interrupted:
                os._exit(77)
        fd = opened()
        take(fd)
        pid = waits(take_interrupted)
        os.kill(pid, signal.SIGUSR1)
        assert os.WEXITSTATUS(status_of(pid)) == 77
        drop(fd)
        in_child(lambda: take(opened()))


each_lock('flock')
each_lock('fcntl')


@case('fcntl: two processes that wait for each other get EDEADLK')
def _():
    write_file('f', b'xx')
    readable, writable = os.pipe()

    def second():
        fd = opened()
        fcntl.lockf(fd, fcntl.LOCK_EX, 1, 1)
        os.write(writable, b'.')
        fcntl.lockf(fd, fcntl.LOCK_EX, 1, 0)
    fd = opened()
    fcntl.lockf(fd, fcntl.LOCK_EX, 1, 0)
    pid = waits(second)
    os.read(readable, 1)
    fails(errno.EDEADLK, fcntl.lockf, fd, fcntl.LOCK_EX, 1, 1)
    fcntl.lockf(fd, fcntl.LOCK_UN)
    assert status_of(pid) == 0
