"""What an exported file may need, in plain NumPy: each function is copied into the file as it stands here.

Nothing else of the package is used, no function changes its arguments but those of updates, and channels come last.
"""

import base64
import math

import numpy as np


def unpacked(dtype, shape, text):
    """The array whose bytes a text in base64 has."""
    return np.frombuffer(base64.b64decode(text), dtype).reshape(shape).copy()


def rows(x):
    """All axes but the last one as one: (..., features) becomes a matrix (rows, features)."""
    return x.reshape(-1, x.shape[-1])


# Activations


def sigmoid(x):
    """1 / (1 + exp(-x)), between 0 and 1; exp never gets a large number."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def softplus(x):
    """log(1 + exp(x)), a smooth maximum of x and 0; exp never gets a large number."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def elu(x, alpha=1.0):
    """x where it is positive, alpha * (exp(x) - 1) elsewhere."""
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def erf(x):
    """The error function, 2 / sqrt(pi) times the integral of exp(-t * t) from 0 to x."""
    return np.asarray(np.vectorize(math.erf, otypes=[float])(x), np.result_type(x, np.float32))


def gelu(x):
    """x times the probability that a standard normal number is less than x."""
    return x * (1 + erf(x * math.sqrt(0.5))) / 2


def gelu_tanh(x):
    """x / 2 * (1 + tanh(u)) with u = sqrt(2 / pi) * (x + 0.044715 * x**3), which is nearly gelu."""
    return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


def gelu_tanh_slope(x):
    """The derivative of gelu_tanh: (1 + tanh(u)) / 2 + x / 2 * (1 - tanh(u)**2) * du/dx."""
    tanh = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))
    du = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
    return (1 + tanh) / 2 + x / 2 * (1 - tanh * tanh) * du


def softmax(x, axis=-1):
    """exp(x) / sum(exp(x)): positive numbers with the sum 1; less the largest x, exp cannot overflow."""
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def softmax_back(g, p, axis=-1):
    """The gradient of x, if p = softmax(x) has the gradient g: p * (g - sum(g * p))."""
    return p * (g - (g * p).sum(axis=axis, keepdims=True))


def masked_softmax(x, chosen):
    """softmax over the chosen elements of each row, and 0 for the others."""
    x = np.where(chosen, x, -np.inf)
    top = x.max(axis=-1, keepdims=True)
    e = np.exp(x - np.where(np.isinf(top), 0, top))
    total = e.sum(axis=-1, keepdims=True)
    return e / np.where(total == 0, 1, total)


def logsumexp(x, axis=None, keepdims=False):
    """log(sum(exp(x))); the largest number is taken out of the sum, so that exp does not overflow."""
    top = x.max(axis=axis, keepdims=True)
    y = np.log(np.exp(x - top).sum(axis=axis, keepdims=True)) + top
    return y if keepdims else y.squeeze(axis=axis)


def xlogy(a, b):
    """a * log(b), and 0 where a is 0."""
    return a * np.log(np.where(a == 0, 1, b))


def part(a, b):
    """a / b, and 0 where b is 0."""
    return np.where(b == 0, 0, a / np.where(b == 0, 1, b))


# Losses


def cross_entropy(logits, labels, reduction="mean"):
    """-log(softmax(logits)) at the label of each row: small where the label is thought to be likely."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]
    return losses.mean() if reduction == "mean" else losses.sum() if reduction == "sum" else losses


def minus_one_hot(p, labels):
    """p with 1 subtracted at the label of each row."""
    d = p.copy()
    d[np.arange(len(labels)), labels] -= 1
    return d


def binary_cross_entropy(logits, targets):
    """-log of the probability sigmoid(logits) where the target is 1, and of 1 less this where it is 0."""
    return np.maximum(logits, 0) - targets * logits + np.log1p(np.exp(-np.abs(logits)))


def huber(d, delta):
    """d * d / 2 for small differences, continued by straight lines beyond delta."""
    near = np.clip(d, -delta, delta)
    return near * (d - near / 2)


# Normalisation


def standardized(x, eps):
    """Each row less its mean, divided by its standard deviation: (x - mean) / sqrt(variance + eps)."""
    d = x - x.mean(axis=-1, keepdims=True)
    return d / np.sqrt((d * d).mean(axis=-1, keepdims=True) + eps)


def standardized_back(g, y, scale):
    """The gradient of x, if y = (x - mean) * scale has the gradient g: mean and scale depend on x too."""
    return (g - g.mean(axis=-1, keepdims=True) - y * (g * y).mean(axis=-1, keepdims=True)) * scale


def root_mean_square_norm(x, eps):
    """Each row divided by sqrt(mean of its squares + eps)."""
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps)


def column_moments(x):
    """Mean and variance of each column, as two rows."""
    count = max(x.shape[-2], 1)
    mean = x.sum(axis=-2, keepdims=True) / count
    variance = np.square(x - mean).sum(axis=-2, keepdims=True) / count
    return np.concatenate([mean, variance], axis=-2)


def column_products(a, b, c):
    """For each column the sums of a * (b - c) and of a, as two rows."""
    return np.stack([(a * (b - c)).sum(axis=-2), a.sum(axis=-2)], axis=-2)


def normalising_columns(moments, weight, bias, eps):
    """Three rows: the mean, weight / sqrt(variance + eps), and the bias."""
    mean, var = moments[..., 0, :], moments[..., 1, :]
    return np.stack([mean, weight / np.sqrt(var + eps), np.broadcast_to(bias, mean.shape)], axis=-2)


def scaled_columns(x, c):
    """(x - c[0]) * c[1] + c[2], column by column."""
    return (x - c[..., 0:1, :]) * c[..., 1:2, :] + c[..., 2:3, :]


# Windows that move over images (N, *space, channels)


def padded(x, padding, value=0):
    """An array with a border around its space: so many elements before and after on each axis; fewer than none cut."""
    shape = x.shape[1:-1]
    x = x[:, *[slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(shape, padding, strict=True)]]
    border = [(0, 0), *[(max(a, 0), max(b, 0)) for a, b in padding], (0, 0)]
    return np.pad(x, border, constant_values=value)


def counts(shape, kernel, stride, dilation=None):
    """How many windows there are on each axis of a padded array."""
    apart = dilation or (1,) * len(kernel)
    return [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(shape, kernel, stride, apart, strict=True)]


def under(tap, count, stride, dilation=None):
    """Where the elements are that lie under one place, `tap`, of all windows."""
    each = zip(tap, count, stride, dilation or (1,) * len(tap), strict=True)
    return (slice(None), *[slice(t * d, t * d + (m - 1) * s + 1, s) for t, m, s, d in each])


def inner(space, padding):
    """Where an array is in the padded one."""
    return (slice(None), *[slice(a, a + n) for n, (a, _) in zip(space, padding, strict=True)])


def convolution(x, w, stride, padding, dilation=None, groups=1):
    """y = sum over the places of the window: what lies under the place, times the weights of the place."""
    if groups > 1:
        parts = zip(np.split(x, groups, -1), np.split(w, groups, -1), strict=True)
        return np.concatenate([convolution(a, b, stride, padding, dilation) for a, b in parts], -1)
    x = padded(x, padding)
    count = counts(x.shape[1:-1], w.shape[:-2], stride, dilation)
    y = np.zeros((len(x), *count, w.shape[-1]), np.result_type(x, w))
    for tap in np.ndindex(*w.shape[:-2]):
        y += x[under(tap, count, stride, dilation)] @ w[tap]
    return y


def convolution_back(g, w, space, stride, padding, dilation=None, groups=1):
    """The gradient of x in y = convolution(x, w): g times the weights of each place, added where it lay."""
    if groups > 1:
        parts = zip(np.split(g, groups, -1), np.split(w, groups, -1), strict=True)
        return np.concatenate(
            [convolution_back(a, b, space, stride, padding, dilation) for a, b in parts], -1
        )
    full = [n + a + b for n, (a, b) in zip(space, padding, strict=True)]
    dx = np.zeros((len(g), *full, w.shape[-2]), np.result_type(g, w))
    for tap in np.ndindex(*w.shape[:-2]):
        dx[under(tap, g.shape[1:-1], stride, dilation)] += g @ w[tap].T
    return dx[inner(space, padding)]


def convolution_weights_back(g, x, kernel, stride, padding, dilation=None, groups=1):
    """The gradient of w in y = convolution(x, w): for each place, what lay under it times g, summed."""
    if groups > 1:
        parts = zip(np.split(g, groups, -1), np.split(x, groups, -1), strict=True)
        return np.concatenate(
            [convolution_weights_back(a, b, kernel, stride, padding, dilation) for a, b in parts], -1
        )
    x = padded(x, padding)
    dw = np.zeros((*kernel, x.shape[-1], g.shape[-1]), np.result_type(g, x))
    for tap in np.ndindex(*kernel):
        dw[tap] = rows(x[under(tap, g.shape[1:-1], stride, dilation)]).T @ rows(g)
    return dw


def windows(x, kernel, stride, padding, value=0):
    """What lies under each place of all windows: (places, N, *count, channels)."""
    x = padded(x, padding, value)
    count = counts(x.shape[1:-1], kernel, stride)
    return np.stack([x[under(tap, count, stride)] for tap in np.ndindex(*kernel)])


def max_pool(x, kernel, stride, padding):
    """The largest element under each window."""
    return windows(x, kernel, stride, padding, -np.inf).max(axis=0)


def max_pool_places(x, kernel, stride, padding):
    """Which place of each window has the largest element, the first of several."""
    return windows(x, kernel, stride, padding, -np.inf).argmax(axis=0)


def max_pool_back(g, places, space, kernel, stride, padding):
    """The gradient of x in y = max_pool(x): the largest element under each window gets all of g."""
    full = [n + a + b for n, (a, b) in zip(space, padding, strict=True)]
    dx = np.zeros((len(g), *full, g.shape[-1]), g.dtype)
    for k, tap in enumerate(np.ndindex(*kernel)):
        dx[under(tap, g.shape[1:-1], stride)] += g * (places == k)
    return dx[inner(space, padding)]


def taken_at(x, places, kernel, stride, padding):
    """The element at one place under each window."""
    return np.take_along_axis(windows(x, kernel, stride, padding), places[None].astype(int), 0)[0]


def window_sizes(space, kernel, stride, padding, inclusive):
    """How many elements each window averages, those of the border among them or not."""
    return windows(np.ones((1, *space, 1)), kernel, stride, padding, float(inclusive)).sum(axis=0)


def avg_pool(x, kernel, stride, padding, inclusive=True):
    """The average of the elements under each window."""
    sizes = window_sizes(x.shape[1:-1], kernel, stride, padding, inclusive).astype(x.dtype)
    return windows(x, kernel, stride, padding).sum(axis=0) / sizes


def avg_pool_back(g, space, kernel, stride, padding, inclusive=True):
    """The gradient of x in y = avg_pool(x): each element under a window gets an equal share of g."""
    g = g / window_sizes(space, kernel, stride, padding, inclusive).astype(g.dtype)
    full = [n + a + b for n, (a, b) in zip(space, padding, strict=True)]
    dx = np.zeros((len(g), *full, g.shape[-1]), g.dtype)
    for tap in np.ndindex(*kernel):
        dx[under(tap, g.shape[1:-1], stride)] += g
    return dx[inner(space, padding)]
