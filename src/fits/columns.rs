//! The columns of a binary table, as far as a compressed image needs them: FITS standard 4.0, section 7.3.

use super::header::Header;

/// A column of descriptors: byte offset in a row, 64-bit or 32-bit, bytes an element.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descriptors {
    pub offset: usize,
    pub wide: bool,
    pub element: usize,
}

/// A number of each tile: a column, or a keyword for all.
#[derive(Clone, Copy, Debug)]
pub(super) enum PerTile {
    Column { offset: usize, kind: u8 },
    Keyword(f64),
}

impl PerTile {
    /// Of the tile in this row of the table.
    pub(super) fn value(self, row: &[u8]) -> std::result::Result<f64, String> {
        let (offset, kind) = match self {
            PerTile::Keyword(v) => return Ok(v),
            PerTile::Column { offset, kind } => (offset, kind),
        };
        let bytes = |n: usize| row.get(offset..offset + n).ok_or("a column lies outside of its row");
        Ok(match kind {
            b'D' => f64::from_be_bytes(bytes(8)?.try_into().unwrap_or_default()),
            b'E' => f64::from(f32::from_be_bytes(bytes(4)?.try_into().unwrap_or_default())),
            b'J' => f64::from(i32::from_be_bytes(bytes(4)?.try_into().unwrap_or_default())),
            b'I' => f64::from(i16::from_be_bytes(bytes(2)?.try_into().unwrap_or_default())),
            b'K' => i64::from_be_bytes(bytes(8)?.try_into().unwrap_or_default()) as f64,
            _ => return Err("a column of numbers has another type".into()),
        })
    }
}

/// The columns of a binary table: name, byte offset in a row, TFORM.
pub(super) struct Columns(Vec<(String, usize, String)>);

impl Columns {
    /// Of a table whose rows have `row` bytes.
    pub(super) fn parse(h: &Header, row: usize) -> std::result::Result<Self, String> {
        let fields = h.get_i64("TFIELDS").unwrap_or(0);
        if !(1..=999).contains(&fields) {
            return Err(format!("TFIELDS = {fields} is not in 1 to 999"));
        }
        let (mut columns, mut offset) = (Vec::new(), 0usize);
        for i in 1..=fields {
            let form = h.get_str(&format!("TFORM{i}")).ok_or_else(|| format!("TFORM{i} is missing"))?;
            let name = h.get_str(&format!("TTYPE{i}")).unwrap_or_default().trim().to_ascii_uppercase();
            let bytes = width(&form).ok_or_else(|| format!("TFORM{i} is not understood"))?;
            columns.push((name, offset, form));
            offset = offset.checked_add(bytes).filter(|&o| o <= row).ok_or("its columns are wider than NAXIS1")?;
        }
        Ok(Columns(columns))
    }

    pub(super) fn find(&self, name: &str) -> Option<&(String, usize, String)> {
        self.0.iter().find(|c| c.0 == name)
    }

    /// A column of variable-length arrays.
    pub(super) fn descriptors(&self, name: &str) -> std::result::Result<Option<Descriptors>, String> {
        let Some((_, offset, whole)) = self.find(name) else { return Ok(None) };
        let form = whole.trim().trim_start_matches(|c: char| c.is_ascii_digit()).as_bytes();
        let element = form.get(1).and_then(|&t| element(t));
        match (form.first(), element) {
            (Some(&p @ (b'P' | b'Q')), Some(element)) => {
                let c = Descriptors { offset: *offset, wide: p == b'Q', element };
                // `0P` has no room for a descriptor, and more than one has no meaning.
                let one = width(whole) == Some(if c.wide { 16 } else { 8 });
                if one { Ok(Some(c)) } else { Err(format!("{name} has not one descriptor in each row")) }
            }
            _ => Err(format!("{name} is not a column of variable-length arrays")),
        }
    }

    /// A column of single numbers, or else a keyword.
    pub(super) fn number(&self, h: &Header, name: &str) -> Option<PerTile> {
        if let Some((_, offset, form)) = self.find(name) {
            let form = form.trim();
            let kind = form.strip_prefix('1').unwrap_or(form).as_bytes();
            return kind.first().map(|&kind| PerTile::Column { offset: *offset, kind });
        }
        h.get_f64(name).map(PerTile::Keyword)
    }
}

/// Bytes of one element.
fn element(kind: u8) -> Option<usize> {
    Some(match kind {
        b'L' | b'B' | b'A' => 1,
        b'I' => 2,
        b'J' | b'E' => 4,
        b'K' | b'D' | b'C' | b'P' => 8,
        b'M' | b'Q' => 16,
        _ => return None,
    })
}

/// Bytes of a column in a row.
fn width(form: &str) -> Option<usize> {
    let form = form.trim();
    let digits = form.bytes().take_while(u8::is_ascii_digit).count();
    let repeat: usize = if digits == 0 { 1 } else { form[..digits].parse().ok()? };
    match form.as_bytes().get(digits)? {
        b'X' => Some(repeat.div_ceil(8)),
        &kind => element(kind)?.checked_mul(repeat),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_of_columns() {
        for (form, bytes) in
            [("1PB(506)", Some(8)), ("QB", Some(16)), ("1D", Some(8)), ("13X", Some(2)), ("0PB", Some(0))]
        {
            assert_eq!(width(form), bytes, "{form}");
        }
        assert_eq!(width("99999999999999999999J"), None);
        assert_eq!(width(""), None);
        assert_eq!(width("3"), None);
    }
}
