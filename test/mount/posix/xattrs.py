"""xattr(7)."""
import errno
import os

from suite import Unsupported, as_other, case, changes, fails, in_child, write_file


def has_xattrs():
    write_file('f')
    try:
        os.setxattr('f', 'user.probe', b'')
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.ENOSYS):
            raise Unsupported(error.errno)
        raise
    os.removexattr('f', 'user.probe')


@case('xattr: set, get, list, replace and remove, with exact bytes')
def _():
    has_xattrs()
    for value in (b'', b'value', b'\0\xff' * 500):
        os.setxattr('f', 'user.name', value)
        assert os.getxattr('f', 'user.name') == value
    os.setxattr('f', 'user.other', b'x')
    assert {'user.name', 'user.other'} <= set(os.listxattr('f'))
    os.removexattr('f', 'user.name')
    assert 'user.name' not in os.listxattr('f')


@case('xattr: a missing one is ENODATA; XATTR_CREATE is EEXIST, XATTR_REPLACE is ENODATA')
def _():
    has_xattrs()
    fails(errno.ENODATA, os.getxattr, 'f', 'user.none')
    fails(errno.ENODATA, os.removexattr, 'f', 'user.none')
    os.setxattr('f', 'user.name', b'x', os.XATTR_CREATE)
    fails(errno.EEXIST, os.setxattr, 'f', 'user.name', b'y', os.XATTR_CREATE)
    fails(errno.ENODATA, os.setxattr, 'f', 'user.none', b'y', os.XATTR_REPLACE)
    os.setxattr('f', 'user.name', b'z', os.XATTR_REPLACE)
    assert os.getxattr('f', 'user.name') == b'z'


@case('xattr: on directories and open files; other namespaces are refused')
def _():
    has_xattrs()
    os.mkdir('d')
    os.setxattr('d', 'user.name', b'dir')
    fd = os.open('f', os.O_RDONLY)
    os.setxattr(fd, 'user.name', b'open')
    assert os.getxattr('d', 'user.name') == b'dir' and os.getxattr('f', 'user.name') == b'open'
    fails(errno.EOPNOTSUPP, os.setxattr, 'f', 'nonsense.name', b'x')
    fails((errno.ERANGE, errno.ENAMETOOLONG), os.setxattr, 'f', 'user.' + 'n' * 300, b'x')


@case('xattr: without write permission is EACCES, without read permission too')
def _():
    has_xattrs()
    os.setxattr('f', 'user.name', b'x')
    os.chmod('f', 0o600)
    fails(errno.EACCES, as_other, os.setxattr, 'f', 'user.name', b'y')
    fails(errno.EACCES, as_other, lambda: os.getxattr('f', 'user.name') and None)


@case('xattr: setting moves ctime and not mtime; a rename keeps them, a new file has none')
def _():
    has_xattrs()
    changes('f', lambda: os.setxattr('f', 'user.name', b'x'), mtime=False, ctime=True)
    os.rename('f', 'g')
    assert os.getxattr('g', 'user.name') == b'x'
    write_file('f')
    assert [name for name in os.listxattr('f') if name.startswith('user.')] == []
    assert in_child(lambda: os.getxattr('g', 'user.name').decode()) == 'x'
