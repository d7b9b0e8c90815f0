//! The kernels on one machine, from run to run: `cargo bench`. Whole jobs beside the machine's limits are what
//! `ndastro-bench` measures.
//!
//! * decode: `NDAstroData::data()` of a mapped file in the page cache, from big-endian bytes to an array of the exact
//!   type. The array is allocated in the time, and freed after it.
//! * stack: `Stack::eval` of frames in memory, every method, on the CPU engine with all threads, and on the adapter if there
//!   is one. Bytes are those of the frames' planes that are used.
//! * expr: `Expr::eval` of arrays in memory, with variance and mask, on the CPU engine with all threads: one operation, the
//!   reduction of a frame, and a product and sum. Bytes are those of the operands' planes and of the result's.

use std::hint::black_box;
use std::time::Instant;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use ndarray::Array2;
use ndastro::fits::Header;
use ndastro::{AstroData, Clip, Combine, Engine, Error, Expr, NDAstroData, Pixels, Reject, Result, Stack};

/// Pixels of a side of the image that is decoded: larger than caches.
const IMAGE: usize = 2048;
/// Pixels of a side of a frame that is stacked.
const FRAME: usize = 512;

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    decode(&mut criterion)?;
    stack(&mut criterion)?;
    expr(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}

/// Values of 0..65536 that differ from pixel to pixel.
fn noise(side: usize, seed: usize) -> Array2<u16> {
    let hash = |i: usize| (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Array2::from_shape_fn((side, side), |(y, x)| (hash((seed * side + y) * side + x) >> 48) as u16)
}

fn decode(criterion: &mut Criterion) -> Result<()> {
    let failed = |source| Error::Io { path: std::env::temp_dir(), what: "cannot make a temporary folder", source };
    let folder = tempfile::tempdir().map_err(failed)?;
    let image = noise(IMAGE, 0);
    let images: [Pixels; 3] = [image.clone().into(), image.mapv(f32::from).into(), image.mapv(i32::from).into()];
    let mut group = criterion.benchmark_group("decode");
    for pixels in images {
        let name = pixels.dtype().name();
        let path = folder.path().join(format!("{name}.fits"));
        group.throughput(Throughput::Bytes(pixels.as_bytes().len() as u64));
        AstroData::from_extensions(Header::new(), vec![NDAstroData::new(pixels)]).write(&path, false)?;
        let file = AstroData::open(&path)?;
        // A clone of a container that has loaded nothing loads for itself.
        file[0].clone().data()?;
        group.bench_function(name, |b| {
            b.iter_batched_ref(|| file[0].clone(), |nd| nd.data().map(Pixels::len), BatchSize::PerIteration);
        });
    }
    group.finish();
    Ok(())
}

fn stack(criterion: &mut Criterion) -> Result<()> {
    let mut engines = vec![("cpu", Engine::cpu(0)?)];
    // Without an adapter there is one engine less.
    #[cfg(feature = "gpu")]
    engines.extend(Engine::gpu(None, 0).ok().map(|gpu| ("gpu", gpu)));
    let clip = Clip::default();
    let methods = [
        ("mean", Combine::Mean, Reject::None),
        ("wtmean", Combine::WtMean, Reject::None),
        ("median", Combine::Median, Reject::None),
        ("minmax", Combine::Mean, Reject::MinMax { nlow: 1, nhigh: 1 }),
        ("sigclip", Combine::Mean, Reject::SigClip(clip)),
        ("varclip", Combine::Mean, Reject::VarClip(clip)),
    ];
    for n in [5, 20, 100] {
        let frames = (0..n).map(|i| frame_of(FRAME, i)).collect::<Result<Vec<_>>>()?;
        let mut group = criterion.benchmark_group(format!("stack of {n}, variance, mask"));
        group.throughput(Throughput::Bytes((n * FRAME * FRAME * 10) as u64));
        for (name, combine, reject) in methods {
            let stack = Stack::new(frames.clone()).combine(combine).reject(reject);
            for (of, engine) in &engines {
                stack.eval(engine)?;
                group.bench_with_input(BenchmarkId::new(name, of), &stack, |b, stack| {
                    b.iter_batched(|| (), |()| black_box(stack.eval(engine)), BatchSize::PerIteration);
                });
            }
        }
        group.finish();
    }
    Ok(())
}

fn expr(criterion: &mut Criterion) -> Result<()> {
    let engine = Engine::cpu(0)?;
    let operands = (0..3).map(|i| frame_of(IMAGE, i)).collect::<Result<Vec<_>>>()?;
    let [a, b, c] = [0, 1, 2].map(|i| Expr::from(&operands[i]));
    let mut group = criterion.benchmark_group("expr");
    let jobs = [("a + b", 2, &a + &b), ("(a - b) / c", 3, (&a - &b) / &c), ("a * b + c", 3, &a * &b + &c)];
    for (name, planes, expr) in jobs {
        expr.eval(&engine)?;
        group.throughput(Throughput::Bytes(((planes + 1) * 10 * IMAGE * IMAGE) as u64));
        group.bench_function(name, |bench| {
            bench.iter_batched(|| (), |()| black_box(expr.eval(&engine)), BatchSize::PerIteration);
        });
        let mut earlier = Some(expr.eval(&engine)?);
        group.bench_function(format!("{name}, into an earlier result"), |bench| {
            bench.iter_custom(|times| {
                let started = Instant::now();
                for _ in 0..times {
                    // A failure shows in the first of them, above.
                    earlier = earlier.take().and_then(|nd| expr.eval_into(&engine, nd).ok());
                }
                started.elapsed()
            });
        });
    }
    group.finish();
    Ok(())
}

/// float32, with a float32 variance and a uint16 mask that flags 1 of 512 pixels.
fn frame_of(side: usize, i: usize) -> Result<NDAstroData> {
    let values = noise(side, i);
    NDAstroData::new(values.mapv(f32::from))
        .with_variance(values.mapv(|v| f32::from(v) + 1.0))?
        .with_mask(values.mapv(|v| u16::from(v < 128)))
}
