# Runs every case of abi-spec/cases/append-only.json against one journal: argv: journal path, case file. Prints one JSON object:
# case name -> {"result": errno name or "ok" or "ok:<count>", "added": what the journal gained, "kept": whether what was there stayed}.
import ctypes, errno, fcntl, json, mmap, os, sys

path, cases = sys.argv[1], json.load(open(sys.argv[2]))
here = os.path.dirname(path)
libc = ctypes.CDLL(None, use_errno=True)
O = {name: getattr(os, name) for name in dir(os) if name.startswith('O_')}
LINE = b'{"role":"user","type":"note","content":"x"}\n'


def opened(flags, act=lambda fd: None):
    fd = os.open(path, flags, 0o644)
    try:
        return act(fd)
    finally:
        os.close(fd)


def called(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), 'call failed')
    return result


def appended(act):
    return opened(os.O_WRONLY | os.O_APPEND, act)


def fallocate(mode):
    size = os.stat(path).st_size
    start, length = (0, 4096) if mode == 0 else (0, max(1, size))
    return appended(lambda fd: called(libc.fallocate(fd, mode, ctypes.c_long(start), ctypes.c_long(length))))


def mapped():
    def act(fd):
        mapping = mmap.mmap(fd, 8, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        mapping[2:6] = b'ROLE'
        try:
            mapping.flush()
        finally:
            mapping.close()
    return opened(os.O_RDWR | os.O_APPEND, act)


def clear_append():
    def act(fd):
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) & ~os.O_APPEND)
        # Where the flag could be cleared, the write has to be refused.
        os.write(fd, LINE)
    return appended(act)


def copy_range():
    source = os.open(here + '/state', os.O_RDONLY)
    try:
        return appended(lambda fd: os.copy_file_range(source, fd, 3))
    finally:
        os.close(source)


def rename_over():
    with open(here + '/aside', 'w') as other:
        other.write('other')
    try:
        os.rename(here + '/aside', path)
    finally:
        if os.path.exists(here + '/aside'):
            os.unlink(here + '/aside')


def lseek_write(fd):
    os.lseek(fd, 0, os.SEEK_SET)
    return os.write(fd, LINE)


def locked(fd):
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(fd, fcntl.LOCK_UN)


ACTS = {
    'write append': lambda: appended(lambda fd: os.write(fd, LINE)),
    'pwrite off 0 on O_APPEND': lambda: appended(lambda fd: os.pwrite(fd, LINE, 0)),
    'lseek 0 + write on O_APPEND': lambda: appended(lseek_write),
    'truncate 0': lambda: os.truncate(path, 0),
    'truncate same size': lambda: os.truncate(path, os.stat(path).st_size),
    'truncate extend': lambda: os.truncate(path, os.stat(path).st_size + 100),
    'ftruncate 0 on O_APPEND fd': lambda: appended(lambda fd: os.ftruncate(fd, 0)),
    'ftruncate extend on O_APPEND fd': lambda: appended(lambda fd: os.ftruncate(fd, os.fstat(fd).st_size + 100)),
    'unlink': lambda: os.unlink(path),
    'rename away': lambda: os.rename(path, here + '/gone'),
    'rename over it': rename_over,
    'link': lambda: os.link(path, here + '/linked'),
    'chmod': lambda: os.chmod(path, 0o600),
    'chown': lambda: os.chown(path, 1, 1),
    'utime now': lambda: os.utime(path),
    'utime set': lambda: os.utime(path, (1, 1)),
    'setxattr': lambda: os.setxattr(path, 'user.x', b'1'),
    'fallocate extend': lambda: fallocate(0),
    'fallocate punch hole': lambda: fallocate(3),
    'fallocate zero range': lambda: fallocate(16),
    'mmap shared write': mapped,
    'fcntl clear O_APPEND': clear_append,
    'copy_file_range into O_APPEND fd': copy_range,
    'fsync on O_APPEND fd': lambda: appended(os.fsync),
    'flock': lambda: appended(locked),
}


def act_of(name):
    if name not in ACTS and name.startswith('open '):
        flags = 0
        for word in name[5:].replace(' existing ', '|').split('|'):
            flags |= O[word]
        if 'O_APPEND' in name and 'O_RDWR' not in name and 'O_RDONLY' not in name:
            flags |= os.O_WRONLY
        return lambda: opened(flags)
    return ACTS[name]


def content():
    with open(path, 'rb') as file:
        return file.read()


found = {}
for case in cases:
    before = content()
    try:
        value = act_of(case['case'])()
        result = 'ok' if not isinstance(value, int) or isinstance(value, bool) or value == 0 else 'ok:%d' % value
    except OSError as error:
        result = errno.errorcode[error.errno]
    after = content()
    found[case['case']] = {'result': result, 'added': after[len(before):].decode('utf8', 'replace'), 'kept': after.startswith(before)}
print(json.dumps(found))
