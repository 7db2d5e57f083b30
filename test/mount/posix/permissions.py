"""path_resolution(7): what a second user may do."""
import errno
import os
import socket

from suite import as_other, case, fails, lend, read_file, write_file


@case('permissions: a directory without x hides what is in it, with r its names are listed')
def _():
    os.mkdir('d')
    write_file('d/f', b'x', 0o666)
    os.chmod('d', 0o744)
    assert as_other(lambda: os.listdir('d')) == ['f']
    fails(errno.EACCES, as_other, lambda: os.stat('d/f') and None)
    fails(errno.EACCES, as_other, lambda: os.close(os.open('d/f', os.O_RDONLY)))


@case('permissions: a directory without r keeps its names secret but is passed through')
def _():
    os.mkdir('d')
    write_file('d/f', b'x', 0o644)
    os.chmod('d', 0o711)
    fails(errno.EACCES, as_other, os.listdir, 'd')
    assert as_other(lambda: read_file('d/f').decode()) == 'x'


@case('permissions: a directory without w refuses create, mkdir, symlink, mkfifo and unlink with EACCES')
def _():
    os.mkdir('d', 0o755)
    write_file('d/f', mode=0o666)
    for action in (lambda: write_file('d/n'), lambda: os.mkdir('d/n'), lambda: os.symlink('x', 'd/n'),
                   lambda: os.mkfifo('d/n'), lambda: os.unlink('d/f'), lambda: os.rename('d/f', 'd/g')):
        fails(errno.EACCES, as_other, action)
    assert os.listdir('d') == ['f']


@case('permissions: owner, group and others each by their own bits')
def _():
    write_file('f', b'x')
    os.chown('f', 54321, 777)
    for mode, groups, uid, allowed in ((0o400, (), 54321, True), (0o040, (), 54321, False), (0o040, (777,), 11111, True),
                                       (0o004, (777,), 11111, False), (0o004, (), 11111, True), (0o440, (), 11111, False)):
        os.chmod('f', mode)
        action = lambda: read_file('f').decode()  # noqa: E731
        if allowed:
            assert as_other(action, uid=uid, groups=groups) == 'x', oct(mode)
        else:
            fails(errno.EACCES, as_other, action, uid=uid, groups=groups)


@case('permissions: a supplementary group gives write access to a directory')
def _():
    os.mkdir('d')
    os.chown('d', 0, 777)
    os.chmod('d', 0o770)
    as_other(write_file, 'd/f', groups=(777,))
    assert (os.stat('d/f').st_uid, os.stat('d/f').st_gid) == (54321, 54321)
    fails(errno.EACCES, as_other, write_file, 'd/g')


@case('permissions: in a sticky directory only owners remove')
def _():
    os.mkdir('t')
    os.chmod('t', 0o1777)
    write_file('t/f', mode=0o666)
    os.mkdir('t/d', 0o777)
    fails((errno.EPERM, errno.EACCES), as_other, os.unlink, 't/f')
    fails((errno.EPERM, errno.EACCES), as_other, os.rmdir, 't/d')
    as_other(write_file, 't/own')
    as_other(os.unlink, 't/own')
    assert sorted(os.listdir('t')) == ['d', 'f']


@case('permissions: the right to a file is checked at open, not later')
def _():
    write_file('f', b'secret', 0o644)
    lend('f')

    def run():
        fd = os.open('f', os.O_RDONLY)
        os.chmod('f', 0)
        fails(errno.EACCES, os.open, 'f', os.O_RDONLY)
        return os.read(fd, 10).decode()
    assert as_other(run) == 'secret'


@case('permissions: fifo, link and directory of a second user are theirs')
def _():
    os.chmod('.', 0o777)

    def make():
        os.mkfifo('p')
        os.symlink('x', 'l')
        os.mkdir('d')
        write_file('f')
        socket.socket(socket.AF_UNIX).bind('s')
    as_other(make)
    for name in ('p', 'l', 'd', 'f', 's'):
        assert os.lstat(name).st_uid == 54321, name
    as_other(lambda: (os.unlink('p'), os.rmdir('d'), os.unlink('s'), None)[-1])


@case('permissions: root reads what nobody may')
def _():
    os.mkdir('d', 0)
    write_file('d/f', b'x', 0)
    assert read_file('d/f') == b'x' and os.listdir('d') == ['f']
