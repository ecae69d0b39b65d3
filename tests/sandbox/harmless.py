"""What honest programs do with the system; none of it may fail because of the jail.

Each text is the body of a function, and fails by an exception.
"""

from __future__ import annotations

import os
import sys
import textwrap

HARMLESS: dict[str, str] = {
    "asyncio": """
import asyncio
async def g(n): await asyncio.sleep(0.01); return n
async def main():
    loop = asyncio.get_running_loop(); r = await loop.run_in_executor(None, lambda: 5)
    q = asyncio.Queue(); await q.put(1)
    async with asyncio.timeout(1) if hasattr(asyncio, 'timeout') else asyncio.Lock():
        await q.get()
    return await asyncio.gather(*(g(i) for i in range(5)))
assert asyncio.run(main()) == [0, 1, 2, 3, 4]; loop = asyncio.new_event_loop()
loop.add_signal_handler(10, lambda: None); loop.close()
""",
    "asyncio streams over a socketpair": """
import asyncio, socket
async def main():
    a, b = socket.socketpair(); r, w = await asyncio.open_connection(sock=a)
    r2, w2 = await asyncio.open_connection(sock=b); w.writelines([b'x' * 100000] * 10)
    await asyncio.sleep(0)
    async def rd():
        n = 0
        while n < 1000000: n += len(await r2.read(65536))
        return n
    n, _ = await asyncio.gather(rd(), w.drain()); w.close(); w2.close(); assert n == 1000000
asyncio.run(main())
""",
    "tempfile": """
import tempfile, os, stat
with tempfile.TemporaryDirectory() as d:
    p = os.path.join(d, 'x'); open(p, 'w').write('a'); assert open(p).read() == 'a'
    os.mkdir(os.path.join(d, 's')); os.rename(p, os.path.join(d, 's', 'y'))
with tempfile.NamedTemporaryFile('w+') as f:
    f.write('hi'); f.flush(); assert open(f.name).read() == 'hi'
with tempfile.TemporaryFile() as f:
    f.write(b'x' * 100000); f.seek(0); assert len(f.read()) == 100000
with tempfile.SpooledTemporaryFile(10) as f: f.write(b'x' * 100)
assert os.getcwd() == os.path.realpath(tempfile.gettempdir()), (os.getcwd(), tempfile.gettempdir())
""",
    "home": """
import os, pathlib
assert pathlib.Path.home() == pathlib.Path(os.environ['HOME']) == pathlib.Path.cwd(), pathlib.Path.home()
p = pathlib.Path.home() / '.config' / 'a'; p.mkdir(parents=True)
(p / 'c.json').write_text('{}'); assert (p / 'c.json').read_text() == '{}'
assert os.path.expanduser('~/x').startswith('/')
""",
    "chmod": """
import os, stat, pathlib; p = pathlib.Path('x'); p.write_text('a')
assert stat.S_IMODE(p.stat().st_mode) == 420, oct(p.stat().st_mode); p.chmod(256)
assert stat.S_IMODE(p.stat().st_mode) == 256, oct(p.stat().st_mode)
""",
    "unwritable": """
import os; open('x', 'w').write('a'); os.chmod('x', 256)
try:
    open('x', 'w')
except PermissionError:
    pass
else:
    raise AssertionError
""",
    "utime": """
import os; open('x', 'w').write('a'); os.utime('x', (1000, 2000))
assert os.stat('x').st_mtime == 2000, os.stat('x').st_mtime
""",
    "touch": """
import pathlib; pathlib.Path('x').touch(); pathlib.Path('x').touch()
assert pathlib.Path('x').exists(); pathlib.Path('x').touch(mode=384)
""",
    "chown self": """
import os; open('x', 'w').close(); os.chown('x', os.getuid(), os.getgid())
os.chown('x', -1, -1)
""",
    "links": """
import os, pathlib; pathlib.Path('t').write_text('a'); os.symlink('t', 'l')
assert os.readlink('l') == 't' and open('l').read() == 'a'; os.link('t', 'h')
assert os.stat('h').st_nlink == 2; assert pathlib.Path('l').resolve().name == 't'
os.symlink('/nowhere', 'd'); assert os.path.islink('d') and (not os.path.exists('d'))
""",
    "shutil": """
import shutil, os, pathlib; os.makedirs('a/b/c'); pathlib.Path('a/b/f').write_text('x')
shutil.copytree('a', 'z'); shutil.copy2('a/b/f', 'g'); shutil.copy('g', 'h')
shutil.move('g', 'a/b/c/g'); shutil.make_archive('arc', 'zip', 'a')
shutil.make_archive('arc', 'gztar', 'a'); shutil.unpack_archive('arc.zip', 'out')
shutil.unpack_archive('arc.tar.gz', 'out2'); assert pathlib.Path('out/b/f').read_text() == 'x'
shutil.rmtree('a'); shutil.disk_usage('.'); shutil.which('ls')
""",
    "walk": """
import os, glob, pathlib, fnmatch; os.makedirs('p/q'); open('p/q/x.py', 'w').close()
assert glob.glob('**/*.py', recursive=True) == ['p/q/x.py']
assert [str(x) for x in pathlib.Path('.').rglob('*.py')] == ['p/q/x.py']; list(os.walk('.'))
list(os.fwalk('.')); [e.stat() for e in os.scandir('.')]
""",
    "truncate": """
import os; open('x', 'w').write('abc'); os.truncate('x', 1); assert open('x').read() == 'a'
with open('x', 'r+') as f: f.truncate(0)
fd = os.open('x', os.O_RDWR | os.O_TRUNC); os.ftruncate(fd, 5); os.posix_fallocate(fd, 0, 100)
os.fsync(fd); os.fdatasync(fd); os.sendfile; os.pread(fd, 1, 0); os.pwrite(fd, b'x', 3)
os.lseek(fd, 0, os.SEEK_HOLE); os.close(fd)
""",
    "rename": """
import os, pathlib; os.mkdir('a'); os.mkdir('b'); open('a/x', 'w').close()
os.replace('a/x', 'b/x'); os.rename('b', 'c'); pathlib.Path('c/x').rename('y')
""",
    "locks": """
import fcntl; f = open('x', 'w'); fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
fcntl.flock(f, fcntl.LOCK_UN); fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
fcntl.lockf(f, fcntl.LOCK_UN)
""",
    "sqlite": """
import sqlite3; c = sqlite3.connect('x.db'); c.execute('create table t(a)')
c.executemany('insert into t values(?)', [(i,) for i in range(1000)]); c.commit()
c.execute('pragma journal_mode=wal'); c.execute('insert into t values(1)'); c.commit()
assert c.execute('select count(*) from t').fetchone()[0] == 1001; c.execute('vacuum'); c.close()
c = sqlite3.connect('y.db'); c.close()
""",
    "dbm shelve": """
import dbm.dumb, shelve, dbm, pickle
with shelve.open('sh') as d: d['a'] = 1
with shelve.open('sh') as d: assert d['a'] == 1
""",
    "zoneinfo": """
import zoneinfo, datetime; z = zoneinfo.ZoneInfo('Europe/Berlin')
assert datetime.datetime(2024, 7, 1, tzinfo=z).utcoffset() == datetime.timedelta(hours=2)
assert 'UTC' in zoneinfo.available_timezones()
""",
    "time": """
import time, os, datetime; time.tzset(); os.environ['TZ'] = 'America/New_York'; time.tzset()
assert time.timezone == 18000, time.timezone; time.localtime(); time.sleep(0.01)
time.perf_counter(); time.process_time(); time.thread_time()
time.clock_gettime(time.CLOCK_BOOTTIME); datetime.datetime.now().astimezone()
time.get_clock_info('time')
""",
    "locale": """
import locale; locale.setlocale(locale.LC_ALL, ''); locale.setlocale(locale.LC_ALL, 'C')
locale.localeconv(); locale.getpreferredencoding(); locale.getlocale(); import gettext
gettext.gettext('x'); import calendar; calendar.month(2024, 1)
""",
    "random": """
import random, secrets, os, uuid; random.SystemRandom().random(); secrets.token_hex()
os.urandom(8); os.getrandom(8); uuid.uuid4(); uuid.uuid1(); open('/dev/urandom', 'rb').read(4)
random.seed(); random.random()
""",
    "threads": """
import threading, queue, concurrent.futures as c; r = []
ts = [threading.Thread(target=r.append, args=(i,)) for i in range(30)]; [t.start() for t in ts]
[t.join() for t in ts]; assert len(r) == 30
with c.ThreadPoolExecutor(30) as e: assert sum(e.map(abs, range(100))) == 4950
e = threading.Event(); threading.Timer(0.01, e.set).start(); assert e.wait(2)
b = threading.Barrier(2); threading.Thread(target=b.wait).start(); b.wait()
threading.get_native_id(); s = threading.Semaphore(2); s.acquire()
""",
    "64 threads at once": """
import threading; e = threading.Event()
ts = [threading.Thread(target=e.wait) for i in range(55)]; [t.start() for t in ts]; e.set()
[t.join() for t in ts]
""",
    "mmap": """
import mmap; m = mmap.mmap(-1, 4096); m[:3] = b'abc'; m.close()
with open('x', 'w+b') as f:
    f.write(bytes(8192)); f.flush(); m = mmap.mmap(f.fileno(), 0); m[0:1] = b'z'; m.flush()
    m.madvise(mmap.MADV_WILLNEED); m.resize(4096); m.close()
""",
    "select": """
import select, os, socket, selectors; r, w = os.pipe(); os.write(w, b'x')
assert select.select([r], [], [], 1)[0] == [r]; p = select.poll(); p.register(r); p.poll(1)
e = select.epoll(); e.register(r); e.poll(1); s = selectors.DefaultSelector(); s.register(r, 1)
s.select(1); os.set_blocking(r, False); os.set_inheritable(r, True); os.get_inheritable(r)
a, b = socket.socketpair(); a.sendall(b'hi'); assert b.recv(2) == b'hi'; a.settimeout(1)
a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
a.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF); a.getsockname(); a.getpeername()
a.shutdown(2); f = b.makefile('rb'); f.read(); b.dup(); a.detach()
if hasattr(os, 'eventfd'): fd = os.eventfd(1); os.eventfd_read(fd)
""",
    "signals": """
import signal, os, faulthandler; l = []; signal.signal(signal.SIGALRM, lambda *a: l.append(1))
signal.setitimer(signal.ITIMER_REAL, 0.01); signal.pause(); assert l; signal.alarm(1)
signal.alarm(0); signal.signal(signal.SIGUSR1, lambda *a: l.append(2))
os.kill(os.getpid(), signal.SIGUSR1); signal.raise_signal(signal.SIGUSR1); assert len(l) == 3
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2]); os.kill(os.getpid(), signal.SIGUSR2)
assert signal.sigtimedwait([signal.SIGUSR2], 1); import threading
signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1); signal.sigpending()
signal.getitimer(0); r, w = os.pipe(); os.set_blocking(w, False); signal.set_wakeup_fd(w)
signal.set_wakeup_fd(-1); signal.siginterrupt(10, False); faulthandler.enable(open('fh', 'w'))
faulthandler.dump_traceback_later(10); faulthandler.cancel_dump_traceback_later()
faulthandler.disable()
""",
    "os facts": """
import os, platform, sys, getpass, pwd, resource, sysconfig, socket; os.uname(); os.cpu_count()
os.getpid(); os.getppid(); os.getuid(); os.getgroups(); os.times(); os.getpgrp(); os.getsid(0)
os.umask(18); os.sched_getaffinity(0); os.sysconf('SC_PAGE_SIZE')
os.getpriority(os.PRIO_PROCESS, 0); os.statvfs('.'); os.ctermid(); os.isatty(0)
os.get_exec_path(); os.getpgid(0); platform.platform(); platform.python_version()
platform.node(); resource.getrusage(resource.RUSAGE_SELF)
resource.getrlimit(resource.RLIMIT_NOFILE); sysconfig.get_paths(); sys.getfilesystemencoding()
try:
    os.get_terminal_size()
except OSError:
    pass
try:
    os.getlogin()
except OSError:
    pass
import shutil; shutil.get_terminal_size()
os.getloadavg() if os.path.exists('/proc/loadavg') else 0; socket.gethostname()
""",
    "platform processor": """
import platform; platform.processor(); platform.uname(); platform.libc_ver()
platform.architecture(); platform.system()
""",
    "getuser": """
import getpass
try:
    getpass.getuser()
except (KeyError, OSError):
    pass
import os; os.environ['USER'] = 'me'; assert getpass.getuser() == 'me'
""",
    "getfqdn": """
import socket; socket.getfqdn()
""",
    "mimetypes": """
import mimetypes; assert mimetypes.guess_type('a.html')[0] == 'text/html'
mimetypes.guess_extension('image/png')
""",
    "ssl": """
import ssl, hashlib; ssl.create_default_context(); hashlib.sha256(b'x').hexdigest()
hashlib.new('md5', b'x'); hashlib.scrypt(b'a', salt=b'b', n=2, r=1, p=1); import hmac
hmac.new(b'k', b'm', 'sha256').digest()
""",
    "logging": """
import logging, logging.handlers; h = logging.FileHandler('l.log'); lg = logging.getLogger('a')
lg.addHandler(h); lg.warning('x'); h.close()
h = logging.handlers.RotatingFileHandler('r.log', maxBytes=10, backupCount=2); lg.addHandler(h)
[lg.warning('xxxx') for _ in range(5)]; h.close()
h = logging.handlers.TimedRotatingFileHandler('t.log'); lg.addHandler(h); lg.warning('x')
h.close()
try:
    logging.handlers.SysLogHandler()
except OSError:
    pass
""",
    "compression": """
import gzip, bz2, lzma, zipfile, tarfile, io; gzip.open('x.gz', 'wt').write('a')
bz2.open('x.bz', 'wt').write('a'); lzma.open('x.xz', 'wt').write('a')
with zipfile.ZipFile('x.zip', 'w') as z: z.writestr('a', 'b'); z.write('x.gz')
with tarfile.open('x.tar', 'w') as t: t.add('x.zip')
with tarfile.open('x.tar') as t: t.extractall('o')
""",
    "stdin": """
import sys; assert sys.stdin.read() == ''
try:
    input()
except EOFError:
    pass
""",
    "environ": """
import os; os.environ['A'] = 'b'; assert os.getenv('A') == 'b'; del os.environ['A']
os.putenv('x', 'y'); os.environ.get('PATH')
""",
    "import own module": """
import sys, importlib; open('mymod.py', 'w').write('x=5'); sys.path.insert(0, '.')
importlib.invalidate_caches(); import mymod; assert mymod.x == 5; import runpy
runpy.run_path('mymod.py'); import py_compile; py_compile.compile('mymod.py')
""",
    "webbrowser etc": """
import urllib.parse, http.client, http.server, email.message, smtplib, ftplib, socketserver, xmlrpc.client, ctypes, ctypes.util, readline, curses
ctypes.CDLL(None).getpid()
""",
    "find_library": """
import ctypes.util; ctypes.util.find_library('c')
""",
    "subprocess caught": """
import subprocess
try:
    subprocess.run(['ls'])
except OSError:
    pass
""",
    "socket caught": """
import socket
try:
    socket.create_connection(('127.0.0.1', 1), timeout=1)
except OSError:
    pass
try:
    socket.getaddrinfo('localhost', 80)
except OSError:
    pass
""",
    "fifo": """
import os, stat; os.mkfifo('f'); assert stat.S_ISFIFO(os.stat('f').st_mode)
""",
    "setpriority nice": """
import os; os.nice(0)
""",
    "affinity": """
import os; os.sched_setaffinity(0, os.sched_getaffinity(0))
""",
    "xattr": """
import os
try:
    os.listxattr('.')
except OSError:
    pass
""",
    "pathlib more": """
from pathlib import Path; p = Path('a/b'); p.mkdir(parents=True, exist_ok=True)
(p / 'x').write_bytes(b'1')
assert (p / 'x').exists() and p.is_dir() and ((p / 'x').stat().st_size == 1); (p / 'x').unlink()
p.rmdir(); Path('.').resolve(); Path('zz').exists(); list(Path('.').iterdir())
Path('/etc').exists(); Path('/etc/passwd').is_file(); Path('x').open('w').close()
assert not Path('/nope').exists()
""",
    "fileinput io": r"""
import io, fileinput, os; open('x', 'w').write('a\nb'); list(fileinput.input('x'))
fd = os.dup(1); os.close(fd); fd2 = os.open('x', 0); os.dup2(fd2, 90); os.fdopen(fd2).read()
os.copy_file_range
""",
    "copy_file_range": """
import os; open('x', 'w').write('abc'); a = os.open('x', 0)
b = os.open('y', os.O_WRONLY | os.O_CREAT); os.copy_file_range(a, b, 3); os.sendfile(b, a, 0, 3)
""",
}


def is_refused(name: str, level: str) -> bool:
    """Whether docs/sandbox.md says that this does not work at a level."""
    if level != "L2":
        return False
    if name.startswith("asyncio streams"):
        return sys.version_info >= (3, 12)  # they use sendmsg
    return name in ("chmod", "unwritable", "utime") and os.geteuid() != 0


def program_of(body: str) -> str:
    """A program whose f() does all this and returns 1."""
    return f"def f():\n{textwrap.indent(body, '    ')}\n    return 1\n"
