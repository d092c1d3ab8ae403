"""Memory that a former model leaves behind."""

import ctypes


def release_free_memory() -> None:
    """Hand freed memory back to the system, where the C library can be told to.

    glibc keeps it for later, in a pool a thread: after a dozen swaps that was twice what one model takes.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
