"""save and load: exact, verified byte by byte, all or nothing."""

import base64
import hashlib
import io
import json
import pickle
import random
import struct
import time
import tracemalloc
import zlib

import numpy as np
import pytest
import safetensors.numpy

import tinygrad_nn as tn
from tests.support import hostile, networks
from tinygrad_nn import checkpoint, nn, optim
from tinygrad_nn.data import batches, batches_forever, batches_with_replacement
from tinygrad_nn.errors import CheckpointError, DtypeError


def network(seed=0, hidden=3):
    return networks.network(seed, widths=(2, hidden, 2))


def digest(module):
    return hashlib.sha256(b"".join(a.tobytes() for a in module.state_dict().values())).hexdigest()


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.safetensors"
    tn.save(path, model=network(5), epoch=7)
    return path


def refused(path, match=".", **parts):
    """Check that loading raises CheckpointError and leaves the parts alone."""
    model = parts.setdefault("model", network(1))
    before = digest(model)
    with pytest.raises(CheckpointError, match=match):
        tn.load(path, **parts)
    assert digest(model) == before


def test_everything_that_has_a_state_comes_back_exactly(tmp_path):
    path = tmp_path / "all.safetensors"
    model = network()
    optimizer = optim.Adam(model.parameters())
    rng = np.random.default_rng(3)
    for _ in range(3):
        optimizer.zero_grad()
        model(rng.normal(size=(5, 2))).sum().backward()
        optimizer.step()
    plain = {"name": "run ü", "losses": [0.1, float("nan"), float("inf")], "seeds": (1, 2**70), "no": None}
    arrays = [
        np.arange(6).reshape(2, 3)[:, ::2],
        np.float64(0.1),
        np.array(3, ">i4"),
        np.zeros((0, 3), np.float16),
    ]
    tn.save(path, model=model, optimizer=optimizer, rng=rng, plain=plain, arrays=arrays)
    other = network(9)
    again = optim.Adam(other.parameters())
    random = np.random.default_rng()
    returned = tn.load(path, allow_nonfinite=True, model=other, optimizer=again, rng=random)
    assert digest(other) == digest(model)
    assert int(again.steps) == 3
    for mine, its in zip(optimizer.state_dict().values(), again.state_dict().values(), strict=True):
        np.testing.assert_array_equal(mine, its)
    assert random.random() == rng.random()
    assert set(returned) == {"plain", "arrays"}
    assert returned["plain"]["name"] == "run ü"
    assert returned["plain"]["seeds"] == [1, 2**70]
    np.testing.assert_array_equal(returned["plain"]["losses"], plain["losses"])
    for mine, its in zip(arrays, returned["arrays"], strict=True):
        np.testing.assert_array_equal(mine, its, strict=isinstance(mine, np.ndarray) and mine.dtype.isnative)


def test_other_programs_can_read_the_arrays(saved):
    arrays = safetensors.numpy.load_file(saved)
    assert {f"model.{name}" for name in network().state_dict()} == set(arrays)
    np.testing.assert_array_equal(arrays["model.0.weight"], network(5)[0].weight.data)


def test_the_same_state_gives_the_same_bytes(tmp_path, saved):
    again = tmp_path / "again.safetensors"
    tn.save(again, model=network(5), epoch=7)
    assert again.read_bytes() == saved.read_bytes()


@pytest.mark.parametrize("kind", [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64])
def test_every_kind_of_generator_goes_on_where_it_was(tmp_path, kind):
    rng = np.random.Generator(kind(5))
    rng.normal(size=3)
    tn.save(tmp_path / "rng.safetensors", rng=rng)
    expected = rng.normal(size=5)
    tn.load(tmp_path / "rng.safetensors", rng=rng)
    np.testing.assert_array_equal(rng.normal(size=5), expected)


def test_generators_inside_a_module_are_saved_with_it(tmp_path):
    class Noise(nn.Module):
        def __init__(self, seed):
            self.rng = np.random.default_rng(seed)

        def forward(self, x):
            return x + self.rng.normal(size=x.shape)

    model, other = (
        nn.Sequential(Noise(1), nn.Dense(2, 2, rng=0)),
        nn.Sequential(Noise(2), nn.Dense(2, 2, rng=3)),
    )
    tn.save(tmp_path / "noise.safetensors", model=model)
    tn.load(tmp_path / "noise.safetensors", model=other)
    np.testing.assert_array_equal(model(np.ones((3, 2))).data, other(np.ones((3, 2))).data)
    refused(
        tmp_path / "noise.safetensors",
        "1 random generators saved, but the module has 0",
        model=nn.Sequential(np.tanh, nn.Dense(2, 2)),
    )


class Drawing(nn.Module):
    """Draws from generators of every kind, wherever a module may have them."""

    def __init__(self, seed):
        self.own = np.random.default_rng(seed)
        self.again = self.own
        self.several = [np.random.RandomState(seed + 1), (np.random.RandomState(np.random.PCG64(seed + 2)),)]
        self.by_name = {
            "bits": np.random.MT19937(seed + 3),
            "deep": {"rng": [np.random.default_rng(seed + 4)]},
        }
        self.python = (random.Random(seed + 5), random.SystemRandom())
        self.children = [{"child": Inside(seed + 6)}]
        self.several.append(self.several)

    def draw(self):
        bits = self.by_name["bits"]
        return [
            self.own.random(),
            self.several[0].randn(),
            self.several[1][0].rand(),
            bits.random_raw(),
            self.by_name["deep"]["rng"][0].normal(),
            self.python[0].gauss(0, 1),
            self.children[0]["child"].rngs["a"].random(),
        ]


class Inside(nn.Module):
    def __init__(self, seed):
        self.rngs = {"a": np.random.default_rng(seed)}


def test_all_generators_of_a_module_are_saved_wherever_they_are_and_whatever_kind(tmp_path):
    path = tmp_path / "drawing.safetensors"
    model, other = Drawing(1), Drawing(20)
    # Half of the pair that a normal draw makes is left over.
    model.draw()
    tn.save(path, model=model)
    expected = [model.draw() for _ in range(3)]
    tn.load(path, model=other)
    assert [other.draw() for _ in range(3)] == expected


@pytest.mark.parametrize(
    ("make", "draw"),
    [
        (np.random.RandomState, np.random.RandomState.randn),
        (random.Random, random.Random.random),
        (np.random.Philox, np.random.Philox.random_raw),
        (np.random.SFC64, np.random.SFC64.random_raw),
    ],
    ids=lambda x: x.__name__,
)
def test_generators_of_every_kind_are_parts_by_themselves(tmp_path, make, draw):
    path = tmp_path / "rng.safetensors"
    source, other = make(1), make(2)
    draw(source)
    tn.save(path, rng=source)
    tn.load(path, rng=other)
    assert [draw(source) for _ in range(9)] == [draw(other) for _ in range(9)]
    with pytest.raises(CheckpointError, match="the state is not one of this Generator: "):
        tn.load(path, rng=np.random.default_rng(0))


def test_a_generator_that_does_not_fit_changes_neither_parameters_nor_other_generators(tmp_path):
    path = tmp_path / "drawing.safetensors"

    def misfit():
        module = Drawing(20)
        module.by_name["bits"] = np.random.Philox(0)
        return module

    model, twin = misfit(), misfit()
    tn.save(path, model=Drawing(1))
    with pytest.raises(CheckpointError, match="the state is not one of this Philox: "):
        tn.load(path, model=model)
    assert model.draw() == twin.draw()


@pytest.mark.case("H155")
@pytest.mark.parametrize(
    ("make", "outer", "name", "value"),
    [
        (np.random.MT19937, "state", "pos", 10**6),
        (np.random.MT19937, "state", "pos", -1),
        (np.random.Philox, None, "buffer_pos", 5),
        (np.random.Philox, None, "buffer_pos", -5),
        (np.random.PCG64, None, "uinteger", 2**40),
        (np.random.PCG64, None, "has_uint32", True),
    ],
)
def test_positions_beyond_a_generators_array_are_refused_which_numpy_would_read_at(
    tmp_path, make, outer, name, value
):
    state = make(0).state
    (state[outer] if outer else state)[name] = value
    tn.save(tmp_path / "rng", rng=Kept(state))
    bits = make(1)
    before = repr(bits.state)
    with pytest.raises(CheckpointError, match=f"{name} is {value}"):
        tn.load(tmp_path / "rng", rng=bits)
    assert repr(bits.state) == before


@pytest.mark.case("H155")
def test_whatever_is_changed_in_a_checkpoint_only_a_checkpoint_error_comes_of_it_and_no_change():
    outcomes = hostile.attack(150, seed=1)
    assert set(outcomes) <= {"loaded", "refused", "changed by a refused file"}
    assert outcomes["changed by a refused file"] == 0
    assert outcomes["loaded"] > 10
    assert outcomes["refused"] > 75


def test_whatever_is_changed_in_an_architecture_a_model_or_a_checkpoint_error_comes_of_it():
    outcomes = hostile.attack_models(300, seed=1)
    assert set(outcomes) <= {"built", "refused", "of other classes"}
    assert outcomes["of other classes"] == 0
    assert outcomes["built"] > 10
    assert outcomes["refused"] > 150


def entry(kind, **arguments):
    return {"class": kind, "arguments": arguments}


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ([entry("Module")], "KeyError"),
        ([entry("os.system", command="true")], "KeyError"),
        ([entry("__import__", name="os")], "KeyError"),
        ([entry(["Dense"])], "TypeError"),
        ([], "IndexError"),
        ([entry("Dense", in_features=2, out_features=3, init="eval")], "Dense takes no 'init'"),
        ([entry("Dense", in_features=2, out_features=3, dtype="object")], "Dense of dtype 'object'"),
        ([entry("Dense", in_features=2, out_features=3, dtype="(9999999,)f4")], "Dense of dtype"),
        ([entry("Dense", in_features=2)], "ArgumentError: Dense: there is no out_features"),
        ([entry("Dense", in_features=2, out_features=4)], "larger arrays than the file"),
        ([entry("Dense", in_features=2, out_features=2)], r"shape +weight: \(2, 3\), expected \(2, 2\)"),
        ([entry("Dense", in_features=10**9, out_features=10**9)], "larger arrays than the file"),
        (
            [entry("Conv1d", in_channels=10**9, out_channels=10**9, kernel_size=1, groups=10**9)],
            "larger arrays",
        ),
        ([entry("LSTM", input_size=1, hidden_size=1, num_layers=10**12)], "larger arrays than the file"),
        ([entry("LayerNorm", features=10**10)], "larger arrays than the file"),
        ([entry("BatchNorm", features=10**10)], "larger arrays than the file"),
        ([entry("GroupNorm", groups=1, features=10**10)], "larger arrays than the file"),
        ([entry("RMSNorm", features=4)] * 1000, "larger arrays than the file"),
        ([entry("Residual", module={"module": 0})], "IndexError"),
        ([entry("Tanh"), entry("Residual", module={"module": -1})], "the number -1"),
        ([entry("Residual", module={"function": 0})], "KeyError"),
        ([entry("Sequential", modules=3)], "Sequential takes several, not 3"),
        ([entry("Sequential", modules=["print"])], "ArgumentError"),
        ([entry("Tanh", self=3)], "Tanh takes no 'self'"),
        ([entry("Dropout", p=0.5, rng={"generator": 7})], "IndexError"),
    ],
)
def test_hostile_architectures_are_refused_quickly(tmp_path, modules, message):
    path = tmp_path / "hostile.safetensors"
    tn.save(path, model=nn.Dense(2, 3))
    header, version, content, data = hostile.opened(path.read_bytes())
    content["model"]["architecture"]["modules"] = modules
    path.write_bytes(hostile.sealed(header, version, json.dumps(content), data))
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(CheckpointError, match=message):
        tn.load_model(path)
    seconds, (_, peak) = time.perf_counter() - start, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000
    # A hang, not a slow machine.
    assert seconds < 5


@pytest.mark.parametrize("taken", [0, 1, 4, 7, 10, 13])
def test_the_order_of_batches_goes_on_where_it_was(tmp_path, taken):
    path = tmp_path / "data.safetensors"
    rows = np.arange(20)

    def stream(data):
        while True:
            yield from data

    whole, other = batches(rows, size=3, rng=4), batches(rows, size=3, rng=99)
    running = stream(whole)
    for _ in range(taken):
        next(running)
    tn.save(path, data=whole)
    expected = [next(running)[0].tolist() for _ in range(20)]
    tn.load(path, data=other)
    resumed = stream(other)
    assert [next(resumed)[0].tolist() for _ in range(20)] == expected


@pytest.mark.parametrize("make", [batches_forever, batches_with_replacement])
def test_endless_streams_go_on_where_they_were(tmp_path, make):
    running, other = make(np.arange(10), size=4, rng=0), make(np.arange(10), size=4, rng=1)
    for _ in range(6):
        next(running)
    tn.save(tmp_path / "stream.safetensors", data=running)
    expected = [next(running)[0].tolist() for _ in range(9)]
    tn.load(tmp_path / "stream.safetensors", data=other)
    assert [next(other)[0].tolist() for _ in range(9)] == expected


def test_batches_of_other_data_are_refused(tmp_path):
    tn.save(tmp_path / "data.safetensors", data=batches(np.arange(20), size=3))
    for other in (batches(np.arange(21), size=3), batches(np.arange(20), size=4)):
        with pytest.raises(CheckpointError, match="the state is of 20 rows in batches of 3"):
            tn.load(tmp_path / "data.safetensors", data=other)


def test_a_part_that_does_not_fit_changes_no_other(tmp_path):
    path = tmp_path / "both.safetensors"
    model = network(5)
    tn.save(path, model=model, optimizer=optim.Adam(model.parameters()))
    other = network(1)
    before = digest(other)
    with pytest.raises(CheckpointError, match=r"both\.safetensors: the state does not fit this SGD"):
        tn.load(path, model=other, optimizer=optim.SGD(other.parameters(), lr=0.1))
    assert digest(other) == before
    refused(path, r"shape +0\.weight: \(2, 3\), expected \(2, 4\)", model=network(1, hidden=4))
    refused(path, "no sheep to restore in it; there is model, optimizer", sheep=batches(np.arange(3), size=1))


def test_a_state_of_another_form_is_refused(tmp_path):
    class Counter:
        def __init__(self):
            self.count = 3

        def state_dict(self):
            return {"count": self.count}

        def load_state_dict(self, state):
            self.count = 99
            self.count = state["number"]

    path = tmp_path / "counter.safetensors"
    counter = Counter()
    tn.save(path, counter=counter)
    with pytest.raises(CheckpointError, match="does not fit this Counter; nothing was changed"):
        tn.load(
            path, counter=type("Counter", (Counter,), {"state_dict": lambda self: {"number": self.count}})()
        )


def test_what_cannot_be_saved_is_named_and_nothing_written(tmp_path):
    path = tmp_path / "bad.safetensors"
    for value, error in (
        (object(), TypeError),
        ({1: 2}, TypeError),
        (np.array(["a"]), DtypeError),
        ({"a": [{3}]}, TypeError),
    ):
        with pytest.raises(error, match=r"extra"):
            tn.save(path, extra=value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.case("H154")
def test_every_flipped_bit_is_found(saved):
    blob = saved.read_bytes()
    for position in range(len(blob)):
        for bit in range(8):
            damaged = bytearray(blob)
            damaged[position] ^= 1 << bit
            with pytest.raises(CheckpointError):
                checkpoint._verified(checkpoint._checked_head("x", bytes(damaged)))
    saved.write_bytes(bytes(damaged))
    refused(saved, "damaged")


@pytest.mark.case("H154")
def test_truncation_insertion_and_swaps_are_found(saved):
    blob = saved.read_bytes()
    for position in range(len(blob)):
        swapped = (
            blob[:position]
            + blob[position + 1 : position + 2]
            + blob[position : position + 1]
            + blob[position + 2 :]
        )
        for damaged in (
            blob[:position],
            blob[:position] + b"\0" + blob[position:],
            blob[:position] + b" " + blob[position:],
            swapped,
        ):
            if damaged != blob:
                with pytest.raises(CheckpointError):
                    checkpoint._verified(checkpoint._checked_head("x", damaged))
    saved.write_bytes(blob[:-1])
    refused(saved, "damaged")
    saved.write_bytes(blob + b"\0")
    refused(saved, "damaged")
    saved.write_bytes(b"")
    refused(saved, "not a checkpoint")


def forged(tensors, content, data=b""):
    """Return a file with a header of the forger's choice, and a digest that is right."""
    note = json.dumps(f"1 {'0' * 64} {content}")
    header = f'{{"__metadata__":{{"tinygrad_nn":{note}}}{"," if tensors else ""}{tensors}}}'.encode()
    blob = struct.pack("<Q", len(header)) + header + data
    right = hashlib.sha256(blob).hexdigest().encode()
    return blob.replace(b"0" * 64, right, 1)


EMPTY = json.dumps({"model": {"restored": True, "state": {}}})
ENTRY = '"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
ATTACKS = {
    "duplicate keys": (f"{ENTRY},{ENTRY}", b"abcd"),
    "overlapping": (f'{ENTRY},"b":{{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}', b"abcdef"),
    "hole": (f'{ENTRY},"b":{{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}', bytes(12)),
    "negative offset": (ENTRY.replace("[0,4]", "[-4,0]"), b"abcd"),
    "offset past the end": (ENTRY.replace("[0,4]", "[0,4000000000]").replace("[1]", "[1000000000]"), b"abcd"),
    "unreferenced bytes": (ENTRY, b"abcdefgh"),
    "huge shape": (ENTRY.replace("[1]", "[4611686018427387904,4]").replace("[0,4]", "[0,0]"), b""),
    "shape true": (ENTRY.replace("[1]", "[true]"), b"abcd"),
    "shape 1.0": (ENTRY.replace("[1]", "[1.0]"), b"abcd"),
    "object dtype": (ENTRY.replace("F32", "O"), b"abcd"),
    "NaN": (ENTRY.replace("[1]", "[NaN]"), b"abcd"),
    "5000 digits": (ENTRY.replace("[1]", f"[{'9' * 5000}]"), b"abcd"),
    "deep": (f'"a":{"[" * 100_000}', b""),
    "path": (ENTRY.replace('"a"', '"../../x"'), b"abcd"),
    "bfloat": (ENTRY.replace("F32", "BF16").replace("[0,4]", "[0,2]"), b"ab"),
}


@pytest.mark.case("H155")
@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_headers_are_refused_quickly(tmp_path, attack):
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(forged(ATTACKS[attack][0], EMPTY, ATTACKS[attack][1]))
    refused(path)
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(CheckpointError):
        tn.load(path, model=nn.Sequential())
    seconds, (_, peak) = time.perf_counter() - start, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * path.stat().st_size + 1_000_000
    assert seconds < 5  # a hang, not a slow machine


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_what_json_does_not_have_is_refused_wherever_a_header_has_it(tmp_path, constant):
    path = tmp_path / "constant.safetensors"
    path.write_bytes(forged(ENTRY.replace("}", f',"more":{constant}}}'), EMPTY, b"abcd"))
    refused(path)


@pytest.mark.case("H155")
@pytest.mark.parametrize(
    "content",
    ["[" * 100_000, "{}", "[]", "3", "NaN", '{"model":3}', '{"model":{"restored":true}}', "9" * 5000,
     '{"model":{"restored":true,"state":{}},"model":{"restored":true,"state":{}}}',
     '{"model":{"restored":true,"state":{"0.weight":{"$array":"../../x"}}}}', "{"],
)  # fmt: skip
def test_hostile_notes_are_refused(tmp_path, content):
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(forged("", content))
    refused(path)


@pytest.mark.case("H155")
def test_a_header_longer_than_the_file_is_refused(tmp_path, saved):
    blob = saved.read_bytes()
    for size in (2**63, 2**64 - 1, len(blob) - 7, 0):
        (tmp_path / "long.safetensors").write_bytes(struct.pack("<Q", size) + blob[8:])
        refused(tmp_path / "long.safetensors")


@pytest.mark.case("H156")
def test_foreign_files_are_named_and_never_executed(tmp_path):
    path = tmp_path / "foreign"
    archive = io.BytesIO()
    np.savez(archive, a=np.array([{}], dtype=object))
    plain = safetensors.numpy.save({"0.weight": np.zeros((2, 3), np.float32)})
    kinds = {
        "pickle": pickle.dumps(network()),
        "zip archive": archive.getvalue(),
        "safetensors file of another program(.|\n)*load_file": plain,
        "not a checkpoint": b"hello",
    }
    for match, blob in kinds.items():
        path.write_bytes(blob)
        refused(path, match)
    refused(tmp_path, "is not a file")
    refused("nul\0name", "is not a file")
    with pytest.raises(FileNotFoundError):
        tn.load(tmp_path / "absent", model=network())


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (
            "2",
            r"written by a newer version of tinygrad_nn, in format 2; .* reads 1\n  hint   pip install --upgrade",
        ),
        ("10", "written by a newer version of tinygrad_nn, in format 10"),
        ("0", "damaged: its header begins wrongly"),
        ("x", "damaged: its header begins wrongly"),
        ("9" * 100, "written by a newer version"),
    ],
)
def test_a_file_of_a_newer_version_says_so(saved, version, message):
    blob = saved.read_bytes().replace(b'"tinygrad_nn":"1 ', f'"tinygrad_nn":"{version} '.encode())
    saved.write_bytes(blob)
    refused(saved, message)


@pytest.mark.parametrize("name", ["__metadata__", "allow_nonfinite"])
def test_names_that_no_part_could_be_read_by_are_refused_before_anything_is_written(tmp_path, name):
    with pytest.raises(ValueError, match=f"save: no part can be called {name}"):
        tn.save(tmp_path / "x", model=network(), **{name: np.ones(2)})
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_loaded_into_nothing_says_what_it_holds(tmp_path, saved):
    path = tmp_path / "both.safetensors"
    model = network()
    tn.save(path, model=model, optimizer=optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(
        CheckpointError,
        match=r"it holds model, optimizer, and nothing was given to restore\n"
        r"  hint   tn\.load\(path, model=model, optimizer=optimizer\)",
    ):
        tn.load(path)
    assert tn.load(saved) == {"epoch": 7}


@pytest.mark.case("H157")
def test_numbers_that_are_not_finite_load_only_when_wanted_and_where_they_are_wanted(tmp_path):
    path = tmp_path / "numbers.safetensors"
    tn.save(path, losses=[1.0, [{"a": float("nan")}]], best=np.inf, part=Kept({"least": -np.inf}), fine=1e300)
    part = Kept({})
    with pytest.raises(CheckpointError, match=r"NaN or infinities in part\.least, losses\.1\.0\.a, best\n"):
        tn.load(path, part=part)
    with pytest.raises(CheckpointError, match=r"NaN or infinities in losses\.1\.0\.a\n"):
        tn.load(path, allow_nonfinite=("part", "best"), part=part)
    assert part.state == {}
    assert tn.load(path, allow_nonfinite=["losses", "part", "best"], part=part)["best"] == np.inf
    assert part.state == {"least": -np.inf}
    tn.save(path, many=[float("nan")] * 50)
    with pytest.raises(CheckpointError, match=r"many\.9 and 40 more\n"):
        tn.load(path)


@pytest.mark.case("H157")
def test_nan_and_infinity_load_only_when_wanted(tmp_path):
    path = tmp_path / "nan.safetensors"
    model = network()
    model[0].weight.data[0, 0] = np.nan
    tn.save(path, model=model)
    refused(
        path, r"NaN or infinities in model\.0\.weight \(2, 3\)\n  hint   load\(\.\.\., allow_nonfinite=True\)"
    )
    other = network(3)
    tn.load(path, allow_nonfinite=True, model=other)
    assert digest(other) == digest(model)


@pytest.mark.case("H155")
@pytest.mark.parametrize("depth", [300, 450, 490, 600, 900])
def test_deeply_nested_data_are_refused(tmp_path, depth):
    path = tmp_path / "deep.safetensors"
    nested = f'{{"model":{{"restored":true,"state":{{"a":{"[" * depth + "]" * depth}}}}}}}'
    path.write_bytes(forged("", nested))
    refused(path)


class Kept:
    """A part with a state of its own making."""

    def __init__(self, state):
        self.state = state

    def state_dict(self):
        return self.state

    def load_state_dict(self, state):
        self.state = state


def test_tensors_in_a_state_are_saved_by_their_values(tmp_path):
    tn.save(tmp_path / "x", part=Kept({"w": tn.tensor([1.0, 2.0], requires_grad=True)}))
    part = Kept({})
    tn.load(tmp_path / "x", part=part)
    np.testing.assert_array_equal(part.state["w"], np.array([1, 2], np.float32))
    assert part.state["w"].dtype == np.float32


def test_arrays_whose_dotted_names_are_the_same_stay_apart(tmp_path):
    state = {
        "a.b": np.array([1.0]),
        "a": {"b": np.array([2.0]), "b_": np.array([3.0])},
        "a.b_": np.array([4.0]),
    }
    tn.save(tmp_path / "x", part=Kept(state))
    part = Kept({})
    tn.load(tmp_path / "x", part=part)
    assert part.state == state


@pytest.mark.case("H155")
def test_a_header_longer_than_the_file_is_refused_although_its_digest_is_right(tmp_path):
    blob = bytearray(forged("", EMPTY))
    start = blob.index(b"1 ") + 2
    blob[:8] = struct.pack("<Q", len(blob))
    blob[start : start + 64] = b"0" * 64
    blob[start : start + 64] = hashlib.sha256(blob).hexdigest().encode()
    (tmp_path / "long.safetensors").write_bytes(blob)
    refused(tmp_path / "long.safetensors", f"damaged: a header of {len(blob)} bytes in a file of {len(blob)}")


def test_a_header_of_another_form_is_not_written(tmp_path, monkeypatch):
    write = safetensors.numpy.save
    monkeypatch.setattr(
        safetensors.numpy, "save", lambda *a, **k: write(*a, **k).replace(b"tinygrad_nn", b"tinygrad_mm")
    )
    with pytest.raises(RuntimeError, match="header of another form; no checkpoint was written"):
        tn.save(tmp_path / "x", model=network())
    assert list(tmp_path.iterdir()) == []


FIRST = (
    "eNqVU8GOmzAQTaV+SGT1iCLbUOLk0L1UlXrucRMhg8cJEoHUNltlI6R+Wb+hn9BPqY1hAynNZi1Z4o3fe+MZM3/ez9p1RklyAMMF"
    "NzxJ0PqMTF6edoqLpCzRGpE5IWEWiRTSGFPJomzFIrxcCsZWMcNkxVaMLynQj5KRlMqIi1RkjEsSAYRphuX8vEGHSkCxQWv3rUCb"
    "SoFw0KgagvkGacMNdOd48QPy3d508ANXip8c6GwWF0LjtHiR5lzfYPvjpiVzle1zA5mpVZ/P0uoCWoNHC7OCa+0NPkOpLcvrdvUB"
    "StPnyctEAncubYQ6TlWbUZC4YH+3vlJhTkfw9rKouAmpv9o48zf4XttsOS+m01/d2UOHcLNtmq2T7KAExW2nPauNSVU9Q3nB8MSL"
    "2nZe+JBvUXU0+SF/BnXne2kDx6n2v/gsOkbrXqibVHfcveoTFFWWm9NN/pDW6sh9uiGt8XXDscr2EzVLXuhx0WHT2GTXBbrZaV/X"
    "Ts3XOEIB0nvukO01aserklKDscRHHLDtyKFQQ/mXV+QsILHTD//wkT6kAz3514DEAcVDBz9R//egwYQLxQG9quPyHm/1YkEYj73I"
    "HV4TTmEcRLa2Zt6ud7Ph+v0wm/38Zfenbj/0+y9Wr5sQ"
)
"""A file of the first format, which 1.0 writes: Dense(2, 1) after a step of SGD, its optimizer, and an epoch."""


def test_a_file_of_the_first_version_is_read(tmp_path):
    path = tmp_path / "first.safetensors"
    path.write_bytes(zlib.decompress(base64.b64decode(FIRST)))
    model = tn.load_model(path)
    optimizer = optim.SGD(model.parameters(), lr=1.0, momentum=0.5)
    assert tn.load(path, optimizer=optimizer, model=model) == {"epoch": 3}
    assert [p.tolist() for p in model.parameters()] == [[[0.25], [0.25]], [-0.25]]
    assert optimizer.lr == 0.25
