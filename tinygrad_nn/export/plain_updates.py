"""More of what an exported file may need in plain NumPy: elements put into arrays, random masks, and updates.

An update changes its parameter, and what it keeps from step to step, in place.
"""

import numpy as np


def added_at(g, place, shape):
    """Zeros of a shape with g added wherever the index points: an element that was read twice gets both gradients."""
    total = np.zeros(shape)
    np.add.at(total, place, g)
    return total.astype(g.dtype)


def with_values(x, place, values):
    """A copy of x with other values at an index."""
    y = x.copy()
    y[place] = values
    return y


def keep_mask(x, p, rng):
    """0 with probability p and 1 / (1 - p) elsewhere: 16 random bits decide, 53 more where these do not."""
    numbers = rng.integers(2**64, size=-(-x.size // 4), dtype=np.uint64)
    draws = numbers.view(np.uint16)[: x.size]
    kept = draws >= int(p * 65536)
    if rest := p * 65536 % 1:
        undecided = np.flatnonzero(draws == int(p * 65536))
        kept[undecided] = rng.random(len(undecided)) >= rest
    return kept.reshape(x.shape) * np.asarray(1 / (1 - p) if p < 1 else 0, x.dtype)


def sgd(w, g, rate):
    """Gradient descent, in place: w = w - rate * g."""
    w -= rate * g


def sgd_with_momentum(w, g, velocity, rate, momentum):
    """Gradient descent with momentum, in place: v = momentum * v + g,  w = w - rate * v."""
    velocity *= momentum
    velocity += g
    w -= rate * velocity


def sgd_looking_ahead(w, g, velocity, rate, momentum):
    """The same with Nesterov's momentum, in place: v = momentum * v + g,  w = w - rate * (g + momentum * v)."""
    velocity *= momentum
    velocity += g
    w -= rate * (g + momentum * velocity)


def adam(w, g, m, v, rate, count, betas, eps):
    """Adam, in place: w = w - rate * m / (sqrt(v) + eps), with running means m of g and v of g * g.

    The means begin with zeros; divided by 1 - beta**count they are not too small.
    """
    b1, b2 = betas
    m += (1 - b1) * (g - m)
    v *= b2
    v += (1 - b2) * (g * g)
    w -= rate * (m / (1 - b1**count)) / (np.sqrt(v / (1 - b2**count)) + eps)


def adamw(w, g, m, v, rate, count, betas, eps, weight_decay):
    """AdamW, in place: the weight shrinks by a share of itself, then moves as in Adam."""
    w *= 1 - rate * weight_decay
    adam(w, g, m, v, rate, count, betas, eps)


def rmsprop(w, g, square, rate, alpha, eps, mean=None, velocity=None, momentum=0.0, centered=False):
    """RMSprop, in place: w = w - rate * g / (sqrt(v) + eps), with a running mean v of g * g, or the variance."""
    square *= alpha
    square += (1 - alpha) * (g * g)
    spread = square
    if centered:
        mean += (1 - alpha) * (g - mean)
        spread = np.maximum(square - mean * mean, 0)
    step = g / (np.sqrt(spread) + eps)
    if momentum:
        velocity *= momentum
        velocity += step
        step = velocity
    w -= rate * step


def adagrad(w, g, total, rate, count, lr_decay, eps):
    """Adagrad, in place: w = w - rate * g / (sqrt(total) + eps), with the sum of all g * g so far."""
    total += g * g
    w -= rate / (1 + (count - 1) * lr_decay) * g / (np.sqrt(total) + eps)


def lion(w, g, m, rate, betas, weight_decay):
    """Lion, in place: every weight moves by the rate, in the direction of a running mean m of g."""
    b1, b2 = betas
    direction = np.sign(b1 * m + (1 - b1) * g)
    w *= 1 - rate * weight_decay
    w -= rate * direction
    m *= b2
    m += (1 - b2) * g


def move_running_averages(mean, var, moments, momentum, rows):
    """Move the averages for evaluation, in place, by a share towards the moments of this batch."""
    mean += momentum * (moments[0] - mean)
    var += momentum * (moments[1] * (rows / (rows - 1)) - var)


def total_norm(*gradients):
    """The length of all gradients together: sqrt(sum of all squares)."""
    return float(np.sqrt(sum(np.sum(np.square(g, dtype=np.float64)) for g in gradients)))


def scaled_down(g, norm, max_norm):
    """A gradient shortened as much as all of them are, if their norm is more than the largest allowed one."""
    return g * (max_norm / norm) if norm > max_norm else g
