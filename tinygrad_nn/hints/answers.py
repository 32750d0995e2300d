"""What to write instead of several kinds of names."""

from __future__ import annotations

CPU = "nothing: there is one device, the CPU"
GRAD = "tn.tensor(data, requires_grad=True)"
FIT = (
    "tn.train.fit(model, nn.losses.cross_entropy, optim.Adam(model.parameters(), lr=0.001), "
    "tn.data.batches(X, y, size=32, rng=0), epochs=10)"
)
