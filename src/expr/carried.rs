//! What a result carries of its containers: header and world coordinates.

use super::Expr;
use super::parts::leaves;
use crate::fits::Header;
use crate::nddata::NDAstroData;
use crate::wcs::Wcs;
use crate::{Error, Result};

/// Whether all containers of some operands that have a WCS have one WCS.
pub(super) fn compare_wcs(operands: &[&Expr]) -> Result<()> {
    let mut first: Option<(NDAstroData, Wcs)> = None;
    for nd in operands.iter().flat_map(|e| leaves(e)) {
        let Some(wcs) = nd.wcs()? else { continue };
        match &first {
            Some((other, known)) if !known.agrees_with(&wcs) => {
                let labels = (other.label(), nd.label());
                return Err(Error::Wcs(format!("those of {} and {} do not agree", labels.0, labels.1)));
            }
            Some(_) => {}
            None => first = Some((nd, wcs)),
        }
    }
    Ok(())
}

/// The header of a result of this shape, and what could not be brought into it: cards of the first container that has
/// some, the WCS of the first that has one and the shape of the result.
pub(super) fn header(leaves: &[NDAstroData], shape: &[usize]) -> (Header, Option<String>) {
    let fits = |nd: &&NDAstroData| nd.shape() == shape;
    let with_cards = || leaves.iter().filter(|nd| !nd.meta().is_empty());
    let Some(first) = with_cards().find(fits).or_else(|| with_cards().next()).or(leaves.first()) else {
        return (Header::new(), None);
    };
    let mut header = first.meta().clone();
    // They are of other pixels.
    header.remove_where(|k| matches!(k, "DATAMIN" | "DATAMAX"));
    // Cards of the same pixels are carried as they are, also those of a WCS that cannot be used.
    let as_it_is = !first.is_moved() && first.shape() == shape;
    if as_it_is && Wcs::is_in(&header) {
        return (header, None);
    }
    let placed = match first.wcs() {
        Err(e) => Err(e),
        Ok(own) => {
            let mut found = own.filter(|_| first.shape() == shape);
            for nd in leaves.iter().filter(fits) {
                found = found.or_else(|| nd.wcs().ok().flatten());
            }
            match found {
                Some(wcs) => wcs.write(&mut header),
                None => {
                    Wcs::remove(&mut header);
                    Ok(())
                }
            }
        }
    };
    crate::nddata::resize(&mut header, shape);
    match placed {
        Ok(()) => (header, None),
        Err(e) => {
            Wcs::remove(&mut header);
            (header, Some(format!("the result has no WCS: {e}")))
        }
    }
}
