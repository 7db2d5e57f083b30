"""mkdir(2), rmdir(2), opendir(3), readdir(3), seekdir(3)."""
import ctypes
import errno
import os
import stat

from suite import FEWER, as_other, case, changes, fails, in_child, libc, mode_of, write_file


@case('mkdir: makes an empty directory with the mode less the umask')
def _():
    os.umask(0o022)
    os.mkdir('d', 0o777)
    assert mode_of('d') == 0o755 and os.listdir('d') == [] and stat.S_ISDIR(os.lstat('d').st_mode)


@case('mkdir: the directory belongs to its maker')
def _():
    os.chmod('.', 0o777)
    as_other(os.mkdir, 'd')
    assert (os.stat('d').st_uid, os.stat('d').st_gid) == (54321, 54321)


@case('mkdir: an existing name of any kind is EEXIST')
def _():
    write_file('f')
    os.mkdir('d')
    os.symlink('nowhere', 'l')
    for name in ('f', 'd', 'l', '.', '..'):
        fails(errno.EEXIST, os.mkdir, name)


@case('mkdir: ENOENT, ENOTDIR, ENAMETOOLONG, ELOOP')
def _():
    write_file('f')
    os.symlink('l', 'l')
    fails(errno.ENOENT, os.mkdir, 'none/d')
    fails(errno.ENOENT, os.mkdir, '')
    fails(errno.ENOTDIR, os.mkdir, 'f/d')
    fails(errno.ENAMETOOLONG, os.mkdir, 'n' * 256)
    fails(errno.ELOOP, os.mkdir, 'l/d')


@case('mkdir: links of the parent grow by one, a new directory has two')
def _():
    before = os.stat('.').st_nlink
    os.mkdir('d')
    assert os.stat('d').st_nlink == 2 and os.stat('.').st_nlink == before + 1
    os.rmdir('d')
    assert os.stat('.').st_nlink == before


@case('mkdir and rmdir: move mtime and ctime of the parent')
def _():
    changes('.', lambda: os.mkdir('d'), mtime=True, ctime=True)
    changes('.', lambda: os.rmdir('d'), mtime=True, ctime=True)


@case('rmdir: of a directory that is not empty is ENOTEMPTY')
def _():
    os.makedirs('d/e')
    fails((errno.ENOTEMPTY, errno.EEXIST), os.rmdir, 'd')
    os.rmdir('d/e')
    os.rmdir('d')
    fails(errno.ENOENT, os.stat, 'd')


@case('rmdir: ENOTDIR of a file and of a link, ENOENT, EINVAL of ".", ENOTEMPTY of ".."')
def _():
    write_file('f')
    os.mkdir('d')
    os.symlink('d', 'l')
    fails(errno.ENOTDIR, os.rmdir, 'f')
    fails(errno.ENOTDIR, os.rmdir, 'l')
    fails(errno.ENOTDIR, os.rmdir, 'f/d')
    fails(errno.ENOENT, os.rmdir, 'none')
    fails(errno.EINVAL, os.rmdir, 'd/.')
    fails((errno.ENOTEMPTY, errno.EEXIST), os.rmdir, 'd/..')


@case('rmdir: a removed directory that is open is empty and takes no new files')
def _():
    os.mkdir('d')
    fd = os.open('d', os.O_RDONLY)
    os.rmdir('d')
    assert os.listdir(fd) == []
    fails(errno.ENOENT, os.open, 'x', os.O_CREAT | os.O_WRONLY, dir_fd=fd)
    assert os.fstat(fd).st_nlink in (0, 1, 2)


@case('rmdir: a name can be made again at once')
def _():
    for _ in range(20):
        os.mkdir('d')
        write_file('d/f')
        os.unlink('d/f')
        os.rmdir('d')


@case('readdir: every entry once, with its type and inode number')
def _():
    write_file('f')
    os.mkdir('d')
    os.symlink('f', 'l')
    os.mkfifo('p')
    with os.scandir('.') as entries:
        found = {entry.name: entry for entry in entries}
        assert sorted(found) == ['d', 'f', 'l', 'p']
        assert found['d'].is_dir() and found['l'].is_symlink() and found['f'].is_file(follow_symlinks=False)
        for name, entry in found.items():
            assert entry.inode() == os.lstat(name).st_ino, name


@case('readdir: 3,000 entries, each once')
def _():
    os.mkdir('d')
    count = 3000 // FEWER
    for n in range(count):
        write_file(f'd/entry-with-a-longer-name-{n}')
    names = os.listdir('d')
    assert len(names) == count and len(set(names)) == count
    fd = os.open('d', os.O_RDONLY)
    assert sorted(os.listdir(fd)) == sorted(names) and sorted(os.listdir(fd)) == sorted(names)
    for name in names:
        os.unlink(f'd/{name}')


@case('readdir: entries that stay are seen once while others come and go')
def _():
    os.mkdir('d')
    half = 1500 // FEWER
    for n in range(half):
        write_file(f'd/stays{n}')
        write_file(f'd/goes{n}')
    seen = []
    with os.scandir('d') as entries:
        for count, entry in enumerate(entries):
            seen.append(entry.name)
            if count < half:
                write_file(f'd/comes{count}')
                if os.path.exists(f'd/goes{half - 1 - count}'):
                    os.unlink(f'd/goes{half - 1 - count}')
    stays = [name for name in seen if name.startswith('stays')]
    assert len(stays) == half and len(set(stays)) == half
    assert len(seen) == len(set(seen))


@case('readdir: removing each entry as it is read empties the directory')
def _():
    os.mkdir('d')
    for n in range(2000 // FEWER):
        write_file(f'd/f{n}')
    with os.scandir('d') as entries:
        for entry in entries:
            os.unlink(entry.path)
    assert os.listdir('d') == []


class Dirent(ctypes.Structure):
    _fields_ = [('ino', ctypes.c_uint64), ('off', ctypes.c_int64), ('reclen', ctypes.c_ushort),
                ('type', ctypes.c_ubyte), ('name', ctypes.c_char * 256)]


libc.opendir.restype = libc.readdir.restype = ctypes.c_void_p
libc.telldir.restype = ctypes.c_long
for _function in (libc.readdir, libc.telldir, libc.closedir, libc.rewinddir):
    _function.argtypes = [ctypes.c_void_p]
libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]


def read_entry(handle):
    found = libc.readdir(handle)
    return ctypes.cast(found, ctypes.POINTER(Dirent)).contents if found else None


@case('seekdir: goes back to where telldir was, and rewinddir to the start')
def _():
    os.mkdir('d')
    count = 1000 // FEWER
    for n in range(count):
        write_file(f'd/f{n}')
    handle = libc.opendir(b'd')
    names, places = [], []
    while True:
        places.append(libc.telldir(handle))
        entry = read_entry(handle)
        if entry is None:
            break
        names.append(bytes(entry.name))
    assert len(names) == count + 2 and {b'.', b'..'} <= set(names)
    for index in (0, 1, count // 2, count - 1, 37):
        libc.seekdir(handle, places[index])
        assert bytes(read_entry(handle).name) == names[index], index
    write_file('d/late')
    libc.rewinddir(handle)
    again = []
    while (entry := read_entry(handle)) is not None:
        again.append(bytes(entry.name))
    assert set(again) == set(names) | {b'late'}
    libc.closedir(handle)


@case('readdir: "." and ".." carry the numbers of the directory and its parent')
def _():
    os.mkdir('d')
    handle = libc.opendir(b'd')
    found = {}
    while (entry := read_entry(handle)) is not None:
        found[bytes(entry.name)] = entry.ino
    libc.closedir(handle)
    assert set(found) == {b'.', b'..'}
    assert os.stat('d/..').st_ino == os.stat('.').st_ino and os.stat('d/.').st_ino == os.stat('d').st_ino


@case('opendir: ENOENT, ENOTDIR, EACCES')
def _():
    write_file('f')
    os.mkdir('d', 0o711)
    fails(errno.ENOENT, os.listdir, 'none')
    fails(errno.ENOTDIR, os.listdir, 'f')
    fails(errno.EACCES, as_other, os.listdir, 'd')


@case('chdir: getcwd names the directory, also after a rename')
def _():
    os.mkdir('d')
    here = os.getcwd()

    def walk():
        os.chdir('d')
        assert os.getcwd() == f'{here}/d'
        os.rename('../d', '../e')
        assert os.getcwd() == f'{here}/e'
        assert os.stat('..').st_ino == os.stat(here).st_ino
    in_child(walk)


@case('deep: 100 nested directories are made, walked and removed')
def _():
    path = '/'.join(['dir'] * 100)
    os.makedirs(path)
    write_file(f'{path}/leaf', b'x')
    assert sum(len(files) for _, _, files in os.walk('.')) == 1
