"""Operations that do harm. `total` is what a run must keep; every attack adds to it before it does its worst."""

import ctypes
import gc
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping

total = 0
kept = []


def add(n):
    global total
    total += n
    return total


def spoil():
    """What an operation that is never acknowledged leaves in memory, and what must not be seen again."""
    global total
    total += 1000


# --- ends of the process ---


def segfault():
    spoil()
    ctypes.string_at(0)


def abort():
    spoil()
    os.abort()


def exit_now():
    spoil()
    os._exit(0)


def exit_later():
    """From a thread, soon after the answer."""
    threading.Timer(0.05, os._exit, (5,)).start()
    return "armed"


def stack_overflow():
    spoil()
    sys.setrecursionlimit(10**9)
    value = []
    for _ in range(10**6):
        value = [value]
    return len(repr(value))


def stop_itself():
    spoil()
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(3600)


def ask_to_be_killed():
    spoil()
    os.kill(os.getpid(), signal.SIGKILL)


# --- exceptions ---


def system_exit():
    spoil()
    sys.exit(3)


def interrupt():
    spoil()
    raise KeyboardInterrupt


def own_base_exception():
    spoil()

    class Odd(BaseException):
        pass

    raise Odd("odd")


def looping_text():
    spoil()

    class Endless(Exception):
        def __str__(self):
            while True:
                pass

    raise Endless


def raising_text():
    spoil()

    class Mute(Exception):
        def __str__(self):
            raise RuntimeError

    raise Mute


def giant_text():
    spoil()
    raise ValueError("x" * 50_000_000)


# --- time ---


def loop():
    spoil()
    while True:
        pass


def hold_the_lock():
    """One long computation in C that never gives the interpreter's lock away."""
    spoil()
    return 10 ** 10**8


def ignore_everything():
    spoil()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGXCPU):
        signal.signal(number, signal.SIG_IGN)
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass


# --- memory, processes, threads, descriptors, disk ---


def memory_fast():
    spoil()
    return len(bytearray(8 << 30))


def memory_slow():
    spoil()
    blocks = []
    while True:
        blocks.append(bytearray(1 << 20))


def memory_swallowed():
    spoil()
    blocks = []
    while True:
        try:
            blocks.append(bytearray(1 << 20))
        except MemoryError:
            pass


def fork_bomb():
    attempts = {
        "fork": os.fork,
        "forkpty": os.forkpty,
        "spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
        "subprocess": lambda: subprocess.run(["/bin/true"]),
        "exec": lambda: os.execv("/bin/true", ["true"]),
    }
    return tried(attempts)


def thread_bomb():
    started = 0
    try:
        while started < 3000:
            threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
            started += 1
    except RuntimeError:
        pass
    return started


def many_descriptors():
    global kept
    try:
        while len(kept) < 5000:
            kept.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    return len(kept)


def fill_disk():
    written = 0
    try:
        while written < 1 << 30:
            with open(os.path.join(os.environ["TMPDIR"], f"f{written}"), "wb") as file:
                file.write(b"x" * (1 << 20))
            written += 1 << 20
    except OSError as error:
        return {"error": error.strerror, "bytes": written}
    return {"error": None, "bytes": written}


def many_files():
    count = 0
    try:
        while count < 100_000:
            os.close(os.open(os.path.join(os.environ["TMPDIR"], f"n{count}"), os.O_CREAT | os.O_WRONLY))
            count += 1
    except OSError:
        pass
    return count


# --- the channel ---


def garbage():
    spoil()
    os.write(3, b"\xff" * 100_000)
    time.sleep(3600)


def huge_header():
    spoil()
    os.write(3, struct.pack(">I", 0xFFFFFFFF))
    time.sleep(3600)


def half_a_frame():
    spoil()
    os.write(3, struct.pack(">I", 1000) + b"\x90")
    time.sleep(3600)


def frame(message):
    import msgpack

    body = msgpack.packb(message)
    return struct.pack(">I", len(body)) + body


def forged():
    """The outcome of a request that was never made."""
    spoil()
    os.write(3, frame(["outcome", 77, "completed", b"\xc0", {}, []]))
    time.sleep(3600)


def wrong_kind():
    """A frame that belongs elsewhere, with the number of this very request."""
    spoil()
    os.write(3, frame(["settled", 2, {}, []]))
    time.sleep(3600)


def deep_frame():
    spoil()
    body = b"\x91" * 200_000 + b"\xc0"
    os.write(3, struct.pack(">I", len(body)) + body)
    time.sleep(3600)


def flood_of_frames():
    spoil()
    number = 0
    while True:
        number += 1
        os.write(3, frame(["outcome", number + 1000, "completed", b"\xc0", {}, []]))


def close_everything():
    spoil()
    os.closerange(0, 1024)
    time.sleep(3600)


def shut_the_socket():
    spoil()
    ctypes.CDLL(None).shutdown(3, socket.SHUT_RDWR)
    time.sleep(3600)


def read_ahead():
    """Takes what the worker sends next, so that its own loop waits for ever."""
    spoil()
    os.read(3, 1 << 20)


# --- output ---


def flood_output(megabytes):
    block = b"y" * (1 << 20)
    for _ in range(megabytes):
        os.write(1, block)
    return megabytes


def flood_for_ever():
    def write():
        while True:
            os.write(1, b"\x1b[2J noise \x00\xff\n" * 1000)

    threading.Thread(target=write, daemon=True).start()
    return "started"


# --- results ---


def giant_result():
    return "x" * (20 << 20)


def deep_result():
    value = []
    for _ in range(100_000):
        value = [value]
    return value


def cyclic_result():
    value = {}
    value["self"] = value
    return value


def no_json():
    return object()


def endless_mapping():
    spoil()

    class Endless(Mapping):
        def __iter__(self):
            while True:
                pass

        def __len__(self):
            return 1

        def __getitem__(self, key):
            return key

    return Endless()


# --- our own modules ---


def patch_modules():
    spoil()
    import builtins
    import json

    import msgpack

    for name, module in list(sys.modules.items()):
        if name.startswith("worker"):
            for key in list(vars(module)):
                if not key.startswith("__"):
                    setattr(module, key, None)
    json.dumps = json.loads = msgpack.packb = msgpack.unpackb = None
    builtins.len = builtins.isinstance = None
    return "patched"


def drop_modules():
    spoil()
    sys.modules.clear()
    return "dropped"


def rob_by_collector():
    """Every object of the collector that is ours loses its attributes."""
    spoil()
    for thing in gc.get_objects():
        if type(thing).__module__.startswith("worker."):
            for name in list(getattr(thing, "__dict__", ())):
                try:
                    delattr(thing, name)
                except Exception:
                    pass
    return "robbed"


def trace_everything():
    def trace(*_):
        raise RuntimeError("traced")

    sys.settrace(trace)
    sys.setprofile(trace)
    return "traced"


# --- looking around ---


def tried(attempts):
    outcomes = {}
    for name, attempt in attempts.items():
        try:
            attempt()
        except BaseException as error:
            outcomes[name] = type(error).__name__
        else:
            outcomes[name] = "got through"
    return outcomes


def read_files(paths):
    def reader(path):
        if os.path.isdir(path):
            return lambda: os.listdir(path)
        return lambda: open(path, "rb").read(1)

    return tried({path: reader(path) for path in paths})


def write_files(paths):
    return tried({path: lambda path=path: open(path, "ab") for path in paths})


def connect(port, unix):
    def tcp():
        socket.create_connection(("127.0.0.1", port), timeout=2)

    def to_unix():
        socket.socket(socket.AF_UNIX).connect(unix)

    return tried({"tcp": tcp, "unix": to_unix, "listen": lambda: socket.create_server(("127.0.0.1", 0))})


def signal_others(pids):
    return tried({str(pid): lambda pid=pid: os.kill(pid, signal.SIGTERM) for pid in pids})


def environment():
    return dict(os.environ)
