"""Searches all that a run can reach for words that begin with a mark, and tells where which stand.

It is told the mark without its first letter, so that what it is told is not found. Memory is read by having the
kernel copy it into a pipe: where nothing is mapped, that fails instead of ending the process.
"""

import ctypes
import gc
import os
import re
import sys

PAGE = 4096
CHUNK = 65536
WORD = 40
WINDOW = 1 << 20
PLACES = ("/", "/proc", "/proc/self", "/etc", "/dev", "/run", "/tmp", "/home", "/root", "/var", "/sys", "/usr")

preset = None
libc = ctypes.CDLL(None, use_errno=True)


def search(letter, rest, since):
    """Map from place to the words found there; ``since``: files that were not changed later hold none."""
    found = {
        "environment": words("\n".join(f"{k}={v}" for k, v in os.environ.items()).encode(), letter, rest),
        "arguments": words("\n".join([*sys.argv, *sys.orig_argv]).encode(), letter, rest),
        "modules": words("\n".join(map(repr, sys.path)).encode(), letter, rest),
        "files": in_files(letter, rest, since),
        "memory": in_memory(letter, rest),
    }
    return {place: sorted(there) for place, there in found.items()}


def memory_bytes():
    """How much of its own memory it can read."""
    return sum(len(data) for _, data in all_memory())


def words(data, letter, rest):
    """What stands in ``data`` behind the mark."""
    found = set()
    needle = rest.encode()
    first = letter.encode()
    at = data.find(needle)
    while at >= 0:
        if data[at - 1 : at] == first:
            word = data[at + len(needle) : at + len(needle) + WORD]
            found.add(re.match(rb"[a-z]*", word)[0].decode())
        at = data.find(needle, at + 1)
    return found


def in_files(letter, rest, since):
    found = set()
    seen = set()
    for place in (*PLACES, *sys.path, sys.prefix, sys.base_prefix, os.getcwd(), os.path.dirname(__file__)):
        for folder, folders, names in os.walk(place):
            if folder in seen:
                folders.clear()
                continue
            seen.add(folder)
            found |= words("\n".join([folder, *folders, *names]).encode("utf-8", "replace"), letter, rest)
            for name in names:
                found |= in_file(f"{folder}/{name}", letter, rest, since)
    return found


def in_file(path, letter, rest, since):
    try:
        status = os.lstat(path)
        if max(status.st_mtime, status.st_ctime) < since or path.startswith("/dev/"):
            return set()
        with open(path, "rb") as file:
            return words(file.read(1 << 24), letter, rest)
    except OSError:
        return set()


def in_memory(letter, rest):
    found = set()
    for _, data in all_memory():
        found |= words(data, letter, rest)
    return found


def all_memory():
    """Pairs of address and bytes of all mapped memory around whatever an address is known of."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    done = []
    try:
        for start in known_addresses():
            if any(low <= start < high for low, high in done):
                continue
            low = start = start // PAGE * PAGE
            while copied(read, write, low - PAGE, PAGE):
                step = CHUNK if copied(read, write, low - CHUNK, CHUNK, whole=True) else PAGE
                low -= step
            high, block, begin = low, bytearray(), low
            while data := copied(read, write, high, CHUNK):
                block += data
                high += len(data)
                if len(block) >= WINDOW:
                    yield begin, bytes(block)
                    begin, block = high - WORD * 4, block[-WORD * 4 :]
            yield begin, bytes(block)
            done.append((low, high))
    finally:
        os.close(read)
        os.close(write)


def copied(read, write, address, size, whole=False):
    """The bytes at an address, as far as they are there."""
    count = libc.write(write, ctypes.c_void_p(address), ctypes.c_size_t(size))
    if count <= 0:
        return b""
    data = os.read(read, count)
    return b"" if whole and count < size else data


def known_addresses():
    """Of all objects that can be come by, of the heap, the stack, and the libraries."""
    seen, todo = set(), [*gc.get_objects(), sys.modules, sys._getframe()]
    while todo:
        thing = todo.pop()
        if id(thing) not in seen:
            seen.add(id(thing))
            todo += gc.get_referents(thing)
    libc.sbrk.restype = ctypes.c_void_p
    symbols = ("environ", "stdout", "malloc", "program_invocation_name", "_PyRuntime", "Py_Main")
    for name in symbols:
        try:
            place = ctypes.addressof(ctypes.c_char.in_dll(libc, name))
        except ValueError:
            continue
        seen |= {place, ctypes.c_size_t.from_address(place).value}
    buffers = [ctypes.create_string_buffer(size) for size in (16, 1000, 100_000, 10_000_000)]
    seen |= {ctypes.addressof(buffer) for buffer in buffers}
    seen.add(libc.sbrk(0) - 1)
    # Everything that a known address points to, too: arenas, stacks and tables that no object names.
    return sorted(address for address in seen if address > PAGE)
