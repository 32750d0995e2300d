"""Films of trainings: they change nothing, record what there is, say what they leave out, and leave a whole page."""

import base64
import json
import re
import sys
import zlib
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.training import X, Y, trained, weights
from tinygrad_nn import nn, optim
from tinygrad_nn.errors import ArgumentError, NonFinite, SettingError, UsageWarning
from tinygrad_nn.nn.losses import cross_entropy, mse
from tinygrad_nn.parallel import threads
from tinygrad_nn.train import Callback, Checkpoint, EarlyStopping, Film, fit
from tinygrad_nn.train.film import page as pages
from tinygrad_nn.train.film.packing import halves

RNG = np.random.default_rng(0)
IMAGES = RNG.random(size=(64, 784)).astype(np.float32)
DIGITS = np.arange(64) % 10
LEGACY = np.random.RandomState(0)


def content(page):
    """Return what the script of a page plays."""
    return json.loads(
        re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1]
    )


def parts(film):
    return content(film.html())["films"][0]["parts"]


def filmed(model, x, y, loss=cross_entropy, epochs=2, size=16, **options):
    film = options.pop("film", None) or Film()
    data = tn.data.batches(x, y, size=size, rng=0)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    fit(model, loss, optimizer, data, epochs=epochs, callbacks=[film], progress=False, **options)
    return film


class Restless(nn.Module):
    """Draws, counts and writes whenever it is asked, in evaluation mode too."""

    def __init__(self):
        self.rng = np.random.default_rng(3)
        self.calls, self.seen = 0, np.zeros(())

    def forward(self, x):
        self.calls += 1
        self.last = float(self.rng.random() + LEGACY.random())
        self.seen += 1
        return x * (1 + 0.01 * self.rng.random())


@pytest.mark.parametrize("compiled", [False, True])
def test_training_is_bit_for_bit_the_same_with_a_film(compiled):
    def run(callbacks, restless):
        LEGACY.seed(5)
        model = nn.Sequential(
            nn.Dense(2, 8, rng=0),
            nn.BatchNorm(8),
            nn.Dropout(0.3, rng=1),
            *restless,
            nn.ReLU(),
            nn.Dense(8, 2, rng=2),
        )
        batches = tn.data.batches(X, Y, size=30, rng=0)
        optimizer = optim.Adam(model.parameters(), lr=0.05)
        history = fit(
            model,
            cross_entropy,
            optimizer,
            batches,
            epochs=3,
            metrics=["accuracy"],
            validation=(X, Y),
            callbacks=callbacks,
            progress=False,
            compile=compiled,
        )
        columns = {name: history[name] for name in history if name != "seconds"}
        left = [p.grad.tobytes() for p in model.parameters()], LEGACY.random(), batches.state_dict()["now"]
        return weights(model), columns, left, [(m.calls, m.last) for m in restless]

    # What a replay could not repeat cannot be compiled.
    plain, with_film = (run(c, [] if compiled else [Restless()]) for c in ([], [Film(every=1)]))
    assert plain == with_film


def test_a_film_has_the_model_before_the_first_step_and_after_the_last():
    film = Film(every=4)
    model, history = trained(epochs=3, size=32, callbacks=[film])
    frames = film.recording.frames
    assert [frame.step for frame in frames] == [0, 4, 8, 12, 16, 20, 21]
    assert [frame.epoch for frame in frames][-1] == 3
    np.testing.assert_array_equal(frames[-1].taken["weights"]["0.weight"], model[0].weight.data)
    assert not np.array_equal(frames[0].taken["weights"]["0.weight"], model[0].weight.data)
    reel = content(film.html())["films"][0]
    assert len(reel["curves"]["columns"]["loss"]) == 21
    assert reel["history"] == {
        "ends": [7, 14, 21],
        "columns": {name: pytest.approx(history[name], rel=1e-4) for name in history if name != "seconds"},
    }


def test_a_film_of_a_resumed_training_begins_where_that_does(tmp_path):
    path = tmp_path / "run.safetensors"
    trained(epochs=2, callbacks=[Checkpoint(path)])
    film = Film(every=5)
    trained(epochs=3, callbacks=[Checkpoint(path), film])
    assert [frame.step for frame in film.recording.frames] == [14, 15, 20, 21]
    assert "The film begins at step 14, where training was resumed." in film.html()


def test_a_rate_that_follows_a_schedule_is_that_of_each_step():
    film = Film(every=3)
    trained(epochs=1, lr=lambda step: 0.1 / (1 + step), callbacks=[film])
    assert [frame.rate for frame in film.recording.frames] == pytest.approx([0.1, 0.1 / 3, 0.1 / 6, 0.1 / 7])


def test_modules_that_a_function_calls_are_as_they_are_without_a_film():
    def averages(callbacks):
        norm, w = nn.BatchNorm(2), tn.tensor(np.ones((2, 2), np.float32), requires_grad=True)
        batches = tn.data.batches(X, Y, size=30, rng=0)
        model = lambda x: norm(x) @ w
        fit(model, cross_entropy, optim.SGD([w], lr=0.1), batches, callbacks=callbacks, progress=False)
        return {name: array.tobytes() for name, array in norm.state_dict().items()}

    assert averages([Film(every=1)]) == averages([])


def test_numbers_beyond_those_of_16_bits_are_kept():
    packed = halves([np.array([1e6, -2e6, 3.0])])
    codes = np.frombuffer(zlib.decompress(base64.b64decode(packed["halves"])), "<f2").astype(float)
    np.testing.assert_allclose(codes * packed["scale"], [1e6, -2e6, 3.0], rtol=1e-3)


def test_by_default_there_are_about_a_hundred_frames():
    film = Film()
    trained(epochs=60, size=20, callbacks=[film])
    assert len(film.recording.frames) == 101


def test_two_features_show_the_boundary_one_the_curve_and_images_the_predictions():
    moons = Film()
    trained(epochs=1, callbacks=[moons])
    everything = {"plane", "guesses", "network", "weights", "activations", "gradients", "hidden"}
    assert set(parts(moons)) == everything
    assert parts(moons)["plane"]["classes"] == 2
    x = np.linspace(-1, 1, 40, dtype=np.float32)[:, None]
    sine = filmed(nn.Sequential(nn.Dense(1, 4, rng=0), nn.Tanh(), nn.Dense(4, 1, rng=1)), x, np.sin(x), mse)
    assert {"line", "guesses"} < set(parts(sine))
    assert parts(sine)["guesses"]["classes"] == 0
    mlp = parts(
        filmed(nn.Sequential(nn.Dense(784, 20, rng=0), nn.ReLU(), nn.Dense(20, 10, rng=1)), IMAGES, DIGITS)
    )
    assert mlp["guesses"]["pictures"]["shape"] == [24, 28, 28, 1]
    assert [part["track"]["shape"] for part in mlp["weights"]["parts"]] == [[16, 28, 28], [20, 10]]
    surface = parts(filmed(nn.Dense(2, 1, rng=0), X, X[:, :1] * X[:, 1:], mse))
    assert surface["plane"]["classes"] == 0


def test_the_sum_of_a_unit_holds_of_what_the_page_has():
    film = Film(every=7)
    model, _ = trained(epochs=1, callbacks=[film])
    network = film.recording.frames[-1].taken["network"]
    units = network["units"].reshape(-1, 5)
    inputs = parts(film)["network"]["inputs"]
    first, hidden = units[:16], units[16:]
    np.testing.assert_allclose(first[:, 1], inputs @ model[0].weight.data + model[0].bias.data, rtol=1e-3)
    np.testing.assert_allclose(
        hidden[:, 1], first[:, 2] @ model[2].weight.data + model[2].bias.data, rtol=1e-3
    )
    np.testing.assert_array_equal(
        network["weights"], np.concatenate([model[k].weight.data.ravel() for k in (0, 2)])
    )
    assert np.abs(network["updates"]).max() > 0


def test_what_the_last_layer_is_given_does_not_jump_from_frame_to_frame():
    film = Film(every=1)
    trained(epochs=3, callbacks=[film])
    hidden = next(look for look in film.recording.looks if look.part == "hidden")
    taken = [frame.taken["hidden"] for frame in film.recording.frames]
    packed = hidden.packed(taken)["track"]
    bytes_ = np.cumsum(
        np.frombuffer(zlib.decompress(base64.b64decode(packed["bytes"])), np.uint8).reshape(len(taken), -1),
        axis=0,
        dtype=np.uint8,
    )
    places = (bytes_.astype(float) - 128) / 127 * np.array(packed["high"])[:, None]
    moved = np.abs(np.diff(places, axis=0)).mean(axis=1)
    assert moved.max() < 0.3 * np.abs(places).mean()


def test_one_column_of_logits_or_probabilities_is_two_classes():
    for end in ([], [nn.Sigmoid()]):
        film = filmed(nn.Sequential(nn.Dense(2, 1, rng=0), *end), X, Y[:, None].astype(np.float32), mse)
        plane = parts(film)["plane"]
        assert (plane["classes"], plane["track"]["low"], plane["track"]["high"]) == (2, 0, 1)


def test_models_of_any_kind_are_filmed():
    class Nothing(nn.Module):
        """A model with functions of its own, two inputs, and two outputs."""

        def __init__(self):
            self.scale = tn.tensor(np.ones(3), requires_grad=True, name="scale")

        def forward(self, a, b):
            return a * self.scale, b * self.scale

    x = RNG.normal(size=(40, 3))
    batches = [({"a": x}["a"], x, (x, x))]
    film = Film()
    model = Nothing()
    loss = lambda p, y: mse(p[0], y[0]) + mse(p[1], y[1])
    fit(model, loss, optim.SGD(model.parameters(), lr=0.1), batches, callbacks=[film], progress=False)
    assert "gradients" in parts(film)
    points, wave = tn.tensor(X), nn.Sequential(lambda x: x.tanh(), nn.Dense(2, 2, rng=0))
    film = Film()
    sgd = optim.SGD(wave.parameters(), lr=0.1)
    fit(wave, cross_entropy, sgd, [(points, Y)], callbacks=[film], progress=False)
    assert "plane" in parts(film)
    w = tn.tensor(np.ones((3, 2)), requires_grad=True, name="w")
    film = Film()
    fit(lambda x: x @ w, mse, optim.SGD([w], lr=0.1), [(x, x[:, :2])], callbacks=[film], progress=False)
    assert parts(film)["weights"]["parts"][0]["name"] == "w"
    lstm = nn.Sequential(nn.LSTM(3, 4, rng=0), lambda results: results[0], nn.Dense(4, 2, rng=1))
    film = filmed(lstm, RNG.normal(size=(20, 5, 3)), np.ones((20, 5), int))
    assert "Predictions of shape (20, 5, 2) are not shown." in film.html()
    words = nn.Sequential(nn.Embedding(9, 4, rng=0), nn.Flatten(), nn.Dense(8, 2, rng=1))
    assert "plane" not in parts(filmed(words, RNG.integers(9, size=(30, 2)), np.arange(30) % 2))


def test_pictures_in_colour_and_their_kernels_are_shown():
    images, one_hot = RNG.random(size=(30, 8, 8, 3)), np.eye(2)[np.arange(30) % 2]
    model = nn.Sequential(nn.Conv2d(3, 4, 3, rng=0), nn.ReLU(), nn.Flatten(), nn.Dense(144, 2, rng=1))
    film = filmed(model, images, one_hot, mse)
    found = parts(film)
    assert found["guesses"]["pictures"]["shape"] == [24, 8, 8, 3]
    assert found["guesses"]["classes"] == 2
    assert found["weights"]["parts"][0]["track"]["shape"] == [4, 3, 3]
    assert "network" not in found
    grey = filmed(nn.Sequential(nn.Flatten(), nn.Dense(64, 2, rng=1)), images[..., 0], np.arange(30) % 2)
    assert parts(grey)["guesses"]["pictures"]["shape"] == [24, 8, 8, 1]


def test_classes_of_one_feature_are_a_curve_of_shares():
    x = np.linspace(-1, 1, 40)
    film = filmed(nn.Sequential(lambda x: x[:, None], nn.Dense(1, 2, rng=0)), x, (x > 0).astype(int))
    track = parts(film)["line"]["track"]
    assert track["shape"] == [1, 160]
    assert 0 <= track["low"] < track["high"] <= 1


def test_what_is_left_out_of_a_large_model_and_a_long_training_is_said():
    deep = nn.Sequential(*[nn.Dense(5, 5, rng=k) for k in range(18)], nn.Dense(5, 60, rng=0))
    film = filmed(deep, RNG.normal(size=(80, 5)), np.arange(80) % 60, epochs=1, size=80)
    notes = content(film.html())["films"][0]["notes"]
    assert "Layers whose activations are left out: 9." in notes
    assert "Parameters whose gradients are left out: 22." in notes
    assert "Matrices of weights that are left out: 13." in notes
    assert "Of wide layers 24 units are drawn in the network, evenly spread." in notes
    long = filmed(nn.Dense(2, 2, rng=0), X, Y, epochs=1100, size=200, film=Film(every=550))
    assert "A point of a curve is the mean of 2 steps." in long.html()
    assert long.html().count("<tr><th>") == 21
    wide = filmed(nn.Dense(70, 60, rng=0), RNG.normal(size=(80, 70)), np.arange(80) % 60)
    assert "Of large weights some rows and columns, or units, are shown: weight." in wide.html()


def test_batches_by_name_and_data_of_ones_own():
    model = nn.Dense(2, 2, rng=0)
    batches = [{"x": X[:50], "y": Y[:50]}, {"x": X[50:], "y": Y[50:]}]
    rate = optim.SGD(model.parameters(), lr=0.1)
    film = Film()
    fit(model, cross_entropy, rate, batches, keys=("x", "y"), callbacks=[film], progress=False)
    assert len(parts(film)["plane"]["points"]["x"]) == 50
    own = Film(data={"x": X[:7], "y": Y[:7]})
    fit(model, cross_entropy, rate, batches, keys=("x", "y"), callbacks=[own], progress=False)
    assert len(parts(own)["plane"]["points"]["x"]) == 7
    for data in (
        (X[:9], Y[:9]),
        [X[:9], Y[:9]],
        [(X[:9], Y[:9]), (X, Y)],
        tn.data.batches(X[:9], Y[:9], size=2),
    ):
        own = Film(data=data)
        trained(epochs=1, callbacks=[own])
        assert len(parts(own)["plane"]["points"]["x"]) == 9


def test_only_the_first_rank_writes(tmp_path):
    def run(comm, filming):
        path = tmp_path / f"{comm.rank}.html"
        return trained(comm=comm, callbacks=[Film(path)] if filming else [])[0]

    filmed_one, _ = threads(2, lambda comm: run(comm, True), timeout=20)
    plain_one, _ = threads(2, lambda comm: run(comm, False), timeout=20)
    assert weights(filmed_one) == weights(plain_one)
    assert [path.name for path in tmp_path.iterdir()] == ["0.html"]


class Stops(Callback):
    def __init__(self, error, step):
        self.error, self.step = error, step

    def on_step(self, run):
        if run.batch == self.step:
            raise self.error


def test_a_whole_page_is_left_after_ctrl_c_and_after_an_error(tmp_path):
    path = tmp_path / "film.html"
    trained(callbacks=[Film(path, every=2), Stops(KeyboardInterrupt(), 3)])
    reel = content(path.read_text(encoding="utf-8"))["films"][0]
    assert reel["steps"] == [0, 2]
    assert "Training ended early: interrupted after batch 3 of epoch 1." in reel["notes"]
    with pytest.raises(OSError, match="out of paper"):
        trained(callbacks=[Film(path, every=1), Stops(OSError("out of paper"), 3)])
    reel = content(path.read_text(encoding="utf-8"))["films"][0]
    assert reel["steps"] == [0, 1, 2]
    assert "Training ended early: OSError: out of paper." in reel["notes"]
    with pytest.raises(NonFinite), np.errstate(all="ignore"):
        trained(lr=1e38, callbacks=[Film(path)])
    assert "NonFinite" in content(path.read_text(encoding="utf-8"))["films"][0]["notes"][-1]
    assert [p.name for p in tmp_path.iterdir()] == ["film.html"]


def test_the_last_frame_is_the_end_of_training_and_not_what_is_put_back_afterwards():
    film = Film(every=100)
    trained(epochs=4, lr=0.5, callbacks=[film, EarlyStopping("acc", patience=0, mode="min")])
    assert film.recording.frames[-1].step == film.recording.epochs[-1][0]


def test_what_cannot_be_asked_is_said_and_training_goes_on():
    class Picky(nn.Module):
        def __init__(self):
            self.inner = nn.Dense(2, 2, rng=0)

        def forward(self, x):
            if len(x) > 300:
                raise RuntimeError("no more than 300 rows")
            return self.inner(x)

    with pytest.warns(UsageWarning, match=r"Film: Not shown: Decision boundary \(RuntimeError: no more than"):
        film = filmed(Picky(), X, Y)
    assert "plane" not in parts(film)
    assert "guesses" in parts(film)
    with pytest.warns(UsageWarning, match="Not shown: the sample"):
        few = filmed(nn.Sequential(lambda x: x.reshape(16, 2), nn.Dense(2, 2, rng=0)), X[:160], Y[:160])
    assert "gradients" in parts(few)
    assert "no more than 300 rows" in film.html()


def test_data_of_any_kind_leave_a_page_that_can_be_read():
    hole = X.copy()
    hole[3] = np.nan
    model = nn.Sequential(lambda x: np.nan_to_num(x), nn.Dense(2, 2, rng=0))
    film = filmed(model, hole, Y)
    assert parts(film)["plane"]["points"]["x"][3] is None
    w, loss = tn.tensor(2.0, requires_grad=True, name="w"), lambda p, y: (p - 1) ** 2

    class Own:
        """What stands for data in a program of one's own."""

    for given in (np.float64(3.0), Own(), {"a": [1, "b"]}):
        film = Film()
        batches = [(given, np.ones(1))]
        fit(lambda x: w * 3.0, loss, optim.SGD([w], lr=0.1), batches, callbacks=[film], progress=False)
        assert set(parts(film)) == {"gradients"}


def test_a_film_of_a_debugged_training():
    film = Film()
    with tn.debug():
        trained(epochs=1, callbacks=[film])
    assert "plane" in parts(film)


class Doctor(Callback):
    """What a film knows of a doctor: a report with findings."""

    class Finding:
        name, module, line = "dead-units", "1: ReLU", "nn.LeakyReLU()"
        numbers = {"dead": 3, "share": 0.123456}  # noqa: RUF012

    class Report:
        def __init__(self):
            self.findings = []

    def __init__(self):
        self.report = self.Report()

    def on_epoch(self, run):
        if run.epoch == 2:
            self.report.findings.append(self.Finding())


def test_findings_stand_at_the_step_where_a_doctor_has_them():
    film = Film()
    trained(epochs=3, size=50, callbacks=[film, Doctor()])
    finding = {
        "step": 9,
        "name": "dead-units",
        "module": "1: ReLU",
        "text": "dead 3, share 0.1235",
        "line": "nn.LeakyReLU()",
    }
    assert content(film.html())["films"][0]["reports"] == [[9, [finding]]]


class Fickle(Callback):
    """A doctor that says less and less, and the most important thing last."""

    rank = 1
    said = (["a", "b"], ["b"], ["c", "b"])

    def __init__(self):
        self.report = SimpleNamespace(findings=[])

    def on_epoch(self, run):
        self.report.findings = [
            SimpleNamespace(name=name, text=f"{name} now") for name in self.said[run.epoch - 1]
        ]

    def on_end(self, run):
        self.report.findings = [SimpleNamespace(name="b", text="b at last")]


@pytest.mark.parametrize("first", [True, False])
def test_the_last_frame_says_what_the_last_report_says(first):
    film, doctor = Film(), Fickle()
    trained(epochs=3, size=50, callbacks=[film, doctor] if first else [doctor, film])
    reports = content(film.html())["films"][0]["reports"]
    assert [[f["name"] for f in report] for _, report in reports][-1] == ["b"]
    assert [f.text for f in film.recording.findings] == ["b at last"]
    # It was there from the first epoch on, and stayed.
    assert film.recording.findings[0].step == reports[0][0] < reports[-1][0]
    assert "b at last" in film.html()


def test_a_page_of_a_hundred_frames_is_small():
    moons = Film(every=1)
    trained(epochs=10, size=20, callbacks=[moons])
    assert len(moons.recording.frames) == 101
    assert len(moons.html()) < 500_000
    model = nn.Sequential(nn.Dense(784, 128, rng=0), nn.ReLU(), nn.Dense(128, 10, rng=1))
    mlp = filmed(model, IMAGES, DIGITS, epochs=100, size=64)
    assert len(mlp.recording.frames) == 101
    assert len(mlp.html()) < 2_000_000


def test_a_page_that_would_be_too_large_has_fewer_frames_and_says_so(monkeypatch):
    film = Film(every=1)
    trained(epochs=10, size=20, callbacks=[film])
    monkeypatch.setattr(pages, "SIZE", 150_000)
    text = film.html()
    reel = content(text)["films"][0]
    assert len(text) <= 150_000
    assert 10 <= len(reel["steps"]) < 60
    assert (reel["steps"][0], reel["steps"][-1]) == (0, 100)
    assert reel["notes"][0] == (
        f"Frames: {len(reel['steps'])}, of 101 recorded; one after every 1 of 100 steps."
    )


def test_of_very_many_frames_every_other_one_is_let_go():
    film = Film(every=1)
    trained(epochs=41, size=20, callbacks=[film])
    assert len(film.recording.frames) <= 400
    assert film.recording.every == 2
    assert film.recording.frames[-1].step == 410


def test_the_page_loads_nothing_and_shows_something_without_a_script():
    film = Film(title="<Two> & moons")
    trained(epochs=2, validation=0.2, callbacks=[film])
    text = film.html()
    assert not re.search(r"https?://(?!www\.w3\.org/)", text)
    assert "default-src 'none'" in text
    assert "connect-src" not in text
    assert "<title>&lt;Two&gt; &amp; moons</title>" in text
    assert text.count("data:image/png;base64,") == 2
    assert "<th>val_loss</th>" in text
    assert text.count("<polyline") == 2


def test_the_page_speaks_japanese():
    film = Film(lang="ja")
    trained(epochs=1, callbacks=[film])
    text = film.html()
    assert '<html lang="ja"' in text
    assert all(word in text for word in ("損失", "勾配", "重み", "学習率", "活性化"))


def test_a_film_is_shown_in_a_notebook():
    film = Film()
    assert film._repr_html_() == "Film(0 frames of 0 steps: not begun)"
    trained(epochs=1, callbacks=[film])
    assert film._repr_html_().startswith('<iframe srcdoc="&lt;!doctype html&gt;')


def test_a_moving_picture_has_a_frame_for_each(tmp_path):
    image = pytest.importorskip("PIL.Image")
    film = Film(tmp_path / "moons.gif", every=4)
    trained(epochs=2, callbacks=[film])
    with image.open(tmp_path / "moons.gif") as opened:
        assert opened.n_frames == len(film.recording.frames) == 5
    mlp = filmed(nn.Dense(784, 10, rng=0), IMAGES, DIGITS, epochs=1)
    mlp.gif(tmp_path / "digits.gif")
    plain = filmed(nn.Dense(5, 1, rng=0), RNG.normal(size=(20, 5)), np.ones((20, 1)), mse, epochs=1)
    plain.render(tmp_path / "plain.gif")


def test_without_pillow_the_error_names_the_extra(tmp_path, monkeypatch):
    film = Film()
    trained(epochs=1, callbacks=[film])
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"pip install 'tinygrad_nn\[plot\]'"):
        film.gif(tmp_path / "film.gif")


def test_two_films_stand_on_one_page(tmp_path):
    films = [Film(title=f"rate {lr}") for lr in (0.01, 0.3)]
    for film, lr in zip(films, (0.01, 0.3), strict=True):
        trained(epochs=1, lr=lr, callbacks=[film])
    Film.compare(tmp_path / "both.html", *films)
    reels = content((tmp_path / "both.html").read_text(encoding="utf-8"))["films"]
    assert [reel["title"] for reel in reels] == ["rate 0.01", "rate 0.3"]
    with pytest.raises(ArgumentError, match="two films or more are needed"):
        Film.compare(tmp_path / "one.html", films[0])
    with pytest.raises(ArgumentError, match="compare: writes a page"):
        Film.compare(tmp_path / "both.gif", *films)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (partial(Film, "film.mp4"), ArgumentError, "Film: a film is a page, .html, or a moving picture"),
        (partial(Film, every=0), SettingError, "every"),
        (partial(Film, lang="de"), SettingError, "Film: lang is one of"),
        (partial(Film, data=X), ArgumentError, "Film: data are a batch or batches, got ndarray"),
        (partial(Film, data=3), ArgumentError, "Film: data are a batch or batches, got int"),
        (Film().html, ArgumentError, r"Film.html: nothing has been recorded yet"),
        (partial(Film().render, "x.png"), ArgumentError, "render: a film is a page"),
    ],
)
def test_what_cannot_be_a_film_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
