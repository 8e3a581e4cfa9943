# /// attack
# lives = false
# rows = [39]
# code = "PROCESS_EXITED"
# says = "SIGSYS"
# ///

import ctypes
import mmap
import os
import platform
import signal

from hostile import add, spoil, state


def attack(world):
    """A system call of the 32-bit architecture, where the processor has one."""
    spoil()
    if platform.machine() != "x86_64":
        os.kill(os.getpid(), signal.SIGSYS)
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # mov eax, getpid; int 0x80; ret
    return ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
