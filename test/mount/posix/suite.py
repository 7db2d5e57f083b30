"""What every case uses. A case is one sentence about one behaviour of the man pages, run in a process of its
own, in an empty directory of its own (the working directory), with umask 0 and a time limit."""
import ctypes
import errno
import json
import os
import re
import select
import shutil
import signal
import stat
import sys
import time
import traceback

CASES = []
# Against hangs: a machine under load may be many times slower than an idle one.
LIMIT_SECONDS = 90
# An ordinary second user; needs no entry in /etc/passwd.
OTHER_UID = 54321
OTHER_GID = 54321
# Divides how many names the large-directory cases make: for drivers that walk each path anew.
FEWER = int(os.environ.get('CASE_FEWER', '1'))
libc = ctypes.CDLL(None, use_errno=True)


class Skip(Exception):
    """The behaviour cannot be tried here; the reason is reported, and no run expects it."""


class Unsupported(Exception):
    """The call is refused as a whole, with this errno: a limit that a run must name to pass."""

    def __init__(self, code):
        super().__init__('EOPNOTSUPP' if code == errno.EOPNOTSUPP else errno.errorcode[code])


def case(name):
    def add(function):
        CASES.append((name, function))
        return function
    return add


def fails(expected, function, *args, **kwargs):
    """The call fails with this errno (or one of several)."""
    allowed = expected if isinstance(expected, tuple) else (expected,)
    names = '/'.join(errno.errorcode[e] for e in allowed)
    try:
        result = function(*args, **kwargs)
    except OSError as error:
        assert error.errno in allowed, f'{errno.errorcode.get(error.errno)} instead of {names}'
        return
    raise AssertionError(f'{result!r} instead of {names}')


def syscall(result):
    """A libc result: -1 becomes an OSError."""
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def write_file(path, data=b'', mode=0o644):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        assert os.write(fd, data) == len(data)
    finally:
        os.close(fd)


def read_file(path):
    with open(path, 'rb', buffering=0) as file:
        return file.read()


def mode_of(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def tick():
    """Long enough for a timestamp to differ (kernels step them coarsely)."""
    time.sleep(0.012)


def changes(path, function, mtime=None, ctime=None):
    """Runs the function and checks which times of `path` it moved (None: either)."""
    before = os.lstat(path)
    tick()
    function()
    after = os.lstat(path)
    for name, wanted in (('mtime', mtime), ('ctime', ctime)):
        moved = getattr(after, f'st_{name}_ns') != getattr(before, f'st_{name}_ns')
        assert wanted is None or moved == wanted, f'{name} of {path} {"moved" if moved else "did not move"}'


def in_child(function, *args):
    """Runs in a forked process and gives its result (JSON); its failure is raised here."""
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(readable)
        try:
            message = {'value': function(*args)}
        except OSError as error:
            message = {'errno': error.errno, 'text': str(error)}
        except BaseException:
            message = {'failure': traceback.format_exc(limit=-3)}
        os.write(writable, json.dumps(message).encode())
        os._exit(0)
    os.close(writable)
    data = b''
    while piece := os.read(readable, 65536):
        data += piece
    os.close(readable)
    os.waitpid(pid, 0)
    message = json.loads(data)
    if 'failure' in message:
        raise AssertionError(message['failure'])
    if 'errno' in message:
        raise OSError(message['errno'], message['text'])
    return message['value']


def as_other(function, *args, uid=OTHER_UID, gid=OTHER_GID, groups=()):
    """Runs as a second user. Skips where this directory cannot be reached by one, or we are not root."""
    if os.geteuid() != 0:
        raise Skip('a second user needs root')

    def run():
        os.setgroups(list(groups))
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        return function(*args)

    def reach():
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        try:
            os.stat(os.environ['CASE_PARENT'])
        except PermissionError:
            return False
        return True

    if not in_child(reach):
        raise Skip('this directory is private to its owner')
    return in_child(run)


def lend(path, uid=OTHER_UID, gid=OTHER_GID):
    """Gives a file to the second user."""
    os.chown(path, uid, gid, follow_symlinks=False)


def other_filesystem():
    """A writable directory on a filesystem other than the one under test."""
    here = os.stat('.').st_dev
    for directory in ('/dev/shm', '/run', '/tmp'):
        if os.path.isdir(directory) and os.access(directory, os.W_OK) and os.stat(directory).st_dev != here:
            return directory
    raise Skip('no second writable filesystem')


def run_case(base, index):
    name, function = CASES[index]
    directory = os.path.join(base, f'case{index}')
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(readable)
        os.setpgid(0, 0)
        # A process left behind must not hold the pipes that the runner's reader waits on.
        nowhere = os.open('/dev/null', os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nowhere, standard)
        try:
            os.mkdir(directory)
            os.chmod(directory, 0o755)
            os.environ['CASE_PARENT'] = directory
            os.chdir(directory)
            os.umask(0)
            function()
            message = {'name': name, 'outcome': 'pass'}
        except Skip as reason:
            message = {'name': name, 'outcome': 'skip', 'detail': str(reason)}
        except Unsupported as refusal:
            message = {'name': name, 'outcome': str(refusal)}
        except BaseException:
            message = {'name': name, 'outcome': 'fail', 'detail': traceback.format_exc(limit=-3)}
        os.write(writable, json.dumps(message).encode())
        os._exit(0)
    os.close(writable)
    data = b''
    deadline = time.monotonic() + LIMIT_SECONDS
    while True:
        ready, _, _ = select.select([readable], [], [], max(0, deadline - time.monotonic()))
        piece = os.read(readable, 65536) if ready else b''
        if not piece:
            break
        data += piece
        if data.endswith(b'}'):
            break
    os.close(readable)
    for target in (lambda: os.killpg(pid, signal.SIGKILL), lambda: os.kill(pid, signal.SIGKILL)):
        try:
            target()
        except ProcessLookupError:
            pass
    # A process that even SIGKILL does not end waits in a hung filesystem: nothing after it would end either.
    deadline = time.monotonic() + 60
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            return {'name': name, 'outcome': 'stuck', 'detail': 'a process cannot be killed'}
        time.sleep(0.001)
    if not data:
        return {'name': name, 'outcome': 'fail', 'detail': f'no answer within {LIMIT_SECONDS} s, or the process died'}
    result = json.loads(data)
    try:
        shutil.rmtree(directory)
    except OSError as error:
        if result['outcome'] == 'pass':
            result = {'name': name, 'outcome': 'fail', 'detail': f'its directory cannot be removed: {error}'}
    return result


def main():
    if sys.argv[1] == '--list':
        print(json.dumps([name for name, _ in CASES]))
        return
    if sys.argv[1] == '--list-second-user':
        print(json.dumps([name for name, function in CASES if 'as_other' in function.__code__.co_names]))
        return
    base = os.path.join(sys.argv[1], f'posix{os.getpid()}')
    wanted = set(json.load(sys.stdin)) if sys.argv[2:] == ['--cases'] else None
    only = re.compile(sys.argv[2] if wanted is None and len(sys.argv) > 2 else '')
    os.mkdir(base)
    os.chmod(base, 0o755)
    results = []
    for index, (name, _) in enumerate(CASES):
        if only.search(name) and (wanted is None or name in wanted):
            results.append(run_case(base, index))
            if results[-1]['outcome'] == 'stuck':
                break
    else:
        shutil.rmtree(base, ignore_errors=True)
    print(json.dumps(results))
