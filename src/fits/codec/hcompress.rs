//! HCOMPRESS_1 (FITS standard 4.0, section 10.4.4; White 1992, in Proceedings of the NASA Space and Earth Science Data
//! Compression Workshop): the H-transform, a two-dimensional Haar transform in integers, its coefficients in bit planes
//! coded as quadtrees.
//!
//! The stream, numbers big-endian: the bytes dd 99; rows, columns and scale in 4 bytes each; the coefficient of the
//! whole image, signed, in 8; the number of bit planes of three kinds of quadrant in one byte each; then a string of
//! bits, the highest bit of a byte first.
//!
//! The array of coefficients, of the image's size, has four quadrants, the first of each axis the larger one if the
//! size is odd: the sums, in which the levels below are nested, the column differences, the row differences and those
//! of both. Each has its bit planes in the string, the highest first (the two middle quadrants share a number of
//! planes). A plane is cut in blocks of 2 by 2, each 4 bits (row by row, the first the highest). It is written
//!
//! - after the bits 0000, as all these blocks, row by row; or
//! - after the bits 1111, as a quadtree: a node is 4 bits that tell which of its quarters are not all zero; the root
//!   covers a square of a power of two; each level follows in reverse order of its blocks, those marked only. Nodes are
//!   in a prefix code.
//!
//! Behind the last plane come the bits 0000, and from the next whole byte on one bit for each coefficient that is not
//! zero, row by row: whether it is negative. (The coefficient of the whole image is zero in the planes.)
//!
//! The coefficients are multiples of the scale if that is over 1. The inverse transform doubles the resolution level by
//! level. Sum and differences of a block are all made of the same four numbers, so their lowest bits agree; on the way
//! forward these were rounded off, the magnitudes up, and the inverse takes them from the difference that has them.

use std::num::Wrapping;

const SHORT: &str = "hcompress: the data end early";

/// Most bit planes: those of 32-bit images of any size need fewer.
const MOST_PLANES: u8 = 60;

/// A coefficient. Wrapping, as nonsense in a file may be of any size.
type Coefficient = Wrapping<i64>;

const ZERO: Coefficient = Wrapping(0);

/// Decodes a tile of `rows` by `columns` pixels. With `smooth` the differences are adjusted to a smooth surface, within
/// half the scale.
pub(crate) fn decode(
    bytes: &[u8],
    rows: usize,
    columns: usize,
    smooth: bool,
    out: &mut [i32],
) -> Result<(), &'static str> {
    if rows.checked_mul(columns) != Some(out.len()) {
        return Err("hcompress: the output is not of the tile's size");
    }
    if out.is_empty() {
        return Ok(());
    }
    let (header, body) = Header::read(bytes)?;
    if (header.rows, header.columns) != (rows as u64, columns as u64) {
        return Err("hcompress: the stream is of another size than the tile");
    }
    let mut plane = Plane { values: vec![ZERO; out.len()], rows, columns };
    read_coefficients(body, &header, &mut plane)?;
    if header.scale > 1 {
        plane.values.iter_mut().for_each(|v| *v *= i64::from(header.scale));
    }
    let limit = if smooth { i64::from(header.scale >> 1) } else { 0 };
    inverse(&mut plane, Wrapping(limit));
    for (pixel, v) in out.iter_mut().zip(&plane.values) {
        *pixel = v.0 as i32;
    }
    Ok(())
}

struct Header {
    rows: u64,
    columns: u64,
    scale: i32,
    sum: i64,
    planes: [u8; 3],
}

impl Header {
    fn read(bytes: &[u8]) -> Result<(Header, &[u8]), &'static str> {
        let (head, body) = bytes.split_first_chunk::<25>().ok_or(SHORT)?;
        if !head.starts_with(&[0xdd, 0x99]) {
            return Err("hcompress: the stream does not start with dd99");
        }
        let number = |from: usize, to: usize| head[from..to].iter().fold(0u64, |v, &b| v << 8 | u64::from(b));
        let planes = [head[22], head[23], head[24]];
        if planes.iter().any(|&n| n > MOST_PLANES) {
            return Err("hcompress: there are more bit planes than there can be");
        }
        let header = Header {
            rows: number(2, 6),
            columns: number(6, 10),
            scale: number(10, 14) as i32,
            sum: number(14, 22) as i64,
            planes,
        };
        Ok((header, body))
    }
}

/// Coefficients or pixels, row by row.
struct Plane {
    values: Vec<Coefficient>,
    rows: usize,
    columns: usize,
}

fn read_coefficients(body: &[u8], header: &Header, plane: &mut Plane) -> Result<(), &'static str> {
    let mut bits = Bits { rest: body, buffer: 0, have: 0 };
    let (top, left) = (plane.rows.div_ceil(2), plane.columns.div_ceil(2));
    let mut tree = Tree::default();
    for (row, column, planes) in [(0, 0, 0), (0, left, 1), (top, 0, 1), (top, left, 2)] {
        let rows = if row == 0 { top } else { plane.rows - top };
        let columns = if column == 0 { left } else { plane.columns - left };
        for bit in (0..header.planes[planes]).rev() {
            tree.read(&mut bits, rows, columns)?;
            if tree.nodes.iter().all(|&n| n == 0) {
                continue;
            }
            for r in 0..rows {
                let at = (row + r) * plane.columns + column;
                tree.row(r, columns, &mut plane.values[at..at + columns], bit);
            }
        }
    }
    if bits.take(4)? != 0 {
        return Err("hcompress: the bit planes do not end where they should");
    }
    bits.align();
    for v in plane.values.iter_mut().filter(|v| **v != ZERO) {
        if bits.take(1)? == 1 {
            *v = -*v;
        }
    }
    plane.values[0] = Wrapping(header.sum);
    Ok(())
}

/// One bit plane of a quadrant, in blocks of 2 by 2.
#[derive(Default)]
struct Tree {
    /// Row by row; `width` in a row.
    nodes: Vec<u8>,
    width: usize,
    /// The level above, while one is read.
    parents: Vec<u8>,
}

impl Tree {
    /// Reads the plane of a quadrant of this size, which may be empty.
    fn read(&mut self, bits: &mut Bits<'_>, rows: usize, columns: usize) -> Result<(), &'static str> {
        match bits.take(4)? {
            0 => self.read_plain(bits, rows, columns),
            15 => self.read_levels(bits, rows, columns),
            _ => Err("hcompress: a bit plane is in a coding that does not exist"),
        }
    }

    fn read_plain(&mut self, bits: &mut Bits<'_>, rows: usize, columns: usize) -> Result<(), &'static str> {
        self.width = columns.div_ceil(2);
        self.nodes.clear();
        for _ in 0..rows.div_ceil(2) * self.width {
            self.nodes.push(bits.take(4)?);
        }
        Ok(())
    }

    fn read_levels(&mut self, bits: &mut Bits<'_>, rows: usize, columns: usize) -> Result<(), &'static str> {
        let levels = log2_above(rows.max(columns));
        self.width = 1;
        self.nodes.clear();
        self.nodes.push(bits.node()?);
        for level in (1..levels).rev() {
            self.descend(bits, rows.div_ceil(1 << level), columns.div_ceil(1 << level))?;
        }
        // A quadrant without pixels has a root all the same.
        self.nodes.truncate(rows.div_ceil(2) * columns.div_ceil(2));
        Ok(())
    }

    /// From one level to the next, which has this size: marks become nodes, from the last one backwards.
    fn descend(&mut self, bits: &mut Bits<'_>, rows: usize, columns: usize) -> Result<(), &'static str> {
        std::mem::swap(&mut self.nodes, &mut self.parents);
        let parent_width = std::mem::replace(&mut self.width, columns);
        self.nodes.clear();
        self.nodes.resize(rows * columns, 0);
        if columns == 0 {
            return Ok(());
        }
        for (r, nodes) in self.nodes.chunks_exact_mut(columns).enumerate().rev() {
            let parents = &self.parents[r / 2 * parent_width..];
            for (c, node) in nodes.iter_mut().enumerate().rev() {
                if quarter(parents[c / 2], r, c) == 1 {
                    *node = bits.node()?;
                }
            }
        }
        Ok(())
    }

    /// Sets bit `bit` of the coefficients in row `r` of the quadrant.
    fn row(&self, r: usize, columns: usize, values: &mut [Coefficient], bit: u8) {
        let nodes = &self.nodes[r / 2 * self.width..][..columns.div_ceil(2)];
        let (pairs, single) = values.as_chunks_mut::<2>();
        // Most nodes are empty in high planes.
        for (pair, &node) in pairs.iter_mut().zip(nodes).filter(|(_, node)| **node != 0) {
            pair[0] |= i64::from(quarter(node, r, 0)) << bit;
            pair[1] |= i64::from(quarter(node, r, 1)) << bit;
        }
        if let ([v], Some(&node)) = (single, nodes.last()) {
            *v |= i64::from(quarter(node, r, 0)) << bit;
        }
    }
}

/// The bit of a node for the quarter with the parities of this row and column.
fn quarter(node: u8, row: usize, column: usize) -> u8 {
    node >> (3 - 2 * (row & 1) - (column & 1)) & 1
}

/// The smallest `k` with 2^k >= n; 0 for 0.
fn log2_above(n: usize) -> u32 {
    n.checked_next_power_of_two().map_or(0, usize::trailing_zeros)
}

/// The prefix code of a node, for its first 6 bits: the node and the bits of its code.
const NODES: [(u8, u8); 64] = node_table();

const fn node_table() -> [(u8, u8); 64] {
    // Each node, its code and the length of that, in the order of the codes.
    const CODES: [(u8, u8, u8); 16] = [
        (1, 0b000, 3),
        (2, 0b001, 3),
        (4, 0b010, 3),
        (8, 0b011, 3),
        (3, 0b1000, 4),
        (5, 0b1001, 4),
        (10, 0b1010, 4),
        (12, 0b1011, 4),
        (15, 0b1100, 4),
        (6, 0b11010, 5),
        (7, 0b11011, 5),
        (9, 0b11100, 5),
        (11, 0b11101, 5),
        (13, 0b11110, 5),
        (0, 0b111110, 6),
        (14, 0b111111, 6),
    ];
    let mut table = [(0, 0); 64];
    let mut i = 0;
    while i < CODES.len() {
        let (node, code, length) = CODES[i];
        let first = (code as usize) << (6 - length);
        let mut k = 0;
        while k < 1 << (6 - length) {
            table[first + k] = (node, length);
            k += 1;
        }
        i += 1;
    }
    table
}

/// Bits from bytes, the highest first.
struct Bits<'a> {
    rest: &'a [u8],
    /// The next `have` bits, from the top; zeros below.
    buffer: u64,
    have: u32,
}

impl Bits<'_> {
    #[inline]
    fn refill(&mut self) {
        while self.have <= 56
            && let Some((&byte, rest)) = self.rest.split_first()
        {
            self.buffer |= u64::from(byte) << (56 - self.have);
            self.have += 8;
            self.rest = rest;
        }
    }

    fn skip(&mut self, n: u32) -> Result<(), &'static str> {
        self.have = self.have.checked_sub(n).ok_or(SHORT)?;
        self.buffer <<= n;
        Ok(())
    }

    /// The next `n` bits, 1 to 8.
    #[inline]
    fn take(&mut self, n: u32) -> Result<u8, &'static str> {
        if self.have < n {
            self.refill();
        }
        let v = (self.buffer >> (64 - n)) as u8;
        self.skip(n)?;
        Ok(v)
    }

    /// The next node of a quadtree.
    #[inline]
    fn node(&mut self) -> Result<u8, &'static str> {
        if self.have < 6 {
            self.refill();
        }
        let (node, length) = NODES[(self.buffer >> 58) as usize];
        self.skip(u32::from(length))?;
        Ok(node)
    }

    /// On to the next whole byte.
    fn align(&mut self) {
        let part = self.have % 8;
        self.buffer <<= part;
        self.have -= part;
    }
}

/// The inverse transform; `limit` is how far smoothing may go.
fn inverse(plane: &mut Plane, limit: Coefficient) {
    let levels = log2_above(plane.rows.max(plane.columns));
    if levels == 0 {
        return;
    }
    plane.values[0] = round(plane.values[0], levels + 1);
    let mut scratch = Vec::new();
    for level in (0..levels).rev() {
        let mut view = Level {
            rows: plane.rows.div_ceil(1 << level),
            columns: plane.columns.div_ceil(1 << level),
            stride: plane.columns,
            values: &mut plane.values,
        };
        if limit > ZERO {
            view.smooth(limit);
        }
        view.unfold(level, &mut scratch);
    }
}

/// The multiple of 2^bits next to `v`, of two the one away from zero.
#[inline]
fn round(v: Coefficient, bits: u32) -> Coefficient {
    let half = (1i64 << bits) >> 1;
    let up = if v < ZERO { (half - 1).max(0) } else { half };
    (v + Wrapping(up)) & Wrapping(-1 << bits)
}

/// `v` with `step` taken from its magnitude.
#[inline]
fn inward(v: Coefficient, step: Coefficient) -> Coefficient {
    if v < ZERO { v + step } else { v - step }
}

/// What the image is made of at one resolution: `rows` by `columns` coefficients, in quadrants.
struct Level<'a> {
    values: &'a mut [Coefficient],
    stride: usize,
    rows: usize,
    columns: usize,
}

impl Level<'_> {
    /// Rows and columns of the first quadrant.
    fn half(&self) -> (usize, usize) {
        (self.rows.div_ceil(2), self.columns.div_ceil(2))
    }

    /// From the sums and differences of blocks of 2 by 2 to their four pixels: in place of the quadrants there is then
    /// the first quadrant of the next resolution.
    fn unfold(&mut self, level: u32, scratch: &mut Vec<Coefficient>) {
        let (top, left) = self.half();
        scratch.clear();
        scratch.resize(self.rows * self.columns, ZERO);
        for (r, pair) in scratch.chunks_mut(2 * self.columns).enumerate() {
            let (upper, lower) = pair.split_at_mut(self.columns);
            let (sum, across) = self.values[r * self.stride..][..self.columns].split_at(left);
            if lower.is_empty() {
                unfold_line(level, sum, across, upper);
                continue;
            }
            let (down, both) = self.values[(top + r) * self.stride..][..self.columns].split_at(left);
            let whole = across.len();
            for c in 0..whole {
                let block = unfold_block(level, sum[c], down[c], across[c], both[c]);
                upper[2 * c..2 * c + 2].copy_from_slice(&block[..2]);
                lower[2 * c..2 * c + 2].copy_from_slice(&block[2..]);
            }
            if whole < left {
                [upper[2 * whole], lower[2 * whole]] = unfold_pair(level, sum[whole], down[whole]);
            }
        }
        for (to, from) in self.values.chunks_mut(self.stride).zip(scratch.chunks(self.columns)) {
            to[..self.columns].copy_from_slice(from);
        }
    }

    /// Adjusts the differences, by `limit` at most, towards those of a surface through the neighbours' sums, where that
    /// runs one way.
    fn smooth(&mut self, limit: Coefficient) {
        let (top, left) = self.half();
        let stride = self.stride;
        // Blocks with neighbours on both sides, the last of which may be cut by the edge.
        let inner_rows = 1..(self.rows.saturating_sub(1) / 2).max(1);
        let inner_columns = 1..(self.columns.saturating_sub(1) / 2).max(1);
        for r in inner_rows.clone() {
            for c in 0..left {
                self.smooth_slope(r * stride + c, stride, (top + r) * stride + c, limit);
            }
        }
        for r in 0..top {
            for c in inner_columns.clone() {
                self.smooth_slope(r * stride + c, 1, r * stride + left + c, limit);
            }
        }
        for r in inner_rows {
            for c in inner_columns.clone() {
                self.smooth_twist(r, c, limit);
            }
        }
    }

    /// The difference at `at` along the axis on which the sum's neighbours are `step` away.
    fn smooth_slope(&mut self, sum: usize, step: usize, at: usize, limit: Coefficient) {
        let (before, here, behind) = (self.values[sum - step], self.values[sum], self.values[sum + step]);
        let (rise, rise_before) = (behind - here, here - before);
        let most = rise.min(rise_before).max(ZERO) << 2;
        let least = rise.max(rise_before).min(ZERO) << 2;
        if least < most {
            let wanted = (behind - before).min(most).max(least);
            self.adjust(at, wanted, 3, limit);
        }
    }

    /// The difference of both axes, for the block in row `r` and column `c`.
    fn smooth_twist(&mut self, r: usize, c: usize, limit: Coefficient) {
        let (top, left) = self.half();
        let stride = self.stride;
        let v = |r: usize, c: usize| self.values[r * stride + c];
        let here = v(r, c);
        let (above_left, above_right) = (v(r - 1, c - 1), v(r - 1, c + 1));
        let (below_left, below_right) = (v(r + 1, c - 1), v(r + 1, c + 1));
        let down = v(top + r, c) << 1;
        let across = v(r, left + c) << 1;
        // The rise towards (or from) each corner, and what the slopes take from it.
        let rises = [
            (below_right - here, -down - across),
            (here - below_left, down - across),
            (here - above_right, across - down),
            (above_left - here, down + across),
        ];
        let most = rises.map(|(rise, slope)| rise.max(ZERO) + slope);
        let least = rises.map(|(rise, slope)| rise.min(ZERO) + slope);
        let most = most[0].min(most[1]).min(most[2]).min(most[3]) << 4;
        let least = least[0].max(least[1]).max(least[2]).max(least[3]) << 4;
        if least < most {
            let twist = below_right + above_left - above_right - below_left;
            self.adjust((top + r) * stride + left + c, twist.min(most).max(least), 6, limit);
        }
    }

    /// Moves a difference towards `wanted` / 2^bits, by `limit` at most. The quotient is cut towards zero.
    fn adjust(&mut self, at: usize, wanted: Coefficient, bits: usize, limit: Coefficient) {
        let value = &mut self.values[at];
        let change = wanted - (*value << bits);
        let up = if change < ZERO { Wrapping((1 << bits) - 1) } else { ZERO };
        *value += ((change + up) >> bits).min(limit).max(-limit);
    }
}

/// A last row without a partner.
fn unfold_line(level: u32, sum: &[Coefficient], across: &[Coefficient], row: &mut [Coefficient]) {
    let (pairs, single) = row.as_chunks_mut::<2>();
    for ((pair, &s), &d) in pairs.iter_mut().zip(sum).zip(across) {
        *pair = unfold_pair(level, s, d);
    }
    if let ([last], Some(&s)) = (single, sum.last()) {
        *last = s >> shift(level);
    }
}

/// Sums carry a factor 2 for each level, and one more.
fn shift(level: u32) -> usize {
    if level == 0 { 2 } else { 1 }
}

/// Two pixels from their sum and difference.
#[inline]
fn unfold_pair(level: u32, sum: Coefficient, difference: Coefficient) -> [Coefficient; 2] {
    let difference = round(difference, level + 1);
    let sum = inward(sum, difference & Wrapping(2 << level));
    [(sum - difference) >> shift(level), (sum + difference) >> shift(level)]
}

/// Four pixels, row by row, from their sum, the differences down and across, and that of both.
#[inline]
fn unfold_block(
    level: u32,
    sum: Coefficient,
    down: Coefficient,
    across: Coefficient,
    both: Coefficient,
) -> [Coefficient; 4] {
    let both = round(both, level);
    // The bit that was rounded off the other two differences.
    let low = both & Wrapping(1 << level);
    let down = inward(round(down, level + 1), low);
    let across = inward(round(across, level + 1), low);
    // With the next one, the two bits that were rounded off the sum.
    let high = (both ^ down ^ across) & Wrapping(2 << level);
    let sum = if low == ZERO { inward(sum, high) } else { sum + low - high };
    let shift = shift(level);
    [
        (sum - down - across + both) >> shift,
        (sum - down + across - both) >> shift,
        (sum + down - across - both) >> shift,
        (sum + down + across + both) >> shift,
    ]
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    /// Rows, columns, smoothed, stream, pixels as astropy decodes them. Made by astropy 8.0.2.
    type Vector = (usize, usize, bool, &'static [u8], &'static [i32]);

    const NOISE: &[u8] = &[
        0xdd, 0x99, 0x00, 0x00, 0x00, 0x05, 0x00, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x10, 0x06, 0x06, 0x04, 0xfe, 0x29, 0x04, 0x6c, 0x00, 0x29, 0x48, 0xf9, 0x43, 0xc3, 0xff,
        0xbf, 0x8c, 0x7f, 0xe8, 0xbf, 0xb7, 0xa0, 0xe8, 0x40, 0xfa, 0xbe, 0xff, 0xde, 0xc0, 0x67, 0x02, 0x40, 0x39,
        0x87, 0xcf, 0xfc, 0x04, 0x41, 0x54, 0x0f, 0x01, 0xf4, 0x00, 0x30, 0x85, 0x4d, 0xf7, 0x40,
    ];

    const EXTREMES: &[u8] = &[
        0xdd, 0x99, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00,
        0x7f, 0xff, 0xff, 0xf8, 0x21, 0x20, 0x20, 0xf8, 0xf9, 0xf1, 0xe3, 0xc7, 0x8f, 0x1e, 0x3c, 0x78, 0xf1, 0xe3,
        0xc7, 0x8f, 0x1e, 0x3c, 0x78, 0xf1, 0xe3, 0xc7, 0x8f, 0x1e, 0x3c, 0x78, 0xf1, 0xe3, 0xc7, 0x8f, 0x1e, 0x3f,
        0xef, 0x9f, 0xfb, 0xfe, 0xff, 0xbf, 0xef, 0xfb, 0xfe, 0xff, 0xbf, 0xef, 0xfb, 0xfe, 0xff, 0xbf, 0xef, 0xfb,
        0xfe, 0xff, 0xbf, 0xef, 0xfb, 0xfe, 0xff, 0xbf, 0xef, 0xfb, 0xfe, 0xff, 0xbf, 0xef, 0xfb, 0xfe, 0xff, 0xbf,
        0xef, 0xfb, 0xeb, 0xfe, 0xf9, 0xff, 0xbf, 0xef, 0xfb, 0xfe, 0xff, 0xbf, 0xef, 0xfb, 0xfe, 0xff, 0xbf, 0xef,
        0xfb, 0xfe, 0xff, 0xbf, 0xef, 0xfb, 0xfe, 0xff, 0xbf, 0xef, 0xfb, 0xfe, 0xff, 0xbf, 0xef, 0xfb, 0xfe, 0xff,
        0xbf, 0xef, 0xfb, 0xfe, 0xff, 0xbe, 0xbf, 0xef, 0x3f, 0xbf, 0xdf, 0xef, 0xf7, 0xfb, 0xfd, 0xfe, 0xff, 0x7f,
        0xbf, 0xdf, 0xef, 0xf7, 0xfb, 0xfd, 0xfe, 0xff, 0x7f, 0xbf, 0xdf, 0xef, 0xf7, 0xfb, 0xfd, 0xfe, 0xff, 0x7f,
        0xbf, 0xdf, 0xef, 0xf7, 0xfb, 0xfd, 0xfe, 0x00, 0x9e, 0x22,
    ];

    const BLOB: &[u8] = &[
        0xdd, 0x99, 0x00, 0x00, 0x00, 0x0b, 0x00, 0x00, 0x00, 0x0a, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x64, 0x06, 0x03, 0x01, 0xf7, 0x4f, 0x5e, 0xff, 0x00, 0x7f, 0xed, 0xff, 0x1a, 0x36, 0x81,
        0x8a, 0x9b, 0xe3, 0x00, 0x01, 0x26, 0x81, 0x08, 0x6c, 0x81, 0xba, 0x28, 0xa9, 0x1e, 0x3e, 0xce, 0xdc, 0xe0,
        0x03, 0x02, 0x08, 0x2c, 0x48, 0x0f, 0x6a, 0x87, 0x23, 0x92, 0xfa, 0xbc, 0x68, 0x8e, 0x8f, 0xab, 0xc4, 0xf8,
        0x57, 0xe0, 0xad, 0x58, 0xa4, 0x19, 0x1f, 0x4a, 0xd0, 0x20, 0x93, 0x89, 0xc2, 0x70, 0x9f, 0xc7, 0xf1, 0x80,
        0x08, 0x7f, 0xe0,
    ];

    const VECTORS: [Vector; 4] = [
        // noise, scale 0
        (
            5,
            7,
            false,
            NOISE,
            &[
                7, -1, 7, 14, -7, 2, -5, 1, -12, -6, -2, 9, 11, -13, -8, 6, -20, -5, -1, 13, 7, -3, -4, -3, 15, -4, -3,
                4, -1, -2, -11, 0, -4, 12, 7,
            ],
        ),
        // ext i32, scale 1
        (
            4,
            4,
            false,
            EXTREMES,
            &[
                -1,
                -1,
                0,
                2147483647,
                -1,
                0,
                2147483647,
                2147483647,
                2147483647,
                -1,
                -2147483648,
                -2147483648,
                0,
                2147483647,
                -1,
                -2147483648,
            ],
        ),
        // blob, scale 16
        (
            11,
            10,
            false,
            BLOB,
            &[
                12, 20, 28, 36, 34, 34, 26, 18, 15, 7, 28, 36, 52, 60, 66, 66, 50, 42, 23, 15, 44, 60, 80, 104, 110,
                102, 82, 58, 43, 19, 52, 84, 120, 144, 150, 142, 122, 82, 51, 27, 64, 104, 144, 176, 188, 172, 144,
                104, 69, 37, 72, 112, 152, 184, 204, 188, 152, 112, 69, 37, 68, 100, 144, 176, 184, 176, 144, 104, 61,
                37, 52, 84, 112, 144, 152, 144, 120, 80, 53, 29, 40, 56, 84, 100, 110, 102, 82, 58, 34, 18, 24, 40, 52,
                68, 70, 62, 50, 42, 26, 10, 16, 24, 28, 36, 38, 38, 30, 22, 14, 6,
            ],
        ),
        // blob, scale 16
        (
            11,
            10,
            true,
            BLOB,
            &[
                12, 20, 29, 35, 34, 34, 26, 17, 15, 7, 28, 36, 53, 59, 66, 66, 50, 41, 23, 15, 44, 60, 86, 102, 112,
                104, 84, 60, 42, 18, 52, 84, 118, 142, 148, 140, 116, 84, 52, 28, 64, 104, 146, 174, 188, 172, 142,
                106, 69, 37, 72, 112, 154, 182, 204, 188, 150, 114, 69, 37, 66, 98, 144, 172, 182, 174, 142, 102, 61,
                37, 54, 86, 116, 144, 154, 146, 118, 86, 53, 29, 39, 55, 84, 96, 108, 99, 79, 59, 34, 18, 25, 41, 56,
                68, 71, 64, 53, 41, 25, 9, 16, 24, 29, 34, 38, 38, 29, 22, 14, 6,
            ],
        ),
    ];

    fn decoded(bytes: &[u8], rows: usize, columns: usize, smooth: bool) -> Result<Vec<i32>, &'static str> {
        let mut out = vec![0x5a5a_5a5a; rows * columns];
        decode(bytes, rows, columns, smooth, &mut out).map(|()| out)
    }

    #[test]
    fn vectors() {
        for (rows, columns, smooth, bytes, values) in VECTORS {
            assert_eq!(decoded(bytes, rows, columns, smooth).as_deref(), Ok(values));
            let longer = [bytes, &[0xff; 9]].concat();
            assert_eq!(decoded(&longer, rows, columns, smooth).as_deref(), Ok(values));
        }
    }

    #[test]
    fn every_truncation_is_an_error() {
        for (rows, columns, smooth, bytes, _) in VECTORS {
            for n in 0..bytes.len() {
                assert_eq!(decoded(&bytes[..n], rows, columns, smooth), Err(SHORT));
            }
        }
    }

    #[test]
    fn one_pixel() {
        // No planes: the end of planes, no signs.
        let mut bytes = vec![0xdd, 0x99, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0];
        bytes.extend((-77i64).to_be_bytes());
        bytes.extend([0, 0, 0, 0]);
        assert_eq!(decoded(&bytes, 1, 1, true), Ok(vec![-77]));
    }

    #[test]
    fn illegal() {
        let with = |at: usize, byte: u8| {
            let mut bytes = NOISE.to_vec();
            bytes[at] = byte;
            decoded(&bytes, 5, 7, false)
        };
        assert!(decode(NOISE, 5, 7, false, &mut [0; 34]).is_err());
        assert!(decoded(NOISE, 7, 5, false).is_err());
        assert!(with(0, 0xdc).is_err());
        assert!(with(2, 1).is_err());
        assert!(with(22, 61).is_err());
        assert!(with(25, 0x10).is_err());
        assert_eq!(decoded(&[], 0, 5, false), Ok(vec![]));
    }

    #[test]
    fn every_node_has_its_code() {
        let mut weight = [0; 16];
        for (node, length) in NODES {
            assert!((3..=6).contains(&length));
            weight[usize::from(node)] += 1;
        }
        assert!(weight.iter().all(|&w| w > 0));
        assert_eq!(weight.iter().sum::<i32>(), 64);
    }

    #[test]
    fn garbage() {
        let mut random = Random(4);
        for i in 0..6000 {
            let (rows, columns) = (1 + random.next() % 40, 1 + random.next() % 40);
            let n = random.next() as usize % 400;
            let mut bytes =
                [[0xdd, 0x99].as_slice(), &(rows as u32).to_be_bytes(), &(columns as u32).to_be_bytes()].concat();
            bytes.extend(random.bytes(12));
            bytes.extend(random.bytes(3).iter().map(|b| b % 64));
            bytes.extend(random.bytes(n));
            if i % 2 == 0 {
                // As far as the quadtrees at least.
                bytes.extend(vec![0xff; n]);
            }
            let _ = decoded(&bytes, rows as usize, columns as usize, i % 3 == 0);
            let mut damaged = BLOB.to_vec();
            for _ in 0..1 + i % 3 {
                let at = 10 + random.next() as usize % (BLOB.len() - 10);
                damaged[at] = random.next() as u8;
            }
            let _ = decoded(&damaged, 11, 10, i % 2 == 0);
        }
    }
}
