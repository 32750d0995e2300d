"""The sentences of the doctor, and the lines to write, in each language."""

from __future__ import annotations

from tinygrad_nn.languages import Phrases

PHRASES: Phrases = {
    "not.yet": {
        "en": "Doctor(no report yet: nothing was trained with callbacks=[doctor])",
        "ja": "Doctor(報告はまだありません。callbacks=[doctor] を付けて学習すると作られます)",
    },
    "healthy.before": {
        "en": "nothing is wrong before the first step",
        "ja": "学習開始前の検査では、問題は見つかりませんでした",
    },
    "found.before": {
        "en": "{count} found before the first step, the most important first",
        "ja": "学習開始前の検査で、{count} 件の問題が見つかりました（重要な順）",
    },
    "healthy": {
        "en": "nothing is wrong after {steps:,} steps",
        "ja": "{steps:,} ステップを調べましたが、問題は見つかりませんでした",
    },
    "found": {
        "en": "{count} found after {steps:,} steps, the most important first",
        "ja": "{steps:,} ステップを調べ、{count} 件の問題が見つかりました（重要な順）",
    },
    "line": {"en": "write ", "ja": "対処："},
    "stopped": {"en": "could not look further: {why}", "ja": "これ以上は調べられませんでした：{why}"},
    "column.name": {"en": "finding", "ja": "問題"},
    "column.module": {"en": "module", "ja": "層"},
    "column.text": {"en": "what shows it", "ja": "根拠"},
    "column.line": {"en": "what to write", "ja": "対処"},
    "wrong-target-shape.spread": {
        "en": "predictions {predictions} and targets {targets} became {spread} in the loss: "
        "each prediction is compared with every target",
        "ja": "損失の中で予測 {predictions} と正解 {targets} がブロードキャストされて {spread} になり、"
        "どの予測もすべての正解と比べられています",
    },
    "wrong-target-shape.refused": {
        "en": "the loss does not take targets {targets} for predictions {predictions}",
        "ja": "この損失は、予測 {predictions} に対して形 {targets} の正解を受け付けません",
    },
    "optimizer-of-another-model": {
        "en": "{strangers} of the {parameters} parameters that the optimizer moves are not those of this model",
        "ja": "オプティマイザが更新する {parameters} 個のパラメータのうち {strangers} 個は、"
        "このモデルのものではありません",
    },
    "no-gradient.cut": {
        "en": "no gradient reaches {parameter} ({tensors} tensors, {parameters:,} numbers in all): the graph is cut "
        "between it and the loss",
        "ja": "{parameter} に勾配が届きません（テンソル {tensors} 個、合計 {parameters:,} 個の値）。"
        "損失との間で計算グラフが途切れています",
    },
    "no-gradient.zero": {
        "en": "the gradient of {parameter} is exactly 0 in every step looked at ({tensors} tensors)",
        "ja": "{parameter} の勾配は、調べたすべてのステップでちょうど 0 です（テンソル {tensors} 個）",
    },
    "no-gradient.fresh": {
        "en": "{parameter} is frozen ({parameters:,} numbers), and was never trained: its biases are 0",
        "ja": "{parameter} は固定されていて（{parameters:,} 個の値）、一度も学習されていません（"
        "バイアスが 0 のままです）",
    },
    "no-gradient.frozen": {
        "en": "{parameter} is frozen ({parameters:,} numbers), behind layers that are trained",
        "ja": "{parameter} は固定されています（{parameters:,} 個の値）。その手前の層は学習されています",
    },
    "softmax-twice": {
        "en": "the model returns probabilities, and {loss_name} takes logits: the loss ({loss:.3g} now) cannot get "
        "below {least:.3g}",
        "ja": "モデルの出力がすでに確率なのに、{loss_name} はロジットを受け取ります。"
        "損失（現在 {loss:.3g}）は {least:.3g} より小さくなれません",
    },
    "softmax-twice.last": {
        "en": "the last layer makes probabilities, and {loss_name} takes logits: the loss ({loss:.3g} now) cannot get "
        "below {least:.3g}",
        "ja": "最後の層が確率を出力しているのに、{loss_name} はロジットを受け取ります。"
        "損失（現在 {loss:.3g}）は {least:.3g} より小さくなれません",
    },
    "wrong-mode.resting": {
        "en": "{module} is in evaluation mode in a training step ({layers} such layers)",
        "ja": "{module} が学習ステップの中で評価モードになっています（該当する層は {layers} 個）",
    },
    "wrong-mode.awake": {
        "en": "{module} is in training mode in an evaluation ({layers} such layers): what is measured is "
        "not the model",
        "ja": "{module} が評価中に学習モードになっています（該当する層は {layers} 個）。"
        "モデル本来の性能が測れていません",
    },
    "wrong-mode.moved": {
        "en": "between two epochs {module} ran in training mode: an evaluation there is not that of the model",
        "ja": "エポックの間に {module} が学習モードで実行されました。そこでの評価はモデル本来のものではありません",
    },
    "constant-labels": {
        "en": "all {rows:,} targets seen are {value:g}: there is nothing to tell apart",
        "ja": "これまでに見た {rows:,} 個の正解はすべて {value:g} です。区別すべきものがありません",
    },
    "identical-weights": {
        "en": "all {units} units of {parameter} have the same weights ({weight:g}), the same gradient, "
        "and stay the same",
        "ja": "{parameter} の {units} 個のユニットの重みがすべて同じ（{weight:g}）です。"
        "勾配も同じなので、違いが生まれません",
    },
    "inputs-not-scaled.large": {
        "en": "the data that enter {module} have a root mean square of {rms:.3g}; about 1 is right",
        "ja": "{module} に入るデータの二乗平均平方根は {rms:.3g} です。1 程度が適切です",
    },
    "inputs-not-scaled.small": {
        "en": "the data that enter {module} have a root mean square of {rms:.2g}; about 1 is right",
        "ja": "{module} に入るデータの二乗平均平方根は {rms:.2g} しかありません。1 程度が適切です",
    },
    "not-shuffled": {
        "en": "{between:.0%} of the differences among targets lie between batches ({batches} looked at): "
        "they come sorted",
        "ja": "正解の違いの {between:.0%} がバッチの間にあります（{batches} 個を調べました）。"
        "データが並べ替えられたままです",
    },
    "saturated": {
        "en": "{share:.0%} of what {op} makes in {module} lies where it is flat, and lets no gradient through",
        "ja": "{module} の {op} の出力の {share:.0%} が飽和しています。そこでは勾配がほとんど伝わりません",
    },
    "dead-units": {
        "en": "{dead:g} of {units:g} units ({share:.0%}) of {module} were 0 for each of {rows:g} rows, "
        "and learn nothing",
        "ja": "{module} の {units:g} 個のユニットのうち {dead:g} 個（{share:.0%}）が、{rows:g} 行のすべてで 0 でした。"
        "これらは学習されません",
    },
    "exploding": {
        "en": "the gradient grows {ratio:.3g} times from the last of {layers} layers to the first, {module}",
        "ja": "勾配が {layers} 層の最後から最初の層 {module} までの間に {ratio:.3g} 倍に増えています",
    },
    "exploding.sensitive": {
        "en": "the gradient of {module} ({gradient:.3g}) is so large that a change of its weights by a thousandth "
        "doubles the loss",
        "ja": "{module} の勾配が {gradient:.3g} と大きく、重みを 0.1% 変えるだけで損失が倍になります",
    },
    "exploding.outputs": {
        "en": "the loss at the start is {loss:.3g}; guessing would have {chance:.3g}: the outputs are far too large",
        "ja": "学習開始時の損失は {loss:.3g} で、当てずっぽうの {chance:.3g} よりはるかに大きく、出力が大きすぎます",
    },
    "exploding.infinite": {
        "en": "the loss or a gradient is not finite ({loss})",
        "ja": "損失または勾配が有限ではありません（{loss}）",
    },
    "vanishing": {
        "en": "the gradient in {module}, the first of {layers} layers, is {ratio:.2g} of that in the last",
        "ja": "{layers} 層の最初の層 {module} の勾配は、最後の層の {ratio:.2g} 倍しかありません",
    },
    "rate-too-high.far": {
        "en": "a step changed the weights by {ratio:.3g} of their size; 0.001 is usual",
        "ja": "1 ステップで重みがその大きさの {ratio:.3g} 倍も変わりました。0.001 倍程度が普通です",
    },
    "rate-too-high.worse": {
        "en": "steps change the weights by up to {ratio:.2g} of their size (0.001 is usual), and {worse} of {looks} "
        "looked at made the loss of their own batch much larger",
        "ja": "1 ステップで重みがその大きさの最大 {ratio:.2g} 倍変わり（普通は 0.001 倍程度）、"
        "調べた {looks} ステップのうち {worse} ステップで、そのバッチ自身の損失が大きく増えました",
    },
    "rate-too-high.climbed": {
        "en": "steps change the weights by up to {ratio:.2g} of their size (0.001 is usual), and the loss "
        "does not fall",
        "ja": "1 ステップで重みがその大きさの最大 {ratio:.2g} 倍変わり（普通は 0.001 倍程度）、損失が下がっていません",
    },
    "rate-too-low": {
        "en": "steps change the weights by at most {ratio:.2g} of their size (0.001 is usual), and the loss went from "
        "{first:.4g} to {last:.4g}",
        "ja": "1 ステップで重みはその大きさの最大 {ratio:.2g} 倍しか変わらず（普通は 0.001 倍程度）、"
        "損失は {first:.4g} から {last:.4g} になっただけです",
    },
    "imbalanced": {
        "en": "{share:.0%} of {rows:,} labels are {class:g}: who always says so is right as often",
        "ja": "{rows:,} 個のラベルの {share:.0%} が {class:g} です。常にそう答えるだけで、同じ割合で正解になります",
    },
    "overfitting": {
        "en": "since epoch {epoch} the validation loss has risen from {best:.3g} to {val_loss:.3g}, while that of "
        "training fell to {loss:.3g}",
        "ja": "過学習です。エポック {epoch} 以降、検証データの損失が {best:.3g} から {val_loss:.3g} に増え、"
        "学習データの損失は {loss:.3g} まで下がりました",
    },
    "overfitting.gap": {
        "en": "the loss of training fell to {loss:.3g}, that of validation stays at {val_loss:.3g}: the rows are "
        "learned by heart",
        "ja": "過学習です。学習データの損失は {loss:.3g} まで下がりましたが、検証データの損失は "
        "{val_loss:.3g} のままです",
    },
    "chance-level.labels": {
        "en": "the targets say nothing about their rows: in another order their gradient is as large, but for "
        "{signal:.2g} standard deviations; guessing has a loss of {chance:.4g}",
        "ja": "正解が入力と関係していません。正解を並べ替えても勾配の大きさは変わらず"
        "（差は標準偏差の {signal:.2g} 倍）、当てずっぽうの損失は {chance:.4g} です",
    },
    "chance-level": {
        "en": "after {steps:,} steps the loss is {loss:.4g}; guessing without a look at the inputs has {chance:.4g}",
        "ja": "{steps:,} ステップ後の損失は {loss:.4g} で、入力を見ない当てずっぽうの {chance:.4g} と変わりません",
    },
}
PHRASES = {**PHRASES, "imbalanced.binary": PHRASES["imbalanced"]}

LINES: Phrases = {
    "wrong-target-shape": {"en": "{fix}", "ja": "{fix}"},
    "optimizer-of-another-model": {
        "en": "optimizer = optim.{optimizer}(model.parameters(), lr={lr})",
        "ja": "optimizer = optim.{optimizer}(model.parameters(), lr={lr})",
    },
    "no-gradient.cut": {
        "en": "use the result of {module} in the loss as it is, without .detach(), .data, .numpy(), "
        "float() or no_grad",
        "ja": "{module} の出力を .detach()、.data、.numpy()、float()、no_grad を使わず、そのまま損失につなぐ",
    },
    "no-gradient.zero": {
        "en": "give the layers behind {module} weights that are not 0, and activations that are not flat",
        "ja": "{module} より後ろの層の重みを 0 以外にし、飽和しない活性化関数を使う",
    },
    "no-gradient": {
        "en": "for p in model.parameters(): p.requires_grad = True",
        "ja": "for p in model.parameters(): p.requires_grad = True",
    },
    "softmax-twice": {
        "en": "return the logits: leave softmax or sigmoid out of forward",
        "ja": "forward から softmax や sigmoid を外し、ロジットを返す",
    },
    "softmax-twice.last": {"en": "model = model[:-1]", "ja": "model = model[:-1]"},
    "wrong-mode.resting": {"en": "model.train()", "ja": "model.train()"},
    "wrong-mode": {
        "en": "tn.train.evaluate(model, loss, (X, y)), or model.eval() before and model.train() after it",
        "ja": "tn.train.evaluate(model, loss, (X, y))、または評価の前に model.eval()、後に model.train()",
    },
    "constant-labels": {
        "en": "np.unique(y, return_counts=True)",
        "ja": "np.unique(y, return_counts=True)",
    },
    "identical-weights": {
        "en": "nn.Dense(..., init=nn.init.he_normal(), rng=0): weights that are drawn, and biases of 0",
        "ja": "nn.Dense(..., init=nn.init.he_normal(), rng=0)：重みは乱数で、バイアスは 0 で初期化する",
    },
    "inputs-not-scaled": {
        "en": "X = (X - X.mean(axis=0)) / (X.std(axis=0) + 1e-8)",
        "ja": "X = (X - X.mean(axis=0)) / (X.std(axis=0) + 1e-8)",
    },
    "not-shuffled": {
        "en": "tn.data.batches(X, y, size=32, shuffle=True, rng=0)",
        "ja": "tn.data.batches(X, y, size=32, shuffle=True, rng=0)",
    },
    "saturated": {
        "en": "smaller weights and biases (init=nn.init.glorot_uniform()), scaled inputs, or nn.ReLU()",
        "ja": "重みとバイアスを小さくする（init=nn.init.glorot_uniform()）、入力を正規化する、または "
        "nn.ReLU() を使う",
    },
    "dead-units": {
        "en": "biases of 0, a smaller rate, or nn.LeakyReLU() for nn.ReLU()",
        "ja": "バイアスを 0 にする、学習率を下げる、または nn.ReLU() の代わりに nn.LeakyReLU() を使う",
    },
    "exploding": {
        "en": "init=nn.init.he_normal() for layers before relu, a norm layer, or optim.clip_grad_norm",
        "ja": "relu の前の層に init=nn.init.he_normal() を使う、正規化層を入れる、または optim.clip_grad_norm を使う",
    },
    "vanishing": {
        "en": "nn.ReLU() with init=nn.init.he_normal(), nn.BatchNorm, or nn.Residual around the layers",
        "ja": "nn.ReLU() と init=nn.init.he_normal() を使う、nn.BatchNorm を入れる、または層を nn.Residual で囲む",
    },
    "rate-too-high": {"en": "{lr}", "ja": "{lr}"},
    "rate-too-low": {"en": "{lr}", "ja": "{lr}"},
    "imbalanced": {
        "en": "loss = functools.partial(nn.losses.cross_entropy, weight=np.float32([{weights}]))",
        "ja": "loss = functools.partial(nn.losses.cross_entropy, weight=np.float32([{weights}]))",
    },
    "imbalanced.binary": {
        "en": "loss = functools.partial(nn.losses.binary_cross_entropy, pos_weight={ratio})",
        "ja": "loss = functools.partial(nn.losses.binary_cross_entropy, pos_weight={ratio})",
    },
    "overfitting": {
        "en": 'callbacks=[tn.train.EarlyStopping("val_loss")], more data, nn.Dropout(0.5), or weight_decay=',
        "ja": 'callbacks=[tn.train.EarlyStopping("val_loss")]、データを増やす、nn.Dropout(0.5)、または weight_decay=',
    },
    "chance-level.labels": {
        "en": "look at some rows beside their labels: X[:5], y[:5]; were X and y put in order apart from each other?",
        "ja": "入力とラベルを並べて確かめる：X[:5], y[:5]。X と y を別々に並べ替えていないか",
    },
    "chance-level": {
        "en": "fit ten rows first: if the loss does not go to 0, look at the model; if it does, at the labels",
        "ja": "まず 10 行だけで学習させる。損失が 0 に近づかなければモデルを、近づけばラベルを調べる",
    },
}
