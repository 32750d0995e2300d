"""Convolutions: sizes, padding, dtypes, memory, and errors that say what to write."""

import tracemalloc

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.steps import training_step
from tinygrad_nn.errors import SettingError, ShapeError, TinygradError
from tinygrad_nn.ops.windows import BLOCK, blocks
from tinygrad_nn.testing.battery.duties import memory_layouts

RNG = np.random.default_rng(0)


def normal(*shape, dtype=np.float64):
    return RNG.normal(size=shape).astype(dtype)


def test_a_convolution_of_one_channel_is_that_of_scipy_by_hand():
    x, w = normal(1, 5, 6, 1), normal(3, 2, 1, 1)
    expected = [[(x[0, i : i + 3, j : j + 2, 0] * w[..., 0, 0]).sum() for j in range(5)] for i in range(3)]
    np.testing.assert_allclose(tn.conv(x, w)[0, ..., 0], expected, rtol=1e-13)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1, (2, 0)])
@pytest.mark.parametrize("dilation", [1, 2])
def test_sizes_follow_the_formula(stride, padding, dilation):
    a, b = (padding, padding) if isinstance(padding, int) else padding
    for n in range(7, 12):
        y = tn.conv(normal(1, n, 2), normal(3, 2, 1), stride=stride, padding=(padding,), dilation=dilation)
        assert y.shape == (1, (n + a + b - dilation * 2 - 1) // stride + 1, 1)


@pytest.mark.parametrize(
    ("kernel", "before", "after"), [(1, 0, 0), (2, 0, 1), (3, 1, 1), (4, 1, 2), (5, 2, 2)]
)
def test_padding_to_the_same_size_puts_the_odd_zero_after(kernel, before, after):
    x, w = normal(2, 6, 3), normal(kernel, 3, 2)
    y = tn.conv(x, w, padding="same")
    assert y.shape == (2, 6, 2)
    np.testing.assert_array_equal(y, tn.conv(x, w, padding=((before, after),)))
    np.testing.assert_array_equal(tn.conv(x, w, padding="valid"), tn.conv(x, w))


@pytest.mark.parametrize("stride", [1, 2, (3, 2)])
@pytest.mark.parametrize("groups", [1, 2])
def test_what_undoes_a_convolution_is_its_adjoint(stride, groups):
    x, w = normal(2, 8, 7, 4), normal(3, 2, 4 // groups, 6)
    y = tn.conv(x, w, stride=stride, padding=1, groups=groups)
    g = normal(*y.shape)
    steps = (stride, stride) if isinstance(stride, int) else stride
    extra = tuple((n + 2 - k) % s for n, k, s in zip((8, 7), (3, 2), steps, strict=True))
    back = tn.conv_transpose(g, w, stride=stride, padding=1, output_padding=extra, groups=groups)
    assert back.shape == x.shape
    np.testing.assert_allclose((y * g).sum(), (x * back).sum(), rtol=1e-12)


def test_the_size_of_an_input_is_kept_where_the_stride_makes_several_possible():
    for n in (7, 8):
        x = tn.tensor(normal(1, n, 1), requires_grad=True)
        tn.conv(x, normal(3, 1, 1), stride=2).sum().backward()
        assert x.grad.shape == (1, n, 1)


def test_padding_larger_than_the_kernel_has_the_gradient_of_the_elements_alone():
    x, w = tn.tensor(normal(1, 3, 1), requires_grad=True), normal(2, 1, 1)
    tn.conv(x, w, padding=4).sum().backward()
    np.testing.assert_allclose(x.grad, np.full((1, 3, 1), w.sum()), rtol=1e-13)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_an_empty_batch_gives_empty_results_and_zero_gradients_of_weights(groups):
    x, w = (
        tn.tensor(np.zeros((0, 5, 5, 4)), requires_grad=True),
        tn.tensor(normal(3, 3, 4 // groups, 8), requires_grad=True),
    )
    y = tn.conv(x, w, np.zeros(8), groups=groups)
    assert y.shape == (0, 3, 3, 8)
    y.sum().backward()
    assert x.grad.shape == x.shape
    np.testing.assert_array_equal(w.grad, np.zeros(w.shape))
    assert tn.conv_transpose(np.zeros((0, 3, 3, 8)), w.data, stride=2, groups=groups).shape == (0, 7, 7, 4)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_results_and_gradients_have_the_dtype_of_the_operands(dtype, groups):
    x, w = normal(2, 6, 6, 2, dtype=dtype), normal(3, 3, 2 // groups, 4, dtype=dtype)
    leaves = [tn.tensor(part, requires_grad=True) for part in (x, w, np.ones(4, dtype))]
    y = tn.conv(*leaves, stride=2, groups=groups)
    y.sum().backward()
    assert {y.dtype, *(leaf.grad.dtype for leaf in leaves)} == {np.dtype(dtype)}
    expected = tn.conv(x.astype(float), w.astype(float), np.ones(4), stride=2, groups=groups)
    np.testing.assert_allclose(y.data, expected, rtol=0.02, atol=100 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool])
def test_images_of_integers_do_not_widen_the_weights(dtype):
    x, w = RNG.integers(0, 2, (2, 5, 5, 1)).astype(dtype), normal(3, 3, 1, 2, dtype=np.float32)
    y = tn.conv(x, tn.tensor(w, requires_grad=True))
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.data, tn.conv(x.astype(np.float32), w), rtol=1e-6)
    layer = tn.nn.Conv2d(1, 2, 3, rng=0)
    assert layer(x).dtype == np.float32


def test_blocks_are_contiguous_small_and_cover_everything_once():
    for shape, size in [
        ((7, 5, 3), 8),
        ((3, 100, 70), 64),
        ((1, 9, 200, 30), 1000),
        ((4,), 2**20),
        ((0, 3), 8),
    ]:
        seen = np.zeros(shape, int)
        for place in blocks(shape, size):
            assert seen[place].flags.c_contiguous
            assert seen[place].size * size <= BLOCK or seen[place].size == 1
            seen[place] += 1
        assert (seen == 1).all()


def test_results_do_not_depend_on_how_samples_are_cut_into_blocks(monkeypatch):
    calls = [
        ((3, 9, 8, 2), (3, 2, 2, 4), {"padding": 1}),
        ((3, 9, 8, 1), (3, 3, 1, 4), {"stride": 2}),
        ((2, 9, 8, 4), (3, 3, 1, 8), {"groups": 4, "stride": (2, 1)}),
        ((2, 5, 6, 4, 4), (3, 1, 2, 2, 2), {"groups": 2, "stride": 2, "padding": 1}),
    ]
    for x_shape, w_shape, settings in calls:
        x, w, bias = normal(*x_shape), normal(*w_shape), normal(w_shape[-1])

        def all_of_it(x=x, w=w, bias=bias, settings=settings):
            leaves = [tn.tensor(part, requires_grad=True) for part in (x, w, bias)]
            y = tn.conv(*leaves, **settings)
            (y * y).sum().backward()
            return [y.data, *(leaf.grad for leaf in leaves)]

        whole = all_of_it()
        for size in (1, 500, 3000):
            with monkeypatch.context() as patch:
                patch.setattr(blocks, "__defaults__", (size,))
                patch.setattr("tinygrad_nn.ops.convolution_kernels._most", lambda _, size=size: size)
                for a, b in zip(all_of_it(), whole, strict=True):
                    np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)


def test_a_large_sample_needs_its_padded_copy_and_two_megabytes():
    x, w = normal(1, 200, 200, 16, dtype=np.float32), normal(3, 3, 16, 16, dtype=np.float32)
    leaves = [tn.tensor(x), tn.tensor(w, requires_grad=True)]
    tracemalloc.start()
    y = tn.conv(*leaves, padding=1)
    forward = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    padded = 202 * 202 * 16 * 4
    assert forward < y.data.nbytes + padded + 2 * 2**20
    tracemalloc.start()
    y.backward(np.ones(y.shape, np.float32))
    assert tracemalloc.get_traced_memory()[1] < 2 * y.data.nbytes + padded + 2 * 2**20
    tracemalloc.stop()


def test_a_compiled_training_step_with_every_kind_of_layer_is_the_eager_one():
    def prepared():
        model = tn.nn.Sequential(
            tn.nn.Conv2d(1, 4, 3, rng=0, padding="same", dtype=np.float64),
            tn.nn.ReLU(),
            tn.nn.MaxPool2d(2),
            tn.nn.ConvTranspose2d(4, 4, 2, stride=2, groups=2, rng=1, dtype=np.float64),
            tn.nn.AvgPool2d(3, 1, padding=1, count_include_pad=False),
            tn.nn.Conv2d(4, 4, 3, groups=4, rng=2, dtype=np.float64),
            tn.nn.GlobalAvgPool(),
        )
        return training_step(model, tn.optim.SGD(model.parameters(), lr=0.1))

    eager, compiled = prepared(), tn.compile(prepared(), "numpy")
    for seed in range(3):
        rng = np.random.default_rng(seed)
        x, labels = rng.normal(size=(4, 6, 6, 1)), rng.integers(0, 4, 4)
        np.testing.assert_allclose(compiled(x, labels).data, eager(x, labels).data, rtol=1e-12)


@pytest.mark.parametrize("function", [tn.conv, tn.conv_transpose])
def test_operands_of_any_layout_give_the_same_and_are_left_alone(function):
    x, w = normal(2, 5, 6, 4), normal(3, 2, 2, 4)
    options = {"stride": 2, "padding": 1, "groups": 2}

    def results(x, w):
        leaves = [tn.as_tensor(a, requires_grad=True) for a in (x, w)]
        y = function(*leaves, **options)
        y.backward(np.broadcast_to(np.cos(1.0), y.shape))
        return [y.data, *[leaf.grad for leaf in leaves]]

    expected = results(x, w)
    for name, layout in dict(memory_layouts(x)).items():
        for found, e in zip(results(layout, dict(memory_layouts(w))[name]), expected, strict=True):
            np.testing.assert_allclose(found, e, rtol=1e-12, err_msg=name)
        np.testing.assert_array_equal(layout, x)


X, W = np.ones((2, 8, 8, 3)), np.ones((3, 3, 3, 4))
WRONG = {
    "channels first": (
        lambda: tn.conv(np.ones((2, 3, 8, 8)), W),
        r"take 3 channels.*hint   np\.moveaxis\(x, 1, -1\)",
    ),
    "other channels": (lambda: tn.conv(np.ones((2, 8, 8, 5)), W), r"take 3 channels.*\(2, 8, 8, 5\) has 5$"),
    "weights of PyTorch": (
        lambda: tn.conv(X, np.ones((4, 3, 5, 5))),
        r"take 5 channels.*hint   np\.moveaxis\(w, \(0, 1\), \(-1, -2\)\)",
    ),
    "one image": (lambda: tn.conv(X[0], W), r"of 4 axes, got \(8, 8, 3\).*hint   x\[None\]"),
    "weights without channels": (lambda: tn.conv(X, np.ones((3, 3))), "three axes or more"),
    "a kernel that is too large": (
        lambda: tn.conv(np.ones((1, 2, 8, 3)), W),
        r"axis 1.*2 long.*d \* \(k - 1\).*\(2 \+ 0 \+ 0 - 1 \* \(3 - 1\) - 1\) // 1 \+ 1 = 0.*padding=1 or more",
    ),
    "same with a stride": (
        lambda: tn.conv(X, W, stride=2, padding="same"),
        r'padding="same".*stride=\(2, 2\).*hint   padding=\(\(1, 1\), \(1, 1\)\)',
    ),
    "another word": (
        lambda: tn.conv(X, W, padding="full"),
        '"same", "valid", integers or pairs, got \'full\'',
    ),
    "too few paddings": (
        lambda: tn.conv(X, W, padding=(1,)),
        r"one or a pair, got \(1,\).*hint.*before, after",
    ),
    "negative padding": (lambda: tn.conv(X, W, padding=-1), "from 0 on.*got -1"),
    "no stride": (lambda: tn.conv(X, W, stride=0), "stride is an integer from 1 on.*got 0"),
    "a stride for another rank": (
        lambda: tn.conv(X, W, stride=(1, 1, 1)),
        r"each of the 2 axes, got \(1, 1, 1\)",
    ),
    "half a dilation": (lambda: tn.conv(X, W, dilation=1.5), "dilation is an integer.*1.5"),
    "groups that do not divide": (lambda: tn.conv(X, W, groups=3), "divides 4, the last axis.*got 3"),
    "groups that are none": (lambda: tn.conv(X, W, groups=None), "groups are an integer.*got None"),
    "no channels": (lambda: tn.conv(X, W[..., :0]), r"no empty channels, got \(3, 3, 3, 0\)"),
    "a number": (lambda: tn.conv(5.0, W), r"an input \(N, axis 1, axis 2, channels\) of 4 axes, got \(\)"),
    "groups that channels do not fit": (lambda: tn.conv(X, W, groups=2), r"6 channels \(groups=2\).*has 3"),
    "a bias of another size": (lambda: tn.conv(X, W, np.ones(3)), r"a bias has shape \(4,\).*got \(3,\)"),
    "channels the wrong way round": (lambda: tn.conv_transpose(X, W), r"take 4 channels.*has 3"),
    "an output padding of a stride": (
        lambda: tn.conv_transpose(X, np.ones((3, 3, 4, 3)), stride=2, output_padding=2),
        r"output_padding=2 is less than the stride, \(2, 2\)",
    ),
    "no result": (
        lambda: tn.conv_transpose(X[:, :1], np.ones((1, 1, 4, 3)), padding=1),
        r"the result would have shape \(2, -1, 6, 4\).*less padding",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_refused_with_what_to_write(name):
    call, text = WRONG[name]
    with pytest.raises((ShapeError, SettingError), match=f"(?s)conv.*{text}"):
        call()


def test_a_list_is_an_input_as_an_array_is():
    y = tn.conv([[[1.0], [2.0], [3.0]]], [[[1.0]], [[1.0]]], [10.0])
    np.testing.assert_array_equal(y, [[[13.0], [15.0]]])
    with pytest.raises(TinygradError):
        tn.conv("abc", W)
