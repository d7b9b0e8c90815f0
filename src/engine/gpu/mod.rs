//! The GPU engine. Only this module names `wgpu`; what it offers is blocking.

mod clock;
mod frames;
#[cfg(debug_assertions)]
mod inject;
#[cfg(feature = "cli")]
mod limits;
mod nodes;
mod run;
mod samples;
mod upload;
mod work;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use run::Run;
use wgpu::{DeviceType, Features};

use super::CpuEngine;
use crate::error::escape;
use crate::kernels::Kernel;
use crate::kernels::expr::wgsl;
use crate::kernels::stack::wgsl as stack_wgsl;
use crate::real::Real;
use crate::tiles::{Job, Work};
use crate::{DType, Error, Result};

/// What an adapter may have that makes a difference.
const OF_USE: Features = Features::SHADER_F64.union(Features::MAPPABLE_PRIMARY_BUFFERS);

/// An adapter, its device and queue.
pub struct GpuEngine {
    info: wgpu::AdapterInfo,
    device: wgpu::Device,
    queue: wgpu::Queue,
    faults: Arc<Faults>,
    #[cfg(debug_assertions)]
    inject: inject::Inject,
    pool: Arc<rayon::ThreadPool>,
    /// Computes the pixels that are not for the device.
    twin: CpuEngine,
    /// Those that were used last, by all that they depend on, each with the moment of its last use.
    pipelines: Mutex<HashMap<String, (Pipeline, u64)>>,
}

/// Most pipelines that are kept: on a software adapter one can take 100 MB.
const PIPELINES: usize = 32;

/// What an adapter is and can do, for `ndastro engines`.
#[derive(Clone, Debug)]
pub struct AdapterReport {
    /// Name as the driver gives it.
    pub name: String,
    /// "vulkan", "metal", "dx12".
    pub backend: String,
    /// "DiscreteGpu", "Cpu" (a software adapter), ...
    pub kind: String,
    /// Driver and its version.
    pub driver: String,
    /// 64-bit floats in shaders.
    pub f64: bool,
    /// Bytes of one storage binding.
    pub max_binding: u64,
    /// Bytes of one buffer.
    pub max_buffer: u64,
    /// Whether it is software: never taken unless asked for.
    pub software: bool,
}

/// Errors that arrive on no call: a lost device, an error that no scope caught.
#[derive(Default)]
struct Faults {
    lost: AtomicBool,
    first: Mutex<Option<String>>,
}

impl Faults {
    fn record(&self, what: String) {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(what);
    }

    /// The first fault since the last check, if there was one. A lost device stays lost.
    fn check(&self) -> Result<()> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        match first {
            Some(what) => Err(Error::Device(what)),
            None if self.lost.load(Ordering::Relaxed) => Err(Error::Device("the device was lost".into())),
            None => Ok(()),
        }
    }
}

fn instance() -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    // No OpenGL: its compute limits are too small, and it prints to standard error.
    descriptor.backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    descriptor.flags = wgpu::InstanceFlags::empty();
    wgpu::Instance::new(descriptor)
}

/// Best first: discrete, integrated, virtual, other, software.
fn rank(kind: DeviceType) -> u8 {
    match kind {
        DeviceType::DiscreteGpu => 0,
        DeviceType::IntegratedGpu => 1,
        DeviceType::VirtualGpu => 2,
        DeviceType::Other => 3,
        DeviceType::Cpu => 4,
    }
}

fn sorted() -> Vec<wgpu::Adapter> {
    let mut all = pollster::block_on(instance().enumerate_adapters(wgpu::Backends::all()));
    all.sort_by_key(|a| rank(a.get_info().device_type));
    all
}

/// All adapters, best first.
pub fn adapters() -> Vec<AdapterReport> {
    let report = |a: &wgpu::Adapter| {
        let (info, limits) = (a.get_info(), a.limits());
        AdapterReport {
            name: escape(&info.name),
            backend: info.backend.to_string(),
            kind: format!("{:?}", info.device_type),
            driver: escape(format!("{} {}", info.driver, info.driver_info).trim()),
            f64: a.features().contains(Features::SHADER_F64),
            max_binding: limits.max_storage_buffer_binding_size,
            max_buffer: limits.max_buffer_size,
            software: info.device_type == DeviceType::Cpu,
        }
    };
    sorted().iter().map(report).collect()
}

impl GpuEngine {
    /// The best hardware adapter.
    pub(crate) fn hardware(threads: usize) -> Result<Self> {
        let all = if nodes::may_have_hardware() { sorted() } else { Vec::new() };
        let best = all.into_iter().find(|a| a.get_info().device_type != DeviceType::Cpu);
        let adapter = best.ok_or_else(|| Error::NoAdapter("no hardware adapter was found".into()))?;
        Self::open(&adapter, threads, OF_USE)
    }

    /// The best adapter whose name contains `name` (upper and lower case are one).
    pub(crate) fn new(name: Option<&str>, threads: usize) -> Result<Self> {
        Self::with_features(name, threads, OF_USE)
    }

    /// The same as if it had no 64-bit floats, and memory of its own.
    pub(crate) fn without_f64(name: Option<&str>, threads: usize) -> Result<Self> {
        Self::with_features(name, threads, Features::empty())
    }

    fn with_features(name: Option<&str>, threads: usize, features: Features) -> Result<Self> {
        let all = sorted();
        let wanted = name.unwrap_or_default().to_lowercase();
        match all.iter().find(|a| a.get_info().name.to_lowercase().contains(&wanted)) {
            Some(adapter) => Self::open(adapter, threads, features),
            None if all.is_empty() => {
                Err(Error::NoAdapter("no adapter was found; is a Vulkan driver installed?".into()))
            }
            None => {
                let names: Vec<String> = all.iter().map(|a| escape(&a.get_info().name)).collect();
                Err(Error::NoAdapter(format!("no adapter is called {wanted:?}; there is {}", names.join(", "))))
            }
        }
    }

    /// With those of these features that it has.
    fn open(adapter: &wgpu::Adapter, threads: usize, features: Features) -> Result<Self> {
        let info = adapter.get_info();
        let features = features | Features::TIMESTAMP_QUERY | Features::TIMESTAMP_QUERY_INSIDE_ENCODERS;
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("ndastro"),
            required_features: adapter.features() & features,
            // The adapter's own limits: the defaults are smaller.
            #[cfg(not(debug_assertions))]
            required_limits: adapter.limits(),
            #[cfg(debug_assertions)]
            required_limits: inject::limits(adapter.limits()),
            ..Default::default()
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))
            .map_err(|e| Error::NoAdapter(format!("{}: {e}", escape(&info.name))))?;
        let faults = Arc::new(Faults::default());
        let seen = faults.clone();
        // Without a handler wgpu panics.
        device.on_uncaptured_error(Arc::new(move |e| seen.record(one_line(&e.to_string()))));
        let seen = faults.clone();
        device.set_device_lost_callback(move |reason, message| {
            seen.lost.store(true, Ordering::Relaxed);
            seen.record(format!("the device was lost ({reason:?}) {}", one_line(&message)));
        });
        let pool = Arc::new(super::pool(threads)?);
        Ok(GpuEngine {
            info,
            device,
            queue,
            faults,
            #[cfg(debug_assertions)]
            inject: inject::Inject::new(),
            twin: CpuEngine::of(pool.clone()),
            pool,
            pipelines: Mutex::default(),
        })
    }

    pub(crate) fn adapter_name(&self) -> &str {
        &self.info.name
    }

    pub(crate) fn describe(&self) -> String {
        let kind = if self.is_software() { "software adapter" } else { "adapter" };
        format!("{kind} {} ({}, {})", escape(&self.info.name), self.info.backend, escape(&self.info.driver_info))
    }

    /// Its memory is host memory.
    fn is_software(&self) -> bool {
        self.info.device_type == DeviceType::Cpu
    }

    /// Whether kernels can read the memory that the host writes to, which costs them nothing there.
    fn shares_memory(&self) -> bool {
        self.is_software() && self.device.features().contains(Features::MAPPABLE_PRIMARY_BUFFERS)
    }

    pub(crate) fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// Whether shaders have 64-bit floats.
    fn f64(&self) -> bool {
        self.device.features().contains(Features::SHADER_F64)
    }

    /// Whether shaders should compute in f64 what they read as f32: a software driver does it in wider vectors, where pairs of
    /// f32 take five times as many instructions.
    fn has_doubles(&self) -> bool {
        self.is_software() && self.f64()
    }

    /// Why it cannot do this job in `T`, if it cannot.
    pub(crate) fn unfit<T: Real>(&self, job: &Job<'_>) -> Option<String> {
        let reason = match &job.work {
            Work::Stack(_) if T::DTYPE == DType::F64 && !self.f64() => {
                Some("it has no 64-bit floats, which these inputs need")
            }
            Work::Stack(stack) => stack_wgsl::unfit(stack.method)
                .or_else(|| stack.computed.as_ref().and_then(|c| frames::unfit::<T>(c, self.f64()))),
            Work::Expr(program) => wgsl::unfit::<T>(program, self.f64()),
        };
        reason.map(|r| format!("not for {}: {r}", escape(&self.info.name)))
    }

    /// Runs `make` with every error caught: validation, memory, internal.
    fn scoped<R>(&self, what: &str, make: impl FnOnce() -> R) -> Result<R> {
        let internal = self.device.push_error_scope(wgpu::ErrorFilter::Internal);
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let made = make();
        let mut caught = None;
        for scope in [validation, memory, internal] {
            caught = caught.or(pollster::block_on(scope.pop()));
        }
        match caught {
            None => Ok(made),
            Some(wgpu::Error::OutOfMemory { .. }) => Err(Error::Device(format!("{what}: out of device memory"))),
            Some(e) => Err(Error::Device(format!("{what}: {}", one_line(&e.to_string())))),
        }
    }

    /// The pipeline of one entry point of a kernel that is a whole shader, with these constants; made once.
    fn pipeline<K: Kernel>(&self, entry: &str, bindings: &[Binding], constants: &[(&str, f64)]) -> Result<Pipeline> {
        let label = format!("{} {entry} {constants:?}", K::STEM);
        self.pipeline_of(label.clone(), label, entry, bindings, constants, || K::WGSL.to_string())
    }

    /// The same of a shader that is written out for one job; `key` says all that it depends on.
    fn pipeline_of(
        &self,
        key: String,
        label: String,
        entry: &str,
        bindings: &[Binding],
        constants: &[(&str, f64)],
        source: impl FnOnce() -> String,
    ) -> Result<Pipeline> {
        let mut pipelines = self.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        let now = 1 + pipelines.values().map(|(_, used)| *used).max().unwrap_or(0);
        if let Some((pipeline, used)) = pipelines.get_mut(&key) {
            *used = now;
            return Ok(pipeline.clone());
        }
        let source = source();
        let pipeline = self.scoped(&label, || {
            let descriptor =
                wgpu::ShaderModuleDescriptor { label: Some(&label), source: wgpu::ShaderSource::Wgsl(source.into()) };
            let checks = wgpu::ShaderRuntimeChecks { force_loop_bounding: false, ..Default::default() };
            // SAFETY: all shaders are this crate's, and all of their loops end; indices are checked as ever.
            let module = unsafe { self.device.create_shader_module_trusted(descriptor, checks) };
            let entries: Vec<_> = bindings.iter().enumerate().filter_map(|(i, b)| b.layout(i as u32)).collect();
            let group = self
                .device
                .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(&label), entries: &entries });
            let layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: Some(&label),
                bind_group_layouts: &[Some(&group)],
                immediate_size: 0,
            });
            let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(&label),
                layout: Some(&layout),
                module: &module,
                entry_point: Some(entry),
                compilation_options: wgpu::PipelineCompilationOptions { constants, ..Default::default() },
                cache: None,
            });
            let absent = bindings.iter().map(|b| matches!(b, Binding::Absent)).collect();
            Pipeline { pipeline, group, absent }
        })?;
        if pipelines.len() >= PIPELINES {
            let oldest = pipelines.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| key.clone());
            oldest.map(|key| pipelines.remove(&key));
        }
        pipelines.insert(key, (pipeline.clone(), now));
        Ok(pipeline)
    }
}

/// A compute pipeline with the layout of its one bind group.
#[derive(Clone)]
struct Pipeline {
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroupLayout,
    /// Bindings that it has not.
    absent: Arc<[bool]>,
}

/// What a shader does with a buffer, or that it reads a texture of words.
#[derive(Clone, Copy)]
enum Binding {
    Uniform,
    Read,
    Write,
    Texture(wgpu::TextureFormat),
    /// There is none of this number.
    Absent,
}

impl Binding {
    fn layout(self, binding: u32) -> Option<wgpu::BindGroupLayoutEntry> {
        let buffer = |ty| wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None };
        let ty = match self {
            Binding::Absent => return None,
            Binding::Uniform => buffer(wgpu::BufferBindingType::Uniform),
            Binding::Read => buffer(wgpu::BufferBindingType::Storage { read_only: true }),
            Binding::Write => buffer(wgpu::BufferBindingType::Storage { read_only: false }),
            Binding::Texture(format) => wgpu::BindingType::StorageTexture {
                access: wgpu::StorageTextureAccess::ReadOnly,
                format,
                view_dimension: wgpu::TextureViewDimension::D2,
            },
        };
        Some(wgpu::BindGroupLayoutEntry { binding, visibility: wgpu::ShaderStages::COMPUTE, ty, count: None })
    }
}

/// A message of many lines on one.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    escape(&words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Engine, NDAstroData, Stack};

    /// An adapter, if there is one; with `NDASTRO_REQUIRE_GPU=1` there must be.
    fn engine() -> Option<GpuEngine> {
        let engine = GpuEngine::new(None, 0);
        if std::env::var_os("NDASTRO_REQUIRE_GPU").is_some_and(|v| v == "1") {
            return Some(engine.expect("NDASTRO_REQUIRE_GPU=1 asks for an adapter"));
        }
        engine.inspect_err(|e| eprintln!("skipped: {e}")).ok()
    }

    fn frames() -> Vec<NDAstroData> {
        let frame = |level: f32| ndarray::Array2::from_shape_fn((300, 70), |(y, x)| level + (y * 70 + x) as f32);
        [1.0, 2.0, 6.0].map(|level| NDAstroData::new(frame(level))).to_vec()
    }

    fn assert_right(result: &crate::AstroData) {
        let data = result[0].data().expect("in memory").to_f64();
        assert!(data.iter().enumerate().all(|(i, &v)| v == 3.0 + i as f64));
    }

    #[test]
    fn a_device_that_was_lost_is_replaced_by_the_cpu() {
        let Some(engine) = engine() else { return };
        engine.device.destroy();
        let (result, stats) = Stack::new(frames()).eval(&Engine::Gpu(Box::new(engine))).expect("the CPU does it");
        assert_right(&result);
        assert!(matches!(&stats.warnings[..], [w] if w.contains("computed on the CPU")), "{:?}", stats.warnings);
    }

    #[test]
    fn a_device_that_is_lost_in_mid_run_is_replaced_by_the_cpu() {
        let Some(engine) = engine() else { return };
        let device = engine.device.clone();
        let stack = Stack::new(frames()).memory(512 << 10).progress(Arc::new(move |_, _| device.destroy()));
        let (result, stats) = stack.eval(&Engine::Gpu(Box::new(engine))).expect("the CPU does it");
        assert_right(&result);
        assert!(matches!(&stats.warnings[..], [w] if w.contains("computed on the CPU")), "{:?}", stats.warnings);
        assert!(stats.bytes_downloaded > 0, "the device did nothing before it was lost");
    }

    #[test]
    fn memory_of_its_own_makes_no_difference() {
        let Some(engine) = engine() else { return };
        let alone = GpuEngine::without_f64(None, 0).expect("the same adapter");
        assert!(!alone.shares_memory());
        let stacks = |engine: GpuEngine| {
            let engine = Engine::Gpu(Box::new(engine));
            // Also of rows of which none is a whole number of blocks of pixels.
            let windows = [[0..300, 0..70], [3..300, 5..66]].map(crate::Window::new);
            let cases = [crate::Reject::None, crate::Reject::MinMax { nlow: 1, nhigh: 0 }]
                .map(|reject| windows.clone().map(|window| (reject, window)));
            cases
                .as_flattened()
                .to_vec()
                .into_iter()
                .map(|(reject, window)| {
                    let masked = frames().into_iter().map(|frame| {
                        let variance = frame.data().expect("in memory").to_f64().mapv(|v| (v / 7.0) as f32);
                        let mask = variance.mapv(|v| u16::from((v as u32).is_multiple_of(5)));
                        let frame = frame.with_variance(variance).and_then(|f| f.with_mask(mask));
                        frame.and_then(|f| f.window(&window)).expect("of the same shape")
                    });
                    let stack = Stack::new(masked).memory(512 << 10).reject(reject);
                    let (result, stats) = stack.eval(&engine).expect("a working device");
                    assert!(stats.warnings.is_empty() && stats.tiles > 3, "{stats:?}");
                    let nd = &result[0];
                    let (variance, mask) = (nd.variance().expect("in memory"), nd.mask().expect("in memory"));
                    [nd.data().expect("in memory"), variance.expect("propagated"), mask.expect("joined")]
                        .map(|p| p.to_f64())
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(stacks(engine), stacks(alone));
    }

    #[cfg(feature = "cli")]
    #[test]
    fn transfers_take_time() {
        let Some(engine) = engine() else { return };
        for transfer in [crate::engine::Transfer::Upload, crate::engine::Transfer::Readback] {
            let seconds = engine.transfer_seconds(transfer, (5 << 20) + 3).expect("a working device");
            assert!(seconds > 0.0 && seconds.is_finite(), "{transfer:?} {seconds}");
        }
    }

    #[test]
    fn an_adapter_that_is_not_there_is_named() {
        if engine().is_none() {
            return;
        }
        let error = GpuEngine::new(Some("no such adapter"), 0).map(drop).expect_err("there is none").to_string();
        assert!(error.contains("no such adapter") && error.contains("there is"), "{error}");
    }
}
