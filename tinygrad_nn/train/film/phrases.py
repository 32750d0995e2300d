"""What the page of a film says, in its languages."""

from __future__ import annotations

from tinygrad_nn.languages import Phrases

PHRASES: Phrases = {
    "sample": {"en": "the sample", "ja": "標本"},
    "note-fails": {"en": "Not shown: {part} ({error}).", "ja": "表示できません: {part}（{error}）。"},
    "note-frames": {
        "en": "Frames: {shown}, of {recorded} recorded; one after every {every} of {steps} steps.",
        "ja": "表示: {shown}コマ、記録: {recorded}コマ。全{steps}ステップを{every}ステップごとに記録。",
    },
    "note-rows": {
        "en": "Activations and predictions are of {rows} rows, the model in evaluation mode.",
        "ja": "活性化と予測は{rows}件のデータについて、推論モードで計算しました。",
    },
    "note-curve-thinned": {
        "en": "A point of a curve is the mean of {width} steps.",
        "ja": "曲線の1点は{width}ステップの平均です。",
    },
    "note-weights-thinned": {
        "en": "Of large weights some rows and columns, or units, are shown: {names}.",
        "ja": "大きな重みは行と列、またはユニットの一部だけを表示しています: {names}。",
    },
    "note-weights-left-out": {
        "en": "Matrices of weights that are left out: {rest}.",
        "ja": "表示を省略した重みの行列: {rest}個。",
    },
    "note-layers-left-out": {
        "en": "Layers whose activations are left out: {rest}.",
        "ja": "活性化の表示を省略した層: {rest}個。",
    },
    "note-parameters-left-out": {
        "en": "Parameters whose gradients are left out: {rest}.",
        "ja": "勾配の表示を省略したパラメータ: {rest}個。",
    },
    "note-units-left-out": {
        "en": "Of wide layers {most} units are drawn in the network, evenly spread.",
        "ja": "幅の広い層は、ネットワークの図では等間隔に{most}ユニットだけを描いています。",
    },
    "note-no-guesses": {
        "en": "Predictions of shape {shape} are not shown.",
        "ja": "形が{shape}の予測は表示しません。",
    },
    "note-resumed": {
        "en": "The film begins at step {step}, where training was resumed.",
        "ja": "学習を再開したステップ{step}から始まります。",
    },
    "note-ended": {"en": "Training ended early: {why}.", "ja": "学習は途中で終わりました: {why}。"},
    "plane": {"en": "Decision boundary", "ja": "決定境界"},
    "values": {"en": "Predicted values", "ja": "予測値"},
    "line": {"en": "Curve", "ja": "学習した曲線"},
    "guesses": {"en": "Predictions", "ja": "予測"},
    "confusion": {"en": "Confusion", "ja": "混同行列"},
    "curves": {"en": "Loss and metrics", "ja": "損失と評価指標"},
    "network": {"en": "Network", "ja": "ネットワーク"},
    "weights": {"en": "Weights", "ja": "重み"},
    "activations": {"en": "Activations", "ja": "活性化関数の出力"},
    "gradients": {"en": "Gradients", "ja": "勾配"},
    "findings": {"en": "Findings", "ja": "診断"},
    "about": {"en": "About this film", "ja": "この記録について"},
    "step": {"en": "step", "ja": "ステップ"},
    "epoch": {"en": "epoch", "ja": "エポック"},
    "rate": {"en": "rate", "ja": "学習率"},
    "play": {"en": "Play", "ja": "再生"},
    "pause": {"en": "Pause", "ja": "停止"},
    "first": {"en": "To the start", "ja": "最初へ"},
    "last": {"en": "To the end", "ja": "最後へ"},
    "back": {"en": "One frame back", "ja": "1コマ戻る"},
    "next": {"en": "One frame on", "ja": "1コマ進む"},
    "frame": {"en": "Frame", "ja": "コマ"},
    "speed": {"en": "Speed", "ja": "速さ"},
    "dark": {"en": "Dark", "ja": "暗い配色"},
    "light": {"en": "Light", "ja": "明るい配色"},
    "log": {"en": "log", "ja": "対数"},
    "larger": {"en": "Larger", "ja": "拡大"},
    "keys": {"en": "Keys", "ja": "キー操作"},
    "keys-step": {"en": "one frame back, one frame on", "ja": "1コマ戻る、1コマ進む"},
    "keys-play": {"en": "play, pause", "ja": "再生、停止"},
    "keys-ends": {"en": "to the start, to the end", "ja": "最初へ、最後へ"},
    "keys-theme": {"en": "light, dark", "ja": "配色を切り替える"},
    "keys-large": {"en": "make a panel larger, and back", "ja": "パネルを拡大する、戻す"},
    "keys-close": {"en": "all panels again", "ja": "すべてのパネルに戻る"},
    "class": {"en": "class", "ja": "クラス"},
    "right": {"en": "{right} of {all} right", "ja": "{all}件中{right}件が正解"},
    "ringed": {"en": "ringed: wrong", "ja": "輪: 誤り"},
    "target": {"en": "target", "ja": "正解"},
    "prediction": {"en": "prediction", "ja": "予測"},
    "by-target": {
        "en": "prediction by target; on the line it is right",
        "ja": "横: 正解、縦: 予測。線上が正解",
    },
    "error": {"en": "root mean square error {error}", "ja": "二乗平均平方根誤差 {error}"},
    "dead": {"en": "{dead} of {units} dead", "ja": "{units}個中{dead}個が死んでいる"},
    "no-dead": {"en": "mean {mean} ± {spread}", "ja": "平均 {mean} ± {spread}"},
    "gradient-key": {
        "en": "right: mean |g|; Δ: change of the weights by the step, as a share",
        "ja": "右: |g|の平均。Δ: このステップでの重みの変化の割合",
    },
    "no-gradient": {"en": "no gradient yet", "ja": "勾配はまだない"},
    "zero-gradient": {"en": "all zero", "ja": "すべて0"},
    "of-size": {"en": "size of the entries, |g|", "ja": "成分の大きさ |g|"},
    "lines": {"en": "Lines", "ja": "線"},
    "updates": {"en": "updates", "ja": "更新"},
    "network-key": {
        "en": "orange above 0, blue below; circles: mean output. Click one for its sum.",
        "ja": "橙: 正、青: 負。丸: 出力の平均。クリックすると内訳を表示",
    },
    "unit-dead": {"en": "dead: the same for every row", "ja": "死んでいる: どのデータでも同じ値"},
    "unit-active": {"en": "above 0 for {share} % of the rows", "ja": "データの{share} %で正"},
    "active": {
        "en": "Circles: share of the rows for which the output is above 0",
        "ja": "丸: 出力が正になるデータの割合",
    },
    "unit-means": {"en": "means over the rows", "ja": "データの平均"},
    "others": {"en": "others", "ja": "その他"},
    "over-time": {"en": "over time", "ja": "時間変化"},
    "hidden": {"en": "Before the last layer", "ja": "最後の層の手前"},
    "hidden-key": {
        "en": "two directions of most variance, turned to fit the frame before",
        "ja": "分散の大きい2方向。前のコマに合わせて回転",
    },
    "save": {"en": "Save as a picture", "ja": "画像として保存"},
    "explain": {"en": "What is this?", "ja": "これは何?"},
    "later": {"en": "next finding at step {step}", "ja": "次の診断はステップ{step}"},
    "why-plane": {
        "en": (
            "Which class the model chooses where, and how sure it is: the fainter, the less. On the "
            "line it is undecided."
        ),
        "ja": "各位置でモデルが選ぶクラスと確信度。色が淡いほど自信がなく、線の上では決められない。",
    },
    "why-values": {
        "en": (
            "The number that the model predicts where, blue for low and orange for high, "
            "and the targets in the same colours."
        ),
        "ja": "各位置でモデルが予測する値（青: 小、橙: 大）と、同じ配色で示した正解。",
    },
    "why-line": {
        "en": "What the model answers along its one feature, through the points that it is to learn.",
        "ja": "1つの特徴に沿ったモデルの答えと、学ぶべき点。",
    },
    "why-images": {
        "en": (
            "Some images and what the model takes them for; wrong ones are framed. The bar below says "
            "how sure it is."
        ),
        "ja": "画像とモデルの予測。枠つきは誤り。下の棒は確信度。",
    },
    "why-guesses": {
        "en": "Each row of the sample: the target across, the prediction upwards.",
        "ja": "各データの正解（横）と予測（縦）。",
    },
    "why-confusion": {
        "en": (
            "How many rows of each class (down) the model takes for each class (across); the diagonal is "
            "right."
        ),
        "ja": "各クラス（縦）のデータをモデルがどのクラス（横）と予測したか。対角線が正解。",
    },
    "why-curves": {
        "en": (
            "Faint: each batch. Solid: smoothed. Dashed: validation. If validation turns up while "
            "training goes down, the model learns by heart: overfitting."
        ),
        "ja": (
            "淡い線: 各バッチ。実線: 平滑化。破線: 検証。訓練の損失が下がるのに検証の損失が上がれば過学習。"
        ),
    },
    "why-network": {
        "en": (
            "Circles are units, lines weights: the thicker, the larger. A unit computes z = Σ w·a + b, "
            "and its activation a from z. A red ring: the unit gives the same for every row, and learns "
            "nothing."
        ),
        "ja": (
            "丸はユニット、線は重み（太いほど大きい）。各ユニットはz = Σ w·a + bと、活性化関数の出力aを計"
            "算する。赤い輪のユニットは常に同じ値を出し、学習しない。"
        ),
    },
    "why-weights": {
        "en": (
            "Each weight as a colour, on one scale for all of the film. A first layer over images shows "
            "what each of its units looks for."
        ),
        "ja": "重みを色で表す（記録全体で同じ尺度）。画像の最初の層では、各ユニットが何を探すかが見える。",
    },
    "why-activations": {
        "en": (
            "How often a layer gives which output. All at the ends of tanh or sigmoid: saturated. A unit "
            "that is the same for every row is dead."
        ),
        "ja": (
            "各層の出力の分布。tanhやsigmoidの両端に集まれば飽和、どのデータでも同じ値のユニットは死んで"
            "いる。"
        ),
    },
    "why-gradients": {
        "en": (
            "How large the entries of each gradient are, by powers of ten. Far smaller in the first "
            "layers than in the last: vanishing. A change of about 1e-3 of the weights a step is usual."
        ),
        "ja": (
            "勾配の成分の大きさを10のべきで示す。最初の層が最後の層よりずっと小さければ勾配消失。1ステッ"
            "プの重みの変化は1e-3程度がふつう。"
        ),
    },
    "why-hidden": {
        "en": (
            "The rows of the sample as the last layer gets them. When the classes lie apart here, a line "
            "can divide them."
        ),
        "ja": "最後の層が受け取るデータの表現。ここでクラスが離れていれば、直線で分けられる。",
    },
    "why-findings": {
        "en": "What the doctor found, at the step where it did, with the line to write instead.",
        "ja": "診断の結果を、見つかったステップに、代わりに書く行とともに示す。",
    },
    "why-about": {
        "en": "What was recorded, and what has been left out.",
        "ja": "何を記録し、何を省略したか。",
    },
    "inputs": {"en": "inputs", "ja": "入力"},
    "none-found": {
        "en": "Nothing found up to this step.",
        "ja": "このステップまでに問題は見つかっていません。",
    },
    "from-step": {"en": "at step {step}", "ja": "ステップ{step}"},
    "waiting": {"en": "Waiting for the first step …", "ja": "最初のステップを待っています…"},
    "live": {"en": "live", "ja": "ライブ"},
    "ended": {"en": "training has ended", "ja": "学習は終わりました"},
    "too-old": {
        "en": (
            "This browser cannot unpack the film (DecompressionStream is missing); here is its last frame."
        ),
        "ja": (
            "このブラウザは記録を展開できません（DecompressionStreamがありません）。最後のコマを表示します。"
        ),
    },
    "still": {
        "en": "The last frame. With scripts allowed, this page plays all of the training.",
        "ja": "最後のコマです。スクリプトを有効にすると、学習全体を再生できます。",
    },
    "history": {"en": "History", "ja": "履歴"},
    "film": {"en": "Film of a training", "ja": "学習の記録"},
}
"""Notes are written where a film is recorded, all else where its page is read."""
