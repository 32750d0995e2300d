import gzip
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinygrad_nn
from tests.support import needs
from tinygrad_nn import data
from tinygrad_nn.data import download, mnist_files
from tinygrad_nn.errors import DatasetError

# Read before a fixture hides it.
REAL = os.environ.get("TINYGRAD_NN_DATA")
NAMES = [file.name for file in mnist_files.FILES]
IMAGES, LABELS = NAMES[:2]


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


class Mirror:
    """Stands in for the network: what it serves, by address, and what it has been asked for."""

    def __init__(self, contents):
        self.contents = contents
        self.faults = {}
        self.asked = []

    def fetch(self, url, limit):
        self.asked.append(url)
        host, name = url.rsplit("/", 1)
        fault = self.faults.get(host + "/", self.faults.get("everywhere"))
        if isinstance(fault, Exception):
            raise fault
        body = gzip.compress(self.contents[name.removesuffix(".gz")])
        return body if fault is None else fault(body)


@pytest.fixture
def small(monkeypatch):
    """MNIST's files in small, by name, with `mnist` made to expect them."""
    random = np.random.default_rng(0)
    contents, files = {}, []
    for file in mnist_files.FILES:
        shape = (file.shape[0] // 10_000 + 2, *file.shape[1:])
        contents[file.name] = idx(random.integers(0, 256 if len(shape) == 3 else 10, shape, dtype=np.uint8))
        files.append(mnist_files._File(file.name, shape, hashlib.sha256(contents[file.name]).hexdigest()))
    monkeypatch.setattr(mnist_files, "FILES", tuple(files))
    return contents


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.delenv("TINYGRAD_NN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tinygrad_nn"


@pytest.fixture
def mirror(small, cache, monkeypatch):
    mirror = Mirror(small)
    monkeypatch.setattr(download, "fetch", mirror.fetch)
    return mirror


@pytest.fixture
def own(small, tmp_path, monkeypatch):
    """A folder of the user's with all four files."""

    def no_network(url, limit):
        raise AssertionError("the network was asked although the user named a folder")

    monkeypatch.setattr(download, "fetch", no_network)
    folder = tmp_path / "own"
    folder.mkdir()
    for name, contents in small.items():
        (folder / name).write_bytes(contents)
    return folder


def check(result, contents):
    for array, name in zip(result, NAMES, strict=True):
        raw = np.frombuffer(contents[name], np.uint8)
        if name.endswith("idx1-ubyte"):
            assert array.dtype == np.int64
            np.testing.assert_array_equal(array, raw[8:])
        else:
            assert array.dtype == np.float32
            np.testing.assert_array_equal(
                array, raw[16:].reshape(-1, 784).astype(np.float32) / np.float32(255)
            )


# The real files


@needs.mnist
def test_mnist_is_mnist():
    x_train, y_train, x_test, y_test = data.mnist(REAL)
    assert [array.shape for array in (x_train, y_train, x_test, y_test)] == [
        (60000, 784),
        (60000,),
        (10000, 784),
        (10000,),
    ]
    assert [array.dtype for array in (x_train, y_train, x_test, y_test)] == [np.float32, np.int64] * 2
    assert (x_train.min(), x_train.max()) == (0, 1)
    assert y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert np.bincount(y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert abs(x_train.mean(dtype=np.float64) - 0.1307) < 1e-4


@pytest.mark.case("H166")
@needs.mnist
def test_the_pinned_checksums_are_those_of_the_real_files(cache, monkeypatch):
    monkeypatch.setattr(download, "fetch", None)
    cache.parent.mkdir()
    cache.symlink_to(Path(REAL).resolve())
    assert data.mnist().y_test[:3].tolist() == [7, 2, 1]


# The user's own folder


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("how", ["argument", "string", "environment"])
def test_files_are_read_from_the_users_folder(own, small, cache, monkeypatch, compressed, how):
    if compressed:
        for name in NAMES:
            (own / f"{name}.gz").write_bytes(gzip.compress((own / name).read_bytes()))
            (own / name).unlink()
    before = sorted(own.iterdir())
    if how == "environment":
        monkeypatch.setenv("TINYGRAD_NN_DATA", str(own))
        check(data.mnist(), small)
    else:
        check(data.mnist(own if how == "argument" else str(own)), small)
    assert sorted(own.iterdir()) == before
    assert not cache.exists()


def test_the_argument_goes_before_the_environment(own, small, monkeypatch, tmp_path):
    monkeypatch.setenv("TINYGRAD_NN_DATA", str(tmp_path / "elsewhere"))
    check(data.mnist(own), small)


def test_an_empty_environment_variable_is_none(mirror, small, monkeypatch):
    monkeypatch.setenv("TINYGRAD_NN_DATA", "")
    check(data.mnist(), small)


@pytest.mark.case("H134")
def test_images_are_rows_columns_and_a_channel_where_they_are_not_flattened(own):
    flat, images = data.mnist(own), data.mnist(own, flatten=False)
    for name in ("x_train", "x_test"):
        pixels = getattr(images, name)
        assert pixels.shape == (len(pixels), 28, 28, 1)
        assert pixels.dtype == np.float32
        np.testing.assert_array_equal(pixels.reshape(len(pixels), -1), getattr(flat, name))
    np.testing.assert_array_equal(images.y_train, flat.y_train)


def test_what_flatten_is_not_is_refused_before_a_file_is_looked_for():
    with pytest.raises(
        TypeError, match=r"flatten is True.*got 'images'\n  hint   tn\.data\.mnist\(flatten=False\)"
    ):
        data.mnist("nowhere", flatten="images")


def test_pixels_are_floats_before_anyone_subtracts(own):
    x = data.mnist(own).x_train
    assert x.dtype == np.float32
    assert (x - 1).min() >= -1


def test_arrays_are_the_callers_own(own, small):
    for array in data.mnist(own):
        array += 1
    check(data.mnist(own), small)


@pytest.mark.parametrize("missing", NAMES)
def test_a_missing_file_in_the_users_folder_is_named_and_never_downloaded(own, missing):
    (own / missing).unlink()
    with pytest.raises(DatasetError, match=f"own does not contain {missing} "):
        data.mnist(own)


def test_all_missing_files_are_named_at_once(own, tmp_path):
    with pytest.raises(DatasetError, match=", ".join(NAMES)):
        data.mnist(tmp_path / "absent")


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_in_the_users_folder_is_named_kept_and_not_substituted(own, small, name, suffix):
    path = own / (name + suffix)
    good = path.with_name(name).read_bytes()
    path.write_bytes(gzip.compress(good)[:-3] if suffix else good[:-1])
    if suffix:
        (own / name).unlink()
    else:
        (own / f"{name}.gz").write_bytes(gzip.compress(good))
    damaged = path.read_bytes()
    with pytest.raises(DatasetError, match=str(path)):
        data.mnist(own)
    assert path.read_bytes() == damaged


def dotted(name):
    return name.replace("-idx", ".idx")


LAYOUTS = {
    "with a dot": dotted,
    "each in a folder of its name": lambda name: f"{name}/{name}",
    "with a dot, in folders with a dot": lambda name: f"{dotted(name)}/{dotted(name)}",
    "with a dot, in folders without": lambda name: f"{name}/{dotted(name)}",
    "mixed": lambda name: dotted(name) if "train" in name else f"{name}/{name}",
}


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_files_are_found_as_unpackers_and_kaggle_call_them(own, small, tmp_path, layout, compressed):
    folder = tmp_path / "kaggle"
    for name in NAMES:
        path = folder / f"{LAYOUTS[layout](name)}{'.gz' if compressed else ''}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(small[name]) if compressed else small[name])
    check(data.mnist(folder), small)


def test_a_file_stands_before_a_folder_of_its_name(own, small):
    for name in NAMES:
        (own / name).rename(own / dotted(name))
        (own / name).mkdir()
        (own / name / name).write_bytes(b"another file")
    check(data.mnist(own), small)


@pytest.mark.parametrize("inside", ["raw", "MNIST/raw"])
def test_files_in_a_folder_inside_are_pointed_to(own, tmp_path, inside):
    outer = tmp_path / "outer"
    (outer / inside).parent.mkdir(parents=True)
    own.rename(outer / inside)
    with pytest.raises(
        DatasetError, match="; they are in a folder inside\n  hint   tn.data.mnist\\('"
    ) as caught:
        data.mnist(outer)
    assert f"tn.data.mnist({str(outer / inside)!r})" in str(caught.value)


def test_what_a_folder_holds_instead_is_named(own, small, tmp_path):
    for name in NAMES:
        (own / name).rename(own / f"{name}.bin")
    with pytest.raises(
        DatasetError, match=rf"; there is {NAMES[2]}\.bin, {NAMES[3]}\.bin, {IMAGES}\.bin, {LABELS}\.bin$"
    ):
        data.mnist(own)
    (own / "mnist.npz").touch()
    with pytest.raises(
        DatasetError, match=r"; there is mnist\.npz, .*\n  hint   tn\.data\.read_npz\('.*mnist\.npz'\)$"
    ):
        data.mnist(own)
    for k in range(20):
        (own / f"a{k:02}").touch()
    with pytest.raises(DatasetError, match="; there is a00, .* a07 and 17 more\n"):
        data.mnist(own)
    with pytest.raises(DatasetError, match="; it is a file\n  hint   tn.data.read_npz"):
        data.mnist(own / "mnist.npz")
    with pytest.raises(DatasetError, match="; it is a file\n  hint   tn.data.read_idx"):
        data.mnist(own / f"{IMAGES}.bin")
    with pytest.raises(DatasetError, match="; there is no such folder"):
        data.mnist(own / "absent")
    (tmp_path / "bare").mkdir()
    with pytest.raises(DatasetError, match="; there is nothing"):
        data.mnist(tmp_path / "bare")


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("rows", [None, 3], ids=["of the same shape", "of another"])
def test_another_set_under_the_same_names_is_told_what_reads_it(own, small, compressed, rows):
    fashion = np.frombuffer(small[IMAGES], np.uint8)[16:].reshape(-1, 28, 28)[:rows] ^ 255
    path = own / f"{IMAGES}{'.gz' if compressed else ''}"
    (own / IMAGES).unlink()
    path.write_bytes(gzip.compress(idx(fashion)) if compressed else idx(fashion))
    with pytest.raises(DatasetError, match="expected|the SHA-256") as caught:
        data.mnist(own)
    assert f"  hint   tn.data.read_idx({str(path)!r}) reads any file of this format" in str(caught.value)
    np.testing.assert_array_equal(data.read_idx(path), fashion)


def test_a_damaged_file_is_not_said_to_be_another_set(own):
    (own / IMAGES).write_bytes((own / IMAGES).read_bytes()[:-1])
    with pytest.raises(DatasetError) as caught:
        data.mnist(own)
    assert "hint" not in str(caught.value)


@pytest.mark.case("H166")
def test_a_changed_payload_in_the_users_folder_is_refused(own, small):
    changed = bytearray(small[IMAGES])
    changed[100] ^= 1
    (own / IMAGES).write_bytes(changed)
    with pytest.raises(DatasetError, match=f"{IMAGES}: the SHA-256"):
        data.mnist(own)


@pytest.mark.case("H163")
def test_fewer_labels_than_images_are_refused(own, small):
    labels = np.frombuffer(small[LABELS], np.uint8)[8:]
    for wrong in (labels[:-1], np.append(labels, labels[:1])):
        (own / LABELS).write_bytes(idx(wrong))
        with pytest.raises(
            DatasetError, match=rf"{LABELS}: .*shape \({len(wrong)},\), expected \({len(labels)},\)"
        ):
            data.mnist(own)


@pytest.mark.case("H163")
def test_fewer_images_and_labels_are_refused_too(own, small):
    (own / IMAGES).write_bytes(idx(np.zeros((3, 28, 28), np.uint8)))
    (own / LABELS).write_bytes(idx(np.zeros(3, np.uint8)))
    with pytest.raises(DatasetError, match=r"\(3, 28, 28\), expected"):
        data.mnist(own)


@pytest.mark.case("H163")
def test_a_label_above_9_is_refused(own, small):
    labels = bytearray(small[LABELS])
    labels[8 + 5] = 10
    (own / LABELS).write_bytes(labels)
    with pytest.raises(DatasetError, match="label 10 at index 5"):
        data.mnist(own)


def test_elements_that_are_not_bytes_are_refused(own, small):
    (own / LABELS).write_bytes(b"\0\0\x09" + small[LABELS][3:])
    with pytest.raises(DatasetError, match="int8, expected uint8"):
        data.mnist(own)


@pytest.mark.case("H168")
@pytest.mark.parametrize(
    "folder", ["nul\0byte", "~no-such-user-here/mnist", "../..", "/dev/null", "C:\\mnist"]
)
def test_a_folder_is_only_ever_a_folder(mirror, folder):
    with pytest.raises(DatasetError, match="does not contain|home directory"):
        data.mnist(folder)
    assert mirror.asked == []


@pytest.mark.case("H168")
def test_a_tilde_is_the_home_directory(own, small, monkeypatch):
    monkeypatch.setenv("HOME", str(own.parent))
    monkeypatch.setenv("USERPROFILE", str(own.parent))
    check(data.mnist("~/own"), small)


# The cache and the mirrors


def test_files_are_downloaded_once_and_then_read_from_the_cache(mirror, cache, small):
    check(data.mnist(), small)
    assert mirror.asked == [f"{mnist_files.MIRRORS[0]}{name}.gz" for name in NAMES]
    assert sorted(path.name for path in cache.iterdir()) == sorted(f"{name}.gz" for name in NAMES)
    check(data.mnist(), small)
    assert len(mirror.asked) == 4


def test_all_mirrors_are_asked_over_https():
    assert len(mnist_files.MIRRORS) >= 3
    assert all(mirror.startswith("https://") and mirror.endswith("/") for mirror in mnist_files.MIRRORS)


@pytest.mark.case("H167")
def test_files_put_into_the_cache_by_hand_serve_offline(mirror, cache, small):
    mirror.faults["everywhere"] = AssertionError("the network was asked")
    cache.mkdir(parents=True)
    for name in NAMES[:2]:
        (cache / name).write_bytes(small[name])
    for name in NAMES[2:]:
        (cache / f"{name}.gz").write_bytes(gzip.compress(small[name]))
    check(data.mnist(), small)


def test_only_the_missing_files_are_downloaded(mirror, cache, small):
    cache.mkdir(parents=True)
    (cache / IMAGES).write_bytes(small[IMAGES])
    check(data.mnist(), small)
    assert len(mirror.asked) == 3


def test_the_cache_is_in_the_home_directory_unless_xdg_says_otherwise(mirror, tmp_path, small, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for base in ("relative/is/ignored", ""):
        monkeypatch.setenv("XDG_CACHE_HOME", base)
        check(data.mnist(), small)
    assert len(list((tmp_path / "home" / ".cache" / "tinygrad_nn").iterdir())) == 4
    assert len(mirror.asked) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_without_a_home_directory_there_is_no_cache(mirror, monkeypatch):
    def homeless(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "expanduser", homeless)
    with pytest.raises(DatasetError, match=r"~/\.cache: Could not determine home directory"):
        data.mnist()
    assert not mirror.asked


BAD_BODIES = {
    "html": lambda body: b"<!DOCTYPE html><title>Log in</title>",
    "empty": lambda body: b"",
    "short": lambda body: body[:-9],
    "garbage": lambda body: body + b"\0",
    "twice": lambda body: body + body,
    "other": lambda body: gzip.compress(
        bytes([*gzip.decompress(body)[:-1], 5 ^ gzip.decompress(body)[-1] & 1])
    ),
    "bomb": lambda body: gzip.compress(gzip.decompress(body) + bytes(10_000_000)),
}


@pytest.mark.case("H166", "H167")
@pytest.mark.parametrize("fault", BAD_BODIES)
def test_a_mirror_that_serves_something_else_is_passed_over(mirror, cache, small, fault):
    mirror.faults[mnist_files.MIRRORS[0]] = BAD_BODIES[fault]
    check(data.mnist(), small)
    # the failed mirror is asked once, and last from then on
    assert [url.startswith(mnist_files.MIRRORS[0]) for url in mirror.asked] == [True] + [False] * 4
    for name in NAMES:
        assert gzip.decompress((cache / f"{name}.gz").read_bytes()) == small[name]


@pytest.mark.case("H166")
@pytest.mark.parametrize("fault", BAD_BODIES)
def test_nothing_false_is_ever_used_or_kept(mirror, cache, fault):
    mirror.faults["everywhere"] = BAD_BODIES[fault]
    with pytest.raises(DatasetError):
        data.mnist()
    assert not cache.exists()


@pytest.mark.case("H167")
def test_no_network_is_one_error_that_names_each_mirror_and_the_ways_out(mirror, cache):
    mirror.faults = {url: DatasetError(f"reason {number}") for number, url in enumerate(mnist_files.MIRRORS)}
    with pytest.raises(DatasetError) as caught:
        data.mnist()
    text = str(caught.value)
    for number, url in enumerate(mnist_files.MIRRORS):
        assert f"{url}{IMAGES}.gz: reason {number}" in text
    for hint in ("TINYGRAD_NN_DATA", "mnist(folder=...)", str(cache), *NAMES):
        assert hint in text
    assert len(mirror.asked) == len(mnist_files.MIRRORS)


@pytest.mark.case("H166")
@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("damage", ["truncated", "changed", "empty"])
def test_a_damaged_file_in_the_cache_is_replaced_with_a_warning(mirror, cache, small, suffix, damage):
    cache.mkdir(parents=True)
    for name in NAMES:
        (cache / name).write_bytes(small[name])
    changed = bytearray(small[IMAGES])
    changed[1000] ^= 4
    bad = {"truncated": small[IMAGES][:-1], "changed": bytes(changed), "empty": b""}[damage]
    (cache / IMAGES).unlink()
    path = cache / (IMAGES + suffix)
    path.write_bytes(gzip.compress(bad) if suffix else bad)
    with pytest.warns(UserWarning, match=f"removing a damaged file: .*{path.name}"):
        check(data.mnist(), small)
    assert len(mirror.asked) == 1
    check(data.mnist(), small)
    assert len(mirror.asked) == 1


@pytest.mark.case("H166")
def test_a_damaged_file_in_the_cache_is_not_used_offline_either(mirror, cache, small):
    mirror.faults["everywhere"] = DatasetError("unplugged")
    cache.mkdir(parents=True)
    for name in NAMES:
        (cache / name).write_bytes(small[name])
    (cache / LABELS).write_bytes(small[LABELS][:-1] + b"\x0b")
    with pytest.warns(UserWarning, match="damaged"), pytest.raises(DatasetError, match="unplugged"):
        data.mnist()
    assert len(mirror.asked) == len(mnist_files.MIRRORS)


@pytest.mark.case("H170")
def test_a_cache_that_cannot_be_made_is_a_warning_and_the_data_are_there(mirror, cache, small):
    cache.parent.write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match=f"not kept in {cache}") as warned:
        check(data.mnist(), small)
    assert len(warned) == 4


@pytest.mark.case("H170")
def test_a_full_disk_is_a_warning_and_leaves_nothing_behind(mirror, cache, small, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tinygrad_nn.files.os.fsync", full)
    with pytest.warns(UserWarning, match="No space left on device"):
        check(data.mnist(), small)
    assert list(cache.iterdir()) == []


# Other processes


SCRIPT = """
import json, os, sys, time
from pathlib import Path
from tinygrad_nn.data import download, mnist, mnist_files

files, origin, hang = json.loads(sys.argv[1])
mnist_files.FILES = tuple(mnist_files._File(name, tuple(shape), sha256) for name, shape, sha256 in files)

def pause(place):
    print(place, flush=True)
    time.sleep(60 if place == hang else 0.05)

def fetch(url, limit):
    pause("download")
    return Path(origin, url.rsplit("/", 1)[1]).read_bytes()

def replace(path, target, replace=os.replace):
    pause("store")
    replace(path, target)

download.fetch = fetch
os.replace = replace
print(int(mnist().y_train.sum()))
"""


@pytest.fixture
def start(small, cache, tmp_path):
    """Start a process that loads the small files from a folder that stands in for the network."""
    origin = tmp_path / "origin"
    origin.mkdir()
    for name, contents in small.items():
        (origin / f"{name}.gz").write_bytes(gzip.compress(contents))

    def start(hang=None):
        argument = json.dumps([mnist_files.FILES, str(origin), hang])
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-c", SCRIPT, argument],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(tinygrad_nn.__file__).parents[1],
        )

    return start


@pytest.mark.case("H169")
def test_two_processes_at_once_both_succeed(start, cache, small):
    processes = [start(), start()]
    outputs = [process.communicate(timeout=30)[0].split()[-1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert outputs == [str(sum(small[LABELS][8:]))] * 2
    assert sorted(path.name for path in cache.iterdir()) == sorted(f"{name}.gz" for name in NAMES)


@pytest.mark.case("H169")
@pytest.mark.parametrize("place", ["download", "store"])
def test_a_process_killed_midway_leaves_no_truncated_cache(start, cache, small, mirror, place):
    with start(hang=place) as process:
        while process.stdout.readline().strip() != place:
            assert process.poll() is None
        process.kill()
    assert not [name for name in NAMES if (cache / name).exists() or (cache / f"{name}.gz").exists()]
    check(data.mnist(), small)
    assert len(mirror.asked) == 4
