// Numbers as Python writes them: four significant digits, and what fits into a circle.

function number(x) {
  if (!Number.isFinite(x)) return Number.isNaN(x) ? "nan" : x > 0 ? "inf" : "-inf";
  if (x === 0) return Object.is(x, -0) ? "-0" : "0";
  const [digits, power] = x.toExponential(3).split("e");
  const e = Number(power), bare = text => text.includes(".") ? text.replace(/\.?0+$/, "") : text;
  if (e >= -4 && e < 4) return bare(x.toFixed(3 - e));
  return `${bare(digits)}e${e < 0 ? "-" : "+"}${String(Math.abs(e)).padStart(2, "0")}`;
}

function short(x) {
  const a = Math.abs(x);
  if (!Number.isFinite(x)) return Number.isNaN(x) ? "NaN" : x > 0 ? "∞" : "-∞";
  if (!a) return "0";
  const near = x * (1 + 1e-12);
  if (a < 0.005 || a >= 9999.5) return near.toExponential(0).replace("e+", "e");
  return near.toFixed(a < 9.995 ? 2 : a < 99.95 ? 1 : 0);
}
