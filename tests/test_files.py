"""Writing in one stroke: whatever goes wrong, there is the old file or the new one."""

import ast
import errno
import os
import runpy
import shutil
import signal
import stat
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support import needs
from tinygrad_nn import files, nn

OLD, NEW = b"old" * 1000, b"new" * 2000


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(OLD)
    return path


def start_in_a_child(work):
    """Start `work` in a forked process; return its number."""
    child = os.fork()
    if not child:
        try:
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return child


def in_a_child(work):
    """Run `work` in a forked process; return its exit status."""
    return os.waitpid(start_in_a_child(work), 0)[1]


def test_a_file_that_cannot_be_written_is_called_by_its_own_name(tmp_path):
    target = tmp_path / "nowhere" / "model.safetensors"
    with pytest.raises(FileNotFoundError) as caught:
        tn.save(target, model=nn.Dense(2, 3, rng=0))
    assert caught.value.filename == str(target)
    assert "partial" not in str(caught.value)


CALLS = ["os.open", "os.fsync", "os.replace", "fcntl.flock", "secrets.token_hex"]
FAULTS = [
    OSError(errno.ENOSPC, "no space"),
    OSError(errno.EIO, "i/o"),
    PermissionError(errno.EPERM, "no"),
    MemoryError(),
    KeyboardInterrupt(),
]


@pytest.mark.case("H158")
@pytest.mark.parametrize("fault", FAULTS, ids=repr)
@pytest.mark.parametrize("call", CALLS)
def test_a_fault_at_any_call_keeps_the_old_file(target, monkeypatch, call, fault):
    def fail(*_, **__):
        raise fault

    monkeypatch.setattr(f"tinygrad_nn.files.{call}", fail)
    with pytest.raises(type(fault)):
        files.write_atomically(target, [NEW])
    monkeypatch.undo()
    assert target.read_bytes() == OLD
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.case("H158")
@pytest.mark.parametrize("fault", FAULTS, ids=repr)
def test_a_fault_between_pieces_keeps_the_old_file(target, fault):
    def pieces():
        yield NEW
        raise fault

    with pytest.raises(type(fault)):
        files.write_atomically(target, pieces())
    assert target.read_bytes() == OLD
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.case("H158")
@needs.fork
def test_a_disk_that_takes_only_part_of_the_file_keeps_the_old_one(target):
    import resource

    def work():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        with pytest.raises(OSError, match="too large"):
            files.write_atomically(target, [NEW])

    assert in_a_child(work) == 0
    assert target.read_bytes() == OLD
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.case("H158")
@needs.fork
@pytest.mark.parametrize("call", ["os.fsync", "os.replace"])
def test_what_a_killed_process_leaves_is_removed_by_the_next(target, monkeypatch, call):
    def work():
        setattr(files.os, call.split(".")[1], lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        files.write_atomically(target, [NEW])

    assert in_a_child(work) == signal.SIGKILL
    assert target.read_bytes() == OLD
    assert len(list(target.parent.iterdir())) == 2
    files.write_atomically(target, [NEW])
    assert target.read_bytes() == NEW
    assert list(target.parent.iterdir()) == [target]


@needs.fork
def test_partial_files_of_a_living_process_and_of_other_files_stay(target):
    other = target.with_name(".model.safetensors2.0a1b2c3d.partial")
    other.write_bytes(b"another file's")

    def pieces():
        yield NEW
        files.write_atomically(target, [OLD])  # a second writer, while the first is at it
        assert len(list(target.parent.glob(".model.safetensors.*.partial"))) == 1

    files.write_atomically(target, pieces())
    assert target.read_bytes() == NEW
    assert set(target.parent.iterdir()) == {target, other}


@needs.fork
def test_a_file_that_is_taken_for_remains_before_it_is_locked_is_written_again(target, monkeypatch):
    lock = files.fcntl.flock
    partials = []

    def slow(file, operation):
        if not partials:
            partials.extend(target.parent.glob("*.partial"))
            partials[0].unlink()
        lock(file, operation)

    monkeypatch.setattr(files.fcntl, "flock", slow)
    files.write_atomically(target, (piece for piece in [NEW]))
    assert len(partials) == 1
    assert target.read_bytes() == NEW
    assert list(target.parent.iterdir()) == [target]


def test_caches_stand_in_one_folder_that_xdg_may_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for base in ("relative/is/ignored", ""):
        monkeypatch.setenv("XDG_CACHE_HOME", base)
        assert files.cache_folder() == tmp_path / ".cache" / "tinygrad_nn"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert files.cache_folder("loops") == tmp_path / "elsewhere" / "tinygrad_nn" / "loops"
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Return where `private_cache_folder("code")` is; nothing has been said about it yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    files._say_open_to_others.cache_clear()
    yield tmp_path / "cache" / "tinygrad_nn" / "code"
    files._say_open_to_others.cache_clear()


@needs.owners
def test_a_private_cache_folder_is_made_for_the_user_alone(cache):
    assert files.private_cache_folder("code") == cache
    assert cache.stat().st_mode & 0o777 == 0o700
    assert files.private_cache_folder("code") == cache


@needs.owners
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702, 0o1777], ids=oct)
def test_a_cache_folder_that_others_can_write_to_is_not_used_and_said_so_once(cache, mode):
    files.private_cache_folder("code")
    cache.chmod(mode)
    with pytest.warns(tn.UsageWarning, match=rf"write to {cache}, .*\n  hint   chmod go-w {cache}"):
        assert files.private_cache_folder("code") is None
    assert files.private_cache_folder("code") is None


@needs.owners
def test_a_cache_folder_whose_place_others_can_take_is_not_used(cache):
    files.private_cache_folder("code")
    above = cache.parents[1]
    above.chmod(0o1777)
    assert files.private_cache_folder("code") == cache
    above.chmod(0o777)
    with pytest.warns(tn.UsageWarning, match=rf"write to {above}, "):
        assert files.private_cache_folder("code") is None


@needs.owners
def test_a_cache_folder_of_another_user_is_not_used(cache, monkeypatch):
    files.private_cache_folder("code")
    real = Path.stat

    def stat(path, **options):
        status = list(real(path, **options))
        status[4] = os.getuid() + 1 if path == cache else 0
        return os.stat_result(status)

    monkeypatch.setattr(Path, "stat", stat)
    with pytest.warns(tn.UsageWarning, match="other users can write"):
        assert files.private_cache_folder("code") is None


@needs.owners
def test_a_link_to_a_cache_folder_is_followed_before_it_is_judged(cache, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    cache.parent.mkdir(parents=True)
    cache.symlink_to(elsewhere)
    assert files.private_cache_folder("code") == elsewhere
    elsewhere.chmod(0o777)
    with pytest.warns(tn.UsageWarning, match=rf"write to {elsewhere}"):
        assert files.private_cache_folder("code") is None


@pytest.mark.parametrize(
    "obstacle", ["a file in the way", "no home directory", "a folder that cannot be made"]
)
def test_where_there_can_be_no_private_cache_folder_there_is_none(cache, monkeypatch, obstacle):
    if obstacle == "a file in the way":
        cache.parents[1].write_text("not a folder")
    elif obstacle == "no home directory":
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setattr("os.path.expanduser", lambda path: path)
        with pytest.raises(RuntimeError, match="home directory"):
            files.cache_folder()
    else:

        def fail(*_, **__):
            raise PermissionError(errno.EACCES, "no")

        monkeypatch.setattr(Path, "mkdir", fail)
    assert files.private_cache_folder("code") is None


@pytest.mark.case("H159")
def test_impossible_targets_are_named_and_nothing_is_left(target):
    folder = target.parent
    (folder / "link").symlink_to(target)
    for path, kind in (
        (folder / "link", errno.ELOOP),
        (folder, errno.EISDIR),
        (folder / "absent" / "model", errno.ENOENT),
        (target / "model", errno.ENOTDIR),
        (f"{folder}/a\0b", errno.EINVAL),
    ):
        with pytest.raises(OSError, match=r"\[Errno") as caught:
            files.write_atomically(path, [NEW])
        assert caught.value.errno == kind
    assert target.read_bytes() == OLD
    assert set(folder.iterdir()) == {target, folder / "link"}


@needs.fifos
def test_a_pipe_is_not_replaced_by_a_file(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="this is not a file"):
        files.write_atomically(pipe, [NEW])
    assert pipe.is_fifo()


def test_a_folder_that_goes_while_a_file_is_written_is_an_error(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()

    def pieces():
        yield NEW
        shutil.rmtree(folder)

    with pytest.raises(FileNotFoundError):
        files.write_atomically(folder / "model", pieces())


@pytest.fixture
def open_folder():
    """A folder that any user reaches: those of tmp_path are for the user alone who runs the tests."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o777)
        yield Path(name)


@pytest.mark.case("H159")
@needs.fork
def test_a_folder_that_cannot_be_written_is_an_error_that_leaves_nothing(open_folder):
    model, root = nn.Dense(2, 2), os.geteuid() == 0
    tn.save(open_folder / "first.safetensors", model=model)  # as root, imports what another user may not read
    if root:  # no permission stops root
        os.seteuid(65534)
    try:
        tn.save(open_folder / "second.safetensors", model=model)
        if root:
            os.seteuid(0)
        open_folder.chmod(0o555)
        if root:
            os.seteuid(65534)
        with pytest.raises(PermissionError):
            tn.save(open_folder / "third.safetensors", model=model)
    finally:
        if root:
            os.seteuid(0)
        open_folder.chmod(0o777)
    assert sorted(path.name for path in open_folder.iterdir()) == ["first.safetensors", "second.safetensors"]


@needs.fork
def test_new_files_have_the_usual_permissions(tmp_path):
    before = os.umask(0o027)
    try:
        files.write_atomically(tmp_path / "file", [NEW])
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


@needs.fork
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o666, 0o444, 0o755])
def test_a_file_keeps_its_permissions_and_is_never_open_to_more_while_it_is_written(target, mode):
    target.chmod(mode)
    seen = []

    def pieces():
        (partial,) = target.parent.glob("*.partial")
        seen.append(partial.stat().st_mode & 0o777)
        yield NEW

    before = os.umask(0o027)
    try:
        files.write_atomically(target, pieces())
    finally:
        os.umask(before)
    assert seen == [mode]
    assert target.read_bytes() == NEW
    assert target.stat().st_mode & 0o777 == mode


@needs.owners
def test_a_file_keeps_its_group(target):
    other = next((group for group in [*os.getgroups(), 12345] if group != target.stat().st_gid), None)
    try:
        os.chown(target, -1, other)
    except PermissionError:
        pytest.skip("this user is in one group only")
    files.write_atomically(target, [NEW])
    assert target.stat().st_gid == other


@needs.fork
def test_where_no_permissions_can_be_given_files_are_written_all_the_same_and_are_never_wider(
    target, monkeypatch
):
    def none(*_):
        raise PermissionError(errno.EPERM, "no modes here")

    target.chmod(0o600)
    monkeypatch.setattr(os, "chmod", none)
    monkeypatch.setattr(os, "chown", none)
    files.write_atomically(target, [NEW])
    assert target.read_bytes() == NEW
    assert target.stat().st_mode & 0o777 == 0o600


@needs.fork
def test_a_checkpoint_that_only_its_owner_may_read_stays_so(tmp_path):
    path = tmp_path / "model.safetensors"
    tn.save(path, model=nn.Dense(2, 2, rng=0))
    path.chmod(0o600)
    tn.save(path, model=nn.Dense(2, 2, rng=1))
    assert path.stat().st_mode & 0o777 == 0o600


def loads_pickles(path):
    """Return whether a file imports what loads pickles, or allows it to NumPy."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    modules = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    modules += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    allowed = [
        node
        for node in nodes
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False"
    ]
    loaders = {"pickle", "marshal", "shelve", "joblib", "dill"}
    return bool(allowed or loaders & {name.split(".")[0] for name in modules})


@pytest.mark.case("H156")
def test_no_module_of_the_package_can_load_a_pickle():
    package = Path(tn.__file__).parent
    found = [str(path.relative_to(package)) for path in package.rglob("*.py") if loads_pickles(path)]
    # It checks that a module survives pickling, and reads no file.
    assert found == ["testing/check_module.py"]


@pytest.mark.case("H158")
@needs.fork
def test_a_process_killed_while_it_saves_leaves_a_whole_file(tmp_path):
    path = tmp_path / "state.safetensors"
    rng = np.random.default_rng(0)
    states = [np.full(20_000, k, np.int64) for k in range(2)]
    tn.save(path, state=states[0])

    def work():
        while True:
            for state in states:
                tn.save(path, state=state)

    for _ in range(30):
        child = os.fork()
        if not child:
            try:
                work()
            finally:
                os._exit(1)
        time.sleep(rng.uniform(0, 0.02))
        os.kill(child, signal.SIGKILL)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        state = tn.load(path)["state"]
        assert (state == state[0]).all()
    tn.save(path, state=states[0])
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.case("H158")
@needs.fork
def test_several_writers_of_one_path_and_readers_beside_them_see_whole_files_only(tmp_path):
    path = tmp_path / "state.safetensors"
    tn.save(path, state=np.zeros(2_000, np.int64))

    def write(who):
        for k in range(25):
            tn.save(path, state=np.full(2_000, 100 * who + k, np.int64))

    def read():
        for _ in range(60):
            state = tn.load(path)["state"]
            assert (state == state[0]).all()

    works = [lambda: write(1), lambda: write(2), lambda: write(3), read, read]
    children = [start_in_a_child(work) for work in works]
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * len(works)
    assert tn.load(path)["state"][0] % 100 == 24
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_is_told_as_it_is_where_the_partial_file_is_gone_too(target, monkeypatch):
    def fail(source, _):
        os.unlink(source)
        raise PermissionError(errno.EPERM, "not here")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(PermissionError, match="not here"):
        files.write_atomically(target, [NEW])
    assert target.read_bytes() == OLD


@needs.fork
@pytest.mark.parametrize("fault", [None, OSError(errno.EINVAL, "folders cannot be flushed")])
def test_the_folder_is_flushed_where_it_can_be_and_nothing_stays_open(target, monkeypatch, fault):
    fsync, flushed = os.fsync, []

    def watched(descriptor):
        folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        flushed.append("folder" if folder else "file")
        if folder and fault:
            raise fault
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    before = os.listdir("/proc/self/fd")
    files.write_atomically(target, [NEW])
    assert flushed == ["file", "folder"]
    assert os.listdir("/proc/self/fd") == before
    assert target.read_bytes() == NEW


def test_without_file_locks_as_on_windows_files_are_written_and_remains_removed(target, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    module = runpy.run_path(files.__file__)
    assert module["fcntl"] is None
    remains = target.with_name(f"{module['_prefix'](target)}1234.partial")
    remains.write_bytes(b"half")
    module["write_atomically"](target, [b"new ", b"contents"])
    assert target.read_bytes() == b"new contents"
    assert list(target.parent.iterdir()) == [target]


def test_no_open_file_is_replaced_which_windows_refuses(target, monkeypatch):
    replace, opened = os.replace, []

    def like_windows(source, destination):
        opened.extend(f"/proc/self/fd/{k}" for k in os.listdir("/proc/self/fd"))
        held = {os.path.realpath(link) for link in opened}
        if {os.path.realpath(source), os.path.realpath(destination)} & held:
            raise PermissionError(errno.EACCES, "the file is being used by another process", source)
        replace(source, destination)

    monkeypatch.setattr(os, "replace", like_windows)
    files.write_atomically(target, [NEW])
    assert opened
    assert target.read_bytes() == NEW


@needs.fork
def test_where_there_are_no_locks_files_are_written_all_the_same(target, monkeypatch):
    def none(*_):
        raise OSError(errno.ENOTSUP, "no locks here")

    monkeypatch.setattr(files.fcntl, "flock", none)
    files.write_atomically(target, [NEW])
    assert list(target.parent.iterdir()) == [target]


def test_a_file_that_is_taken_for_remains_before_it_takes_its_place_is_written_again(target, monkeypatch):
    replace, gone = os.replace, []

    def late(source, destination):
        if not gone:
            gone.append(source)
            os.unlink(source)
        replace(source, destination)

    monkeypatch.setattr(os, "replace", late)
    files.write_atomically(target, (piece for piece in [b"new ", b"contents"]))
    assert len(gone) == 1
    assert target.read_bytes() == b"new contents"
    assert list(target.parent.iterdir()) == [target]
