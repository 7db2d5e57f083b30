"""read(2), write(2), lseek(2), truncate(2), fallocate(2), fsync(2), and files whose name is gone."""
import ctypes
import errno
import os
import resource
import signal
import stat

from suite import Unsupported, as_other, case, changes, fails, in_child, libc, mode_of, read_file, syscall, write_file


@case('content: pread and pwrite leave the offset alone')
def _():
    write_file('f', b'abcdef')
    fd = os.open('f', os.O_RDWR)
    os.lseek(fd, 2, os.SEEK_SET)
    assert os.pread(fd, 2, 4) == b'ef'
    os.pwrite(fd, b'X', 0)
    assert os.read(fd, 2) == b'cd' and read_file('f') == b'Xbcdef'


@case('content: pwrite on an O_APPEND descriptor appends, as on Linux')
def _():
    write_file('f', b'abc')
    fd = os.open('f', os.O_WRONLY | os.O_APPEND)
    os.pwrite(fd, b'X', 0)
    assert read_file('f') == b'abcX'


@case('content: reading at and past the end gives nothing')
def _():
    write_file('f', b'abc')
    fd = os.open('f', os.O_RDONLY)
    assert os.pread(fd, 10, 3) == b'' and os.pread(fd, 10, 1 << 20) == b''
    assert os.pread(fd, 10, 1) == b'bc'


@case('content: a write past the end leaves zeros between')
def _():
    fd = os.open('f', os.O_CREAT | os.O_RDWR, 0o644)
    os.pwrite(fd, b'end', 10000)
    assert read_file('f') == bytes(10000) + b'end'


@case('content: a write moves mtime and ctime and shows in st_size at once')
def _():
    write_file('f', b'a')
    fd = os.open('f', os.O_WRONLY | os.O_APPEND)
    changes('f', lambda: os.write(fd, b'b'), mtime=True, ctime=True)
    assert os.stat('f').st_size == 2 and os.fstat(fd).st_size == 2


@case('content: 4 MiB and one byte written at once read back in any block size')
def _():
    data = os.urandom((4 << 20) + 1)
    write_file('f', data)
    for block in (4096, 65536, 131072, 1 << 20, 5 << 20):
        fd = os.open('f', os.O_RDONLY)
        got = b''.join(iter(lambda: os.read(fd, block), b''))
        os.close(fd)
        assert got == data, block


@case('content: odd offsets and lengths overwrite exactly their bytes')
def _():
    model = bytearray(os.urandom(50000))
    write_file('f', bytes(model))
    fd = os.open('f', os.O_RDWR)
    seed = 7
    for _ in range(200):
        seed = (seed * 1103515245 + 12345) & 0x7fffffff
        offset, length = seed % 60000, (seed >> 8) % 5000 + 1
        piece = bytes([seed & 255]) * length
        os.pwrite(fd, piece, offset)
        if len(model) < offset:
            model.extend(bytes(offset - len(model)))
        model[offset:offset + length] = piece
    assert read_file('f') == bytes(model)
    assert os.stat('f').st_size == len(model)


@case('content: readv and writev')
def _():
    fd = os.open('f', os.O_CREAT | os.O_RDWR, 0o644)
    assert os.writev(fd, [b'one', b'', b'two']) == 6
    os.lseek(fd, 0, os.SEEK_SET)
    first, second = bytearray(2), bytearray(10)
    assert os.readv(fd, [first, second]) == 6 and bytes(first) == b'on' and bytes(second[:4]) == b'etwo'


@case('content: lseek from the start, here and the end; before the start is EINVAL')
def _():
    write_file('f', b'abcdef')
    fd = os.open('f', os.O_RDONLY)
    assert os.lseek(fd, -2, os.SEEK_END) == 4 and os.lseek(fd, -1, os.SEEK_CUR) == 3
    assert os.lseek(fd, 100, os.SEEK_SET) == 100
    fails(errno.EINVAL, os.lseek, fd, -1, os.SEEK_SET)
    fails(errno.EINVAL, os.lseek, fd, -7, os.SEEK_END)


@case('content: SEEK_DATA and SEEK_HOLE agree with the bytes; past the end is ENXIO')
def _():
    fd = os.open('f', os.O_CREAT | os.O_RDWR, 0o644)
    os.pwrite(fd, b'x' * 65536, 1 << 20)
    data = os.lseek(fd, 0, os.SEEK_DATA)
    assert 0 <= data <= 1 << 20
    hole = os.lseek(fd, 1 << 20, os.SEEK_HOLE)
    assert hole == (1 << 20) + 65536, hole
    fails(errno.ENXIO, os.lseek, fd, 2 << 20, os.SEEK_DATA)
    fails(errno.ENXIO, os.lseek, fd, 2 << 20, os.SEEK_HOLE)


@case('content: a sparse file past 4 GiB keeps size, data and zeros')
def _():
    fd = os.open('f', os.O_CREAT | os.O_RDWR, 0o644)
    where = (5 << 30) + 123
    os.pwrite(fd, b'far', where)
    assert os.stat('f').st_size == where + 3
    assert os.pread(fd, 10, where) == b'far' and os.pread(fd, 4, 1 << 32) == bytes(4)
    os.ftruncate(fd, (1 << 33) + 1)
    assert os.fstat(fd).st_size == (1 << 33) + 1
    assert os.stat('f').st_blocks < 1 << 20


@case('content: the file-size limit of the process gives EFBIG')
def _():
    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
        fd = os.open('f', os.O_CREAT | os.O_WRONLY, 0o644)
        assert os.pwrite(fd, b'x' * 100, 8192 - 50) == 50
        fails(errno.EFBIG, os.pwrite, fd, b'x', 8192)
        fails(errno.EFBIG, os.ftruncate, fd, 10000)
    in_child(limited)
    assert os.stat('f').st_size == 8192


@case('content: fsync and fdatasync of a file, fsync of a directory')
def _():
    fd = os.open('f', os.O_CREAT | os.O_WRONLY, 0o644)
    os.write(fd, b'x')
    os.fsync(fd)
    os.fdatasync(fd)
    os.fsync(os.open('.', os.O_RDONLY))


@case('content: dup and fork share one offset, a second open has its own')
def _():
    write_file('f', b'abcdef')
    fd = os.open('f', os.O_RDONLY)
    os.read(os.dup(fd), 2)
    in_child(lambda: os.read(fd, 1) and None)
    assert os.read(fd, 1) == b'd' and os.read(os.open('f', os.O_RDONLY), 1) == b'a'


@case('truncate: shrinks, and extends with zeros')
def _():
    write_file('f', b'abcdef')
    os.truncate('f', 3)
    assert read_file('f') == b'abc'
    os.truncate('f', 5)
    assert read_file('f') == b'abc\0\0'
    fd = os.open('f', os.O_RDWR)
    os.ftruncate(fd, 1)
    os.ftruncate(fd, 4)
    assert os.pread(fd, 10, 0) == b'a\0\0\0' and os.stat('f').st_size == 4


@case('truncate: moves mtime and ctime')
def _():
    write_file('f', b'abcdef')
    changes('f', lambda: os.truncate('f', 3), mtime=True, ctime=True)
    fd = os.open('f', os.O_WRONLY)
    changes('f', lambda: os.ftruncate(fd, 10), mtime=True, ctime=True)


@case('truncate: EISDIR, ENOENT, ENOTDIR, EINVAL, ELOOP, ENAMETOOLONG')
def _():
    os.mkdir('d')
    write_file('f')
    os.symlink('l', 'l')
    fails(errno.EISDIR, os.truncate, 'd', 0)
    fails(errno.ENOENT, os.truncate, 'none', 0)
    fails(errno.ENOTDIR, os.truncate, 'f/x', 0)
    fails(errno.EINVAL, os.truncate, 'f', -1)
    fails(errno.ELOOP, os.truncate, 'l', 0)
    fails(errno.ENAMETOOLONG, os.truncate, 'n' * 256, 0)
    fails(errno.EINVAL, os.ftruncate, os.open('f', os.O_RDONLY), 0)


@case('truncate: without write permission is EACCES')
def _():
    write_file('f', b'kept', 0o644)
    fails(errno.EACCES, as_other, os.truncate, 'f', 0)
    assert read_file('f') == b'kept'


@case('truncate: through a descriptor works although the mode has become read-only')
def _():
    os.chmod('.', 0o777)

    def run():
        fd = os.open('f', os.O_CREAT | os.O_RDWR, 0o644)
        os.write(fd, b'abc')
        os.fchmod(fd, 0o000)
        os.ftruncate(fd, 1)
        os.write(fd, b'')
        return os.fstat(fd).st_size
    assert as_other(run) == 1


FALLOC_FL_KEEP_SIZE = 1
FALLOC_FL_PUNCH_HOLE = 2
FALLOC_FL_ZERO_RANGE = 16


def fallocate(fd, mode, offset, length):
    libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    return syscall(libc.fallocate(fd, mode, offset, length))


@case('fallocate: posix_fallocate extends the size and keeps the bytes')
def _():
    write_file('f', b'abc')
    fd = os.open('f', os.O_RDWR)
    os.posix_fallocate(fd, 0, 100000)
    assert os.stat('f').st_size == 100000 and os.pread(fd, 4, 0) == b'abc\0'
    os.posix_fallocate(fd, 0, 10)
    assert os.stat('f').st_size == 100000


@case('fallocate: EBADF on a read-only descriptor, EINVAL for length 0')
def _():
    write_file('f', b'abc')
    fails(errno.EBADF, fallocate, os.open('f', os.O_RDONLY), 0, 0, 10)
    fails(errno.EINVAL, fallocate, os.open('f', os.O_WRONLY), 0, 0, 0)


@case('fallocate: KEEP_SIZE keeps the size')
def _():
    write_file('f', b'abc')
    fd = os.open('f', os.O_RDWR)
    try:
        fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 1 << 20)
    except OSError as error:
        raise Unsupported(error.errno)
    assert os.stat('f').st_size == 3


@case('fallocate: PUNCH_HOLE and ZERO_RANGE give zeros')
def _():
    write_file('f', b'x' * 20000)
    fd = os.open('f', os.O_RDWR)
    try:
        fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096)
        fallocate(fd, FALLOC_FL_ZERO_RANGE, 10000, 100)
    except OSError as error:
        raise Unsupported(error.errno)
    wanted = b'x' * 4096 + bytes(4096) + b'x' * (10000 - 8192) + bytes(100) + b'x' * 9900
    assert os.pread(fd, 30000, 0) == wanted


@case('copy_file_range and sendfile copy within the filesystem')
def _():
    data = os.urandom(300000)
    write_file('f', data)
    source, target = os.open('f', os.O_RDONLY), os.open('g', os.O_CREAT | os.O_RDWR, 0o644)
    left = len(data)
    while left:
        left -= os.copy_file_range(source, target, left)
    assert read_file('g') == data
    third = os.open('h', os.O_CREAT | os.O_WRONLY, 0o644)
    sent = 0
    while sent < len(data):
        sent += os.sendfile(third, source, sent, len(data) - sent)
    assert read_file('h') == data


@case('unlinked: an open file lives on without its name, with nlink 0')
def _():
    fd = os.open('f', os.O_CREAT | os.O_RDWR, 0o644)
    os.write(fd, b'before')
    os.unlink('f')
    assert os.listdir('.') == []
    assert os.fstat(fd).st_nlink == 0, os.fstat(fd).st_nlink
    os.write(fd, b' after')
    assert os.pread(fd, 100, 0) == b'before after' and os.fstat(fd).st_size == 12


@case('unlinked: fchmod, fchown, ftruncate and utimens work on the open file')
def _():
    fd = os.open('f', os.O_CREAT | os.O_RDWR, 0o644)
    os.write(fd, b'content')
    os.unlink('f')
    os.fchmod(fd, 0o600)
    os.fchown(fd, os.getuid(), os.getgid())
    os.ftruncate(fd, 3)
    os.utime(fd, ns=(5, 7))
    found = os.fstat(fd)
    assert (stat.S_IMODE(found.st_mode), found.st_size, found.st_mtime_ns) == (0o600, 3, 7)


@case('unlinked: a new file of the same name is another file')
def _():
    old = os.open('f', os.O_CREAT | os.O_RDWR, 0o644)
    os.write(old, b'old')
    os.unlink('f')
    write_file('f', b'new one')
    assert os.pread(old, 10, 0) == b'old' and read_file('f') == b'new one'
    assert os.fstat(old).st_ino != os.stat('f').st_ino


@case('unlinked: the last link of two keeps the file')
def _():
    write_file('f', b'x')
    os.link('f', 'g')
    os.unlink('f')
    assert read_file('g') == b'x' and os.stat('g').st_nlink == 1


@case('unlinked: a file opened before a rename over its name keeps its old bytes')
def _():
    write_file('f', b'old')
    fd = os.open('f', os.O_RDONLY)
    write_file('g', b'newer')
    os.rename('g', 'f')
    assert os.pread(fd, 10, 0) == b'old' and os.fstat(fd).st_size == 3 and read_file('f') == b'newer'


@case('setuid: a write by someone else clears the set-user-ID and set-group-ID bits')
def _():
    write_file('f', b'x', 0o777)
    os.chmod('f', 0o6777)
    assert mode_of('f') == 0o6777

    def write():
        os.write(os.open('f', os.O_WRONLY), b'y')
    as_other(write)
    assert mode_of('f') == 0o777, oct(mode_of('f'))


@case('setuid: a truncate by someone else clears the bits too')
def _():
    write_file('f', b'xyz', 0o777)
    os.chmod('f', 0o6777)
    as_other(os.truncate, 'f', 1)
    assert mode_of('f') == 0o777, oct(mode_of('f'))
