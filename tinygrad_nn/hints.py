"""What PyTorch and Keras call things, and what to write here instead: the one dictionary of all hints about names."""

from __future__ import annotations

from collections.abc import Mapping

KEYWORDS = {"dim": "axis", "dims": "axis", "keepdim": "keepdims"}
"""Keywords of calls, with NumPy's word."""

METHODS = {
    "view": "t.reshape(shape)",
    "unsqueeze": "np.expand_dims(t, axis)",
    "permute": "t.transpose(axes)",
    "t": "t.T",
    "mm": "t @ other",
    "matmul": "t @ other",
    "pow": "t ** exponent",
    "abs": "np.abs(t)",
    "clamp": "t.clip(low, high)",
    "expand": "np.broadcast_to(t, shape)",
    "masked_fill": "np.where(mask, value, t)",
    "numel": "t.size",
    "float": "t.astype(np.float32)",
    "double": "t.astype(np.float64)",
    "to": "t.astype(dtype); there is one device, the CPU",
    "cuda": "there is one device, the CPU",
    "cpu": "there is one device, the CPU",
    "zero_grad": "t.grad = None",
}
"""Methods and attributes of tensors."""

LAYERS = {
    "Linear": "nn.Dense(in_features, out_features)",
    "Conv2D": "nn.Conv2d(in_channels, out_channels, kernel_size); channels come last",
    "MaxPooling2D": "nn.MaxPool2d(kernel_size)",
    "AveragePooling2D": "nn.AvgPool2d(kernel_size)",
    "GlobalAveragePooling2D": "nn.GlobalAvgPool()",
    "AdaptiveAvgPool2d": "nn.GlobalAvgPool(), for a size of 1 followed by Flatten",
    "CrossEntropyLoss": "nn.losses.cross_entropy(logits, labels)",
    "NLLLoss": "nn.losses.nll(log_probabilities, labels)",
    "MSELoss": "nn.losses.mse(predictions, targets)",
    "L1Loss": "nn.losses.mae(predictions, targets)",
    "BCEWithLogitsLoss": "nn.losses.binary_cross_entropy(logits, targets)",
    "BCELoss": "nn.losses.binary_cross_entropy_probabilities(probabilities, targets)",
    "functional": "tn.relu, tn.softmax and others are functions; losses are in nn.losses",
    "Parameter": "tn.tensor(data, requires_grad=True)",
}
"""Names in `nn`."""

FUNCTIONS = {
    "array": "tn.tensor(data)",
    "asarray": "tn.as_tensor(data)",
    "conv1d": "tn.conv(x, w), of any rank; channels come last",
    "conv2d": "tn.conv(x, w), of any rank; channels come last",
    "conv3d": "tn.conv(x, w), of any rank; channels come last",
    "expit": "tn.sigmoid(x)",
    "lgamma": "tn.gammaln(x)",
    "psi": "tn.digamma(x)",
}
"""Names in the package itself; those that NumPy has are not here."""


EVENTS: dict[str, str | None] = {
    "on_train_begin": "on_start",
    "on_train_end": "on_end",
    "on_epoch_end": "on_epoch",
    "on_batch_end": "on_step",
    "on_train_batch_end": "on_step",
    "on_test_begin": None,
    "on_test_end": "on_epoch",
    "on_epoch_begin": None,
    "on_batch_begin": None,
    "on_train_batch_begin": None,
}
"""What callbacks of Keras are told, and the event of ours at the same time, if there is one."""


def no_attribute(owner: str, name: str, words: Mapping[str, str]) -> AttributeError:
    """Return the error for a name that `owner` does not have, with the line to write where there is one."""
    hint = f"\n  hint   {words[name]}" if name in words else ""
    return AttributeError(f"{owner} has no attribute {name!r}{hint}")
