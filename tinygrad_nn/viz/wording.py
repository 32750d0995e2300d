"""What pictures of graphs and their page say, in all languages."""

from __future__ import annotations

from tinygrad_nn.languages import Language, Phrases, phrase
from tinygrad_nn.viz.theme import LEGEND

_KINDS = {
    "input": "入力",
    "parameter": "パラメータ",
    "constant": "定数",
    "state": "内部状態",
    "op": "演算",
    "output": "出力",
    "module": "たたんだモジュール",
    "backward": "逆伝播の演算",
    "update": "更新（その場で書き換え）",
    "error": "失敗した演算",
    "more": "省略した部分",
    "gradient": "勾配の流れ",
}

CONTROLS: Phrases = {
    "zoom out": {"en": "Zoom out", "ja": "縮小"},
    "zoom in": {"en": "Zoom in", "ja": "拡大"},
    "fit": {"en": "Fit", "ja": "全体"},
    "menu": {"en": "Menu", "ja": "メニュー"},
    "dark": {"en": "Dark", "ja": "暗く"},
    "light": {"en": "Light", "ja": "明るく"},
    "theme title": {"en": "Light or dark (t)", "ja": "明るい表示と暗い表示の切り替え (t)"},
    "large title": {"en": "Large text, for a projector (l)", "ja": "大きな文字、プロジェクター用 (l)"},
    "large text": {"en": "Large text", "ja": "大きな文字"},
    "full screen": {"en": "Full screen", "ja": "全画面"},
    "save svg": {"en": "Save as SVG", "ja": "SVGで保存"},
    "save png": {"en": "Save as PNG", "ja": "PNGで保存"},
    "keys": {"en": "Keys", "ja": "キー"},
    "play": {"en": "Play", "ja": "再生"},
    "pause": {"en": "Pause", "ja": "停止"},
    "start": {"en": "To the start", "ja": "最初へ"},
    "step back": {"en": "One step back", "ja": "1つ戻る"},
    "step on": {"en": "One step on", "ja": "1つ進む"},
    "end": {"en": "To the end", "ja": "最後へ"},
    "step": {"en": "Step", "ja": "ステップ"},
    "steps": {"en": "Steps", "ja": "ステップ"},
    "speed": {"en": "Speed", "ja": "速さ"},
    "details": {"en": "Details", "ja": "詳細"},
    "overview": {"en": "Overview", "ja": "概要"},
    "key step": {"en": "one step back, one step on", "ja": "1つ戻る、1つ進む"},
    "key play": {"en": "play, pause", "ja": "再生、停止"},
    "key ends": {"en": "to the start, to the end", "ja": "最初へ、最後へ"},
    "key theme": {"en": "light or dark, large text, full screen", "ja": "明暗、大きな文字、全画面"},
    "key overview": {"en": "back to the overview", "ja": "概要に戻る"},
}
"""What all pages with a step player have."""

PAGE: Phrases = {
    "graph": {"en": "Graph", "ja": "計算グラフ"},
    "title": {"en": "Computation graph", "ja": "計算グラフ"},
    "detail": {"en": "Detail", "ja": "詳しさ"},
    "find": {"en": "Find", "ja": "検索"},
    "name or op": {"en": "name or op", "ja": "名前か演算"},
    "fit title": {
        "en": "As large as the window takes, and as reading needs (f)",
        "ja": "読める大きさで画面に合わせる (f)",
    },
    "all": {"en": "All", "ja": "すべて"},
    "all title": {"en": "The whole graph, however small (a)", "ja": "どんなに小さくなっても全体を表示 (a)"},
    "start title": {"en": "Start (Home)", "ja": "最初 (Home)"},
    "end title": {"en": "End (End)", "ja": "最後 (End)"},
    "as text": {"en": "The graph as text", "ja": "テキストで見る計算グラフ"},
    "key zoom": {"en": "zoom in, zoom out, fit, all of it", "ja": "拡大、縮小、画面に合わせる、すべて"},
    "key level": {"en": "next level of detail", "ja": "詳しさを変える"},
    "key find": {"en": "find; Enter goes on to the next hit", "ja": "検索。Enter で次へ"},
    "key tab": {
        "en": "into the graph; arrows go from node to node there, Enter shows details or opens a module, c closes the "
        "module around, Esc leaves",
        "ja": "グラフの中へ。矢印キーで移動、Enter で詳細を表示するかモジュールを開く、"
        "c で外側のモジュールを閉じる、Esc で出る",
    },
    "mouse": {
        "en": "Drag to pan, turn the wheel or pinch to zoom, click a node for its details, a folded module to open it, "
        "the title of a frame to close it. The address ends in the step that is shown: copy it as a link.",
        "ja": "ドラッグで移動、ホイールかピンチで拡大縮小、クリックで詳細。"
        "たたんだモジュールはクリックで開き、枠の見出しのクリックで閉じます。"
        "アドレスの末尾は表示中のステップです。リンクとして使えます。",
    },
}
"""What the page of a graph says besides."""

SCRIPT: Phrases = {
    "found": {"en": "{n} found", "ja": "{n} 件"},
    "hit": {"en": "{k} of {n}", "ja": "{n} 件中 {k} 件目"},
    "as opened": {"en": "as opened", "ja": "手動で開閉"},
    # The panel of a value, and of a module.
    "call": {"en": "Call", "ja": "呼び出し"},
    "shape": {"en": "Shape", "ja": "形"},
    "dtype": {"en": "Dtype", "ja": "データ型"},
    "module": {"en": "Module", "ja": "モジュール"},
    "phase": {"en": "Phase", "ja": "段階"},
    "value": {"en": "Value", "ja": "値"},
    "alert": {"en": "Alert", "ja": "警告"},
    "gradient": {"en": "Gradient", "ja": "勾配"},
    "no gradient": {"en": "no gradient", "ja": "勾配なし"},
    "rule": {"en": "Rule for {who}", "ja": "{who} の勾配の式"},
    "made from": {"en": "Made from", "ja": "入力元"},
    "used by": {"en": "Used by", "ja": "出力先"},
    "is output": {"en": "{kind}, output", "ja": "{kind}、出力"},
    "gradient of": {"en": "{phase}, gradient of {who}", "ja": "{phase}、{who} の勾配"},
    "inside": {"en": "Inside", "ja": "中身"},
    "and more": {"en": "and {n} more", "ja": "ほか {n} 個"},
    "open": {"en": "Open", "ja": "開く"},
    "close": {"en": "Close", "ja": "閉じる"},
    "back": {"en": "Back to the overview (Esc)", "ja": "概要に戻る (Esc)"},
    "image": {"en": "one of its images", "ja": "含まれる画像の一つ"},
    "heat map": {
        "en": "heat map from {low}, blue, over 0 to {high}, orange",
        "ja": "ヒートマップ：{low}（青）から 0 を経て {high}（橙）まで",
    },
    "histogram": {"en": "histogram from {low} to {high}", "ja": "ヒストグラム：{low} から {high} まで"},
    # Arrays and gradients, whose numbers are tried.
    "none finite": {"en": "no finite value", "ja": "有限の値なし"},
    "statistics": {
        "en": "mean {mean} · std {std} · min {low} · max {high}",
        "ja": "平均 {mean} · 標準偏差 {std} · 最小 {low} · 最大 {high}",
    },
    "zeros": {"en": "{text} · {share}% zero", "ja": "{text} · 0 が {share}%"},
    "norm": {"en": "norm {norm}", "ja": "ノルム {norm}"},
    "scalar": {"en": "scalar", "ja": "スカラー"},
    "grad": {"en": "grad {what}", "ja": "勾配 {what}"},
    "grad zero": {"en": "grad zero", "ja": "勾配 0"},
}
"""What its script says."""

PHRASES: Phrases = {
    # Arrays in words.
    "empty": {"en": "empty", "ja": "空"},
    "NaN": {"en": "NaN", "ja": "NaN"},
    "infinity": {"en": "infinity", "ja": "無限大"},
    "some of": {"en": "{what} in {n} of {size}", "ja": "{what}：{size} 個中 {n} 個"},
    "starts": {"en": "{alert} starts here", "ja": "{alert}（ここから）"},
    "alert inside": {"en": "{alert} in here", "ja": "{alert}（この中）"},
    "starts inside": {"en": "{alert} starts in here", "ja": "{alert}（この中から）"},
    # Boxes.
    "failed": {"en": "failed", "ja": "失敗"},
    "in place": {"en": "in place", "ja": "その場で更新"},
    "no grad": {"en": "no grad", "ja": "勾配なし"},
    "gradients": {"en": "{n} of {all} gradients", "ja": "勾配 {all} 個中 {n} 個"},
    "op": {"en": "{n} op", "ja": "演算 {n} 個"},
    "ops": {"en": "{n} ops", "ja": "演算 {n} 個"},
    "parameter": {"en": "{n} parameter", "ja": "パラメータ {n} 個"},
    "parameters": {"en": "{n} parameters", "ja": "パラメータ {n} 個"},
    "same": {"en": "{n} more of the same", "ja": "同じものがほかに {n} 個"},
    "more nodes": {"en": "{n} more nodes", "ja": "ほか {n} 個"},
    # Shares of the time.
    "forward": {"en": "forward", "ja": "順伝播"},
    "backward": {"en": "backward", "ja": "逆伝播"},
    "update": {"en": "update", "ja": "更新"},
    "between ops": {"en": "between ops", "ja": "演算の間"},
    "part of": {"en": "part of {share}", "ja": "{share} の一部"},
    "a call": {
        "en": "{time} a call: {shares}; filled from {hot} on",
        "ja": "1 回の呼び出しに {time}：{shares}。{hot} 以上は塗りつぶし",
    },
    # Levels of detail.
    "modules": {"en": "modules, depth {depth}", "ja": "モジュール（深さ {depth}）"},
    "all ops": {"en": "all ops", "ja": "すべての演算"},
    "repeats": {"en": "all ops, repeats opened", "ja": "すべての演算（繰り返しも展開）"},
    # Notes.
    "no loss": {
        "en": "no gradients: the result has shape {shape}, and a loss is one number",
        "ja": "勾配はありません：結果の形が {shape} で、スカラーの損失ではないためです",
    },
    "no gradients": {"en": "no gradients: {why}", "ja": "勾配はありません：{why}"},
    "folded": {
        "en": "modules below depth {depth} are folded; max_nodes=None opens them",
        "ja": "深さ {depth} より下のモジュールはたたんであります。max_nodes=None で開きます",
    },
    "repeated": {
        "en": "{box}: {n} modules that repeat those before them are one box; fold_repeats=False opens them",
        "ja": "{box}：同じ構造の繰り返し {n} 個を一つの箱にまとめました。fold_repeats=False で開きます",
    },
    "left out": {
        "en": "the {n} nodes farthest from the output are left out; max_nodes=None shows them all",
        "ja": "出力から遠い {n} 個の箱は省略しました。max_nodes=None ですべて表示します",
    },
    "note": {"en": "note: {note}", "ja": "注：{note}"},
    # The sentence about all of it.
    "one op": {"en": "{n} op", "ja": "{n} 個の演算"},
    "several ops": {"en": "{n} ops", "ja": "{n} 個の演算"},
    "summary": {"en": "A computation of {ops}.", "ja": "{ops}からなる計算。"},
    "summary of one": {
        "en": "A computation of {ops} with one parameter.",
        "ja": "{ops}とパラメータ 1 個からなる計算。",
    },
    "summary of several": {
        "en": "A computation of {ops} with {n} parameters of {numbers} numbers.",
        "ja": "{ops}とパラメータ {n} 個（合計 {numbers} 個の値）からなる計算。",
    },
    **{f"kind {kind}": {"en": text, "ja": _KINDS[kind]} for kind, text in LEGEND.items()},
    **CONTROLS,
    **PAGE,
    **SCRIPT,
}
"""Sentences by name."""


def said(name: str, lang: Language, **fields: object) -> str:
    """Return what a picture says, in a language."""
    return phrase(PHRASES, name, lang, **fields)
