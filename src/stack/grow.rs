//! Rejections that grow: options, and what they go with.

use super::{Flavour, Reject, Stack};
use crate::tiles::Outputs;
use crate::{Error, Result};

/// Beyond it whole images go with one sample.
const MOST: f64 = 1000.0;

impl Stack {
    /// With each rejected sample go those of the same frame within so many pixels of it, in rows and columns of the image: the
    /// trails and haloes of what was rejected. Where that would leave none of a pixel, or fewer than nkeep and maxrej
    /// allow, none of that pixel goes. The maps of samples below and above count what the rule itself rejected. On the
    /// CPU only.
    pub fn grow(mut self, radius: f64) -> Self {
        self.grow = radius;
        self
    }

    /// Whether it goes with the rest.
    pub(super) fn check_grow(&self) -> Result<()> {
        let refused = |why: String| Err(Error::Parameter(why));
        if !(0.0..=MOST).contains(&self.grow) {
            return refused(format!("grow: {}, where a number of pixels from 0 to {MOST} is expected", self.grow));
        }
        if self.grow > 0.0 && self.reject == Reject::None {
            return refused("grow goes with a rejection, and there is none".into());
        }
        if self.grow > 0.0 && self.flavour == Flavour::Dragons {
            return refused("flavour dragons has no grow".into());
        }
        Ok(())
    }

    /// Whether a pixel can be explained by its own samples.
    pub(super) fn check_explained(&self) -> Result<()> {
        if self.grow > 0.0 {
            let instead = "the map reasons says what became of each sample";
            return Err(Error::Parameter(format!("a pixel is explained by its own samples, not with grow; {instead}")));
        }
        Ok(())
    }

    /// With the reasons that growing goes by.
    pub(super) fn with_reasons(&self, outputs: Outputs) -> Outputs {
        if self.grow > 0.0 { Outputs { reasons: self.inputs.len(), ..outputs } } else { outputs }
    }
}
