//! The DQ hierarchy, and what a frame's samples are scaled by.

/// DQ bit of a pixel that has no value.
pub(crate) const NO_DATA: u32 = 16;
/// Level of a sample that cannot be used at all.
pub(super) const UNUSABLE: u32 = u32::MAX;
/// Levels that a hierarchy can have.
pub(crate) const MAX_LEVELS: usize = 8;

/// The DQ hierarchy: for each level but the last the bits that a sample may *not* have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct Levels {
    pub(super) forbidden: [u32; MAX_LEVELS],
}

impl Default for Levels {
    /// {2, 4} -> +8 -> +32 -> +1 -> +64 -> everything else: 16 and all bits from 128 on.
    fn default() -> Self {
        Levels::new(&[2 | 4, 8, 32, 1, 64])
    }
}

impl Levels {
    /// From the bits that each level adds; one more level, that of every bit, follows them. At most
    /// [`MAX_LEVELS`] bits sets count.
    pub(crate) fn new(added: &[u32]) -> Self {
        // A level that is not there forbids nothing, so it raises no sample's level.
        let mut forbidden = [0; MAX_LEVELS];
        let mut allowed = 0;
        for (slot, bits) in forbidden.iter_mut().zip(added) {
            allowed |= bits;
            *slot = !allowed;
        }
        Levels { forbidden }
    }

    /// Level of a sample with these bits: how many levels do not admit them all.
    pub(crate) fn level_of(&self, bits: u32) -> u32 {
        self.forbidden.iter().map(|f| u32::from(bits & f != 0)).sum()
    }

    /// How many there are besides the last, which admits every bit.
    #[cfg(feature = "gpu")]
    pub(crate) fn count(&self) -> usize {
        self.forbidden.iter().rposition(|f| *f != 0).map_or(0, |last| last + 1)
    }

    pub(crate) fn forbidden(&self) -> &[u32; MAX_LEVELS] {
        &self.forbidden
    }
}

/// Scale and zero of one frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Affine {
    pub scale: f64,
    pub zero: f64,
}

impl Affine {
    /// Neither scale nor zero.
    pub(crate) const IDENTITY: Affine = Affine { scale: 1.0, zero: 0.0 };
}
