"""What PyTorch and Keras call things, and what to write here instead: the one dictionary of all hints about names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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
    "RNNCell": "nn.RNN(input_size, hidden_size) on x[:, None], with the state handed on",
    "LSTMCell": "nn.LSTM(input_size, hidden_size) on x[:, None], with the state handed on",
    "GRUCell": "nn.GRU(input_size, hidden_size) on x[:, None], with the state handed on",
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
    "BatchNorm1d": "nn.BatchNorm(features), of any rank, channels last",
    "BatchNorm2d": "nn.BatchNorm(features), of any rank, channels last",
    "BatchNorm3d": "nn.BatchNorm(features), of any rank, channels last",
    "InstanceNorm2d": "nn.GroupNorm(features, features), channels last",
    "Upsample": "tn.resize(x, size) in forward",
    "SyncBatchNorm": "nn.BatchNorm(features), of the rows of each rank",
    "DataParallel": "tn.train.fit(..., comm=MPI.COMM_WORLD), or optim.Distributed(optimizer, comm)",
    "functional": "tn.relu, tn.softmax and others are functions; losses are in nn.losses",
    "Parameter": "tn.tensor(data, requires_grad=True)",
}
"""Names in `nn`."""

RECURRENT = {
    "batch_first": "nothing: x is (N, T, features) always",
    "dropout": "nn.Dropout between recurrent layers of one layer each",
    "nonlinearity": "nothing: RNN has tanh",
    "proj_size": "nn.Dense(hidden_size, proj_size) on the outputs",
    "return_sequences": "outputs[:, -1] is the last one",
    "go_backwards": "bidirectional=True, or x[:, ::-1]",
    "device": "nothing: there is one device, the CPU",
}
"""Options of recurrent layers."""
OPTIMIZERS = {
    "EMA": "tn.train.EMA(model, decay=0.999)",
    "swa_utils": "tn.train.EMA(model, decay=0.999)",
    "lr_scheduler": "a schedule as lr=, optim.SGD(parameters, lr=optim.schedules.cosine(0.1, 10_000))",
    "RMSProp": "optim.RMSprop(parameters, lr=...)",
}
"""Names in `optim`."""

FUNCTIONS = {
    "array": "tn.tensor(data)",
    "asarray": "tn.as_tensor(data)",
    "conv1d": "tn.conv(x, w), of any rank; channels come last",
    "conv2d": "tn.conv(x, w), of any rank; channels come last",
    "conv3d": "tn.conv(x, w), of any rank; channels come last",
    "expit": "tn.sigmoid(x)",
    "lgamma": "tn.gammaln(x)",
    "psi": "tn.digamma(x)",
    "cummax": "np.maximum.accumulate(x, axis)",
    "cummin": "np.minimum.accumulate(x, axis)",
    "logcumsumexp": "tn.cumlogsumexp(x, axis=axis)",
    "interpolate": 'tn.resize(x, size, mode="linear")',
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
    "on_batch_begin": "on_batch",
    "on_train_batch_begin": "on_batch",
}
"""What callbacks of Keras are told, and the event of ours at the same time, if there is one."""


METRICS = {
    "acc": "accuracy",
    "categorical_accuracy": "accuracy",
    "sparse_categorical_accuracy": "accuracy",
    "top_k_categorical_accuracy": "top5",
    "sparse_top_k_categorical_accuracy": "top5",
    "top_k_accuracy": "top5",
    "mean_absolute_error": "mae",
    "mean_squared_error": "mse",
}
"""Metrics of Keras, and ours of the same meaning."""


ESTIMATORS = {
    "sigmoid": "logistic",
    "linear": "identity",
    "swish": "silu",
    "lbfgs": "adam",
    "nesterov": "optimizer=partial(optim.SGD, momentum=0.9, nesterov=True)",
}
"""What others call activations and optimizers of estimators, and the name of ours."""

ESTIMATOR_SETTINGS = {
    "solver": 'optimizer="adam"',
    "alpha": "optimizer=partial(optim.Adam, weight_decay=1e-4)",
    "weight_decay": "optimizer=partial(optim.AdamW, weight_decay=0.01)",
    "momentum": "optimizer=partial(optim.SGD, momentum=0.9)",
    "nesterovs_momentum": "optimizer=partial(optim.SGD, momentum=0.9, nesterov=True)",
    "learning_rate": "learning_rate_init=0.001, or one of tn.optim.schedules",
    "lr": "learning_rate_init=0.001",
    "epochs": "max_iter=200",
    "hidden": "hidden_layer_sizes=(100,)",
    "tol": 'callbacks=[tn.train.EarlyStopping("loss", min_delta=1e-4)]',
    "n_iter_no_change": 'callbacks=[tn.train.EarlyStopping("loss", patience=10)]',
    "patience": 'callbacks=[tn.train.EarlyStopping("loss", patience=10)]',
    "shuffle": "nothing: rows are shuffled always",
    "warm_start": "partial_fit(X, y), which goes on",
    "seed": "random_state=0",
    "class_weight": "fit(X, y, sample_weight=...); a regressor has no classes",
}
"""What MLPClassifier and others call settings of estimators, and what to write."""


def closest(name: str, names: Iterable[str]) -> str | None:
    """Return which of the names was probably meant, if any."""
    # Needed for an error only, and slow to import.
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, names, 1)), None)


def no_attribute(owner: str, name: str, words: Mapping[str, str]) -> AttributeError:
    """Return the error for a name that `owner` does not have, with the line to write where there is one."""
    hint = f"\n  hint   {words[name]}" if name in words else ""
    return AttributeError(f"{owner} has no attribute {name!r}{hint}")
