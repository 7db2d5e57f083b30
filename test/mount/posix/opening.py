"""open(2), creat(2)."""
import errno
import os
import shutil
import stat
import subprocess

from suite import Unsupported, as_other, case, changes, fails, lend, libc, mode_of, read_file, syscall, tick, write_file


@case('open: O_CREAT makes an empty regular file with the mode asked for')
def _():
    os.close(os.open('f', os.O_CREAT | os.O_WRONLY, 0o640))
    found = os.lstat('f')
    assert stat.S_ISREG(found.st_mode) and found.st_size == 0 and found.st_nlink == 1
    assert mode_of('f') == 0o640, oct(mode_of('f'))


@case('open: O_CREAT applies the umask')
def _():
    os.umask(0o027)
    os.close(os.open('f', os.O_CREAT | os.O_WRONLY, 0o666))
    assert mode_of('f') == 0o640, oct(mode_of('f'))


@case('open: O_CREAT of an existing file keeps its content and mode')
def _():
    write_file('f', b'kept', 0o600)
    os.close(os.open('f', os.O_CREAT | os.O_WRONLY, 0o777))
    assert read_file('f') == b'kept' and mode_of('f') == 0o600


@case('open: a new file belongs to its creator')
def _():
    os.chmod('.', 0o777)
    as_other(write_file, 'f', b'x')
    assert (os.stat('f').st_uid, os.stat('f').st_gid) == (54321, 54321)


@case('open: O_CREAT moves mtime and ctime of the directory')
def _():
    changes('.', lambda: write_file('f'), mtime=True, ctime=True)


@case('open: opening an existing file leaves the directory times alone')
def _():
    write_file('f')
    changes('.', lambda: write_file('f'), mtime=False, ctime=False)


@case('open: O_EXCL of an existing name is EEXIST, also for a link that leads nowhere')
def _():
    write_file('f')
    os.symlink('nowhere', 'l')
    os.mkdir('d')
    for name in ('f', 'l', 'd'):
        fails(errno.EEXIST, os.open, name, os.O_CREAT | os.O_EXCL | os.O_WRONLY)


@case('open: O_TRUNC empties the file and moves mtime and ctime')
def _():
    write_file('f', b'content')
    changes('f', lambda: os.close(os.open('f', os.O_WRONLY | os.O_TRUNC)), mtime=True, ctime=True)
    assert os.stat('f').st_size == 0 and read_file('f') == b''


@case('open: O_TRUNC is seen at once through another descriptor')
def _():
    write_file('f', b'content')
    fd = os.open('f', os.O_RDONLY)
    os.close(os.open('f', os.O_WRONLY | os.O_TRUNC))
    assert os.fstat(fd).st_size == 0 and os.read(fd, 10) == b''


@case('open: O_APPEND writes at the end, whatever the offset')
def _():
    write_file('f', b'one')
    fd = os.open('f', os.O_WRONLY | os.O_APPEND)
    os.lseek(fd, 0, os.SEEK_SET)
    os.write(fd, b'two')
    other = os.open('f', os.O_WRONLY | os.O_APPEND)
    os.write(other, b'three')
    os.write(fd, b'four')
    assert read_file('f') == b'onetwothreefour'
    assert os.lseek(fd, 0, os.SEEK_CUR) == 15


@case('open: O_DIRECTORY of a file is ENOTDIR, of a directory works')
def _():
    write_file('f')
    os.mkdir('d')
    fails(errno.ENOTDIR, os.open, 'f', os.O_RDONLY | os.O_DIRECTORY)
    os.close(os.open('d', os.O_RDONLY | os.O_DIRECTORY))


@case('open: O_NOFOLLOW of a symbolic link is ELOOP')
def _():
    write_file('f')
    os.symlink('f', 'l')
    fails(errno.ELOOP, os.open, 'l', os.O_RDONLY | os.O_NOFOLLOW)
    os.close(os.open('f', os.O_RDONLY | os.O_NOFOLLOW))


@case('open: a directory for writing, or O_CREAT over it, is EISDIR')
def _():
    os.mkdir('d')
    fails(errno.EISDIR, os.open, 'd', os.O_WRONLY)
    fails(errno.EISDIR, os.open, 'd', os.O_RDWR)
    fails(errno.EISDIR, os.open, 'd', os.O_CREAT | os.O_WRONLY)


@case('open: read(2) of a directory is EISDIR')
def _():
    os.mkdir('d')
    fails(errno.EISDIR, os.read, os.open('d', os.O_RDONLY), 10)


@case('open: a missing name, a missing directory and a dangling link are ENOENT')
def _():
    os.symlink('nowhere', 'l')
    fails(errno.ENOENT, os.open, 'f', os.O_RDONLY)
    fails(errno.ENOENT, os.open, 'd/f', os.O_CREAT | os.O_WRONLY)
    fails(errno.ENOENT, os.open, 'l', os.O_RDONLY)
    fails(errno.ENOENT, os.open, '', os.O_RDONLY)


@case('open: a name that was missing is found as soon as it is made')
def _():
    fails(errno.ENOENT, os.stat, 'f')
    write_file('f', b'x')
    assert os.stat('f').st_size == 1
    os.unlink('f')
    fails(errno.ENOENT, os.stat, 'f')


@case('open: O_CREAT through a dangling link makes its target')
def _():
    os.symlink('target', 'l')
    write_file('l', b'x')
    assert read_file('target') == b'x' and os.path.islink('l')


@case('open: a file as directory component is ENOTDIR')
def _():
    write_file('f')
    fails(errno.ENOTDIR, os.open, 'f/x', os.O_RDONLY)
    fails(errno.ENOTDIR, os.open, 'f/x', os.O_CREAT | os.O_WRONLY)
    fails(errno.ENOTDIR, os.open, 'f/', os.O_RDONLY)
    fails((errno.EISDIR,), os.open, 'new/', os.O_CREAT | os.O_WRONLY)


@case('open: a name of 255 bytes works and of 256 bytes is ENAMETOOLONG')
def _():
    write_file('n' * 255, b'x')
    assert os.listdir('.') == ['n' * 255]
    fails(errno.ENAMETOOLONG, os.open, 'n' * 256, os.O_CREAT | os.O_WRONLY)
    fails(errno.ENAMETOOLONG, os.stat, 'n' * 256)
    fails(errno.ENAMETOOLONG, os.open, './' * 2100 + 'f', os.O_CREAT | os.O_WRONLY)


@case('open: links that lead in a circle are ELOOP')
def _():
    os.symlink('b', 'a')
    os.symlink('a', 'b')
    fails(errno.ELOOP, os.open, 'a', os.O_RDONLY)
    fails(errno.ELOOP, os.open, 'a/x', os.O_CREAT | os.O_WRONLY)
    fails(errno.ELOOP, os.stat, 'a')


@case('open: a chain of 40 links works, one of 41 is ELOOP')
def _():
    write_file('l0', b'x')
    for n in range(1, 42):
        os.symlink(f'l{n - 1}', f'l{n}')
    assert read_file('l40') == b'x'
    fails(errno.ELOOP, os.open, 'l41', os.O_RDONLY)


@case('open: a descriptor opened for reading cannot write, nor the reverse')
def _():
    write_file('f', b'x')
    reader, writer = os.open('f', os.O_RDONLY), os.open('f', os.O_WRONLY)
    fails(errno.EBADF, os.write, reader, b'y')
    fails(errno.EBADF, os.read, writer, 1)


@case('open: the creating descriptor may write although the mode forbids it')
def _():
    def create():
        fd = os.open('f', os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o000)
        os.write(fd, b'x')
        assert os.pread(fd, 1, 0) == b'x'
        os.close(fd)
        fails(errno.EACCES, os.open, 'f', os.O_RDONLY)
    os.chmod('.', 0o777)
    as_other(create)
    assert mode_of('f') == 0


@case('open: O_PATH gives a descriptor that stats but does not read')
def _():
    write_file('f', b'xyz')
    fd = os.open('f', os.O_PATH)
    assert os.fstat(fd).st_size == 3
    fails(errno.EBADF, os.read, fd, 1)


@case('open: O_SYNC and O_DSYNC descriptors write')
def _():
    for flag in (os.O_SYNC, os.O_DSYNC):
        fd = os.open('f', os.O_CREAT | os.O_WRONLY | os.O_TRUNC | flag, 0o644)
        os.write(fd, b'durable')
        os.close(fd)
        assert read_file('f') == b'durable'


@case('open: O_TMPFILE makes a file without a name that linkat can name')
def _():
    try:
        fd = os.open('.', os.O_TMPFILE | os.O_RDWR, 0o600)
    except OSError as error:
        raise Unsupported(error.errno)
    os.write(fd, b'x')
    assert os.listdir('.') == []
    # AT_SYMLINK_FOLLOW through /proc names it without a capability (open(2)).
    syscall(libc.linkat(-100, f'/proc/self/fd/{fd}'.encode(), -100, b'named', 0x400))
    assert read_file('named') == b'x'


@case('open: a running program cannot be opened for writing (ETXTBSY)')
def _():
    shutil.copy(shutil.which('sleep'), 'prog')
    os.chmod('prog', 0o755)
    running = subprocess.Popen(['./prog', '30'])
    try:
        fails(errno.ETXTBSY, os.open, 'prog', os.O_WRONLY)
    finally:
        running.kill()
        running.wait()
    os.close(os.open('prog', os.O_WRONLY))


@case('open: a script runs from here, and without the x bit is EACCES')
def _():
    write_file('s', b'#!/bin/sh\necho ran\n', 0o755)
    assert subprocess.run(['./s'], capture_output=True, check=True).stdout == b'ran\n'
    os.chmod('s', 0o644)
    fails(errno.EACCES, subprocess.run, ['./s'])


@case('open: a file in a set-group-ID directory gets its group, a directory the bit too')
def _():
    os.chown('.', 0, 777)
    os.chmod('.', 0o2777)
    write_file('f')
    os.mkdir('d')
    assert os.stat('f').st_gid == 777 and os.stat('d').st_gid == 777
    assert mode_of('d') & stat.S_ISGID and not mode_of('f') & stat.S_ISGID


@case('open: without write permission O_TRUNC is EACCES and truncates nothing')
def _():
    write_file('f', b'kept', 0o644)
    fails(errno.EACCES, as_other, lambda: os.close(os.open('f', os.O_WRONLY | os.O_TRUNC)))
    assert read_file('f') == b'kept'


@case('open: reading does not move mtime or ctime')
def _():
    write_file('f', b'x')
    tick()
    changes('f', lambda: read_file('f'), mtime=False, ctime=False)


@case('open: the owner of a file without permission bits is refused, root is not')
def _():
    write_file('f', b'x', 0)
    lend('f')
    fails(errno.EACCES, as_other, lambda: os.close(os.open('f', os.O_RDONLY)))
    assert read_file('f') == b'x'
