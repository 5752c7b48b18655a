"""Run a command whose calls of one name are refused: `refused.py pidfd_open EPERM -- COMMAND`; see seccomp(2)."""

import ctypes
import errno
import os
import struct
import sys

NUMBERS = {"pidfd_send_signal": 424, "pidfd_open": 434}  # the same on all of Linux's machines from x86-64 on
LOAD, EQUALS, RETURN = 0x20, 0x15, 0x06  # BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K
REFUSE, ALLOW = 0x00050000, 0x7FFF0000
NO_NEW_PRIVS, SECCOMP, FILTER = 38, 22, 2


class Program(ctypes.Structure):
    _fields_ = (("count", ctypes.c_ushort), ("steps", ctypes.c_void_p))


name, error, _, *command = sys.argv[1:]
steps = ctypes.create_string_buffer(
    b"".join(
        struct.pack("HBBI", *step)
        for step in (
            (LOAD, 0, 0, 0),
            (EQUALS, 0, 1, NUMBERS[name]),
            (RETURN, 0, 0, REFUSE | getattr(errno, error)),
            (RETURN, 0, 0, ALLOW),
        )
    )
)
prctl = ctypes.CDLL(None, use_errno=True).prctl
program = Program(4, ctypes.addressof(steps))
if prctl(NO_NEW_PRIVS, 1, 0, 0, 0) or prctl(SECCOMP, FILTER, ctypes.byref(program), 0, 0):
    raise OSError(ctypes.get_errno(), "the filter could not be installed")
os.execvp(command[0], command)
