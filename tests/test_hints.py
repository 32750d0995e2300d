"""The mistakes of those who come from another library: each is answered with what to write."""

import importlib
import inspect
import pickle
import re

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support import needs
from tests.support.leaves import vector
from tinygrad_nn import nn, optim
from tinygrad_nn.hints.calls import answered
from tinygrad_nn.hints.words import WORDS


def batch():
    return np.zeros((4, 2), np.float32), np.array([0, 1, 2, 0])


def fit(**changes):
    model = tn.nn.Dense(2, 3, rng=0)
    roles = {
        "model": model,
        "loss": tn.nn.losses.cross_entropy,
        "optimizer": tn.optim.SGD(model.parameters(), lr=0.1),
        "data": [batch()],
        "progress": False,
    }
    return tn.train.fit(**(roles | changes))


NEWCOMERS = {
    "an activation by position": (
        lambda: tn.nn.Dense(784, 16, "sigmoid"),
        r"at most 2 arguments(.|\n)*hint   nn\.Sigmoid\(\) behind it",
    ),
    "an activation that is a layer": (
        lambda: tn.nn.Conv2d(1, 8, 3, tn.nn.ReLU()),
        r"hint   nn\.ReLU\(\) behind it",
    ),
    "an activation that is a function": (
        lambda: tn.nn.Dense(784, 16, tn.leaky_relu),
        r"hint   nn\.LeakyReLU\(\) behind it",
    ),
    "gradients of a model are clipped": (
        lambda: optim.clip_grad_norm(nn.Dense(2, 3, rng=0), 1.0),
        r"got a model\n  hint   clip_grad_norm\(model\.parameters\(\), max_norm\)",
    ),
    "a norm in words": (
        lambda: optim.clip_grad_norm(nn.Dense(2, 3, rng=0).parameters(), "a"),
        "max_norm is positive, got 'a'",
    ),
    "steps in words": (
        lambda: optim.schedules.cosine(0.1, "many"),
        "steps is positive and finite, got 'many'",
    ),
    "an array among parameters": (
        lambda: optim.Adam([np.ones(3)], lr=0.1),
        r"hint   tn\.tensor\(data, requires_grad=True\)",
    ),
    "a state of an optimizer that is none": (
        lambda: optim.SGD(nn.Dense(2, 3, rng=0).parameters(), lr=0.1).load_state_dict(None),
        "does not fit this SGD: it is None; nothing was changed",
    ),
    "labels before predictions": (
        lambda: nn.losses.cross_entropy(np.array([0, 1]), np.ones((2, 2))),
        r"hint   cross_entropy\(predictions, labels\), in this order",
    ),
    "labels that are names": (
        lambda: nn.losses.cross_entropy(np.ones((2, 2), np.float32), np.array(["a", "b"])),
        r"hint   np\.unique\(labels, return_inverse=True\)\[1\] gives names numbers",
    ),
    "nothing for an input": (
        lambda: nn.Dense(2, 3, rng=0)(None),
        r"\n  hint   a function without return gives None",
    ),
    "a layer that is not there": (
        lambda: nn.Sequential(nn.Dense(2, 3, rng=0), None),
        r"hint   leave it out, or nn\.Identity\(\)",
    ),
    "a word where a number goes": (
        lambda: tn.nn.Conv2d(1, 8, 3, "same"),
        r"settings go by name, as Conv2d\(1, 8, 3, stride=\.\.\.\)",
    ),
    "the name of a loss": (lambda: fit(loss="cross_entropy"), "the loss is a function"),
    "the name of an optimizer": (lambda: fit(optimizer="adam"), r"SGD\(model\.parameters\(\), lr=\.\.\.\)"),
    "the class of an optimizer": (lambda: fit(optimizer=tn.optim.SGD), "the optimizer is made of"),
    "half an epoch": (lambda: fit(epochs=2.5), "epochs are an integer from 0, got 2.5"),
    "metrics without names": (lambda: fit(metrics=[lambda p, t: 0]), "names of their own"),
    "a metric in a list in a list": (lambda: fit(metrics=[["accuracy"]]), "functions by name, got"),
    "one metric": (lambda: fit(metrics="accuracy"), r"got 'accuracy'\n  hint   metrics=\["),
    "a metric by another name": (
        lambda: fit(metrics=["acc"]),
        'there is no metric .acc.; .*\n  hint   "accuracy"',
    ),
    "a metric misspelt": (lambda: fit(metrics={"a": "binary_acuracy"}), 'hint   "binary_accuracy"'),
    "a metric of Keras": (lambda: fit(metrics=["mean_absolute_error"]), 'hint   "mae"'),
    "a metric that nobody knows": (lambda: fit(metrics=["xyz"]), "hint   a function of predictions"),
    "the same metric twice": (lambda: fit(metrics=["mae", "mae"]), "names of their own"),
    "a share of a list": (
        lambda: fit(data=[batch()], validation=0.2),
        r"not of a list\n  hint   validation=\(X, y\)",
    ),
    "one callback": (lambda: fit(callbacks=tn.train.EarlyStopping()), "callbacks are a list"),
    "the class of a callback": (lambda: fit(callbacks=[tn.train.EarlyStopping]), r"EarlyStopping\("),
    "a number as a callback": (lambda: fit(callbacks=[3]), "callbacks are .* got 3"),
    "no callback": (lambda: fit(callbacks=[None]), "callbacks are .* got None"),
    "text as callbacks": (lambda: fit(callbacks="abc"), "callbacks are .* got 'a'"),
    "a metric that is a number": (lambda: fit(metrics={"acc": 3}), "functions by name, got {'acc': 3}"),
    "fewer epochs than none": (lambda: fit(epochs=-1), "epochs are an integer from 0, got -1"),
    "a flag for epochs": (lambda: fit(epochs=True), "epochs are an integer from 0, got True"),
    "arrays in a list": (lambda: fit(data=list(batch())), r"tn\.data\.batches"),
    "one loss per row": (
        lambda: fit(loss=lambda p, t: tn.nn.losses.cross_entropy(p, t, reduction="none")),
        r'shape \(4,\)\n  hint   reduction="mean"',
    ),
    "a loss that is a number": (lambda: fit(loss=lambda p, t: 1.0), "a tensor with one element, got float"),
    "parameters without their call": (
        lambda: tn.optim.SGD(tn.nn.Dense(2, 3).parameters, lr=0.1),
        r"model\.parameters\(\)",
    ),
    "one beta": (lambda: tn.optim.Adam([vector(1.0)], betas=0.9), "two numbers"),
    "layers in a list": (lambda: tn.nn.Sequential([tn.nn.ReLU()]), r"Sequential\(\*modules\)"),
    "a model among the operands": (lambda: vector(1.0) @ tn.nn.ReLU(), "ReLU with dtype object"),
    "a method of PyTorch": (lambda: vector(1.0).view(1, 1), r"t\.reshape\(shape\)"),
    "a layer of PyTorch": (lambda: tn.nn.Linear(2, 3), r"nn\.Dense"),
    "averages among optimizers": (lambda: tn.optim.EMA(None), r"tn\.train\.EMA\("),
    "schedulers": (lambda: tn.optim.lr_scheduler, r"lr=optim\.schedules\.cosine\("),
    "an optimizer of Keras": (lambda: tn.optim.RMSProp([]), r"optim\.RMSprop\("),
    "a convolution of Keras": (lambda: tn.nn.Conv2D(8, 3), r"nn\.Conv2d\(in_channels.*channels come last"),
    "a convolution of PyTorch": (lambda: tn.conv2d, r"tn\.conv\(x, w\).*channels come last"),
    "a loss of PyTorch": (lambda: tn.nn.CrossEntropyLoss(), r"nn\.losses\.cross_entropy\("),
    "a function of NumPy": (lambda: tn.exp(vector(1.0)), r"np\.exp"),
    "NumPy's word for tensor": (lambda: tn.array([1.0]), r"hint   tn\.tensor\(data\)"),
    "NumPy's word for as_tensor": (lambda: tn.asarray([1.0]), r"hint   tn\.as_tensor\(data\)"),
    "a function that takes no tensor": (lambda: tn.zeros(3), r"hint   tn\.tensor\(np\.zeros"),
    "a dtype": (lambda: tn.float32, r"hint   dtype=np\.float32"),
    "rows as they are flattened by PyTorch": (
        lambda: vector(1.0).flatten(1),
        r"hint   t\.reshape\(len\(t\), -1\)",
    ),
    "axes as PyTorch flattens them": (
        lambda: vector(1.0).flatten(start_dim=1),
        r"no keyword start_dim=1(.|\n)*hint   t\.reshape\(len\(t\), -1\), which",
    ),
    "a table of NumPy": (lambda: tn.sctypeDict, "no attribute 'sctypeDict'$"),
}


@pytest.mark.parametrize("name", NEWCOMERS)
def test_the_mistakes_of_a_newcomer_are_answered_with_what_to_write(name):
    mistake, text = NEWCOMERS[name]
    with pytest.raises((TypeError, ValueError, AttributeError, RuntimeError), match=text):
        mistake()


def model():
    return nn.Sequential(nn.Dense(2, 3, rng=0))


OBJECTS = {
    "Tensor": lambda: vector(1.0),
    "Module": lambda: nn.Tanh(),
    "Dense": lambda: nn.Dense(2, 3, rng=0),
    "Doctor": tn.train.Doctor,
    "Film": tn.train.Film,
    "Optimizer": lambda: optim.SGD(model().parameters(), lr=0.1),
    "Batches": lambda: tn.data.batches(*batch(), size=2),
    "Picture": lambda: vector(1.0).sum().graph(),
    "Neurons": lambda: tn.viz.neurons(nn.Dense(2, 1, rng=0), [[1.0, 2.0]]),
    "History": tn.train.History,
}
MEANINGS = ("events", "metrics", "estimators")
CALLS = [place for place in WORDS if place.endswith("()")]


def home(place):
    """The module or function that a place in the dictionary is."""
    x = tn
    for name in place.removeprefix("tinygrad_nn").split("."):
        x = getattr(x, name) if name else x
    return x


FACES = ["", "nn", "nn.losses", "nn.init", "optim", "optim.schedules", "train", "data", "viz", "testing"]
FACES += ["interop", "export", "parallel", "sklearn"]
if hasattr(tn.plot, "__path__"):
    FACES.append("plot")
PLACES = [place or "tinygrad_nn" for place in [*FACES, "data.mnist"] if (place or "tinygrad_nn") in WORDS]


def test_every_place_in_the_dictionary_is_one():
    assert {*WORDS} - {*CALLS, *OBJECTS, *MEANINGS, *PLACES} <= {"plot"}
    callable_ = {name for _, name in PUBLIC} | {*dir(tn.Tensor)}
    assert {place.removesuffix("()") for place in CALLS} - callable_ == {""}


@pytest.mark.parametrize("place", OBJECTS)
def test_an_attribute_of_others_is_answered_with_what_to_write(place):
    x = OBJECTS[place]()
    for name, answer in WORDS[place].items():
        with pytest.raises(AttributeError, match=f"has no attribute '{name}'") as error:
            getattr(x, name)
        assert str(error.value).endswith(f"\n  hint   {answer}")


@pytest.mark.parametrize("place", PLACES)
def test_a_name_of_others_in_a_module_is_answered_however_it_is_asked_for(place):
    x = home(place)
    for name, answer in WORDS[place].items():
        with pytest.raises(AttributeError, match=f"has no attribute '{name}'") as error:
            getattr(x, name)()
        assert str(error.value).endswith(f"\n  hint   {answer}")
        if inspect.isfunction(x):
            continue
        with pytest.raises(ImportError, match=f"cannot import name '{name}' from '{x.__name__}'") as error:
            exec(f"from {x.__name__} import {name}")
        assert str(error.value).endswith(f"\n  hint   {answer}")
        if not hasattr(x, "__path__"):
            continue
        with pytest.raises(ModuleNotFoundError, match=f"No module named '{x.__name__}.{name}'") as error:
            importlib.import_module(f"{x.__name__}.{name}")
        assert str(error.value).endswith(f"\n  hint   {answer}")


def test_what_nobody_has_is_an_error_as_ever():
    with pytest.raises(AttributeError, match="has no attribute 'xyzzy'$"):
        tn.xyzzy  # noqa: B018
    with pytest.raises(AttributeError, match="has no attribute 'xyzzy'$"):
        model().xyzzy  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'xyzzy'"):
        exec("from tinygrad_nn.nn import xyzzy")
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'tinygrad_nn\.xyzzy'$"):
        importlib.import_module("tinygrad_nn.xyzzy")


def test_a_misspelt_name_is_answered_with_the_one_that_is_like_it():
    with pytest.raises(AttributeError, match="hint   softmax$"):
        tn.sofmax  # noqa: B018
    with pytest.raises(ImportError, match="hint   Dense$"):
        exec("from tinygrad_nn.nn import Dens")


def test_the_error_of_a_property_stays_its_own():
    class Broken(nn.Module):
        @property
        def layers(self):
            return self.missing

    with pytest.raises(AttributeError, match="has no attribute 'missing'"):
        Broken().layers  # noqa: B018


C = {
    "Module": """fit compile predict evaluate save load add layers get_weights to cuda apply modules children
        register_buffer register_forward_hook requires_grad_""",
    "Tensor": """clone size dim long eq gather split chunk topk add_ mul_ copy_ fill_ requires_grad_ register_hook
        retain_grad grad_fn device eval run gradient""",
    "tinygrad_nn": """zeros ones randn rand arange from_numpy manual_seed cat clamp float32 autograd Variable one_hot
        inference_mode jit vmap reduce_sum placeholder Session InteractiveSession global_variables_initializer
        initialize_all_variables random_normal random_uniform truncated_normal clip_by_value app examples
        numerical_gradient models""",
    "nn": """ModuleList ModuleDict Identity utils softmax_cross_entropy_with_logits sigmoid_cross_entropy_with_logits
        bias_add""",
    "nn.losses": "sum_squared_error cross_entropy_error l2_loss CategoricalCrossentropy",
    "optim": "lr_scheduler GradientDescentOptimizer AdamOptimizer",
    "train": """ModelCheckpoint ReduceLROnPlateau LearningRateScheduler CSVLogger TensorBoard GradientDescentOptimizer
        Saver""",
    "data": "DataLoader TensorDataset to_categorical read_data_sets load_mnist",
    "Dense": "W b kernel",
    "Doctor": "findings show",
    "Film": "save show",
    "data.mnist": "load_data",
    "Picture": "show view save",
}
"""What people from other libraries were seen to write."""


@pytest.mark.parametrize("place", C)
def test_what_people_wrote_is_there_or_answered(place):
    there = OBJECTS[place]() if place in OBJECTS else home(place)
    assert [name for name in C[place].split() if name not in WORDS[place] and not hasattr(there, name)] == []


KEYWORDS = {
    "batch_size": lambda x, y: tn.data.batches(x, y, batch_size=2),
    "shuffle": lambda x, y: fit(shuffle=True),
    "validation_data": lambda x, y: fit(validation_data=(x, y)),
    "validation_split": lambda x, y: fit(validation_split=0.2),
    "class_weight": lambda x, y: fit(class_weight={0: 1.0}),
    "sample_weight": lambda x, y: fit(sample_weight=y),
    "verbose": lambda x, y: fit(verbose=0),
    "learning_rate": lambda x, y: optim.SGD(model().parameters(), learning_rate=0.1),
    "n_samples": lambda x, y: tn.data.moons(n_samples=100),
    "one_hot": lambda x, y: tn.data.mnist(one_hot=True),
    "normalize": lambda x, y: tn.data.mnist(normalize=True),
    "labels": lambda x, y: nn.losses.cross_entropy(labels=y, logits=x),
    "beta_1": lambda x, y: optim.Adam(model().parameters(), beta_1=0.9),
    "input_dim": lambda x, y: nn.Dense(64, input_dim=784),
    "activation": lambda x, y: nn.Dense(784, 64, activation="relu"),
    "rankdir": lambda x, y: vector(1.0).sum().graph(rankdir="LR"),
    "attn_mask": lambda x, y: tn.attention(x, x, x, attn_mask=None),
    "scale_factor": lambda x, y: tn.resize(x, scale_factor=2),
    "dim": lambda x, y: tn.softmax(vector(1.0), dim=0),
    "strict": lambda x, y: model().load_state_dict({}, strict=False),
    "T_max": lambda x, y: optim.schedules.cosine(0.1, T_max=10),
    "batch_first": lambda x, y: nn.MultiheadAttention(4, 2, batch_first=True),
    "norm_type": lambda x, y: optim.clip_grad_norm(model().parameters(), 1.0, norm_type=2),
    "dynamic_axes": lambda x, y: tn.export.onnx(model(), x, dynamic_axes={}),
    "input_size": lambda x, y: model().summary(input_size=(2,)),
}


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_a_keyword_of_others_is_answered_with_what_to_write(keyword):
    with pytest.raises(tn.errors.ArgumentError, match=f"there is no keyword {keyword}=") as error:
        KEYWORDS[keyword](*batch())
    assert "\n  takes  " in str(error.value)
    assert "\n  hint   " in str(error.value)
    assert error.value.__context__ is None or error.value.__suppress_context__


def test_the_value_of_a_keyword_is_in_the_hint():
    with pytest.raises(TypeError, match=r"(?s)size=5; .*batch_size=5|batch_size=5.*hint   size=5$"):
        tn.data.batches(*batch(), batch_size=5)
    with pytest.raises(TypeError, match="hint   epochs=7$"):
        fit(epoch=7)


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (lambda: nn.Conv2d(1, 8, 3, 1, 1), r"settings go by name, as Conv2d\(1, 8, 3, stride=1, padding=1\)"),
        (
            lambda: optim.Adam(model().parameters(), 0.1, (0.9, 0.99)),
            r"Adam\(parameters, 0.1, betas=\(0.9, 0.99\)\)",
        ),
        (
            lambda: tn.train.fit(model(), nn.losses.mse, None, [], 10),
            r"fit\(model, loss, None, \[\], epochs=10\)",
        ),
        (
            lambda: nn.losses.cross_entropy(*batch(), "sum"),
            r"cross_entropy\(logits, targets, reduction='sum'\)",
        ),
        (lambda: nn.Dropout(0.5, True), r"Dropout\(0.5, rng=\.\.\.\)"),
        (lambda: nn.Dense(64), r"Dense\(64, out_features\)"),
        (lambda: tn.data.batches(*batch(), 32), r"batches\(\*arrays, size=32\)"),
        (lambda: optim.schedules.cosine(0.1), r"cosine\(0.1, steps\)"),
    ],
)
def test_settings_by_position_and_what_is_left_out_are_answered_with_the_call_to_write(call, hint):
    with pytest.raises(tn.errors.ArgumentError, match=f"hint   .*{hint}$"):
        call()


PUBLIC = [
    (place, name)
    for place in FACES
    for name in home(place).__all__
    if (inspect.isfunction(x := getattr(home(place), name)) or inspect.isclass(x))
    and x.__module__.startswith("tinygrad_nn")
    and not (inspect.isclass(x) and issubclass(x, (BaseException, dict, tuple)))
]


@pytest.mark.parametrize("place", [*FACES, "errors"])
def test_a_room_lists_its_public_names_and_no_others(place):
    assert sorted(dir(home(place))) == sorted(home(place).__all__)
    assert not [name for name in dir(home(place)) if not hasattr(home(place), name)]


@pytest.mark.parametrize("place", FACES)
def test_every_public_function_and_class_answers_a_keyword_that_it_does_not_take(place):
    for room, name in PUBLIC:
        called = getattr(home(room), name)
        bases = (nn.Module, tn.train.Callback, tn.parallel.Communicator)
        kinds = [p.kind for p in inspect.signature(called).parameters.values()]
        if room == place and called not in bases and inspect.Parameter.VAR_KEYWORD not in kinds:
            with pytest.raises(tn.errors.ArgumentError, match="there is no keyword no_such_thing=1"):
                called(no_such_thing=1)


def names_in(answer):
    """Yield the dotted names in an answer that are names of the library or of NumPy, or of things of a known kind."""
    samples = {
        "t": OBJECTS["Tensor"],
        "model": model,
        "optimizer": OBJECTS["Optimizer"],
        "picture": OBJECTS["Picture"],
    }
    samples |= {"history": OBJECTS["History"], "batches": OBJECTS["Batches"], "rng": np.random.default_rng}
    samples |= {"tn": lambda: tn, "nn": lambda: nn, "optim": lambda: optim, "np": lambda: np}
    for first, rest in re.findall(r"(?<![\w.])([a-z]+)((?:\.[A-Za-z_]\w*)+)", re.sub(r"'[^']*'", "", answer)):
        if first in samples:
            yield first + rest, samples[first](), rest.split(".")[1:]


@pytest.mark.parametrize("place", WORDS)
def test_the_names_in_answers_exist(place):
    for answer in WORDS[place].values():
        for spelled, x, names in names_in(answer):
            for name in names:
                if x is np and name in needs.NOT_IN_NUMPY_YET:
                    break
                assert hasattr(x, name), f"{spelled} in {answer}"
                x = getattr(x, name)


@pytest.mark.parametrize("place", WORDS)
def test_the_keywords_in_answers_are_taken(place):
    for answer in WORDS[place].values():
        for path, arguments in re.findall(r"((?:tn|nn|optim)(?:\.\w+)+)\(((?:[^()]|\([^()]*\))*)\)", answer):
            called = eval(path, {"tn": tn, "nn": nn, "optim": optim})
            takes = inspect.signature(called).parameters
            if any(p.kind is p.VAR_KEYWORD for p in takes.values()):
                continue
            for keyword in re.findall(r"(?<![\w.'])(\w+)=(?!=)", re.sub(r"\([^()]*\)", "", arguments)):
                assert keyword in takes, f"{path}({keyword}=) in {answer}"


def test_meanings_are_names_of_ours():
    assert {*WORDS["metrics"].values()} <= {*tn.train.METRICS}
    assert {*WORDS["events"].values()} - {""} <= {
        name for name in vars(tn.train.Callback) if name.startswith("on_")
    }


def test_a_public_function_is_still_itself():
    assert pickle.loads(pickle.dumps(tn.train.accuracy)) is tn.train.accuracy
    assert pickle.loads(pickle.dumps(nn.losses.cross_entropy)) is nn.losses.cross_entropy
    assert str(inspect.signature(tn.data.moons)).startswith("(n: int = 200, *, noise")
    assert nn.Dense.__init__.__doc__ == nn.Dense.__init__.__wrapped__.__doc__
    assert tn.train.fit.__doc__.startswith("Train a model")


def test_an_error_from_inside_of_a_call_stays_itself():
    def inner(x):
        return x + None

    def outer(x):
        return inner(x)

    with pytest.raises(TypeError, match="unsupported operand") as error:
        answered(outer)(3)
    assert type(error.value) is TypeError
    with pytest.raises(TypeError, match=r"inner\(\) missing 1 required") as error:
        answered(lambda: inner())()
    assert type(error.value) is TypeError


def test_ops_and_modules_pay_nothing_for_the_answers():
    """Files of the library call each other's functions as they are defined; a module's call has no frame more."""
    from tinygrad_nn.engine import tensor
    from tinygrad_nn.nn import containers
    from tinygrad_nn.ops import attention, reduction

    for function in (tensor.as_tensor, tensor.compute, containers.as_tensor, attention.attention):
        assert not hasattr(function, "__wrapped__")
    assert tn.logsumexp is reduction.logsumexp

    depth = []

    class Deep(nn.Module):
        def forward(self, x):
            frame = inspect.currentframe()
            depth.append(frame.f_back.f_code is nn.Module.__call__.__code__)
            depth.append(frame.f_back.f_back.f_code.co_name)
            return x

    Deep()(1)
    assert depth == [True, "test_ops_and_modules_pay_nothing_for_the_answers"]


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (lambda: tn.save(model(), "x"), r"tn\.save\(path, model=model, optimizer=optimizer\)"),
        (lambda: tn.load("x", model()), r"tn\.load\(path, model=model, optimizer=optimizer\)"),
        (
            lambda: tn.train.fit(model(), *batch()),
            r"tn\.train\.fit\(model, nn\.losses\.cross_entropy, optimizer",
        ),
        (lambda: tn.tensor([1], float), r"tn\.tensor\(data, dtype=np\.float32"),
        (lambda: tn.one_hot(np.array([0, 1])), r"one_hot\(ids, num_classes\)"),
        (lambda: tn.keep_mask(np.zeros(3)), r"keep_mask\(x, rng=\.\.\.\)"),
        (lambda: tn.keep_mask(vector(1.0)), r"keep_mask\(x, rng=\.\.\.\)"),
        (lambda: tn.testing.gradcheck(), r"tn\.testing\.gradcheck\(f, x\)"),
    ],
)
def test_a_call_that_lacks_something_is_answered_with_the_usual_one(call, hint):
    with pytest.raises(tn.errors.ArgumentError, match=f"hint   {hint}"):
        call()


def test_several_words_with_one_answer_are_answered_once():
    with pytest.raises(TypeError, match=r"hint   predictions first.*by position$") as error:
        nn.losses.cross_entropy(y_true=batch()[1], y_pred=batch()[0])
    assert str(error.value).count("predictions first") == 1
