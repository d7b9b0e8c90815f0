//! Whether engines that are timed compute the same: fast and wrong is not fast.
//!
//! The difference of two values is taken relative to the larger one. Values that are finite in one result only make
//! it infinite.

use crate::{AstroData, NDAstroData, Pixels, Result};

/// How much two engines' results differ, over all that was compared.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Agreement {
    /// Largest relative difference of data and variances.
    pub difference: f64,
    /// Pixels with different masks.
    pub masks: u64,
}

impl Agreement {
    /// Adds what two results differ by; loads their planes.
    pub(super) fn compare(&mut self, a: &AstroData, b: &AstroData) -> Result<()> {
        for i in 0..a.len().min(b.len()) {
            self.planes(&a[i], &b[i])?;
        }
        Ok(())
    }

    /// Adds what is known of other results.
    pub(super) fn merge(&mut self, other: Agreement) {
        self.difference = self.difference.max(other.difference);
        self.masks += other.masks;
    }

    fn planes(&mut self, a: &NDAstroData, b: &NDAstroData) -> Result<()> {
        self.values(Some(a.data()?), Some(b.data()?));
        self.values(a.variance()?, b.variance()?);
        match (a.mask()?, b.mask()?) {
            (Some(a), Some(b)) => {
                let pairs = a.to_f64().into_iter().zip(b.to_f64());
                self.masks += pairs.filter(|(a, b)| a != b).count() as u64;
            }
            (None, None) => {}
            (Some(only), None) | (None, Some(only)) => self.masks += only.len() as u64,
        }
        Ok(())
    }

    fn values(&mut self, a: Option<&Pixels>, b: Option<&Pixels>) {
        let (Some(a), Some(b)) = (a, b) else {
            if a.is_some() != b.is_some() {
                self.difference = f64::INFINITY;
            }
            return;
        };
        for (a, b) in a.to_f64().into_iter().zip(b.to_f64()) {
            self.difference = self.difference.max(relative(a, b));
        }
    }
}

fn relative(a: f64, b: f64) -> f64 {
    if a == b || a.is_nan() && b.is_nan() {
        0.0
    } else if a.is_finite() && b.is_finite() {
        (a - b).abs() / a.abs().max(b.abs())
    } else {
        f64::INFINITY
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::fits::Header;

    fn result(data: [f32; 2], mask: [u16; 2]) -> AstroData {
        let nd = NDAstroData::new(array![data[0], data[1]]).with_mask(array![mask[0], mask[1]]).unwrap();
        AstroData::from_extensions(Header::new(), vec![nd])
    }

    #[test]
    fn one_changed_pixel_shows() {
        let of = |a: &AstroData, b: &AstroData| {
            let mut agreement = Agreement::default();
            agreement.compare(a, b).unwrap();
            (agreement.difference, agreement.masks)
        };
        let one = result([4.0, f32::NAN], [0, 16]);
        assert_eq!(of(&one, &one), (0.0, 0));
        assert_eq!(of(&one, &result([3.0, f32::NAN], [0, 16])), (0.25, 0));
        assert_eq!(of(&one, &result([4.0, 1.0], [0, 16])), (f64::INFINITY, 0));
        assert_eq!(of(&one, &result([4.0, f32::NAN], [1, 16])), (0.0, 1));
    }
}
