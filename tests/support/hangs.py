"""Hangs under a filter: a file server that is gone, and calls of the C library."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

SERVER = """
import builtins, io, os, time

served, gone, asked = (os.environ[f"TEST_{name}"] for name in ("SERVED", "GONE", "ASKED"))
stat = os.stat

def exists(path):
    try:
        stat(path)
    except OSError:
        return False
    return True

def check(path):
    if isinstance(path, int):
        try:
            path = os.readlink(f"/proc/self/fd/{path}")
        except OSError:
            return
    if os.path.normpath(os.fsdecode(path)).startswith(served) and exists(gone):
        real_open(asked, "w").close()
        while exists(gone):
            time.sleep(0.05)

def served_by(function):
    def call(path, *args, **kwargs):
        check(path)
        return function(path, *args, **kwargs)
    return call

real_open = io.open
io.open = builtins.open = served_by(io.open)
for name in ("stat", "open", "write", "fsync", "scandir", "listdir"):
    setattr(os, name, served_by(getattr(os, name)))
"""
"""A file server as Python sees it, as `sitecustomize.py`: what is under TEST_SERVED does not answer
while TEST_GONE is there. Workers see the same."""

HANGING_CALL = """
#include <unistd.h>
#include <fcntl.h>
#include <stdlib.h>
#include <dlfcn.h>
int FUNCTION(long a, long b, long c, long d) {
    int (*real)(long, long, long, long) = dlsym(RTLD_NEXT, "FUNCTION");
    while (access(getenv("TEST_GONE"), F_OK) == 0) {
        close(open(getenv("TEST_ASKED"), O_CREAT | O_WRONLY, 0600));
        usleep(50000);
    }
    return real(a, b, c, d);
}
"""


def hanging_call(place: Path, function: str) -> Path:
    """A library for LD_PRELOAD: this function does not return while TEST_GONE is there."""
    compiler = shutil.which("cc")
    assert compiler, "a C compiler is needed, as for librtr's shim"
    library = place / f"{function}.so"
    command = [compiler, "-shared", "-fPIC", "-w", "-D_GNU_SOURCE", "-o", str(library)]
    source = HANGING_CALL.replace("FUNCTION", function)
    subprocess.run([*command, "-x", "c", "-"], input=source.encode(), check=True)
    return library
