"""How mathematics is written: a tree as a line with · for products, powers raised, and the names that the user gave."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from string import Formatter

from tinygrad_nn.languages import Language, Phrases
from tinygrad_nn.viz.mathematics import called

WORDS, SUM, PRODUCT, SIGN, POWER, ATOM = range(6)
"""How strongly the parts of a text hold together."""

Part = tuple[str, int]
"""A text, and how strongly it holds together."""

PHRASES: Phrases = {
    "where": {"en": "{0} where {1}, else {2}", "ja": "{1} のとき {0}、ほかは {2}"},
    "and": {"en": "{0} and {1}", "ja": "{0} かつ {1}"},
    "or": {"en": "{0} or {1}", "ja": "{0} または {1}"},
    "more": {"en": "… ({0} more terms, none larger)", "ja": "…（ほか {0} 項、いずれもこれ以下）"},
    "isfinite": {"en": "{0} is finite", "ja": "{0} が有限"},
    "reshape": {"en": "{0} in the shape it had", "ja": "{0} を元の形に戻したもの"},
    "transpose": {"en": "{0} with its axes put back", "ja": "{0} の軸を元の順に戻したもの"},
    "swapaxes": {"en": "{0} with its axes put back", "ja": "{0} の軸を元の順に戻したもの"},
    "flip": {"en": "{0} turned back", "ja": "{0} を逆順に戻したもの"},
    "roll": {"en": "{0} rolled back", "ja": "{0} をずらして戻したもの"},
    "_unpad": {"en": "{0} without its edges", "ja": "{0} から縁を除いたもの"},
    "tril": {"en": "{0} on and below the diagonal, else 0", "ja": "対角線とその下では {0}、ほかは 0"},
    "triu": {"en": "{0} on and above the diagonal, else 0", "ja": "対角線とその上では {0}、ほかは 0"},
    "on_diagonal": {"en": "{0} on the diagonal, else 0", "ja": "対角線では {0}、ほかは 0"},
    "diagonal": {"en": "the diagonal of {0}", "ja": "{0} の対角成分"},
    "scatter": {"en": "{0} where it was taken from, else 0", "ja": "取り出した場所では {0}、ほかは 0"},
    "put": {"en": "{0} where it was taken from, else 0", "ja": "取り出した場所では {0}、ほかは 0"},
    "add_along_axis": {"en": "{0} where it was taken from, else 0", "ja": "取り出した場所では {0}、ほかは 0"},
    "put_at": {"en": "{0} where it was taken from, else 0", "ja": "取り出した場所では {0}、ほかは 0"},
    "getitem": {"en": "{0} at these places", "ja": "その場所の {0}"},
    "take": {"en": "its part of {0}", "ja": "{0} のうち対応する部分"},
    "take_along_axis": {"en": "{0} at these places", "ja": "その場所の {0}"},
    "taken_at": {"en": "{0} at these places", "ja": "その場所の {0}"},
    "get_written": {"en": "{0} at the places written to", "ja": "書き込んだ場所の {0}"},
    "set_at": {"en": "{0} except where it was overwritten", "ja": "上書きした場所を除く {0}"},
    "its_part": {"en": "its part of {0}", "ja": "{0} のうち対応する部分"},
    "others": {"en": "the product of all others", "ja": "ほかのすべての積"},
    "ties": {"en": "how many are equal to {0}", "ja": "{0} に等しいものの数"},
    "transposed_convolution": {
        "en": "the transposed convolution of {0} with {1}",
        "ja": "{0} と {1} の転置畳み込み",
    },
    "convolution": {"en": "the convolution of {0} with {1}", "ja": "{0} と {1} の畳み込み"},
    "weights_of_convolution": {
        "en": "the convolution of {1} with {0}",
        "ja": "{1} と {0} の畳み込み",
    },
    "_pulled_back": {"en": "the correlation of {0} with {1}", "ja": "{0} と {1} の相関"},
    "overlap_add": {"en": "{0} added up where windows overlap", "ja": "窓の重なりで足し合わせた {0}"},
    "_sliding": {"en": "the windows of {0}", "ja": "{0} の窓"},
    "spread": {"en": "{0} shared out over its window", "ja": "窓の中に等しく分けた {0}"},
    "averages": {"en": "the mean of {0} in each window", "ja": "窓ごとの {0} の平均"},
    "spread_axis": {"en": "{0} back on the points between which it lies", "ja": "補間に使った点に戻した {0}"},
    "resampled_axis": {"en": "{0} between these points", "ja": "その点の間の {0}"},
    "sums_from_the_end": {"en": "the sums of {0} from the end", "ja": "末尾からの {0} の累積和"},
    "_from_the_end": {
        "en": "{2} through the recurrence from the end",
        "ja": "{2} を末尾から漸化式に通したもの",
    },
    "_shifted": {"en": "the {0} before it", "ja": "一つ前の {0}"},
    "rest_of_sum": {
        "en": "{0} times the other operands, summed over all axes but its own",
        "ja": "{0} とほかの入力との積を、自分の軸以外で足したもの",
    },
    "lstm_back": {
        "en": "{4} through all steps, from the last to the first",
        "ja": "{4} を最後の時刻から逆に伝えたもの",
    },
    "gru_back": {
        "en": "{4} through all steps, from the last to the first",
        "ja": "{4} を最後の時刻から逆に伝えたもの",
    },
    "rnn_back": {
        "en": "{3} through all steps, from the last to the first",
        "ja": "{3} を最後の時刻から逆に伝えたもの",
    },
}
"""Functions that are said in words: what is done with the gradient."""

_SYMBOLS = {
    "absolute": "|{0}|",
    "abs": "|{0}|",
    "exp2": "2^{0}",
    "ldexp": "{0} · 2^{1}",
    "floor": "⌊{0}⌋",
    "floor_divide": "⌊{0} / {1}⌋",
    "sum": "Σ{0}",
    "inv": "{0}⁻¹",
    "gelu_tanh_slope": "gelu′({0})",
    "_tanh_curve": "gelu″({0})",
    "one_hot": "one-hot({0})",
}
"""Functions that have a notation of their own; all others are written name(operand)."""
_HUGS = ("exp2", "ldexp", "floor_divide", "sum", "inv")
"""Those among them that stand directly beside their operand."""
_GREEK = {
    "phi": "Φ",
    "polygamma": "ψ",
    "digamma": "ψ",
    "bessel_i": "I",
    "sinc_derivative": "sinc",
    "normal": "Φ",
    "normal_density": "φ",
}
_LOWERED = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_SIGNS = {ast.Gt: ">", ast.Lt: "<", ast.GtE: "≥", ast.LtE: "≤", ast.Eq: "=", ast.NotEq: "≠"}


def enclosed(node: ast.expr, part: Part, least: int, *, first: bool = False) -> str:
    """Return a part of a formula in brackets, where these are needed next to what stands beside it."""
    text, strength = part
    if isinstance(node, ast.Compare):
        return f"[{text}]"
    return f"({text})" if strength < least or (text.startswith("−") and not first) else text


def figure(text: str) -> Part:
    """Return a number as part of a formula."""
    return text.replace("-", "−"), SIGN if text.startswith("-") else ATOM


class Notation:
    """Writes a formula; without a name a letter stands for itself.

    Raises:
        LookupError: it is no mathematics, but code.
    """

    def __init__(self, names: Mapping[str, str], lang: Language) -> None:
        self.names, self.lang = names, lang

    def write(self, node: ast.expr) -> str:
        """Return a formula in one line."""
        return self.part(node)[0]

    def part(self, node: ast.expr) -> Part:
        match node:
            case ast.Name(id=name):
                return self.leaf(name)
            case ast.Constant(value=bool(value)):
                return str(value), ATOM
            case ast.Constant(value=int(value) | float(value)):
                return figure(f"{value:.4g}" if isinstance(value, float) else str(value))
            case ast.Subscript(value=value):
                return self.subscript(node, value)
            case ast.Attribute(value=value, attr="T"):
                text = enclosed(value, self.part(value), ATOM)
                return (f"{text[:-2]}⁻ᵀ" if text.endswith("⁻¹") else f"{text}ᵀ"), ATOM
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                inner = self.part(operand)
                return f"−{enclosed(operand, inner, PRODUCT)}", min(inner[1], SIGN)
            case ast.Compare(left=left, ops=[operator], comparators=[right]):
                return (
                    f"{self.inside(left, SUM, first=True)} {_SIGNS[type(operator)]} "
                    f"{self.inside(right, SUM, first=True)}",
                    WORDS,
                )
            case ast.BinOp(left=left, op=ast.BitAnd() | ast.BitOr() as operator, right=right):
                word = "and" if isinstance(operator, ast.BitAnd) else "or"
                return phrase_of(word, self.lang, [self.write(left), self.write(right)]), WORDS
            case ast.BinOp():
                return self.operation(node)
            case ast.Call():
                return self.call(node)
        raise LookupError(ast.dump(node))

    def inside(self, node: ast.expr, least: int, *, first: bool = False) -> str:
        """Return an operand, in brackets where it holds together less than it has to."""
        return enclosed(node, self.part(node), least, first=first)

    def leaf(self, name: str) -> Part:
        if name == "pi":
            return "π", ATOM
        text = self.names[name]
        return figure(text) if text.startswith("-") else (text, ATOM)

    def subscript(self, node: ast.Subscript, value: ast.expr) -> Part:
        """Write an array with another axis, which is the same array to a reader, or a row of it."""
        parts = list(ast.walk(node.slice))
        cut = any(isinstance(part, ast.Slice) and (part.lower or part.upper or part.step) for part in parts)
        if cut or any(isinstance(part, ast.Name) for part in parts):
            raise LookupError(ast.dump(node))
        rows = [part.value for part in parts if isinstance(part, ast.Constant) and type(part.value) is int]
        if not any(rows):
            return self.part(value)
        return f"{self.inside(value, ATOM)}{str(rows[0]).translate(_LOWERED)}", ATOM

    def operation(self, node: ast.BinOp) -> Part:
        left, right = node.left, node.right
        match node.op:
            case ast.Add() | ast.Sub():
                sign = "+" if isinstance(node.op, ast.Add) else "−"
                least = SUM if sign == "+" else PRODUCT
                return f"{self.inside(left, SUM, first=True)} {sign} {self.inside(right, least)}", SUM
            case ast.Mult():
                return f"{self.factor(left, first=True)} · {self.factor(right)}", PRODUCT
            case ast.Div():
                return f"{self.factor(left, first=True)} / {self.inside(right, POWER)}", PRODUCT
            case ast.MatMult():
                chain = isinstance(left, ast.BinOp) and isinstance(left.op, ast.MatMult)
                head = self.inside(left, PRODUCT if chain else POWER, first=True)
                return f"{head} @ {self.inside(right, POWER)}", PRODUCT
            case ast.Pow():
                base, (text, strength) = self.inside(left, ATOM), self.part(right)
                if isinstance(right, ast.Constant) and isinstance(right.value, int):
                    return f"{base}{str(right.value).translate(_RAISED)}", POWER
                return f"{base}^{text if strength == ATOM else f'({text})'}", POWER
        raise LookupError(ast.dump(node))

    def factor(self, node: ast.expr, *, first: bool = False) -> str:
        """Return a factor; a matrix product among factors that are multiplied element by element is in brackets."""
        inner = node.value if isinstance(node, ast.Subscript) else node
        of_matrices = isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.MatMult)
        return self.inside(node, POWER if of_matrices else PRODUCT, first=first)

    def call(self, node: ast.Call) -> Part:
        name = called(node.func)
        if name in PHRASES:
            return self.in_words(name, node.args)
        if name in ("row", "_row"):
            array, row = node.args
            return f"{self.inside(array, ATOM)}{self.write(row).translate(_LOWERED)}", ATOM
        if name in ("rows", "_rows"):
            return f"[{'; '.join(map(self.write, node.args))}]", ATOM
        if name == "sqrt":
            return f"√{self.inside(node.args[0], ATOM)}", POWER
        if name in _SYMBOLS:
            least = ATOM if name in _HUGS else WORDS
            texts = [self.inside(x, least, first=least == WORDS) for x in node.args]
            space = " " if name == "sum" and not texts[0].startswith("(") else ""
            strength = SUM if space else PRODUCT if name == "ldexp" else POWER if name == "exp2" else ATOM
            return _SYMBOLS[name].format(space + texts[0], *texts[1:]), strength
        if not name:
            raise LookupError(ast.dump(node))
        order = "".join(self.write(x.value) for x in node.keywords if x.arg == "order")
        raised = f"⁽{order.translate(_RAISED)}⁾" if order.isdigit() else f"^({order})" if order else ""
        head = _GREEK.get(name) or (name if name.startswith("_") else name.replace("_", " "))
        return f"{head}{raised}({', '.join(map(self.write, node.args))})", ATOM

    def in_words(self, name: str, arguments: list[ast.expr]) -> Part:
        """Write what is said in words; of several cases, each with its condition, one after the other."""
        if name == "where":
            condition, chosen, rest = arguments
            texts = [self.write(chosen), self.write(condition), self.write(rest)]
            return phrase_of("where", self.lang, texts), WORDS
        used = {int(place) for _, place, _, _ in Formatter().parse(PHRASES[name][self.lang]) if place}
        texts = [self.write(x) if k in used else "" for k, x in enumerate(arguments)]
        return phrase_of(name, self.lang, texts), WORDS


def phrase_of(name: str, lang: Language, texts: list[str]) -> str:
    """Return a sentence with texts in its numbered fields."""
    return PHRASES[name][lang].format(*texts)
