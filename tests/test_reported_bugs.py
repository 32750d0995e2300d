"""One example for each bug that was found by use or by review, so that it stays mended."""

import threading

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn.errors import (
    ArgumentError,
    BadRule,
    CheckpointError,
    GraphError,
    GraphFreed,
    MatrixError,
    NoGradientRule,
    ShapeError,
)
from tinygrad_nn.primitives.record import REGISTRY


def leaf(*values):
    return tn.tensor(values, dtype=float, requires_grad=True)


def test_gradients_of_a_released_graph_are_refused_and_not_partial():
    x = leaf(2.0)
    y = x**2
    tn.gradients(y, x)
    with pytest.raises(GraphFreed):
        tn.gradients(y, x)
    h = x * x
    h.sum().backward()
    with pytest.raises(GraphFreed):
        tn.gradients(h * x, x)
    assert np.array_equal(tn.gradients((h * 3).sum(), h).data, [3])


def test_gradients_of_what_is_no_tensor_are_refused_and_of_a_constant_are_zero():
    with pytest.raises(GraphError, match="y is float, expected a tensor"):
        tn.gradients(2.0, leaf(1.0))
    assert tn.gradients(tn.tensor(1.0), leaf(1.0)).data == 0


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_cotangent_of_another_shape_is_refused_in_both_modes(create_graph):
    x = leaf(1.0, 2.0, 3.0)
    with pytest.raises(ShapeError):
        tn.gradients(x * x, x, cotangent=tn.tensor(np.ones((2, 3))), create_graph=create_graph)


def test_a_misspelt_option_of_a_kernel_is_refused():
    with pytest.raises(BadRule, match=r"kernel: there is no option refernce=\n  hint   reference="):
        tn.kernel(lambda g, x: 2 * x * g, refernce=lambda x: x * x, name="q")(lambda x: x * x)
    with pytest.raises(BadRule, match="needs a name"):
        tn.kernel(lambda g: g)(lambda x: x * 1)


def test_a_refused_declaration_registers_nothing():
    with pytest.raises(BadRule):
        tn.op(np.exp, lambda g, y: g * y, name="myexp")
    assert "myexp" not in REGISTRY


def test_a_cell_that_declares_a_kernel_can_run_twice():
    for factor in (2.0, 3.0):

        @tn.kernel(lambda g: g * factor, name="scaled")
        def scaled(x):
            return x * factor  # noqa: B023

    assert scaled(leaf(1.0)).data == 3


def test_clip_grad_norm_takes_one_tensor_and_counts_a_repeated_one_once():
    w = leaf(3.0, 4.0)
    for parameters in (w, [w, w]):
        w.grad = np.array([3.0, 4.0])
        assert tn.optim.clip_grad_norm(parameters, 1.0) == 5
        assert np.allclose(w.grad, [0.6, 0.8])


def test_a_subclass_of_sequential_keeps_its_own_parameters():
    class Scaled(tn.nn.Sequential):
        def __init__(self):
            super().__init__(tn.nn.Dense(2, 2))
            self.scale = tn.tensor(2.0, requires_grad=True)

    assert list(Scaled().state_dict()) == ["0.weight", "0.bias", "scale"]


def test_an_activation_kept_in_an_attribute_is_no_parameter():
    class Keeps(tn.nn.Module):
        def __init__(self):
            self.a = tn.nn.Dense(2, 2, rng=0)

        def forward(self, x):
            self.h = self.a(x)
            return self.h

    model = Keeps()
    model(np.ones((1, 2)))
    assert len(model.parameters()) == 2
    model.load_state_dict(model.state_dict())


def test_a_state_of_read_only_or_swapped_arrays_is_loaded_whole_or_not_at_all():
    model = tn.nn.Sequential(tn.nn.Dense(2, 2, rng=0, bias=False), tn.nn.Dense(2, 2, rng=1, bias=False))
    a, b = (p.data.copy() for p in model.parameters())
    first, second = model.parameters()
    model.load_state_dict({"0.weight": second, "1.weight": first})
    assert np.array_equal(first.data, b)
    assert np.array_equal(second.data, a)
    second.data.flags.writeable = False
    with pytest.raises(CheckpointError, match=r"read-only   1\.weight"):
        model.load_state_dict({"0.weight": a, "1.weight": b})
    assert np.array_equal(first.data, b)


def test_two_arrays_of_one_name_are_refused():
    model = tn.nn.Module()
    model.parts = {1: leaf(1.0), "1": leaf(2.0)}
    with pytest.raises(ValueError, match=r"go by the name parts\.1"):
        model.state_dict()


def test_a_kernel_cannot_take_the_place_of_a_property():
    tn.kernel(lambda g: g, name="item")(lambda x: x * 1)
    assert tn.tensor(1.5).item() == 1.5


def test_labels_in_foreign_byte_order_are_read_right():
    loss = tn.nn.losses.cross_entropy(np.zeros((2, 10)), np.array([1, 2], ">i8"))
    assert np.isclose(loss.item(), np.log(10))


def test_data_of_a_parameter_keeps_its_shape_and_stays_floating():
    w = leaf(1.0, 2.0)
    for other in (np.ones(3), np.ones(2, int)):
        with pytest.raises(ShapeError, match="requires grad"):
            w.data = other
    assert np.array_equal(w.data, [1, 2])


def test_a_rule_that_writes_into_a_shared_cotangent_is_stopped():

    def greedy(g, x):
        g *= x
        return g

    half_square = tn.kernel(greedy, name="half_square")(lambda x: x * x / 2)
    x, z = leaf(3.0, 2.0), leaf(1.0, 1.0)
    with pytest.raises(ValueError, match="read-only"):
        (half_square(x) + z).sum().backward()
    assert x.grad is None
    assert z.grad is None


def test_vjp_is_not_changed_by_later_writes_of_its_caller():
    x = np.array([1.0, 2.0])
    _, pull = tn.vjp(lambda t: t * t, x)
    x += 10
    assert np.array_equal(pull(np.ones(2)).data, [2, 4])


def test_no_grad_covers_a_coroutine():
    @tn.no_grad()
    async def compute():
        return (leaf(1.0) * 2).requires_grad

    step = compute()
    with pytest.raises(StopIteration) as done:
        step.send(None)
    assert done.value.value is False


def test_tensor_has_no_subclasses():
    with pytest.raises(TypeError, match="no subclasses"):
        type("P", (tn.Tensor,), {})


def test_a_class_instead_of_a_layer_is_refused_at_once():
    with pytest.raises(TypeError, match=r"ReLU\(\)"):
        tn.nn.Sequential(tn.nn.ReLU)


@pytest.mark.parametrize(
    ("left", "right", "text"),
    [
        ((2, 3, 4), (5, 4, 6), "batch dimensions do not broadcast"),
        ((2, 3), (4, 5), "inner dimensions differ"),
        ((), (2,), r"\(\) @ \(2,\): 0-d(.|\n)*hint   a 0-d operand is multiplied with \*"),
        ((3, 2), (4, 2), r"hint   \(3, 2\) @ \(2, 4\) works: x @ w.T"),
        ((2, 3), (4, 5), r"left   \(2, 3\)      float64  measured\n"),
    ],
)
def test_a_wrong_product_says_which_dimensions_are_wrong(left, right, text):
    with pytest.raises(ShapeError, match=text):
        tn.tensor(np.ones(left), name="measured") @ np.ones(right)


def test_the_last_of_several_operands_does_not_decide_the_dtype():
    f = tn.kernel(lambda g, b: g * b, lambda g, a: g * a, lambda g: g, name="fma")(lambda a, b, c: a * b + c)
    assert f(tn.tensor([1.0], requires_grad=True), np.arange(1), 1.0).dtype == np.float32


def test_a_cotangent_passed_on_to_two_operands_is_not_added_to_in_place():
    a, b = leaf(1.0), leaf(1.0)
    s, t = a * 1.0, b * 1.0
    u = s * 5.0
    ((s + t) * 3.0 + u).sum().backward()
    assert a.grad == 8
    assert b.grad == 3


def test_an_array_that_a_rule_takes_from_elsewhere_is_not_written_to():
    slope = np.array([2.0, 2.0])
    constant_slope = tn.kernel(lambda g: slope, name="constant_slope")(lambda x: 2 * x)
    x = leaf(1.0, 1.0)
    (constant_slope(x) + x).sum().backward()
    assert np.array_equal(x.grad, [3, 3])
    assert np.array_equal(slope, [2, 2])


@pytest.mark.parametrize("clip", [False, True])
def test_leaves_with_equal_gradients_do_not_share_them_after_a_compiled_step(clip):
    def build():
        a, b, c = leaf(1.0, 2.0), leaf(3.0, 4.0), leaf(5.0, 6.0)
        optimizer = tn.optim.SGD([a, b, c], lr=0.1)

        def step(x):
            optimizer.zero_grad()
            loss = ((a + b + c) * x).sum()
            loss.backward()
            if clip:
                tn.optim.clip_grad_norm([a, b, c], 1.0)
            optimizer.step()
            return loss

        return (a, b, c), step

    eager, step = build()
    compiled, traced = build()
    replay = tn.compile(traced, backend="numpy")
    for k in range(3):
        x = np.array([3.0 + k, 4.0])
        step(tn.tensor(x))
        replay(x)
    for one, other in zip(eager, compiled, strict=True):
        assert np.allclose(one.data, other.data)
        assert np.allclose(one.grad, other.grad)
    a, b, c = compiled
    for one, other in ((a, b), (b, c), (a, c)):
        assert not np.shares_memory(one.grad, other.grad)


WRONG_ARGUMENTS = {
    "PyTorch's word for axis": (lambda t: t.sum(dim=0), r"sum: .*dim=0\n  takes .*axis.*\n.*axis=0"),
    "PyTorch's word for keepdims": (lambda t: t.sum(0, keepdim=True), r"sum: (.|\n)*keepdims=True"),
    "of a kernel": (lambda t: tn.softmax(t, dim=1), r"softmax: .*dim=1\n  takes  x, axis\n.*axis=1"),
    "of a kernel of an array": (lambda t: tn.softmax(t.data, dim=1), "NumPy calls it axis: axis=1"),
    "of a composite": (lambda t: t.median(dim=1), r"median: .*dim=1(.|\n)*axis=1"),
    "of a comparison": (lambda t: t.argmax(dim=1), r"argmax: .*dim=1(.|\n)*axis=1"),
    "a word that nobody has": (
        lambda t: t.sum(along=0),
        r"sum: there is no keyword along=0\n  takes  a, axis",
    ),
    "axes in a list": (lambda t: np.sum(t, axis=[0]), r"sum: (.|\n)*axis=\(0,\)"),
    "axes one after the other": (lambda t: t.mean(0, 1), r"mean: (.|\n)*one tuple: axis=\(0, 1\)"),
    "more axes than arguments": (
        lambda t: t.mean(0, 1, 2, 3, 4),
        r"mean: (.|\n)*tuple: axis=\(0, 1, 2, 3, 4\)",
    ),
    "more arguments than operands": (lambda t: t.relu(1, 2), r"relu: at most 1(.|\n)*takes  x"),
    "more arguments than clip has": (lambda t: t.clip(0, 1, 2, 3), "clip: at most 4"),
    "operands left out": (lambda t: tn.xlogy(t), r"xlogy: needs the operands a, b; got 1 of 2"),
    "where without choices": (lambda t: np.where(t > 0), r"where: (.|\n)*np.nonzero\(condition\)"),
}


@pytest.mark.parametrize("name", WRONG_ARGUMENTS)
def test_a_call_with_wrong_arguments_says_what_the_op_takes(name):
    call, text = WRONG_ARGUMENTS[name]
    with pytest.raises(ArgumentError, match=text):
        call(tn.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True))


def test_a_kernel_without_its_rules_is_refused_where_it_is_declared():
    def square(x):
        return x * x

    with pytest.raises(BadRule, match=r"square is no rule(.|\n)*@tn.kernel\(lambda g, x: "):
        tn.kernel(square)
    with pytest.raises(BadRule, match="a rule for each operand"):
        tn.kernel()


def test_no_grad_decorates_with_and_without_parentheses():
    @tn.no_grad
    def outside(t):
        return t * 2

    @tn.no_grad
    def steps(t):
        yield t * 2

    @tn.enable_grad
    def inside(t):
        return t * 2

    t = leaf(1.0)
    assert not outside(t).requires_grad
    assert not next(steps(t)).requires_grad
    with tn.no_grad():
        assert inside(t).requires_grad
    with pytest.raises(TypeError, match=r"with tn.no_grad\(\)"):
        tn.no_grad(False)


def test_one_no_grad_object_serves_several_threads_and_nests():
    quiet, t, seen = tn.no_grad(), leaf(1.0), {}
    first_is_in, second_is_in, first_is_out = (threading.Event() for _ in range(3))

    def first():
        with quiet:
            first_is_in.set()
            assert second_is_in.wait(10)
        seen["first"] = (t * 2).requires_grad
        first_is_out.set()

    def second():
        assert first_is_in.wait(10)
        with tn.no_grad():
            with quiet:
                second_is_in.set()
                assert first_is_out.wait(10)
            seen["second"] = (t * 2).requires_grad

    threads = [threading.Thread(target=work) for work in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {"first": True, "second": False}
    with quiet:
        with quiet, tn.enable_grad():
            assert (t * 2).requires_grad
        assert not (t * 2).requires_grad
    assert (t * 2).requires_grad


def test_a_no_grad_closed_in_another_context_leaves_that_one_alone():
    quiet, t = tn.no_grad(), leaf(1.0)
    thread = threading.Thread(target=quiet.__enter__)
    thread.start()
    thread.join()
    with tn.no_grad():
        quiet.__exit__()
        assert not (t * 2).requires_grad


def test_places_are_found_in_a_tensor_that_requires_grad():
    t = tn.tensor([0.0, 2.0, 1.0], requires_grad=True)
    assert np.array_equal(np.nonzero(t)[0], [1, 2])
    assert np.array_equal(np.searchsorted([0.5, 1.5], t), [0, 2, 1])
    assert np.isin(t, [2.0]).tolist() == [False, True, False]


@pytest.mark.parametrize(
    "call", [np.linalg.inv, lambda t: np.linalg.solve(t, np.ones(2))], ids=["inv", "solve"]
)
def test_a_singular_matrix_is_called_singular_and_raises_what_numpy_raises(call):
    singular = tn.tensor(np.ones((2, 2)), requires_grad=True)
    with pytest.raises(
        np.linalg.LinAlgError, match=r"(inv|solve): Singular matrix(.|\n)*np.eye\(2\)"
    ) as error:
        call(singular)
    assert isinstance(error.value, MatrixError)


def test_a_function_without_a_rule_is_named_as_code_calls_it():
    t = leaf(1.0, 2.0)
    for call, text in (
        (np.fft.fft, r"np\.fft\.fft has no (.|\n)*tn\.op\(np\.fft\.fft, "),
        (np.unwrap, r"np\.unwrap has no (.|\n)*tn\.op\(np\.unwrap, "),
        (np.add.reduce, r"np\.add\.reduce has no (.|\n)*np\.sum"),
        (np.spacing.at, "np.spacing.at has no "),
    ):
        with pytest.raises(NoGradientRule, match=text):
            call(t, 0) if call.__name__ == "at" else call(t)


@pytest.mark.parametrize(
    ("targets", "text"),
    [
        (np.eye(3, dtype=int), r"labels\.argmax\(axis=1\)(.|\n)*labels\.astype\(np\.float32\)"),
        (np.zeros((3, 1), int), r"labels\.reshape\(-1\)"),
        (np.zeros(4, int), r"expected \(3,\)"),
    ],
)
def test_labels_of_a_wrong_shape_say_what_to_write(targets, text):
    with pytest.raises(ShapeError, match=text):
        tn.nn.losses.cross_entropy(np.zeros((3, 3)), targets)


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
    "the name of a loss": (lambda: fit(loss="cross_entropy"), "the loss is a function"),
    "the name of an optimizer": (lambda: fit(optimizer="adam"), r"SGD\(model\.parameters\(\), lr=\.\.\.\)"),
    "the class of an optimizer": (lambda: fit(optimizer=tn.optim.SGD), "the optimizer is made of"),
    "half an epoch": (lambda: fit(epochs=2.5), "epochs are an integer from 0, got 2.5"),
    "metrics without names": (lambda: fit(metrics=[tn.train.accuracy]), "functions by name"),
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
    "one beta": (lambda: tn.optim.Adam([leaf(1.0)], betas=0.9), "two numbers"),
    "layers in a list": (lambda: tn.nn.Sequential([tn.nn.ReLU()]), r"Sequential\(\*modules\)"),
    "a model among the operands": (lambda: leaf(1.0) @ tn.nn.ReLU(), "ReLU with dtype object"),
    "a method of PyTorch": (lambda: leaf(1.0).view(1, 1), r"t\.reshape\(shape\)"),
    "a layer of PyTorch": (lambda: tn.nn.Linear(2, 3), r"nn\.Dense"),
    "a loss of PyTorch": (lambda: tn.nn.CrossEntropyLoss(), r"nn\.losses\.cross_entropy\("),
    "a function of NumPy": (lambda: tn.exp(leaf(1.0)), r"np\.exp"),
    "NumPy's word for tensor": (lambda: tn.array([1.0]), r"hint   tn\.tensor\(data\)"),
    "NumPy's word for as_tensor": (lambda: tn.asarray([1.0]), r"hint   tn\.as_tensor\(data\)"),
    "a function that takes no tensor": (lambda: tn.zeros(3), "no attribute 'zeros'$"),
    "a dtype": (lambda: tn.float32, "no attribute 'float32'$"),
    "a table of NumPy": (lambda: tn.sctypeDict, "no attribute 'sctypeDict'$"),
}


@pytest.mark.parametrize("name", NEWCOMERS)
def test_the_mistakes_of_a_newcomer_are_answered_with_what_to_write(name):
    mistake, text = NEWCOMERS[name]
    with pytest.raises((TypeError, ValueError, AttributeError, RuntimeError), match=text):
        mistake()


def test_accuracy_takes_the_tensor_that_a_model_returns():
    assert tn.train.accuracy(tn.tensor([[0.0, 1.0]], requires_grad=True), tn.tensor([1])) == 1
