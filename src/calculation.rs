//! A calculation: expressions into memory, or into a file of as many extensions, in bounded memory.

use std::path::Path;
use std::time::Instant;

use crate::arrays::MemorySink;
use crate::dtype::DType;
use crate::engine::Engine;
use crate::expr::Expr;
use crate::expr::collapse::resolved;
use crate::expr::parts::read_so_far;
use crate::expr::plan::{Options, Plan};
use crate::fits::{FitsFile, Header, RawHdu};
use crate::nddata::NDAstroData;
use crate::output::{FileSink, Settings, refuse_input, settings_methods, spooled};
use crate::real::Real;
use crate::stats::Stats;
use crate::tiles::{Counters, Job, Sink, Work};
use crate::writing::{carried, copy, planes_of, result_file};
use crate::{AstroData, Pixels, Result};

/// Expressions to be computed, one for each extension of the result. Nothing is read until [`eval`](Self::eval) or
/// [`write`](Self::write).
#[derive(Clone)]
pub struct Calculation {
    expressions: Vec<Expr>,
    phu: Header,
    /// Files that must not be written over.
    files: Vec<FitsFile>,
    tables: Vec<RawHdu>,
    options: Options,
    settings: Settings,
}

impl Calculation {
    /// Of one expression for each extension.
    pub fn of(expressions: Vec<Expr>) -> Self {
        Calculation {
            expressions,
            phu: Header::new(),
            files: Vec::new(),
            tables: Vec::new(),
            options: Options::default(),
            settings: Settings::default(),
        }
    }

    /// With the primary header of the result.
    pub fn phu(mut self, phu: Header) -> Self {
        self.phu = phu;
        self
    }

    /// Of these files; none of them is written over.
    pub fn files(mut self, files: impl IntoIterator<Item = FitsFile>) -> Self {
        self.files.extend(files);
        self
    }

    /// HDUs that are written behind the result, as they are.
    pub fn tables(mut self, tables: Vec<RawHdu>) -> Self {
        self.tables = tables;
        self
    }

    /// Whether variances are used (default) or left unread.
    pub fn use_variance(mut self, yes: bool) -> Self {
        self.options.ignore_variance = !yes;
        self
    }

    /// Whether masks are used (default) or left unread.
    pub fn use_mask(mut self, yes: bool) -> Self {
        self.options.ignore_mask = !yes;
        self
    }

    /// Whether units are left alone: neither checked nor converted nor written.
    pub fn ignore_units(mut self, yes: bool) -> Self {
        self.options.ignore_units = yes;
        self
    }

    /// Whether the WCS of all containers of an expression must agree.
    pub fn compare_wcs(mut self, yes: bool) -> Self {
        self.options.compare_wcs = yes;
        self
    }

    settings_methods!();

    /// Run as another job is; it has nobody to tell how far it is.
    pub(crate) fn steered(mut self, settings: &Settings) -> Self {
        self.settings = Settings { progress: None, compression: None, ..settings.clone() };
        self
    }

    /// Computes all expressions into memory.
    ///
    /// # Errors
    /// Shapes or units that do not go together, a file that changed, a budget that is too small.
    pub fn eval(&self, engine: &Engine) -> Result<(AstroData, Stats)> {
        self.eval_into(engine, AstroData::from_extensions(Header::new(), Vec::new()))
    }

    /// The same into the arrays of an earlier result, extension by extension: those that are of the type and size that is
    /// wanted and that nobody else has are written over, the others are dropped. The memory of a large array is touched for
    /// the first time only once then, which takes as long as a short expression.
    ///
    /// # Errors
    /// As [`eval`](Self::eval); the earlier result is gone.
    pub fn eval_into(&self, engine: &Engine, earlier: AstroData) -> Result<(AstroData, Stats)> {
        let mut earlier = earlier.into_extensions().into_iter();
        let started = Instant::now();
        let mut counters = Counters::default();
        let before = read_so_far(&self.expressions).1;
        let plans = self.plans(engine, &mut counters)?;
        let mut extensions = Vec::new();
        for (i, plan) in plans.iter().enumerate() {
            let spare = earlier.next().map(NDAstroData::into_arrays).unwrap_or_default();
            let nd = match plan.compute {
                DType::F64 => self.eval_one::<f64>(engine, plan, spare, &mut counters)?,
                _ => self.eval_one::<f32>(engine, plan, spare, &mut counters)?,
            };
            extensions.push(nd.named("SCI".into(), Some(i as i64 + 1)));
        }
        let stats = self.stats(engine, &plans, counters, (started, before));
        Ok((AstroData::from_extensions(self.phu.clone(), extensions), stats))
    }

    fn eval_one<T: Real + Default>(
        &self,
        engine: &Engine,
        plan: &Plan,
        spare: Vec<Pixels>,
        counters: &mut Counters,
    ) -> Result<NDAstroData> {
        let mask = plan.mask.unwrap_or(DType::U32);
        let mut sink = MemorySink::<T>::over(spare, plan.pixels(), plan.outputs(), mask, Vec::new())?;
        counters.add(compute::<T>(plan, engine, &self.settings, &mut sink)?);
        let mut nd = NDAstroData::new(T::pixels(sink.data, &plan.shape)?).with_meta(plan.header.clone());
        if plan.outputs().variance {
            nd = nd.with_variance(T::pixels(sink.variance, &plan.shape)?)?;
        }
        if plan.mask.is_some() {
            nd = nd.with_mask(sink.mask.pixels(&plan.shape)?)?;
        }
        // Without one the header must not say one either.
        nd.set_unit(plan.unit.as_ref());
        Ok(nd)
    }

    /// Computes all expressions into a FITS file: SCI, VAR and DQ, where there is a variance and a mask, for each, and the
    /// further planes of its first container as they are.
    ///
    /// # Errors
    /// As [`eval`](Self::eval); and the file cannot be written. Then nothing is left behind.
    pub fn write(&self, engine: &Engine, path: impl AsRef<Path>, overwrite: bool) -> Result<Stats> {
        let started = Instant::now();
        let path = path.as_ref();
        refuse_input(path, self.files.iter())?;
        let mut counters = Counters::default();
        let before = read_so_far(&self.expressions).1;
        let plans = self.plans(engine, &mut counters)?;
        let mut images = Vec::new();
        let mut firsts = Vec::new();
        for (i, plan) in plans.iter().enumerate() {
            firsts.push(images.len());
            let types = [Some(plan.compute), plan.outputs().variance.then_some(plan.compute), plan.mask];
            let ver = i as i64 + 1;
            images.extend(planes_of(
                &plan.header,
                plan.unit.as_ref(),
                ver,
                &plan.shape,
                types,
                self.settings.compression,
            ));
            let others = plan.others().map(|(name, plane)| carried(name, plane, ver, self.settings.compression));
            images.extend(others);
        }
        let (phu, tables) = (self.phu.clone(), self.tables.iter());
        let mut writer = result_file(path, overwrite, phu, images, tables, self.settings.cancel.clone())?;
        for (plan, &first) in plans.iter().zip(&firsts) {
            let others = first + 1 + usize::from(plan.outputs().variance) + usize::from(plan.outputs().mask);
            let mut sink = FileSink::new(&mut writer, FileSink::planes(first, plan.outputs().variance, plan.mask));
            counters.add(match plan.compute {
                DType::F64 => compute::<f64>(plan, engine, &self.settings, &mut sink)?,
                _ => compute::<f32>(plan, engine, &self.settings, &mut sink)?,
            });
            for (i, (_, plane)) in plan.others().enumerate() {
                copy(&mut writer, others + i, plane)?;
            }
        }
        writer.finish()?;
        Ok(self.stats(engine, &plans, counters, (started, before)))
    }

    /// A plan for each expression, what is collapsed in it computed.
    fn plans(&self, engine: &Engine, counters: &mut Counters) -> Result<Vec<Plan>> {
        let plan = |e: &Expr| {
            let e = resolved(e, engine, self.options, &self.settings, counters)?;
            let plan = Plan::new(&e, self.options)?;
            counters.warn(plan.warning.clone());
            Ok(plan)
        };
        self.expressions.iter().map(plan).collect()
    }

    fn stats(&self, engine: &Engine, plans: &[Plan], counters: Counters, (started, before): (Instant, u64)) -> Stats {
        let (headers, pixels) = read_so_far(&self.expressions);
        Stats {
            bytes_read: headers + pixels - before,
            frames: plans.iter().map(|p| p.leaves.len()).max().unwrap_or(0) as u64,
            pixels: plans.iter().map(|p| p.pixels() as u64).sum(),
            ..counters.stats(engine, started)
        }
    }
}

/// All pixels of a plan into a sink.
pub(crate) fn compute<T: Real + Default>(
    plan: &Plan,
    engine: &Engine,
    settings: &Settings,
    sink: &mut dyn Sink<T>,
) -> Result<Counters> {
    let planes = spooled(&plan.planes, settings)?;
    let job = Job {
        inputs: planes.iter().collect(),
        pixels: plan.pixels(),
        part: 0..plan.pixels(),
        row: plan.shape.last().copied().unwrap_or(1),
        outputs: plan.outputs(),
        work: Work::Expr(&plan.program),
    };
    settings.steer(|control| crate::tiles::run(engine, &job, control, sink))
}
