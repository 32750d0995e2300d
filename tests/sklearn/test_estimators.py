"""NetClassifier and NetRegressor keep scikit-learn's conventions, and train with what the library has."""

import pickle
import signal
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import errors, nn, optim

pytest.importorskip("sklearn.utils.validation", reason="extra sklearn")
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris, make_regression
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from tinygrad_nn.sklearn import NetClassifier, NetRegressor
from tinygrad_nn.sklearn.parts import ACTIVATIONS, OPTIMIZERS

BOTH = [NetClassifier, NetRegressor]
IN_BATCHES = {
    "check_sample_weight_equivalence_on_dense_data": "a row that is there twice is in two of the shuffled batches"
}


def iris():
    X, y = load_iris(return_X_y=True)
    return StandardScaler().fit_transform(X), np.array(["setosa", "versicolor", "virginica"])[y]


def quick(estimator=NetClassifier, **settings):
    """An estimator that has learnt enough after a moment."""
    return estimator(**{"learning_rate_init": 0.02, "max_iter": 30, "random_state": 0} | settings)


def numbers(model):
    return np.concatenate([p.data.ravel() for p in model.model_.parameters()])


def one_layer(n_in, n_out, rng):
    return nn.Sequential(nn.Dense(n_in, n_out, rng=rng))


# Conventions


@pytest.mark.parametrize("estimator", BOTH)
@pytest.mark.filterwarnings("ignore::RuntimeWarning:sklearn", "ignore:.*is not installed", "ignore:.*SCIPY")
@pytest.mark.parametrize(
    ("settings", "failing"), [({}, {}), ({"batch_size": 16, "max_iter": 20}, IN_BATCHES)]
)
def test_every_check_of_scikit_learn_passes_and_weights_of_rows_where_a_batch_has_all(
    estimator, settings, failing
):
    results = check_estimator(
        quick(estimator, **settings), expected_failed_checks=failing, on_skip=None, on_fail=None
    )
    statuses = {result["check_name"]: result["status"] for result in results}
    assert len(statuses) > 50
    assert [name for name, status in statuses.items() if status == "failed"] == []
    assert [name for name, status in statuses.items() if status == "xfail"] == [*failing]


def test_the_room_is_there_under_its_name():
    assert tn.sklearn.NetClassifier is NetClassifier


def test_without_scikit_learn_the_error_names_the_extra():
    code = "import sys; sys.modules['sklearn'] = None; import tinygrad_nn; tinygrad_nn.sklearn"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert 'pip install "tinygrad_nn[sklearn]"' in done.stderr


def test_labels_may_be_texts_and_the_probabilities_of_a_row_sum_to_one():
    X, y = iris()
    model = quick().fit(X, y)
    assert model.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert model.score(X, y) > 0.95
    probabilities = model.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=0, atol=1e-15)
    np.testing.assert_array_equal(model.classes_[probabilities.argmax(axis=1)], model.predict(X))
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), probabilities)


def test_a_pipeline_is_searched_through_in_two_processes_and_cloned():
    X, y = iris()
    pipeline = make_pipeline(StandardScaler(), quick(max_iter=10))
    grid = {"netclassifier__hidden_layer_sizes": [(4,), (16, 8)], "netclassifier__dropout": [0.0, 0.2]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2).fit(X, y)
    assert search.best_score_ > 0.85
    assert clone(search.best_estimator_).get_params() is not None
    assert clone(quick(activation="tanh")).get_params() == quick(activation="tanh").get_params()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("estimator", BOTH)
def test_the_network_has_the_dtype_of_the_rows(estimator, dtype):
    X, _ = iris()
    model = quick(estimator).fit(X.astype(dtype), np.arange(150) % 3)
    assert {p.dtype for p in model.model_.parameters()} == {np.dtype(dtype)}
    assert (
        quick(estimator).fit(X.round().astype(int), np.arange(150) % 3).model_[0].weight.dtype == np.float64
    )


def test_columns_of_a_data_frame_give_features_their_names():
    import pandas

    X, y = iris()
    frame = pandas.DataFrame(X, columns=["a", "b", "c", "d"])
    model = quick().fit(frame, pandas.Series(y))
    assert model.feature_names_in_.tolist() == ["a", "b", "c", "d"]
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[["b", "a", "c", "d"]])


@pytest.mark.parametrize("estimator", BOTH)
def test_the_same_random_state_gives_the_same_network_with_dropout_and_rows_held_out(estimator):
    X, _ = iris()
    make = partial(quick, estimator, dropout=0.3, early_stopping=True, batch_size=32)
    fits = [make(random_state=seed).fit(X, np.arange(150) % 3) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(numbers(fits[0]), numbers(fits[1]))
    assert not np.array_equal(numbers(fits[0]), numbers(fits[2]))


@pytest.mark.parametrize("shape", [(80,), (80, 3)])
def test_a_regressor_predicts_one_target_or_several(shape):
    X, y = make_regression(80, 5, n_targets=3, random_state=0)
    y = (y / y.std(axis=0))[:, 0] if len(shape) == 1 else y / y.std(axis=0)
    model = quick(NetRegressor, max_iter=200).fit(X, y)
    assert model.predict(X).shape == shape
    assert model.score(X, y) > 0.95


def test_a_column_of_targets_is_taken_for_one_target_with_a_warning():
    X, _ = iris()
    with pytest.warns(UserWarning, match="column-vector"):
        assert quick(NetRegressor).fit(X, X[:, :1]).predict(X).shape == (150,)


# Going on


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("estimator", BOTH)
def test_after_a_pickle_partial_fit_goes_on_bit_for_bit(estimator, compiled):
    X, _ = iris()
    y, more = np.arange(150) % 3, {"classes": [0, 1, 2]} if estimator is NetClassifier else {}
    model = quick(estimator, dropout=0.2, batch_size=32, compile=compiled).partial_fit(X, y, **more)
    other = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(other.predict(X), model.predict(X))
    for _ in range(2):
        model.partial_fit(X, y)
        other.partial_fit(X, y)
    np.testing.assert_array_equal(numbers(other), numbers(model))
    assert other.n_iter_ == model.n_iter_ == len(other.loss_curve_) == 3
    assert other.optimizer_.steps == 15


def test_partial_fit_is_an_epoch_of_fit():
    X, y = iris()
    whole = quick(max_iter=3, batch_size=32).fit(X, y)
    parts = quick(batch_size=32)
    for _ in range(3):
        parts.partial_fit(X, y, classes=np.unique(y))
    np.testing.assert_array_equal(numbers(whole), numbers(parts))
    assert whole.loss_curve_ == parts.loss_curve_


def test_partial_fit_goes_on_after_fit():
    X, y = iris()
    model = quick().fit(X, y)
    before, epochs = numbers(model), model.n_iter_
    assert model.partial_fit(X, y).n_iter_ == epochs + 1
    assert not np.array_equal(numbers(model), before)


def test_a_class_that_comes_later_is_among_the_classes():
    X, y = iris()
    model = quick().partial_fit(X[:80], y[:80], classes=np.unique(y))
    assert model.partial_fit(X[80:], y[80:]).predict_proba(X).shape == (150, 3)


def test_fit_begins_anew():
    X, y = iris()
    model = quick()
    first = numbers(model.fit(X, y))
    np.testing.assert_array_equal(numbers(model.fit(X, y)), first)
    assert model.n_iter_ == 30


def test_a_fit_that_fails_leaves_the_network_of_before():
    X, y = iris()
    model = quick().fit(X, y)
    before = numbers(model)
    with np.errstate(all="ignore"), pytest.raises(errors.NonFinite):
        model.set_params(optimizer="sgd", learning_rate_init=1e30).fit(X, y)
    np.testing.assert_array_equal(numbers(model), before)


def test_a_first_fit_that_fails_leaves_nothing_fitted():
    X, y = iris()
    model = quick(optimizer="sgd", learning_rate_init=1e30)
    with np.errstate(all="ignore"), pytest.raises(errors.NonFinite):
        model.fit(X, y)
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_a_compiled_fit_is_that_of_ops_one_by_one():
    X, y = iris()
    eager, compiled = (quick(compile=c, batch_size=32).fit(X, y) for c in (False, True))
    np.testing.assert_allclose(numbers(compiled), numbers(eager), rtol=1e-6, atol=1e-9)


def test_gradients_are_not_kept():
    X, y = iris()
    assert all(p.grad is None for p in quick().fit(X, y).model_.parameters())


# Training


def test_training_ends_when_its_loss_does_not_improve():
    X, y = iris()
    model = quick(max_iter=2000, learning_rate_init=0.1).fit(X, y)
    assert model.n_iter_ < 2000
    assert len(model.loss_curve_) == len(model.history_) == model.n_iter_
    assert "loss has not improved" in model.history_.stopped


def test_early_stopping_watches_rows_that_are_held_out_and_keeps_the_best_network():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(100, 20)), np.repeat([0, 1], [80, 20])
    held = []
    model = quick(
        max_iter=500,
        learning_rate_init=0.05,
        early_stopping=True,
        validation_fraction=0.2,
        callbacks=[lambda run: held.append(len(run.data))],
        batch_size=10,
    ).fit(X, y)
    assert set(held) == {8}
    best = model.history_.best("val_loss")
    assert best.epoch < model.n_iter_ < 500
    assert model.history_["val_loss"][-1] > best.value


def test_a_rule_of_stopping_among_the_callbacks_replaces_the_own_one():
    X, y = iris()
    stop = tn.train.EarlyStopping("loss", patience=1000)
    assert quick(max_iter=300, learning_rate_init=0.1, callbacks=[stop]).fit(X, y).n_iter_ == 300


def test_callbacks_are_told_of_the_run():
    X, y = iris()
    epochs = []
    model = quick(callbacks=[lambda run: epochs.append(run.epoch)], max_iter=4).fit(X, y)
    assert epochs == [1, 2, 3, 4]
    model.partial_fit(X, y)
    assert len(epochs) == 5


def test_verbose_reports_each_epoch(capsys):
    X, y = iris()
    quick(max_iter=2, verbose=True).fit(X, y)
    assert capsys.readouterr().out.count("loss") == 2
    quick(max_iter=2).fit(X, y)
    assert capsys.readouterr().out == ""


class Press(tn.train.Callback):
    def on_step(self, run):
        if run.epoch == 1:
            signal.raise_signal(signal.SIGINT)


def test_ctrl_c_ends_a_fit_with_the_network_of_then_and_a_warning():
    X, y = iris()
    with pytest.warns(UserWarning, match="interrupted after batch 1 of epoch 2"):
        model = quick(callbacks=[Press()]).fit(X, y)
    assert model.n_iter_ == 1
    assert model.predict(X).shape == (150,)


@pytest.mark.parametrize("estimator", BOTH)
def test_a_row_of_weight_zero_is_as_if_it_were_not_there(estimator):
    X, _ = iris()
    y = np.arange(150) % 3
    weights = np.repeat([1.0, 0.0], 75)
    some = quick(estimator).fit(X, y, sample_weight=weights)
    np.testing.assert_allclose(numbers(some), numbers(quick(estimator).fit(X[:75], y[:75])), rtol=1e-9)


def test_weights_of_classes_are_weights_of_their_rows():
    X, y = iris()
    heavy = np.where(y == "virginica", 5.0, 1.0)
    by_class = quick(class_weight={"setosa": 1, "versicolor": 1, "virginica": 5}).fit(X, y)
    np.testing.assert_array_equal(numbers(by_class), numbers(quick().fit(X, y, sample_weight=heavy)))
    both = quick(class_weight={"setosa": 1, "versicolor": 1, "virginica": 5}).fit(X, y, sample_weight=heavy)
    np.testing.assert_array_equal(numbers(both), numbers(quick().fit(X, y, sample_weight=heavy**2)))


def test_balanced_weights_find_a_rare_class():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [190, 10])
    X = rng.normal(size=(200, 2)) + y[:, None] * 1.5
    found = {w: (quick(class_weight=w).fit(X, y).predict(X) == 1)[190:].mean() for w in (None, "balanced")}
    assert found["balanced"] > 0.7 > found[None]


class Picture(nn.Module):
    """A small convolution on the eight by eight pixels of a row."""

    def __init__(self, n_in, n_out, rng):
        self.side = round(n_in**0.5)
        self.conv = nn.Conv2d(1, 4, 3, rng=rng)
        self.norm = nn.BatchNorm(4)
        self.out = nn.Dense(4 * (self.side - 2) ** 2, n_out, rng=rng)

    def forward(self, x):
        y = tn.relu(self.norm(self.conv(x.reshape(-1, self.side, self.side, 1))))
        return self.out(y.reshape(len(y), -1))


def test_a_network_of_the_users_own_is_trained_saved_and_goes_on():
    X, y = load_digits(return_X_y=True)
    X, y = (X / 16)[:600], y[:600]
    model = quick(module=Picture, max_iter=5, optimizer="adamw").fit(X, y)
    assert isinstance(model.model_, Picture)
    assert model.score(X, y) > 0.9
    other = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(numbers(other.partial_fit(X, y)), numbers(model.partial_fit(X, y)))


def test_losses_and_optimizers_of_the_users_own_are_taken():
    X, y = iris()
    smooth = partial(nn.losses.cross_entropy, label_smoothing=0.2)
    momentum = partial(optim.SGD, momentum=0.9)
    model = quick(loss=smooth, optimizer=momentum, learning_rate_init=optim.schedules.cosine(0.1, 30)).fit(
        X, y
    )
    assert model.predict_proba(X).max() < 0.99
    assert model.optimizer_.lr(30) == pytest.approx(0)
    robust = quick(NetRegressor, loss=nn.losses.huber).fit(X, X[:, 0], sample_weight=np.arange(150.0))
    assert robust.score(X, X[:, 0]) > 0.9


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_that_has_a_name_is_trained_with(name):
    X, y = iris()
    assert quick(activation=name, hidden_layer_sizes=16).fit(X, y).score(X, y) > 0.9


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_that_has_a_name_is_trained_with(name):
    X, y = iris()
    assert quick(optimizer=name).fit(X, y).loss_curve_[-1] < 1


# What is wrong


class TwoInputs(nn.Module):
    def forward(self, x, mask=None):
        return x


WRONG = {
    "hidden_layer_sizes are integers.*hint.*100, 50": {"hidden_layer_sizes": "100"},
    "item of hidden_layer_sizes is a positive integer": {"hidden_layer_sizes": (10, 0)},
    "no activation 'sigmoid'.*\n.*hint.*activation=\"logistic\"": {"activation": "sigmoid"},
    "no activation 'rleu'.*\n.*hint.*activation=\"relu\"": {"activation": "rleu"},
    "no optimizer 'lbfgs'.*\n.*hint.*optimizer=\"adam\"": {"optimizer": "lbfgs"},
    "no optimizer 'nesterov'.*\n.*hint.*nesterov=True": {"optimizer": "nesterov"},
    "optimizer is a name.*\n.*hint.*optim.AdamW": {"optimizer": 3},
    "optimizer made dict": {"optimizer": lambda parameters, lr: {}},
    "makes a network, got Dense.*\n.*hint.*module=lambda": {"module": nn.Dense(4, 3)},
    "makes a network, got <class.*\n.*hint.*module=lambda": {"module": nn.Dense},
    "loss is a function.*\n.*hint.*losses.cross_entropy": {"loss": "mse"},
    "module made ndarray": {"module": lambda n_in, n_out, rng: np.zeros(3)},
    "takes \\(x, mask=None\\).*\n.*hint.*def forward\\(self, x\\)": {"module": lambda *_: TwoInputs()},
    "made \\(1, 7\\), expected \\(1, 3\\)": {"module": lambda n_in, n_out, rng: nn.Dense(n_in, 7)},
    "batch_size is a positive integer": {"batch_size": "all"},
    "max_iter is a positive integer": {"max_iter": 0},
    "validation_fraction is a share": {"early_stopping": True, "validation_fraction": 3},
    "early stopping holds validation_fraction=0.01.*hint": {
        "early_stopping": True,
        "validation_fraction": 0.01,
    },
    "callbacks are a list": {"callbacks": tn.train.EarlyStopping("loss")},
    "watches val_loss.*\n.*hint.*early_stopping=True": {"callbacks": [tn.train.EarlyStopping()]},
    "Checkpoint goes on from its file.*\n.*hint.*pickle": {"callbacks": [tn.train.Checkpoint("x")]},
    "p is a probability|dropout|from 0 to 1": {"dropout": 2},
}


@pytest.mark.parametrize("message", WRONG)
def test_a_setting_that_is_none_says_what_to_write(message):
    X, y = iris()
    with pytest.raises(errors.TinygradError, match=f"(?s){message}"):
        quick(**WRONG[message]).fit(X, y)


@pytest.mark.parametrize(
    ("estimator", "name", "hint"),
    [
        (NetClassifier, "solver", 'optimizer="adam"'),
        (NetRegressor, "alpha", "weight_decay"),
        (NetClassifier, "tol", "EarlyStopping"),
        (NetRegressor, "class_weight", "sample_weight"),
    ],
)
def test_a_setting_of_others_says_what_to_write(estimator, name, hint):
    message = f"{estimator.__name__}: there is no keyword {name}=1\n  takes  .*\n  hint   .*{hint}"
    with pytest.raises(errors.ArgumentError, match=message):
        estimator(**{name: 1})


def test_a_setting_that_nobody_has_is_no_argument():
    with pytest.raises(TypeError, match="nonsense"):
        NetClassifier(nonsense=1)


def test_labels_that_cannot_be_learnt_say_why():
    X, y = iris()
    with pytest.raises(errors.LabelError, match="one class, setosa"):
        quick().fit(X[:50], y[:50])
    with pytest.raises(errors.LabelError, match=r"(?s)several labels.*MultiOutputClassifier"):
        quick().fit(X, np.eye(3, dtype=int)[np.arange(150) % 3])
    with pytest.raises(ValueError, match="continuous"):
        quick().fit(X, X[:, 0])


def test_weights_that_count_nothing_or_less_are_refused():
    X, y = iris()
    with pytest.raises(errors.SettingError, match=r"from 0, got -1"):
        quick().fit(X, y, sample_weight=np.full(150, -1.0))
    with pytest.raises(errors.SettingError, match="all rows have the weight 0"):
        quick(class_weight=dict.fromkeys(np.unique(y), 0)).fit(X, y)
    with pytest.raises(errors.ArgumentError, match=r"(?s)does not take them.*hint.*sample_weight"):
        quick(loss=lambda predictions, targets: predictions.sum()).fit(X, y, sample_weight=np.ones(150))


def test_partial_fit_refuses_what_it_cannot_know():
    X, y = iris()
    with pytest.raises(errors.ArgumentError, match=r"hint.*classes=np\.unique"):
        quick().partial_fit(X, y)
    model = quick().partial_fit(X, y, classes=np.unique(y))
    with pytest.raises(errors.LabelError, match="were"):
        model.partial_fit(X, y, classes=["a", "b"])
    with pytest.raises(errors.LabelError, match="'rose'"):
        model.partial_fit(X[:1], ["rose"])
    with pytest.raises(errors.SettingError, match=r"hint.*compute_class_weight"):
        quick(class_weight="balanced").partial_fit(X, y, classes=np.unique(y))
    with pytest.raises(errors.SettingError, match=r"hint.*early_stopping=False"):
        quick(early_stopping=True).partial_fit(X, y, classes=np.unique(y))
    regressor = quick(NetRegressor).partial_fit(X, X[:, 0])
    with pytest.raises(errors.ShapeError, match=r"y has shape \(150, 2\)"):
        regressor.partial_fit(X, X[:, :2])
