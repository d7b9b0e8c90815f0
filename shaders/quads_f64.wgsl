// Numbers of four pixels, wide enough that a thousand terms round about as once: of 64 bits, for adapters whose f64 takes
// little longer than f32.

alias Wide = vec4<f64>;

const EMPTY = Wide();

fn begin() {}

fn exact(x: vec4<f32>) -> Wide { return Wide(x); }
fn narrow(x: Wide) -> vec4<f32> { return vec4<f32>(x); }
fn chosen(no: Wide, yes: Wide, which: vec4<bool>) -> Wide { return select(no, yes, which); }
fn plus(s: Wide, x: Wide) -> Wide { return s + x; }
fn number(pair: vec2<f32>) -> f64 { return f64(pair.x) + f64(pair.y); }
fn times(x: vec4<f32>, by: vec2<f32>) -> Wide { return Wide(x) * number(by); }
fn moved(x: Wide, by: vec2<f32>) -> Wide { return x + Wide(number(by)); }
fn over(s: Wide, n: vec4<f32>) -> Wide { return s / Wide(n); }
