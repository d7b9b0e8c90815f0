//! Frames that do not all count alike.

/// What frames count for. On the CPU only.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Uneven<'a> {
    /// The weight of each frame, above 0; empty if all have the same.
    pub weights: &'a [f64],
    /// What the map of exposures is the sum of; empty if there is none.
    pub exposures: &'a [f64],
    /// Bits that come out only where such a part of the weight has them.
    pub fractions: &'a [(u32, f64)],
}
