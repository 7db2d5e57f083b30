"""mkfifo(3), mknod(2), unix(7), inotify(7)."""
import ctypes
import errno
import os
import select
import socket
import stat
import struct

from suite import as_other, case, fails, in_child, libc, mode_of, syscall, write_file


@case('fifo: carries bytes between two processes, and has the mode asked for')
def _():
    os.mkfifo('p', 0o620)
    assert stat.S_ISFIFO(os.stat('p').st_mode) and mode_of('p') == 0o620
    pid = os.fork()
    if pid == 0:
        os.write(os.open('p', os.O_WRONLY), b'through')
        os._exit(0)
    assert os.read(os.open('p', os.O_RDONLY), 100) == b'through'
    os.waitpid(pid, 0)


@case('fifo: O_WRONLY|O_NONBLOCK without a reader is ENXIO; EEXIST')
def _():
    os.mkfifo('p')
    fails(errno.ENXIO, os.open, 'p', os.O_WRONLY | os.O_NONBLOCK)
    fails(errno.EEXIST, os.mkfifo, 'p')
    fails(errno.ENOENT, os.mkfifo, 'none/p')
    fails(errno.ENAMETOOLONG, os.mkfifo, 'n' * 256)


@case('mknod: makes a regular file')
def _():
    os.mknod('f', stat.S_IFREG | 0o640)
    assert stat.S_ISREG(os.stat('f').st_mode) and mode_of('f') == 0o640 and os.stat('f').st_size == 0
    write_file('f', b'x')


@case('mknod: a device by an ordinary user is EPERM')
def _():
    os.chmod('.', 0o777)
    fails(errno.EPERM, as_other, os.mknod, 'd', stat.S_IFCHR | 0o600, os.makedev(1, 3))
    assert os.listdir('.') == []


@case('socket: a unix socket binds, connects and carries bytes')
def _():
    listening = socket.socket(socket.AF_UNIX)
    listening.bind('s')
    listening.listen(1)
    assert stat.S_ISSOCK(os.stat('s').st_mode)

    def talk():
        client = socket.socket(socket.AF_UNIX)
        client.connect('s')
        client.send(b'hello')
    in_child(talk)
    assert listening.accept()[0].recv(10) == b'hello'
    fails(errno.EADDRINUSE, socket.socket(socket.AF_UNIX).bind, 's')
    os.unlink('s')


IN_MODIFY, IN_MOVED_FROM, IN_MOVED_TO, IN_CREATE, IN_DELETE = 2, 0x40, 0x80, 0x100, 0x200


@case('inotify: changes made through this directory raise events')
def _():
    fd = syscall(libc.inotify_init1(os.O_NONBLOCK))
    syscall(libc.inotify_add_watch(fd, b'.', IN_MODIFY | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO))
    write_file('f', b'x')
    os.rename('f', 'g')
    os.unlink('g')
    assert select.select([fd], [], [], 5)[0]
    data, seen = os.read(fd, 65536), []
    while data:
        _, mask, _, length = struct.unpack('iIII', data[:16])
        seen.append((mask, data[16:16 + length].rstrip(b'\0').decode()))
        data = data[16 + length:]
    assert seen == [(IN_CREATE, 'f'), (IN_MODIFY, 'f'), (IN_MOVED_FROM, 'f'), (IN_MOVED_TO, 'g'), (IN_DELETE, 'g')], seen
