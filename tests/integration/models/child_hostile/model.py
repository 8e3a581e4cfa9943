"""Operations that damage what the loop might need."""

import builtins
import json
import os
import random
import signal
import sys
import threading
import time

import msgpack

kept = 1


def close_streams():
    sys.stdout.close()
    sys.stderr.close()


def detach_streams():
    sys.stdout.detach()


def replace_streams():
    sys.stdout = None
    sys.stderr = object()


def delete_streams():
    del sys.stdout


def patch_builtins():
    for name in ("len", "isinstance", "type", "str", "open", "sorted", "getattr", "dict", "list", "next", "print"):
        setattr(builtins, name, None)


def patch_modules():
    json.dumps = json.loads = msgpack.packb = msgpack.unpackb = msgpack.Packer = None
    time.monotonic = time.perf_counter = None
    os.write = os._exit = os.open = None
    random.getstate = random.setstate = None


def clear_modules():
    for name in list(sys.modules):
        if name not in ("sys", "builtins", "model"):
            del sys.modules[name]


def trace():
    sys.settrace(lambda *_: 1 / 0)
    sys.setprofile(lambda *_: None)


def is_traced():
    return [sys.gettrace() is not None, sys.getprofile() is not None]


def tiny_recursion():
    depth = 0
    frame = sys._getframe()
    while frame:
        depth += 1
        frame = frame.f_back
    sys.setrecursionlimit(depth + 3)


def ignore_signals():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)


def leave_thread():
    threading.Thread(target=threading.Event().wait, daemon=True).start()


class LyingDict(dict):
    def items(self):
        while True:
            yield "x", 1

    def __len__(self):
        return -1


class LyingList(list):
    def __iter__(self):
        raise SystemExit

    def __len__(self):
        return 10**9


class LyingError(Exception):
    @property
    def __class__(self):
        raise SystemExit

    @property
    def __traceback__(self):
        raise SystemExit


class Mapping:
    def __getattr__(self, name):
        raise KeyboardInterrupt(name)


def lying_values():
    return [LyingDict(a=1), LyingList([1, 2])]


def lying_error():
    raise LyingError("x")


def lying_object():
    return Mapping()


def ok():
    return "still here"


def fill_memory():
    import resource

    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), -1))
    kept = []
    while True:
        kept.append([object() for _ in range(1000)])


def exchange_generator():
    import numpy

    numpy.random.set_bit_generator(numpy.random.PCG64(1))
