# Each way to change something below AT, and its errno; `done` when it was done. VOLUME is a place on the same mount, with a page.md.
# changes.py AT VOLUME FILE OTHER-FILE EMPTY-DIRECTORY DIRECTORY: the last four are names in AT.
import ctypes, errno, json, os, sys
at, volume, page, other, empty, topic = sys.argv[1:7]
page, other, empty, topic = '/' + page, '/' + other, '/' + empty, '/' + topic
libc = ctypes.CDLL(None, use_errno=True)
def opened(flags):
    fd = os.open(at + page, flags)
    os.close(fd)
reading = os.open(at + page, os.O_RDONLY)
folder = os.open(at, os.O_RDONLY)
def fallocate():
    if libc.fallocate(reading, 0, ctypes.c_long(0), ctypes.c_long(10)) != 0: raise OSError(ctypes.get_errno(), '')
def exchange():
    if libc.renameat2(-100, (at + page).encode(), -100, (at + other).encode(), 2) != 0: raise OSError(ctypes.get_errno(), '')
calls = {
  'open for writing': lambda: opened(os.O_WRONLY),
  'open for both': lambda: opened(os.O_RDWR),
  'open to append': lambda: opened(os.O_WRONLY | os.O_APPEND),
  'open and truncate': lambda: opened(os.O_RDONLY | os.O_TRUNC),
  'open to write by its descriptor': lambda: os.open('/proc/self/fd/%d' % reading, os.O_WRONLY),
  'create': lambda: os.open(at + '/new.md', os.O_CREAT | os.O_WRONLY, 0o644),
  'create below a descriptor': lambda: os.open('new.md', os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=folder),
  'mkdir': lambda: os.mkdir(at + '/new'),
  'mkfifo': lambda: os.mkfifo(at + '/fifo'),
  'symlink': lambda: os.symlink('/etc/passwd', at + '/link'),
  'link': lambda: os.link(at + page, at + '/hard.md'),
  'link in': lambda: os.link(volume + '/page.md', at + '/hard.md'),
  'link out': lambda: os.link(at + page, volume + '/hard.md'),
  'unlink': lambda: os.unlink(at + page),
  'rmdir': lambda: os.rmdir(at + empty),
  'rename': lambda: os.rename(at + page, at + '/moved.md'),
  'rename in': lambda: os.rename(volume + '/page.md', at + '/moved.md'),
  'rename out': lambda: os.rename(at + page, volume + '/moved.md'),
  'rename a directory': lambda: os.rename(at + topic, at + '/moved'),
  'exchange': exchange,
  'truncate': lambda: os.truncate(at + page, 0),
  'chmod': lambda: os.chmod(at + page, 0o600),
  'fchmod': lambda: os.fchmod(reading, 0o600),
  'chmod of the directory': lambda: os.fchmod(folder, 0o700),
  'utimes': lambda: os.utime(at + page, (1, 1)),
  'futimes': lambda: os.utime(reading, (1, 1)),
  'chown': lambda: os.chown(at + page, -1, os.getgid()),
  'setxattr': lambda: os.setxattr(at + page, 'user.a', b'b'),
  'removexattr': lambda: os.removexattr(at + page, 'user.kept'),
  'fallocate': fallocate,
}
outcome = {}
for name, call in calls.items():
    try:
        call()
        outcome[name] = 'done'
    except OSError as error:
        outcome[name] = errno.errorcode[error.errno]
print(json.dumps(outcome))
