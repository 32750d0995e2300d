"""What the view of neurons says, in all languages."""

from __future__ import annotations

from tinygrad_nn.languages import Phrases
from tinygrad_nn.viz.wording import CONTROLS

PHRASES: Phrases = {
    **CONTROLS,
    "title": {"en": "Network of neurons", "ja": "ニューロンのネットワーク"},
    "layer": {"en": "layer {n}", "ja": "{n}層目"},
    "result": {"en": "result", "ja": "結果"},
    "one": {"en": "1 neuron", "ja": "1ニューロン"},
    "neurons": {"en": "{n:,} neurons", "ja": "{n:,}ニューロン"},
    "value": {"en": "1 input", "ja": "入力1個"},
    "values": {"en": "{n:,} inputs", "ja": "入力{n:,}個"},
    "image": {"en": "{h} × {w} pixels", "ja": "{h}×{w}画素"},
    "more": {"en": "{n:,} more", "ja": "ほか{n:,}個"},
    "left out": {
        "en": "{layer}: {n:,} neurons, of which the first {first} and the last {last} are shown",
        "ja": "{layer}:{n:,}ニューロンのうち、最初の{first}個と最後の{last}個を表示",
    },
    "summary": {
        "en": "{sizes} neurons, on example {example} of {rows}.",
        "ja": "{sizes}ニューロン、{rows}例のうち{example}番目。",
    },
    "examples left out": {
        "en": "the page has the first {shown} of {rows:,} examples",
        "ja": "このページには{rows:,}例のうち最初の{shown}例があります",
    },
    "no gradient": {
        "en": "no gradient reaches {names}",
        "ja": "{names}には勾配が届きません",
    },
    "positive": {"en": "above zero", "ja": "正"},
    "negative": {"en": "below zero", "ja": "負"},
    "positive weight": {"en": "weight above zero", "ja": "正の重み"},
    "negative weight": {"en": "weight below zero", "ja": "負の重み"},
    "positive gradient": {"en": "gradient of a weight, above zero", "ja": "重みの勾配(正)"},
    "negative gradient": {"en": "gradient of a weight, below zero", "ja": "重みの勾配(負)"},
    "stronger": {"en": "the thicker and stronger, the larger", "ja": "太く鮮やかなほど大きい値"},
    "neuron": {"en": "{layer}, neuron {k}", "ja": "{layer}、ニューロン{k}"},
    "input": {"en": "{layer}, input {k}", "ja": "{layer}、入力{k}"},
    # Captions of the steps.
    "go": {
        "en": "Press → or Play: every layer computes, forward{back}. Click a neuron for its numbers.",
        "ja": "→キーか「再生」で、層ごとに計算が進みます(順伝播{back})。ニューロンをクリックすると数値が見られます。",
    },
    "and back": {"en": ", and then the gradients flow back", "ja": "、続いて誤差逆伝播"},
    "given": {"en": "{layer}: what the network is given.", "ja": "{layer}:ネットワークへの入力です。"},
    "computes": {
        "en": "{layer}: every neuron sums what comes in, each times its weight: z = Σ w · a{bias}{function}.",
        "ja": "{layer}:各ニューロンが、入力に重みを掛けて足し合わせます:z = Σ w · a{bias}{function}。",
    },
    "bias": {"en": " + b", "ja": " + b"},
    "then": {"en": ", and hands on a = {formula}", "ja": "。活性化関数を通して a = {formula}"},
    "applies": {
        "en": "{layer}: a = {formula} of what {box} made.",
        "ja": "{layer}:{box}の結果zに対して a = {formula}。",
    },
    "made": {"en": "{layer}: what {box} made.", "ja": "{layer}:{box}の結果です。"},
    "box": {
        "en": "{box}: no layer of neurons, so it is a box here.",
        "ja": "{box}:ニューロンの層ではないので、箱で表しています。",
    },
    "loss": {
        "en": "{loss} of the {rows:,} rows: {value}.",
        "ja": "{rows:,}例に対する損失({loss})は{value}です。",
    },
    "loss of one": {"en": "{loss} of the outputs: {value}.", "ja": "出力に対する損失({loss})は{value}です。"},
    "back from loss": {
        "en": "{layer}: δ is how the loss changes with z. It comes from {loss}{function}; the lines show the "
        "gradients of the weights, a · δ.",
        "ja": "{layer}:δは、zが変わると損失がどう変わるかです。{loss}から来ます{function}。線は重みの勾配 a · δ です。",
    },
    "back": {
        "en": "{layer}: the δ of the next layer come back, each times its weight{function}; the lines show the "
        "gradients of the weights, a · δ.",
        "ja": "{layer}:次の層のδが、重みを掛けて戻ってきます{function}。線は重みの勾配 a · δ です。",
    },
    "back from box": {
        "en": "{layer}: the gradients come back from {box}{function}.",
        "ja": "{layer}:勾配が{box}から戻ってきます{function}。",
    },
    "times slope": {
        "en": ", times the slope of {formula}",
        "ja": "。活性化関数 {formula} の傾きを掛けます",
    },
    "through": {"en": ", through {formula}", "ja": "。{formula} を通ります"},
    "back to input": {
        "en": "{layer}: how the loss would change with each input.",
        "ja": "{layer}:各入力が変わると損失がどう変わるかです。",
    },
    "back through box": {"en": "{box} hands the gradients back.", "ja": "{box}を勾配が戻ります。"},
    # The page.
    "forward": {"en": "forward", "ja": "順伝播"},
    "backward": {"en": "backward", "ja": "逆伝播"},
    "example": {"en": "Example", "ja": "例"},
    "of": {"en": "of", "ja": "/"},
    "previous example": {"en": "The example before (p)", "ja": "前の例 (p)"},
    "next example": {"en": "The next example (n)", "ja": "次の例 (n)"},
    "as text": {"en": "The network as text", "ja": "テキスト表示"},
    "key neuron": {"en": "the neuron above, below", "ja": "上、下のニューロン"},
    "key example": {"en": "the example before, the next", "ja": "前の例、次の例"},
    "key zoom": {"en": "zoom out, zoom in, fit", "ja": "縮小、拡大、全体"},
    "mouse": {
        "en": "Drag to pan, turn the wheel or pinch to zoom, click a neuron for its numbers. The address ends in the "
        "step that is shown: copy it as a link.",
        "ja": "ドラッグで移動、ホイールかピンチで拡大縮小、クリックでニューロンの数値。"
        "アドレスの末尾は表示中のステップです。リンクとして使えます。",
    },
    # The numbers of a neuron.
    "from": {"en": "from", "ja": "入力元"},
    "to": {"en": "to", "ja": "出力先"},
    "weight": {"en": "weight w", "ja": "重み w"},
    "others": {"en": "{n:,} more terms, none larger", "ja": "ほか{n:,}項(いずれもこれ以下)"},
    "bias b": {"en": "bias b", "ja": "バイアス b"},
    "came from": {"en": "what came in", "ja": "入ってきた値"},
    "went back": {"en": "what came back", "ja": "戻ってきた勾配"},
    "its weights": {"en": "its weights", "ja": "重みの画像"},
    "from box": {"en": "{box} made z = {z}", "ja": "{box}の結果 z = {z}"},
    "given value": {"en": "given: {value}", "ja": "入力値:{value}"},
    "gradient from": {"en": "∂L/∂a = {value}, from {box}", "ja": "∂L/∂a = {value}({box}から)"},
    "row softmax": {
        "en": "a = {formula} = {value}, with the z of the whole layer",
        "ja": "a = {formula} = {value}(層全体のzによる)",
    },
    "delta of row": {
        "en": "δ = Σ ∂L/∂a · ∂a/∂z over the whole layer = {value}",
        "ja": "δ = Σ ∂L/∂a · ∂a/∂z(層全体での和)= {value}",
    },
    "unreached": {"en": "no gradient reaches it", "ja": "勾配が届きません"},
}
"""Sentences by name; texts of the page are handed to its script."""
