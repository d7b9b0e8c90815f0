//! Why a sample is not in the result: bits of the map of reasons. 0: it is in it.

/// Its data or its variance are not finite.
pub(crate) const NOT_FINITE: u32 = 1;
/// Its mask has a bit that another sample of the pixel does without: rule 2.
pub(crate) const MASK: u32 = 2;
/// Rejected by rule 3.
pub(crate) const REJECTED: u32 = 4;
/// Rejected, and lower than all that is left.
pub(crate) const BELOW: u32 = 8;
/// Rejected, and higher than all that is left.
pub(crate) const ABOVE: u32 = 16;

/// It is beside a sample of its frame that was rejected, and goes with it.
pub(crate) const GROWN: u32 = 32;

/// What each bit stands for, as headers have it.
pub(crate) const MEANINGS: [(u32, &str); 6] = [
    (NOT_FINITE, "data or variance not finite"),
    (MASK, "mask bits that better samples do without"),
    (REJECTED, "rejected"),
    (BELOW, "and below all that are left"),
    (ABOVE, "and above all that are left"),
    (GROWN, "beside a rejected sample of its frame"),
];
