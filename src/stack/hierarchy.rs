//! The DQ hierarchy as people say it: names of bits, and which bits are worse than which.

use crate::kernels::stack::{Levels, MAX_LEVELS};
use crate::{Error, Result};

/// Names of mask bits. A mask may have bits without a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BitNames(Vec<(String, u32)>);

impl Default for BitNames {
    /// bad_pixel 1, non_linear 2, saturated 4, cosmic_ray 8, no_data 16, overlap 32, unilluminated 64.
    fn default() -> Self {
        let names =
            ["bad_pixel", "non_linear", "saturated", "cosmic_ray", "no_data", "overlap", "unilluminated"].into_iter();
        BitNames(names.enumerate().map(|(i, name)| (name.to_string(), 1 << i)).collect())
    }
}

impl BitNames {
    /// With a name for some bits, in place of the same name or of the name that those bits had.
    ///
    /// # Errors
    /// The name is empty or looks like a number, or there are no bits.
    pub fn with(mut self, name: &str, bits: u32) -> Result<Self> {
        let sound = name.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
        if !sound || bits == 0 {
            return Err(Error::Parameter(format!("{name:?} = {bits}: a name of letters for a bit that is not 0")));
        }
        self.0.retain(|(n, b)| !n.eq_ignore_ascii_case(name) && *b != bits);
        self.0.push((name.to_string(), bits));
        Ok(self)
    }

    /// With more names, as in `ghost=128,satellite=256`.
    ///
    /// # Errors
    /// A part is not NAME=BITS.
    pub fn parse(self, text: &str) -> Result<Self> {
        let wrong = |part: &str| Error::Parameter(format!("{part:?} is not NAME=BIT like ghost=128"));
        text.split(',').map(str::trim).filter(|p| !p.is_empty()).try_fold(self, |names, part| {
            let (name, bits) = part.split_once('=').ok_or_else(|| wrong(part))?;
            names.with(name.trim(), number(bits.trim()).ok_or_else(|| wrong(part))?)
        })
    }

    /// The bits of a name or a number.
    ///
    /// # Errors
    /// There is no such name.
    pub fn bits(&self, word: &str) -> Result<u32> {
        let named = self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(word)).map(|(_, bits)| *bits);
        named.or_else(|| number(word)).ok_or_else(|| {
            let known: Vec<&str> = self.0.iter().map(|(n, _)| n.as_str()).collect();
            Error::Parameter(format!("no mask bit is called {word:?}; there are {}, and numbers", known.join(", ")))
        })
    }

    /// A mask in words: "good", or its bits, by name where they have one.
    pub fn describe(&self, mask: u32) -> String {
        if mask == 0 {
            return "good".into();
        }
        let mut rest = mask;
        let mut words = Vec::new();
        for (name, bits) in &self.0 {
            if rest & bits == *bits {
                words.push(name.clone());
                rest &= !bits;
            }
        }
        words.extend((0..32).map(|i| 1u32 << i).filter(|bit| rest & bit != 0).map(|bit| bit.to_string()));
        words.join("+")
    }
}

fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Which mask bits are worse than which. At each pixel the samples of the best level are used: those without a bit outside
/// the first of the levels that admits at least one sample. The last level admits every bit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// Bits that each level adds to those before.
    added: Vec<u32>,
}

impl Default for Hierarchy {
    /// That of Gemini DRAGONS: non-linear and saturated are no reason to leave a sample out; then come cosmic rays, overlaps,
    /// bad pixels, unilluminated ones, and at last `no_data` and every other bit.
    fn default() -> Self {
        Hierarchy { added: vec![2 | 4, 8, 32, 1, 64] }
    }
}

impl Hierarchy {
    /// From the bits that each level adds, best first. A level of 0 bits first: only samples without any bit are good.
    ///
    /// # Errors
    /// There are more than 8 levels.
    pub fn new(added: impl IntoIterator<Item = u32>) -> Result<Self> {
        let added: Vec<u32> = added.into_iter().collect();
        if added.is_empty() {
            return Hierarchy::new([0]);
        }
        if added.len() > MAX_LEVELS {
            let why = format!("{} levels of mask bits; at most {MAX_LEVELS}, and the rest as one more", added.len());
            return Err(Error::Parameter(why));
        }
        Ok(Hierarchy { added })
    }

    /// From text: levels with commas between them, bits of a level with + between them, by name or number;
    /// `non_linear+saturated,cosmic_ray,overlap,bad_pixel,unilluminated` is the default. `none` is a level without bits.
    ///
    /// # Errors
    /// There is no such name, or there are too many levels.
    pub fn parse(text: &str, names: &BitNames) -> Result<Self> {
        let bits = |word: &str| match word.trim() {
            "" | "none" => Ok(0),
            word => names.bits(word),
        };
        let level = |text: &str| text.split('+').try_fold(0, |all, word| Ok(all | bits(word)?));
        Hierarchy::new(text.split(',').map(level).collect::<Result<Vec<u32>>>()?)
    }

    /// Bits that each level adds to those before.
    pub fn levels(&self) -> &[u32] {
        &self.added
    }

    /// In words, as [`parse`](Self::parse) takes them.
    pub fn describe(&self, names: &BitNames) -> String {
        let words = self.added.iter().map(|&bits| if bits == 0 { "none".into() } else { names.describe(bits) });
        words.collect::<Vec<_>>().join(",")
    }

    pub(crate) fn kernel(&self) -> Levels {
        Levels::new(&self.added)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_read_and_said() {
        let names = BitNames::default().parse("ghost=128, satellite=0x100").unwrap();
        let text = "non_linear+saturated,cosmic_ray+ghost,512,satellite";
        let hierarchy = Hierarchy::parse(text, &names).unwrap();
        assert_eq!(hierarchy.levels(), [6, 136, 512, 256]);
        assert_eq!(hierarchy.describe(&names), text);
        assert_eq!(Hierarchy::parse(&Hierarchy::default().describe(&names), &names).unwrap(), Hierarchy::default());
        assert_eq!(Hierarchy::default().kernel(), Levels::default());
        for none in ["", "none"] {
            assert_eq!(Hierarchy::parse(none, &names).unwrap().levels(), [0]);
        }
        assert_eq!(Hierarchy::new([]).unwrap().levels(), [0]);
        assert!(Hierarchy::parse("bad_pixle", &names).unwrap_err().to_string().contains("bad_pixel"));
        assert!(Hierarchy::new(1..=9).is_err());
    }

    #[test]
    fn masks_are_said() {
        let names = BitNames::default();
        assert_eq!(names.describe(0), "good");
        assert_eq!(names.describe(1 | 8 | 128), "bad_pixel+cosmic_ray+128");
        let renamed = names.with("dead", 1).unwrap();
        assert_eq!(renamed.describe(1), "dead");
        assert!(BitNames::default().parse("x").is_err());
        assert!(BitNames::default().with("7", 128).is_err());
    }
}
