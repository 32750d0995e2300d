// What if: numbers of the graph are changed, and values and gradients follow. The words of the programs that
// whatif.py writes: a function, and for each operand its derivative, from the cotangent g, the result y and the operands.

const arithmetic = (() => {
const plain = g => g;
const erf = x => {
  // Its series near zero, its continued fraction far away.
  const a = Math.abs(x);
  if (a < 2.5) {
    let term = x, sum = x;
    for (let n = 1; n < 60; n++) { term *= -x * x / n; sum += term / (2 * n + 1); }
    return 2 * sum / Math.sqrt(Math.PI);
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (a + fraction);
  return Math.sign(x) * (1 - Math.exp(-a * a) / ((a + fraction) * Math.sqrt(Math.PI)));
};
const sigmoid = x => (x < 0 ? Math.exp(x) / (1 + Math.exp(x)) : 1 / (1 + Math.exp(-x)));
const softplus = x => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const cdf = x => (1 + erf(x / Math.SQRT2)) / 2;
const bell = x => Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
const C = Math.sqrt(2 / Math.PI), K = 0.044715;
const bend = x => Math.tanh(C * (x + K * x ** 3));
const wins = (a, b) => (a === b ? 0.5 : a > b ? 1 : 0);

const maps = {
  negative: [x => -x, g => -g], absolute: [Math.abs, (g, y, x) => g * Math.sign(x)],
  fabs: [Math.abs, (g, y, x) => g * Math.sign(x)], square: [x => x * x, (g, y, x) => 2 * g * x],
  sqrt: [Math.sqrt, (g, y) => g / (2 * y)], cbrt: [Math.cbrt, (g, y) => g / (3 * y * y)],
  reciprocal: [x => 1 / x, (g, y) => -g * y * y], exp: [Math.exp, (g, y) => g * y],
  exp2: [x => 2 ** x, (g, y) => g * y * Math.LN2], expm1: [Math.expm1, (g, y) => g * (y + 1)],
  log: [Math.log, (g, y, x) => g / x], log2: [Math.log2, (g, y, x) => g / (x * Math.LN2)],
  log10: [Math.log10, (g, y, x) => g / (x * Math.LN10)], log1p: [Math.log1p, (g, y, x) => g / (1 + x)],
  sin: [Math.sin, (g, y, x) => g * Math.cos(x)], cos: [Math.cos, (g, y, x) => -g * Math.sin(x)],
  tan: [Math.tan, (g, y) => g * (1 + y * y)], arcsin: [Math.asin, (g, y, x) => g / Math.sqrt(1 - x * x)],
  arccos: [Math.acos, (g, y, x) => -g / Math.sqrt(1 - x * x)], arctan: [Math.atan, (g, y, x) => g / (1 + x * x)],
  sinh: [Math.sinh, (g, y, x) => g * Math.cosh(x)], cosh: [Math.cosh, (g, y, x) => g * Math.sinh(x)],
  tanh: [Math.tanh, (g, y) => g * (1 - y * y)], arcsinh: [Math.asinh, (g, y, x) => g / Math.sqrt(1 + x * x)],
  arccosh: [Math.acosh, (g, y, x) => g / Math.sqrt(x * x - 1)], arctanh: [Math.atanh, (g, y, x) => g / (1 - x * x)],
  sigmoid: [sigmoid, (g, y) => g * y * (1 - y)], log_sigmoid: [x => -softplus(-x), (g, y, x) => g * sigmoid(-x)],
  relu: [x => Math.max(x, 0), (g, y) => (y > 0 ? g : 0)], softplus: [softplus, (g, y, x) => g * sigmoid(x)],
  silu: [x => x * sigmoid(x), (g, y, x) => g * (sigmoid(x) + sigmoid(-x) * y)],
  gelu_exact: [x => x * cdf(x), (g, y, x) => g * (cdf(x) + x * bell(x))],
  gelu_tanh: [x => x * (1 + bend(x)) / 2,
    (g, y, x) => g * ((1 + bend(x)) + x * (1 - bend(x) ** 2) * C * (1 + 3 * K * x * x)) / 2],
  erf: [erf, (g, y, x) => g * 2 / Math.sqrt(Math.PI) * Math.exp(-x * x)],
  leaky_relu: [(x, p) => (x > 0 ? x : x * p), (g, y, x, p) => (x > 0 ? g : g * p)],
  elu: [(x, p) => (x > 0 ? x : p * Math.expm1(x)), (g, y, x, p) => (x > 0 ? g : g * p * Math.exp(x))],
  huber_elements: [(x, p) => (Math.abs(x) <= p ? x * x / 2 : p * (Math.abs(x) - p / 2)),
    (g, y, x, p) => g * Math.min(Math.max(x, -p), p)],
  sign: [Math.sign, () => 0], floor: [Math.floor, () => 0], ceil: [Math.ceil, () => 0],
  add: [(a, b) => a + b, plain, plain], subtract: [(a, b) => a - b, plain, g => -g],
  multiply: [(a, b) => a * b, (g, y, a, b) => g * b, (g, y, a) => g * a],
  product: [(a, b) => a * b, (g, y, a, b) => g * b, (g, y, a) => g * a],
  divide: [(a, b) => a / b, (g, y, a, b) => g / b, (g, y, a, b) => -g * a / b / b],
  quotient: [(a, b) => a / b, (g, y, a, b) => g / b, (g, y, a, b) => -g * a / b / b],
  power: [(a, b) => a ** b, (g, y, a, b) => (b ? g * b * a ** (b - 1) : 0), (g, y, a) => (y ? g * y * Math.log(a) : 0)],
  maximum: [(a, b) => Math.max(a, b), (g, y, a, b) => g * wins(a, b), (g, y, a, b) => g * wins(b, a)],
  minimum: [(a, b) => Math.min(a, b), (g, y, a, b) => g * wins(b, a), (g, y, a, b) => g * wins(a, b)],
  hypot: [(a, b) => Math.hypot(a, b), (g, y, a) => (y ? g * a / y : 0), (g, y, a, b) => (y ? g * b / y : 0)],
  arctan2: [Math.atan2, (g, y, a, b) => g * b / (a * a + b * b), (g, y, a, b) => -g * a / (a * a + b * b)],
  logaddexp: [(a, b) => Math.max(a, b) + Math.log1p(Math.exp(-Math.abs(a - b))),
    (g, y, a, b) => g * sigmoid(a - b), (g, y, a, b) => g * sigmoid(b - a)],
  xlogy: [(a, b) => (a ? a * Math.log(b) : 0), (g, y, a, b) => g * Math.log(b), (g, y, a, b) => (a ? g * a / b : 0)],
  binary_cross_entropy_elements: [(a, t) => softplus(a) - t * a, (g, y, a, t) => g * (sigmoid(a) - t), (g, y, a) => -g * a],
  where: [(c, a, b) => (c ? a : b), () => 0, (g, y, c) => (c ? g : 0), (g, y, c) => (c ? 0 : g)],
  clip: [(a, b, c) => Math.min(Math.max(a, b), c), (g, y, a, b, c) => (a >= b && a <= c && b < c ? g : 0),
    (g, y, a, b, c) => (a < b && b < c ? g : 0), (g, y, a, b, c) => (c < a || c <= b ? g : 0)],
  greater: [(a, b) => +(a > b)], greater_equal: [(a, b) => +(a >= b)], less: [(a, b) => +(a < b)],
  less_equal: [(a, b) => +(a <= b)], equal: [(a, b) => +(a === b)], not_equal: [(a, b) => +(a !== b)],
};

const total = xs => xs.reduce((a, b) => a + b, 0);
const mean = xs => total(xs) / xs.length;
const shared = (g, xs, y) => xs.map(x => (x === y ? g / xs.filter(other => other === y).length : 0));
const spread = xs => total(xs.map(x => (x - mean(xs)) ** 2)) / xs.length;
const norm = xs => Math.sqrt(total(xs.map(x => x * x)));
const logsumexp = xs => { const most = Math.max(...xs); return most + Math.log(total(xs.map(x => Math.exp(x - most)))); };

// Of a group of elements one number, and the derivative by each.
const folds = {
  sum: [total, (g, xs) => xs.map(() => g)], mean: [mean, (g, xs) => xs.map(() => g / xs.length)],
  max: [xs => Math.max(...xs), shared], min: [xs => Math.min(...xs), shared],
  prod: [xs => xs.reduce((a, b) => a * b, 1), (g, xs) => xs.map((_, n) => g * xs.reduce((a, b, m) => (m === n ? a : a * b), 1))],
  logsumexp: [logsumexp, (g, xs, y) => xs.map(x => g * Math.exp(x - y))],
  var: [spread, (g, xs) => xs.map(x => 2 * g * (x - mean(xs)) / xs.length)],
  std: [xs => Math.sqrt(spread(xs)), (g, xs, y) => xs.map(x => (y ? g * (x - mean(xs)) / xs.length / y : 0))],
  euclidean_norm: [norm, (g, xs, y) => xs.map(x => (y ? g * x / y : 0))],
};

// Of a group of elements as many numbers, and their derivative from a cotangent for each.
const rows = {
  softmax: [xs => xs.map(x => Math.exp(x - logsumexp(xs))), (gs, ys) => { const all = total(gs.map((g, n) => g * ys[n])); return ys.map((y, n) => y * (gs[n] - all)); }],
  log_softmax: [xs => xs.map(x => x - logsumexp(xs)), (gs, ys) => { const all = total(gs); return ys.map((y, n) => gs[n] - Math.exp(y) * all); }],
};

const groups = (one, xs) => {
  const order = one.i || xs.map((_, n) => n), found = [];
  for (let n = 0; n < order.length; n += one.n) found.push(order.slice(n, n + one.n));
  return found;
};
const at = (one, x, k, n) => x[one.i && one.i[k] ? one.i[k][n] : n];
const zeros = n => new Array(n).fill(0);

function forth(one, xs) {
  if (maps[one.w]) {
    const f = maps[one.w][0];
    return zeros(one.n).map((_, n) => f(...xs.map((x, k) => at(one, x, k, n)), one.p));
  }
  if (folds[one.w]) return groups(one, xs[0]).map(group => folds[one.w][0](group.map(n => xs[0][n])));
  if (rows[one.w]) {
    const y = zeros(xs[0].length);
    for (const group of groups(one, xs[0])) rows[one.w][0](group.map(n => xs[0][n])).forEach((x, n) => { y[group[n]] = x; });
    return y;
  }
  if (one.w === "pick") { const all = xs.flat(); return one.i ? one.i.map(n => all[n]) : all; }
  const [high, deep, wide] = one.n, [a, b] = xs;
  return zeros(high * wide).map((_, n) => {
    const row = Math.floor(n / wide), column = n % wide;
    return total(zeros(deep).map((_, k) => a[row * deep + k] * b[k * wide + column]));
  });
}

function back(one, xs, y, g) {
  const into = xs.map(x => zeros(x.length));
  if (maps[one.w]) {
    const [, ...rules] = maps[one.w];
    g.forEach((_, n) => {
      const operands = xs.map((x, k) => at(one, x, k, n));
      rules.forEach((rule, k) => { into[k][one.i && one.i[k] ? one.i[k][n] : n] += rule(g[n], y[n], ...operands, one.p); });
    });
  } else if (folds[one.w])
    groups(one, xs[0]).forEach((group, k) =>
      folds[one.w][1](g[k], group.map(n => xs[0][n]), y[k]).forEach((x, n) => { into[0][group[n]] += x; }));
  else if (rows[one.w])
    for (const group of groups(one, xs[0]))
      rows[one.w][1](group.map(n => g[n]), group.map(n => y[n])).forEach((x, n) => { into[0][group[n]] += x; });
  else if (one.w === "pick") {
    const starts = xs.map((_, k) => total(xs.slice(0, k).map(x => x.length)));
    g.forEach((x, n) => {
      const place = one.i ? one.i[n] : n, k = starts.findLastIndex(start => start <= place);
      into[k][place - starts[k]] += x;
    });
  } else {
    const [high, deep, wide] = one.n, [a, b] = xs;
    for (let row = 0; row < high; row++) for (let k = 0; k < deep; k++) for (let column = 0; column < wide; column++) {
      into[0][row * deep + k] += g[row * wide + column] * b[k * wide + column];
      into[1][k * wide + column] += g[row * wide + column] * a[row * deep + k];
    }
  }
  return into;
}

// Runs a program on numbers for its leaves: all values, all gradients, and what arrived by whom.
function run(program, leaves) {
  const values = {}, gradients = {}, slots = {}, arrived = {};
  for (const [k, numbers] of Object.entries(leaves)) values[k] = [...numbers];
  for (const call of program.calls) {
    const local = slots[call.value] = call.in.map(k => values[k]);
    for (const one of call.do) local.push(forth(one, one.x.map(k => local[k])));
    values[call.value] = local[local.length - 1];
  }
  if (values[program.output].length === 1 && program.calls.some(call => call.to)) gradients[program.output] = [1];
  for (const call of [...program.calls].reverse()) {
    if (!call.to || !gradients[call.value]) continue;
    const local = slots[call.value], into = local.map(x => zeros(x.length));
    into[local.length - 1] = gradients[call.value];
    for (let n = call.do.length - 1; n >= 0; n--) {
      const one = call.do[n], place = call.in.length + n;
      back(one, one.x.map(k => local[k]), local[place], into[place]).forEach((g, j) =>
        g.forEach((x, m) => { into[one.x[j]][m] += x; }));
    }
    arrived[call.value] = call.to.map(place => {
      const k = call.in[place], before = gradients[k], added = into[place];
      gradients[k] = before ? before.map((x, n) => x + added[n]) : added;
      return { before, added, total: gradients[k] };
    });
  }
  return { values, gradients, arrived };
}

return { run, zeros, mean, spread, norm };
})();
