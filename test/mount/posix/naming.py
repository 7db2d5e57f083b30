"""link(2), symlink(2), readlink(2), unlink(2), and what a name may be."""
import errno
import os
import shutil
import stat

from suite import as_other, case, changes, fails, other_filesystem, read_file, write_file


@case('names: any bytes but "/" and NUL, kept exactly')
def _():
    names = [b'space name', b'new\nline', 'ünïcode ☃'.encode(), b'\xff\xfe not utf-8', b'-dash', b'..dots', b'a', b'A', b'\\back', b'q"uote', b'\x01\x7f']
    for name in names:
        write_file(name, name)
    assert sorted(os.listdir(b'.')) == sorted(names)
    for name in names:
        assert read_file(name) == name
        os.rename(name, name + b'2')
        os.unlink(name + b'2')


@case('names: of bytes that are no UTF-8, with times, attributes, FIFOs and links of their own')
def _():
    name = b'\xff\xfe'
    write_file(name, b'one')
    os.utime(name, ns=(1_000_000_001, 2_000_000_003))
    assert (os.stat(name).st_atime_ns, os.stat(name).st_mtime_ns) == (1_000_000_001, 2_000_000_003)
    os.setxattr(name, b'user.k', b'v')
    assert os.getxattr(name, b'user.k') == b'v' and os.listxattr(name) == ['user.k']
    os.removexattr(name, b'user.k')
    os.mkfifo(b'\xfd')
    assert stat.S_ISFIFO(os.stat(b'\xfd').st_mode)
    os.symlink(name, b'\xfc')
    assert os.readlink(b'\xfc') == name and read_file(b'\xfc') == b'one'


@case('names: a path may be longer than PATH_MAX, a step at a time')
def _():
    here = os.getcwd()
    for _ in range(25):
        os.mkdir('d' * 200)
        os.chdir('d' * 200)
    write_file('f', b'deep')
    os.utime('f', (2, 2))
    os.rename('f', 'g')
    os.link('g', 'h')
    os.symlink('g', 's')
    assert read_file('s') == b'deep' and os.stat('h').st_mtime == 2 and os.stat('h').st_nlink == 2
    assert sorted(os.listdir('.')) == ['g', 'h', 's']
    for name in os.listdir('.'):
        os.unlink(name)
    os.chdir(here)
    shutil.rmtree('d' * 200)
    assert os.listdir('.') == []


@case('names: composed and decomposed forms are two names')
def _():
    write_file('\u00e9', b'one')
    write_file('e\u0301', b'two')
    assert read_file('\u00e9') == b'one' and len(os.listdir('.')) == 2


@case('link: both names are one file')
def _():
    write_file('f', b'one')
    os.link('f', 'g')
    first, second = os.stat('f'), os.stat('g')
    assert first.st_ino == second.st_ino and first.st_nlink == second.st_nlink == 2
    with open('g', 'ab', buffering=0) as file:
        file.write(b' two')
    assert read_file('f') == b'one two' and os.stat('f').st_size == 7
    os.chmod('g', 0o600)
    assert stat.S_IMODE(os.stat('f').st_mode) == 0o600


@case('link: moves ctime of the file, mtime and ctime of the directory')
def _():
    write_file('f')
    os.mkdir('d')
    changes('f', lambda: os.link('f', 'd/g'), mtime=False, ctime=True)
    changes('d', lambda: os.link('f', 'd/h'), mtime=True, ctime=True)


@case('link: EEXIST, ENOENT, ENOTDIR, ENAMETOOLONG; EPERM of a directory')
def _():
    write_file('f')
    write_file('g')
    os.mkdir('d')
    fails(errno.EEXIST, os.link, 'f', 'g')
    fails(errno.ENOENT, os.link, 'none', 'h')
    fails(errno.ENOENT, os.link, 'f', 'none/h')
    fails(errno.ENOTDIR, os.link, 'f', 'g/h')
    fails(errno.ENAMETOOLONG, os.link, 'f', 'n' * 256)
    fails(errno.EPERM, os.link, 'd', 'e')


@case('link: to another filesystem is EXDEV')
def _():
    write_file('f')
    target = os.path.join(other_filesystem(), f'link{os.getpid()}')
    fails(errno.EXDEV, os.link, 'f', target)
    fails(errno.EXDEV, os.rename, 'f', target)


@case('link: of a symbolic link links the link itself')
def _():
    os.symlink('nowhere', 'l')
    os.link('l', 'm', follow_symlinks=False)
    assert os.readlink('m') == 'nowhere' and os.lstat('l').st_nlink == 2


@case('link: without write permission on the directory is EACCES')
def _():
    write_file('f')
    os.chown('f', 54321, 54321)
    fails(errno.EACCES, as_other, os.link, 'f', 'g')


@case('symlink: readlink gives the exact text, lstat its length')
def _():
    for target in (b'x', b'a/../b//c', b'/absolute/nowhere', b'\xff\n', b't' * 4000):
        os.symlink(target, b'l')
        assert os.readlink(b'l') == target and os.lstat(b'l').st_size == len(target)
        assert stat.S_ISLNK(os.lstat(b'l').st_mode)
        os.unlink(b'l')


@case('symlink: EEXIST, ENOENT, ENOTDIR, ENAMETOOLONG')
def _():
    write_file('f')
    fails(errno.EEXIST, os.symlink, 'x', 'f')
    fails(errno.ENOENT, os.symlink, '', 'l')
    fails(errno.ENOENT, os.symlink, 'x', 'none/l')
    fails(errno.ENOTDIR, os.symlink, 'x', 'f/l')
    fails(errno.ENAMETOOLONG, os.symlink, 't' * 4097, 'l')
    fails(errno.ENAMETOOLONG, os.symlink, 'x', 'n' * 256)


@case('symlink: readlink of anything else is EINVAL, of nothing ENOENT')
def _():
    write_file('f')
    os.mkdir('d')
    fails(errno.EINVAL, os.readlink, 'f')
    fails(errno.EINVAL, os.readlink, 'd')
    fails(errno.ENOENT, os.readlink, 'none')


@case('symlink: is followed to files and directories, relative to where it lies')
def _():
    os.makedirs('a/b')
    write_file('a/f', b'found')
    os.symlink('../f', 'a/b/up')
    os.symlink('a/b', 'down')
    assert read_file('down/up') == b'found'
    write_file('down/new', b'x')
    assert read_file('a/b/new') == b'x'


@case('symlink: belongs to its maker')
def _():
    os.chmod('.', 0o777)
    as_other(os.symlink, 'x', 'l')
    assert os.lstat('l').st_uid == 54321


@case('unlink: takes the name; ENOENT afterwards')
def _():
    write_file('f')
    os.unlink('f')
    fails(errno.ENOENT, os.unlink, 'f')
    fails(errno.ENOENT, os.stat, 'f')
    assert os.listdir('.') == []


@case('unlink: moves mtime and ctime of the directory, and ctime of what remains')
def _():
    write_file('f')
    os.link('f', 'g')
    changes('g', lambda: os.unlink('f'), mtime=False, ctime=True)
    changes('.', lambda: os.unlink('g'), mtime=True, ctime=True)


@case('unlink: EISDIR, ENOTDIR, ENAMETOOLONG, ELOOP')
def _():
    write_file('f')
    os.mkdir('d')
    os.symlink('l', 'l')
    fails((errno.EISDIR, errno.EPERM), os.unlink, 'd')
    fails(errno.ENOTDIR, os.unlink, 'f/x')
    fails(errno.ENAMETOOLONG, os.unlink, 'n' * 256)
    fails(errno.ELOOP, os.unlink, 'l/x')


@case('unlink: of a link leaves its target')
def _():
    write_file('f', b'x')
    os.symlink('f', 'l')
    os.unlink('l')
    assert read_file('f') == b'x'


@case('unlink: without write permission on the directory is EACCES, even for the owner of the file')
def _():
    write_file('f')
    os.chown('f', 54321, 54321)
    fails(errno.EACCES, as_other, os.unlink, 'f')


@case('inode numbers: differ between files and stay through stat, open, rename and write')
def _():
    numbers = set()
    for n in range(50):
        write_file(f'f{n}')
        numbers.add(os.stat(f'f{n}').st_ino)
    assert len(numbers) == 50
    before = os.stat('f0').st_ino
    os.rename('f0', 'g0')
    write_file('g0', b'x')
    fd = os.open('g0', os.O_RDONLY)
    assert os.stat('g0').st_ino == before == os.fstat(fd).st_ino
    assert os.stat('g0').st_dev == os.stat('.').st_dev
