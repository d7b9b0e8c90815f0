// Numbers of expr.wgsl where the device has 64-bit floats: f64, as on the host.

alias num = f64;

// Terms of the series of exp and log: enough for f32 results, which are all that have them here.
const TERMS: u32 = 12u;
const LN2: num = 0.6931471805599453lf;

// x, as far as the compiler knows something else. It would make a of (a + b) - b, and join constants: (x c) d to x (c d),
// which rounds and overflows elsewhere. So constants are held, and what each operation comes to.
fn held(x: num) -> num { return select(x, -x, params.opaque_zero != 0u); }

fn of_f32(x: f32) -> num { return f64(x); }
fn to_f32(x: num) -> f32 { return f32(x); }
fn n_add(a: num, b: num) -> num { return held(a + b); }
fn n_sub(a: num, b: num) -> num { return held(a - b); }
fn n_mul(a: num, b: num) -> num { return held(a * b); }
fn n_quotient(a: num, b: num) -> num { return held(a / b); }
fn n_root(x: num) -> num { return sqrt(x); }
fn n_neg(x: num) -> num { return -x; }
fn n_less(a: num, b: num) -> bool { return a < b; }
fn n_choose(no: num, yes: num, which: bool) -> num { return select(no, yes, which); }

// Subnormal in f32: a device may make 0 of it.
fn lost(x: num) -> bool { return x != 0.0lf && abs(x) < 1.17549436e-38lf; }
