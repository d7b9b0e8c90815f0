// Numbers of a stack as f64, where samples are f32: in place of pair.wgsl and stack_pair.wgsl, for adapters whose f64 takes
// little longer than f32. `lo` is 0, but in what is only compared.

alias wide = f64;

struct Pair { hi: f64, lo: f64 }

fn just(x: f64) -> Pair { return Pair(x, 0.0lf); }
fn exact(x: real) -> Pair { return just(f64(x)); }
fn given(p: vec2<real>) -> Pair { return just(f64(p.x) + f64(p.y)); }
fn chosen(yes: Pair, no: Pair, which: bool) -> Pair { return just(select(no.hi, yes.hi, which)); }
fn settled(p: Pair) -> Pair { return p; }
fn pair_add(s: Pair, x: f64) -> Pair { return just(s.hi + x); }
fn pair_sum(a: Pair, b: Pair) -> Pair { return just(a.hi + b.hi); }
fn minus(a: Pair, b: Pair) -> Pair { return just(a.hi - b.hi); }
fn apart(y: f64, c: Pair) -> Pair { return just(y - c.hi); }
fn affine(d: real, s: vec4<real>) -> Pair { return just(f64(d) * given(s.xy).hi + given(s.zw).hi); }
fn scaled(x: real, by: vec2<real>) -> Pair { return just(f64(x) * given(by).hi); }
fn by_wide(x: Pair, by: f64) -> Pair { return just(x.hi * by); }
fn squared(t: Pair) -> Pair { return just(t.hi * t.hi); }
fn times(a: Pair, b: Pair) -> Pair { return just(a.hi * b.hi); }
fn pair_div(s: Pair, n: f64) -> Pair { return just(s.hi / n); }
fn pair_over(a: Pair, b: Pair) -> Pair { return just(a.hi / b.hi); }
fn root(x: Pair) -> Pair { return just(sqrt(max(x.hi, 0.0lf))); }
