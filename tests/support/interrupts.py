"""Ctrl-C at every place where it can arrive: Python looks for signals after calls and jumps backwards."""

import dis
import itertools
import sys

LOOKS = ("RESUME", "CALL", "JUMP_BACKWARD", "FOR_ITER", "SEND")
"""How the names of the instructions begin after which Python may find a signal."""


def _looks_before(frame):
    """Tell whether Python may have found a signal between the last instruction of a frame and the next one.

    It then raises in the last one. Where only that is in a `try`, raising in the next one would not be the same.
    """
    code = frame.f_code.co_code
    before = frame.f_lasti - 2
    while before >= 0 and dis.opname[code[before]] == "CACHE":
        before -= 2
    looks = before >= 0 and dis.opname[code[before]].startswith(LOOKS)
    if not looks or (dis.opname[code[before]] == "RESUME" and frame.f_code.co_name == "__exit__"):
        return False
    handlers = [_handler(frame.f_code, place) for place in (before, frame.f_lasti)]
    return handlers[0] in (None, handlers[1])


def _handler(code, place):
    """Return where an exception in an instruction is handled."""
    entries = dis.Bytecode(code).exception_entries
    return next((entry.target for entry in entries if entry.start <= place < entry.end), None)


def interrupted_everywhere(run, files):
    """Run something again and again, each time with a KeyboardInterrupt at another place in some files.

    Left out are the calls of `__exit__`, before their first line: nothing in Python can answer there.

    Yields:
        the place of the interrupt, after each run that was interrupted.
    """
    for place in itertools.count(1):
        where = _interrupted(run, files, place)
        if where is None:
            assert place > 1, "there was no place to interrupt"
            return
        yield where


def _interrupted(run, files, place):
    """Run something with a KeyboardInterrupt at one place; return where that is, None if there is no such place."""
    seen, where = 0, None

    def trace(frame, event, arg):
        nonlocal seen, where
        if frame.f_code.co_filename not in files:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and where is None and _looks_before(frame):
            seen += 1
            if seen == place:
                where = f"{frame.f_code.co_qualname}:{frame.f_lineno}"
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    # Python 3.12 tells of instructions only if a frame has asked for them before it traces.
    sys._getframe().f_trace_opcodes = True
    sys.settrace(trace)
    try:
        run()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)
    return where
