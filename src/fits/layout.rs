//! Which HDUs belong together: the science image, its variance and its mask.
//!
//! SCI, VAR and DQ go together by EXTVER; where EXTVER is missing, by order: the n-th SCI with the n-th VAR if there
//! are as many of both, else with the one that stands between it and the next SCI. An image in the primary is an
//! extension like any other, and takes a VAR or DQ that no SCI claims. An image without a name is an extension. In a
//! file without SCI every image is one. Other named images go with the SCI of their EXTVER as further planes.

use super::scan::{Hdu, HduKind};

/// The HDUs of one extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// Index of the science image.
    pub sci: usize,
    /// Index of its variance.
    pub var: Option<usize>,
    /// Index of its mask.
    pub dq: Option<usize>,
    /// Further image planes of the same EXTVER.
    pub other: Vec<usize>,
}

fn named(hdu: &Hdu, name: &str) -> bool {
    hdu.name.as_deref().is_some_and(|n| n.eq_ignore_ascii_case(name))
}

/// Why a file's planes cannot be told apart: a plane is a table, or two planes have one name.
pub(crate) fn contradiction(hdus: &[Hdu]) -> Option<(usize, String)> {
    for (i, h) in hdus.iter().enumerate() {
        let Some(name) = ["SCI", "VAR", "DQ"].into_iter().find(|n| named(h, n)) else { continue };
        if matches!(h.kind, HduKind::AsciiTable | HduKind::BinTable) {
            return Some((h.index, format!("{name} is a table; an image was expected")));
        }
        let twin = |other: &&Hdu| named(other, name) && h.ver.is_some() && other.ver == h.ver && other.has_pixels();
        if let Some(other) = hdus[..i].iter().filter(|_| h.has_pixels()).find(twin) {
            let ver = h.ver.unwrap_or_default();
            return Some((h.index, format!("{name},{ver} is there twice; the first is HDU {}", other.index)));
        }
    }
    None
}

/// The extensions of a file, in file order.
pub(crate) fn groups(hdus: &[Hdu]) -> Vec<Group> {
    let images: Vec<&Hdu> = hdus.iter().filter(|h| h.has_pixels()).collect();
    let any_sci = images.iter().any(|h| named(h, "SCI"));
    let companion = |h: &Hdu| named(h, "VAR") || named(h, "DQ");
    let science = |h: &&Hdu| -> bool {
        if any_sci {
            named(h, "SCI") || h.index == 0 || h.name.as_deref().is_none_or(str::is_empty)
        } else {
            // Without a SCI and without a primary image, VAR and DQ are images like others.
            !companion(h) || !hdus.first().is_some_and(Hdu::has_pixels)
        }
    };
    let sci: Vec<&Hdu> = images.iter().copied().filter(science).collect();
    let var = associate(&sci, &images, "VAR");
    let dq = associate(&sci, &images, "DQ");
    let mut groups: Vec<Group> = sci
        .iter()
        .enumerate()
        .map(|(i, s)| Group { sci: s.index, var: var[i], dq: dq[i], other: Vec::new() })
        .collect();
    let used: Vec<usize> = groups.iter().flat_map(|g| [Some(g.sci), g.var, g.dq]).flatten().collect();
    for image in images.iter().filter(|h| !used.contains(&h.index)) {
        let owner = sci.iter().position(|s| s.ver.is_some() && s.ver == image.ver);
        if let Some(group) = owner.and_then(|o| groups.get_mut(o)) {
            group.other.push(image.index);
        }
    }
    groups
}

/// For each science image the companion of this name.
fn associate(sci: &[&Hdu], images: &[&Hdu], name: &str) -> Vec<Option<usize>> {
    let is_sci = |h: &Hdu| sci.iter().any(|s| s.index == h.index);
    let mut free: Vec<&Hdu> = images.iter().copied().filter(|h| named(h, name) && !is_sci(h)).collect();
    let mut found = vec![None; sci.len()];
    for (slot, s) in found.iter_mut().zip(sci) {
        if let Some(at) = free.iter().position(|h| s.ver.is_some() && h.ver == s.ver) {
            *slot = Some(free.remove(at).index);
        }
    }
    // By order: only between those of which at least one says no EXTVER.
    let open: Vec<usize> = (0..sci.len()).filter(|&i| found[i].is_none()).collect();
    let pairs = |s: &Hdu, h: &Hdu| s.ver.is_none() || h.ver.is_none();
    if free.len() == open.len() {
        for (&i, h) in open.iter().zip(&free) {
            if pairs(sci[i], h) {
                found[i] = Some(h.index);
            }
        }
    } else {
        for i in open {
            let next = sci.get(i + 1).map_or(usize::MAX, |s| s.index);
            let between = |h: &&&Hdu| h.index > sci[i].index && h.index < next && pairs(sci[i], h);
            found[i] = free.iter().find(between).map(|h| h.index);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::header::Header;
    use super::*;

    /// EXTNAME, EXTVER, whether it has pixels.
    type Entry = (Option<&'static str>, Option<i64>, bool);
    /// A group in short.
    type Found = (usize, Option<usize>, Option<usize>, Vec<usize>);

    fn file(list: &[Entry]) -> Vec<Hdu> {
        let hdu = |(index, &(name, ver, pixels)): (usize, &Entry)| Hdu {
            index,
            header: Arc::new(Header::new()),
            kind: HduKind::Image,
            name: name.map(String::from),
            ver,
            shape: if pixels { vec![2, 3] } else { vec![] },
            bitpix: -32,
            format: None,
            data: 0..0,
        };
        list.iter().enumerate().map(hdu).collect()
    }

    fn of(list: &[Entry]) -> Vec<Found> {
        groups(&file(list)).into_iter().map(|g| (g.sci, g.var, g.dq, g.other)).collect()
    }

    const PHU: Entry = (None, None, false);

    #[test]
    fn by_extver_in_any_order() {
        let got = of(&[
            PHU,
            (Some("SCI"), Some(1), true),
            (Some("SCI"), Some(2), true),
            (Some("DQ"), Some(2), true),
            (Some("VAR"), Some(1), true),
            (Some("VAR"), Some(2), true),
            (Some("OBJMASK"), Some(2), true),
        ]);
        assert_eq!(got, [(1, Some(4), None, vec![]), (2, Some(5), Some(3), vec![6])]);
    }

    #[test]
    fn by_order_without_extver() {
        let s = (Some("SCI"), None, true);
        let v = (Some("VAR"), None, true);
        let q = (Some("DQ"), None, true);
        let two = vec![(1, Some(2), Some(3), vec![]), (4, Some(5), Some(6), vec![])];
        assert_eq!(of(&[PHU, s, v, q, s, v, q]), two);
        assert_eq!(of(&[PHU, s, s, v, v]), [(1, Some(3), None, vec![]), (2, Some(4), None, vec![])]);
        assert_eq!(of(&[PHU, s, v, s, q]), [(1, Some(2), None, vec![]), (3, None, Some(4), vec![])]);
    }

    #[test]
    fn a_variance_of_another_extver_is_not_taken() {
        assert_eq!(of(&[PHU, (Some("SCI"), Some(1), true), (Some("VAR"), Some(2), true)]), [(1, None, None, vec![])]);
    }

    #[test]
    fn primary_image() {
        let p = (None, None, true);
        assert_eq!(of(&[p]), [(0, None, None, vec![])]);
        assert_eq!(of(&[p, (Some("DQ"), None, true)]), [(0, None, Some(1), vec![])]);
        let both = of(&[p, (Some("sci"), Some(1), true), (Some("DQ"), Some(1), true)]);
        assert_eq!(both, [(0, None, None, vec![]), (1, None, Some(2), vec![])]);
    }

    #[test]
    fn contradictions() {
        let sci = (Some("SCI"), Some(1), true);
        assert_eq!(contradiction(&file(&[PHU, sci, (Some("SCI"), Some(2), true)])), None);
        assert_eq!(contradiction(&file(&[PHU, (Some("SCI"), None, true), (Some("SCI"), None, true)])), None);
        assert_eq!(contradiction(&file(&[PHU, sci, sci])).map(|(hdu, _)| hdu), Some(2));
        let mut table = file(&[PHU, sci, (Some("DQ"), Some(1), false)]);
        table[2].kind = HduKind::BinTable;
        assert_eq!(contradiction(&table).map(|(hdu, _)| hdu), Some(2));
    }

    #[test]
    fn every_image_where_nothing_is_named_sci() {
        assert_eq!(of(&[PHU, (None, None, true), (Some("RED"), None, true)]).len(), 2);
        assert_eq!(of(&[PHU, (Some("DQ"), None, true)]), [(1, None, None, vec![])]);
    }
}
