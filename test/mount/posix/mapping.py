"""mmap(2)."""
import errno
import mmap
import os

from suite import case, fails, in_child, read_file, write_file

PAGE = mmap.PAGESIZE


@case('mmap: a shared map reads what write(2) wrote, before and after')
def _():
    write_file('f', b'a' * PAGE * 2)
    fd = os.open('f', os.O_RDWR)
    with mmap.mmap(fd, PAGE * 2) as shared:
        assert shared[0:3] == b'aaa'
        os.pwrite(fd, b'bcd', PAGE - 1)
        assert shared[PAGE - 1:PAGE + 2] == b'bcd'


@case('mmap: what a shared map wrote is read by read(2) and by another process')
def _():
    write_file('f', bytes(PAGE * 3))
    fd = os.open('f', os.O_RDWR)
    with mmap.mmap(fd, PAGE * 3) as shared:
        shared[PAGE - 2:PAGE + 2] = b'wxyz'
        shared.flush()
        assert os.pread(fd, 4, PAGE - 2) == b'wxyz'
        assert in_child(lambda: read_file('f')[PAGE - 2:PAGE + 2].decode()) == 'wxyz'
    os.close(fd)
    assert read_file('f')[PAGE - 2:PAGE + 2] == b'wxyz'


@case('mmap: two processes share one map')
def _():
    write_file('f', bytes(PAGE))
    fd = os.open('f', os.O_RDWR)
    with mmap.mmap(fd, PAGE) as shared:
        def write():
            with mmap.mmap(os.open('f', os.O_RDWR), PAGE) as other:
                other[10:14] = b'ping'
        in_child(write)
        assert shared[10:14] == b'ping'


@case('mmap: a map outlives the descriptor and the name')
def _():
    write_file('f', b'keep' + bytes(PAGE - 4))
    fd = os.open('f', os.O_RDWR)
    with mmap.mmap(fd, PAGE) as shared:
        os.close(fd)
        os.unlink('f')
        assert shared[0:4] == b'keep'
        shared[0:4] = b'more'
        shared.flush()
        assert shared[0:4] == b'more'


@case('mmap: a private map changes nothing in the file')
def _():
    write_file('f', b'a' * PAGE)
    with mmap.mmap(os.open('f', os.O_RDONLY), PAGE, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE) as private:
        private[0:3] = b'zzz'
        assert private[0:3] == b'zzz'
    assert read_file('f') == b'a' * PAGE


@case('mmap: a writable shared map of a read-only descriptor is EACCES')
def _():
    write_file('f', b'a' * PAGE)
    fails(errno.EACCES, mmap.mmap, os.open('f', os.O_RDONLY), PAGE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)


@case('mmap: the map of a file that grew shows the new bytes')
def _():
    fd = os.open('f', os.O_CREAT | os.O_RDWR, 0o644)
    os.ftruncate(fd, PAGE)
    with mmap.mmap(fd, PAGE) as first:
        first[0:1] = b'1'
        os.ftruncate(fd, PAGE * 4)
        with mmap.mmap(fd, PAGE * 4) as second:
            second[PAGE * 3:PAGE * 3 + 3] = b'end'
            second.flush()
            assert second[0:1] == b'1'
    assert read_file('f')[PAGE * 3:PAGE * 3 + 3] == b'end' and os.stat('f').st_size == PAGE * 4
