"""Several processes at once."""
import errno
import os

from suite import case, fails, read_file, write_file


def together(count, function):
    """Forks `count` processes that start at the same moment; all must succeed."""
    go_read, go_write = os.pipe()
    pids = []
    for number in range(count):
        pid = os.fork()
        if pid == 0:
            os.close(go_write)
            os.read(go_read, 1)
            try:
                function(number)
            except FileNotFoundError:
                os._exit(2)
            except BaseException as error:
                os.write(2, f'{error!r}\n'.encode())
                os._exit(1)
            os._exit(0)
        pids.append(pid)
    os.close(go_read)
    os.close(go_write)
    failed = [os.waitstatus_to_exitcode(status) for _, status in (os.waitpid(pid, 0) for pid in pids) if status]
    assert not failed, 'a name was missing' if set(failed) == {2} else failed


@case('racing: lines that 6 processes append are all there, whole, in each writer\'s order')
def _():
    write_file('f')

    def append(number):
        fd = os.open('f', os.O_WRONLY | os.O_APPEND)
        for count in range(200):
            line = f'{number} {count} '.encode() + b'x' * (count % 300) + b'\n'
            assert os.write(fd, line) == len(line)
    together(6, append)
    seen = {number: [] for number in range(6)}
    for line in read_file('f').decode().splitlines():
        number, count, filling = line.split(' ')
        assert filling == 'x' * (int(count) % 300)
        seen[int(number)].append(int(count))
    assert all(counts == list(range(200)) for counts in seen.values())


@case('racing: of O_EXCL, mkdir and link exactly one wins')
def _():
    write_file('source')
    os.mkdir('won')

    def race(number):
        for round_ in range(30):
            for kind, make in (('e', lambda name: os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY))),
                               ('d', os.mkdir), ('l', lambda name: os.link('source', name))):
                try:
                    make(f'{kind}{round_}')
                except FileExistsError:
                    continue
                write_file(f'won/{kind}{round_}.{number}')
    together(4, race)
    assert len(os.listdir('won')) == 90


@case('racing: a name that is renamed over is never missing and never mixed')
def _():
    write_file('f', b'0' * 3000)

    def run(number):
        if number == 0:
            for count in range(150):
                write_file('next', str(count % 10).encode() * 3000)
                os.rename('next', 'f')
            write_file('stop')
            return
        while not os.path.exists('stop'):
            data = read_file('f')
            assert len(data) == 3000 and len(set(data)) == 1
    together(3, run)


@case('racing: create and unlink of different names in one directory do not disturb each other')
def _():
    os.mkdir('d')

    def run(number):
        for count in range(100):
            write_file(f'd/{number}-{count}', b'x')
            assert read_file(f'd/{number}-{count}') == b'x'
            os.unlink(f'd/{number}-{count}')
            fails(errno.ENOENT, os.stat, f'd/{number}-{count}')
    together(4, run)
    assert os.listdir('d') == []


@case('racing: two renames across directories both ways do not deadlock')
def _():
    for name in ('a', 'b'):
        os.mkdir(name)

    def run(number):
        source, target = ('a', 'b') if number % 2 else ('b', 'a')
        for count in range(80):
            write_file(f'{source}/{number}')
            os.rename(f'{source}/{number}', f'{target}/{number}')
            os.unlink(f'{target}/{number}')
    together(4, run)
