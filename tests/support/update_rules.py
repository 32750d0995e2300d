"""The published formulas of the optimizers, written out as they are printed."""

import numpy as np


def sgd(lr, momentum=0.0, nesterov=False, weight_decay=0.0):
    """Sutskever, Martens, Dahl and Hinton 2013, in the form in which PyTorch and others write it."""

    def formula(w, gradient, steps):
        v = np.zeros_like(w)
        for k in range(steps):
            g = gradient(k) + weight_decay * w
            v = momentum * v + g
            w = w - lr * (g + momentum * v if nesterov else v)
        return w

    return formula


def rmsprop(lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0, centered=False):
    """Hinton 2012, lecture 6e; centered as in Graves 2013; in the form in which PyTorch has it."""

    def formula(w, gradient, steps):
        v, mean, b = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
        for k in range(steps):
            g = gradient(k) + weight_decay * w
            v = alpha * v + (1 - alpha) * g**2
            mean = alpha * mean + (1 - alpha) * g
            b = momentum * b + g / (np.sqrt(np.maximum(v - centered * mean**2, 0)) + eps)
            w = w - lr * b
        return w

    return formula


def adagrad(lr=1e-2, lr_decay=0.0, weight_decay=0.0, start=0.0, eps=1e-10):
    """Duchi, Hazan and Singer 2011, with the diagonal of the matrix, in the form in which PyTorch has it."""

    def formula(w, gradient, steps):
        total = np.full_like(w, start)
        for k in range(steps):
            g = gradient(k) + weight_decay * w
            total = total + g**2
            w = w - lr / (1 + k * lr_decay) * g / (np.sqrt(total) + eps)
        return w

    return formula


def lion(lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
    """Chen et al. 2023, algorithm 2."""

    def formula(w, gradient, steps):
        m = np.zeros_like(w)
        for k in range(steps):
            g = gradient(k)
            w = w - lr * (np.sign(betas[0] * m + (1 - betas[0]) * g) + weight_decay * w)
            m = betas[1] * m + (1 - betas[1]) * g
        return w

    return formula


def adam(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled=False):
    """Kingma and Ba 2015, algorithm 1; decoupled weight decay as in Loshchilov and Hutter 2019, algorithm 2."""

    def formula(w, gradient, steps):
        m, v = np.zeros_like(w), np.zeros_like(w)
        for t in range(1, steps + 1):
            g = gradient(t - 1)
            if decoupled:
                w = w - lr * weight_decay * w
            else:
                g = g + weight_decay * w
            m = betas[0] * m + (1 - betas[0]) * g
            v = betas[1] * v + (1 - betas[1]) * g**2
            w = w - lr * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
        return w

    return formula
