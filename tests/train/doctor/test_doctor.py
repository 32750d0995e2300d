"""The doctor: it changes no training, sees what happens in all kinds of them, and writes a report that is there."""

import re
import signal

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support import wards
from tests.support.training import X, Y, network, weights
from tinygrad_nn import nn, optim
from tinygrad_nn.data import batches
from tinygrad_nn.errors import NonFinite, SettingError, ShapeError, UsageWarning
from tinygrad_nn.nn.losses import cross_entropy, mse
from tinygrad_nn.parallel import threads
from tinygrad_nn.train import Callback, Doctor, EarlyStopping, examine, fit
from tinygrad_nn.train.doctor import NAMES
from tinygrad_nn.train.doctor.phrases import LINES, PHRASES


def names(report):
    return [finding.name for finding in report.findings]


class Restless(nn.Module):
    """Draws, counts and averages, by layers, by hand and with a generator that nobody lists."""

    def __init__(self):
        self.body = nn.Sequential(nn.Dense(2, 16, rng=0), nn.BatchNorm(16), nn.ReLU(), nn.Dropout(0.3, rng=1))
        self.head = nn.Dense(16, 2, rng=2)
        self.calls = 0
        self.seen = np.zeros(16)

    def forward(self, x):
        h = self.body(x)
        if self.training:
            self.calls += 1
            self.seen += h.data.sum(axis=0)
            h = h * (1 + 0.01 * GENERATOR.normal(size=h.shape).astype(np.float32))
        return self.head(h)


GENERATOR = np.random.default_rng(5)


def restless(callbacks, comm=None, **options):
    """Train; return all that the training has left behind."""
    global GENERATOR
    GENERATOR = np.random.default_rng(5)
    model = nn.Sequential(
        nn.Dense(2, 16, rng=0), nn.BatchNorm(16), nn.Dropout(0.3, rng=1), nn.Dense(16, 2, rng=2)
    )
    if comm is None and not options:
        model = Restless()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    data = batches(X, Y, size=32, rng=0)
    history = fit(
        model,
        cross_entropy,
        optimizer,
        data,
        epochs=3,
        callbacks=callbacks,
        progress=False,
        comm=comm,
        **options,
    )
    drawn = [
        repr(layer.rng.bit_generator.state)
        for _, layer in model.named_modules()
        if isinstance(layer, nn.Dropout)
    ]
    left = [
        [array.tobytes() for array in optimizer.state_dict().values()],
        GENERATOR.bit_generator.state["state"],
        *drawn,
    ]
    gradients = [parameter.grad.tobytes() for parameter in model.parameters()]
    return weights(model), history["loss"], getattr(model, "calls", 0), left, gradients


@pytest.mark.parametrize("options", [{}, {"compile": True}])
def test_a_training_with_a_doctor_is_the_same_bit_for_bit(options):
    doctor = Doctor()
    assert restless([doctor], **options) == restless([], **options)
    assert len(doctor.report.findings) == 0
    assert doctor.report.steps == 21


def test_ranks_with_a_doctor_each_train_the_same_bit_for_bit():
    doctors = [Doctor(), Doctor()]
    with_doctors = threads(2, lambda comm: restless([doctors[comm.rank]], comm=comm))
    assert with_doctors == threads(2, lambda comm: restless([], comm=comm))
    assert [names(doctor.report) for doctor in doctors] == [[], []]


def test_ranks_and_compiled_steps_and_batches_by_name_are_looked_after():
    def work(comm):
        model, doctor = network(), Doctor()
        data = [{"points": X[k : k + 20], "labels": Y[k : k + 20]} for k in range(0, 200, 20)]
        fit(
            model,
            cross_entropy,
            optim.SGD(model.parameters(), lr=1e-6),
            data,
            epochs=2,
            keys=("points", "labels"),
            callbacks=[doctor],
            progress=False,
            compile=True,
            comm=comm,
        )
        return names(doctor.report)

    assert threads(2, work) == [["rate-too-low"]] * 2


def test_a_rank_without_rows_is_looked_after_too():
    def work(comm):
        doctor, model = Doctor(), network()
        data = batches(X[:21], Y[:21], size=20, rng=0)
        fit(
            model,
            cross_entropy,
            optim.Adam(model.parameters(), lr=0.01),
            data,
            callbacks=[doctor],
            progress=False,
            comm=comm,
        )
        return doctor.report

    assert [report.steps for report in threads(3, work)] == [2, 2, 2]


def doctored(model, loss, optimizer, data, error=None, more=(), **options):
    """Train, with an error in the end if one is expected; return the report."""
    doctor = Doctor()
    if error is None:
        fit(model, loss, optimizer, data, callbacks=[*more, doctor], progress=False, **options)
    else:
        with pytest.raises(error):
            fit(model, loss, optimizer, data, callbacks=[*more, doctor], progress=False, **options)
    return doctor.report


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_the_report_is_there_after_a_loss_that_is_not_finite():
    training = wards.diverging_regression()
    report = doctored(training.model, mse, training.optimizer, training.data(), NonFinite, epochs=20)
    assert "rate-too-high" in names(report)[:2]
    assert report.steps > 0


def test_the_report_is_there_after_an_error_of_shapes():
    training = wards.refused_by_the_loss()
    report = doctored(training.model, mse, training.optimizer, training.data(), ShapeError)
    (finding,) = report.findings
    assert finding.name == "wrong-target-shape"
    assert finding.line == "y = y[..., None]"
    assert "could not look further: ShapeError: mse" in repr(report)


def test_the_report_is_there_after_an_error_of_the_model_which_is_raised_as_without_a_doctor():
    class Broken(nn.Module):
        def __init__(self):
            self.layer = nn.Dense(2, 2, rng=0)

        def forward(self, x):
            raise OSError("gone")

    model = Broken()
    report = doctored(
        model, cross_entropy, optim.SGD(model.parameters(), lr=1), batches(X, Y, size=50), OSError
    )
    assert report.findings == ()
    assert report.stopped == "OSError: gone"


def test_the_report_is_there_after_ctrl_c():
    class Stop(Callback):
        def on_step(self, run):
            if run.epoch == 1:
                signal.raise_signal(signal.SIGINT)

    doctor, model = Doctor(), network()
    optimizer = optim.SGD(model.parameters(), lr=1e-6)
    history = fit(
        model,
        cross_entropy,
        optimizer,
        batches(X, Y, size=50, rng=0),
        epochs=3,
        callbacks=[Stop(), doctor],
        progress=False,
    )
    assert history.stopped == "interrupted after batch 1 of epoch 2"
    assert names(doctor.report) == ["rate-too-low"]


def test_the_report_is_there_before_during_and_after_a_training():
    doctor = Doctor()
    assert doctor.report.findings == ()
    found = []

    class Ask(Callback):
        def on_epoch(self, run):
            found.append(names(doctor.report))

    training = wards.all_of_one_class()
    fit(
        training.model,
        cross_entropy,
        training.optimizer,
        training.data(),
        epochs=2,
        callbacks=[doctor, Ask()],
        progress=False,
    )
    assert found == [["constant-labels"]] * 2


def test_a_warning_that_is_an_error_is_not_in_the_way_of_what_it_warns_of():
    training = wards.softmax_at_the_end()
    report = doctored(training.model, cross_entropy, training.optimizer, training.data(), UsageWarning)
    (finding,) = report.findings
    assert (finding.name, finding.module, finding.line) == ("softmax-twice", "3", "model = model[:-1]")


def test_a_training_that_stops_early_does_not_overfit():
    training = wards.a_few_noisy_rows()
    stopping = EarlyStopping("val_loss", patience=30)
    report = doctored(
        training.model,
        cross_entropy,
        training.optimizer,
        training.data(),
        epochs=60,
        validation=training.validation,
        more=[stopping],
    )
    assert report.findings == ()


def test_a_doctor_may_be_called_again():
    doctor = Doctor()
    for make, expected in ((wards.a_millionth_with_sgd, ["rate-too-low"]), (wards.healthy_cnn, [])):
        training = make()
        fit(
            training.model,
            cross_entropy,
            training.optimizer,
            training.data(),
            epochs=2,
            callbacks=[doctor],
            progress=False,
        )
        assert names(doctor.report) == expected


def test_a_finding_has_a_name_a_module_numbers_and_a_line():
    training = wards.biases_far_below_zero()
    report = examine(training.model, cross_entropy, training.data())
    finding = report.findings[0]
    assert finding.name == "dead-units"
    assert finding.module == "1"
    assert finding.numbers["share"] == 1
    assert finding.numbers["units"] == finding.numbers["dead"] == 16
    assert "LeakyReLU" in finding.line
    assert "16 of 16 units (100%) of 1 (ReLU) were 0" in finding.text
    assert repr(report).splitlines()[1] == f"1. dead-units (1): {finding.text}"


def test_a_report_is_a_table_in_notebooks_whose_texts_are_escaped():
    class Net(nn.Module):
        def __init__(self):
            self.layers = {"<b>": nn.Dense(2, 2, rng=0, init=nn.init.zeros()), "c": nn.Dense(2, 2, rng=1)}

        def forward(self, x):
            return self.layers["c"](tn.relu(self.layers["<b>"](x)))

    page = examine(Net(), cross_entropy, (X, Y))._repr_html_()
    assert "<code>layers.&lt;b&gt;</code>" in page
    assert "<b>" not in page
    assert page.count("<tr>") > 1
    assert "<table>" not in examine(network(), cross_entropy, (X, Y))._repr_html_()


@pytest.mark.parametrize(
    "ill", [one for one in wards.WARDS if one.ill and one.quick and one.before], ids=lambda one: one.name
)
@pytest.mark.filterwarnings("ignore::tinygrad_nn.errors.UsageWarning")
def test_a_report_in_japanese_has_the_same_findings_in_other_words(ill):
    training = ill.make()
    english = examine(training.model, training.loss, training.data(), training.optimizer)
    japanese = examine(training.model, training.loss, training.data(), training.optimizer, lang="ja")
    assert names(english) == names(japanese)
    assert [finding.numbers for finding in english.findings] == [
        finding.numbers for finding in japanese.findings
    ]
    assert all(re.search("[ぁ-ん]", finding.text) for finding in japanese.findings)
    assert "重要な順" in repr(japanese)


def test_every_ill_has_a_sentence_and_a_line_in_each_language_with_the_same_fields():
    for name, texts in LINES.items():
        fields = [set(re.findall(r"{(\w+)", texts[lang])) for lang in ("en", "ja")]
        assert fields[0] == fields[1], name
    assert {name for name in NAMES if not any(key.split(".")[0] == name for key in PHRASES)} == set()
    assert {name for name in NAMES if not any(key.split(".")[0] == name for key in LINES)} == set()


@pytest.mark.parametrize(
    "make", [lambda: Doctor(lang="fr"), lambda: examine(network(), cross_entropy, (X, Y), lang="fr")]
)
def test_a_language_that_there_is_not_is_refused(make):
    with pytest.raises(SettingError, match="lang is one of 'en', 'ja', got 'fr'"):
        make()


def left(model, optimizer, data):
    """Return everything that an examination could have moved, as it is now."""
    slots = {name: array.tobytes() for name, array in optimizer.state_dict().items()}
    gradients = [None if p.grad is None else p.grad.tobytes() for p in model.parameters()]
    modes = [module.training for _, module in model.named_modules()]
    drawn = repr(model.body[3].rng.bit_generator.state)
    return weights(model), slots, gradients, modes, drawn, model.calls, repr(data.state_dict())


def test_an_examination_changes_nothing():
    model = Restless()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    data = batches(X, Y, size=32, rng=0)
    fit(model, cross_entropy, optimizer, data, progress=False)
    model.body.eval()
    loss = cross_entropy(model(X[:50]), Y[:50])
    before = left(model, optimizer, data)
    report = examine(model, cross_entropy, data, optimizer)
    assert left(model, optimizer, data) == before
    assert names(report) == ["wrong-mode"]
    # Not even a graph that is to be gone back through notices.
    loss.backward()


def test_an_examination_in_the_middle_of_an_epoch_leaves_the_next_one_whole():
    looked_at, other = batches(X, Y, size=32, rng=0), batches(X, Y, size=32, rng=0)
    next(iter(looked_at)), next(iter(other))
    examine(network(), cross_entropy, looked_at)
    rows, expected = ([inputs.tobytes() for inputs, _ in data] for data in (looked_at, other))
    assert rows == expected


def test_an_examination_takes_batches_arrays_and_names():
    for data, keys in (
        ((X, Y), None),
        ([X, Y], None),
        ({"x": X, "y": Y}, ("x", "y")),
        ([(X[:50], Y[:50]), (X[50:], Y[50:])], None),
        (iter([(X, Y)]), None),
    ):
        assert names(examine(network(), cross_entropy, data, keys=keys)) == []


def test_without_an_optimizer_nothing_is_said_of_rates():
    training = wards.ten_with_sgd()
    assert names(examine(training.model, cross_entropy, training.data())) == []
    assert (
        names(examine(training.model, cross_entropy, training.data(), training.optimizer))[0]
        == "rate-too-high"
    )


def test_a_function_may_be_the_model():
    model = network()
    report = examine(lambda x: model(x), cross_entropy, (X, Y), optim.SGD(model.parameters(), lr=1e-7))
    assert names(report) == ["rate-too-low"]


def test_a_schedule_that_begins_low_is_no_low_rate():
    model = network()
    rate = optim.schedules.warmup(optim.schedules.cosine(0.05, 1000), 1000)
    assert names(examine(model, cross_entropy, (X, Y), optim.SGD(model.parameters(), lr=rate))) == []


GIVEN = []


class Counted(nn.Sequential):
    """Counts the rows that it is given, where nobody puts back what was before."""

    def forward(self, x):
        GIVEN.append(len(x))
        return super().forward(x)


def test_in_an_epoch_of_mnist_it_looks_at_one_row_in_forty_at_most():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(6000, 784)).astype(np.float32)
    labels = (images[:, :392] @ rng.normal(size=(392, 10))).argmax(axis=1)
    batch = [(images[k : k + 100], labels[k : k + 100]) for k in range(0, 6000, 100)]
    GIVEN.clear()
    model, doctor = Counted(*wards.mlp(784, 128, 10)), Doctor()
    optimizer = optim.Adam(model.parameters(), lr=0.001)
    fit(model, cross_entropy, optimizer, 10 * batch, callbacks=[doctor], progress=False)
    assert doctor.report.steps == 600
    assert doctor.report.findings == ()
    assert 0 < sum(GIVEN) - 60_000 <= 60_000 / 40


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_a_doctor_is_shown_by_its_report_or_that_there_is_none_yet(lang):
    doctor = Doctor(lang=lang)
    assert repr(doctor) == PHRASES["not.yet"][lang]
    assert doctor._repr_html_() is None
    model = network()
    sgd = optim.SGD(model.parameters(), lr=1e-7)
    fit(model, cross_entropy, sgd, batches(X, Y, size=50, rng=0), callbacks=[doctor], progress=False)
    assert repr(doctor) == str(doctor) == repr(doctor.report)
    assert doctor._repr_html_() == doctor.report._repr_html_()
