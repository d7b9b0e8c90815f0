//! What an expression is made of: its nodes, their shapes, and the expression of a part of its pixels.

use std::collections::{HashMap, HashSet};

use super::collapse::{axes_of, left};
use super::{Correlation, Expr, Node};
use crate::nddata::NDAstroData;
use crate::output::bytes_read;
use crate::slice::{AxisSlice, Slices};
use crate::{Error, Result};

/// The operands of a node.
pub(super) fn operands(expr: &Expr) -> Vec<&Expr> {
    match expr.node() {
        Node::Leaf(_) | Node::Scalar(_) | Node::Wrong(_) => Vec::new(),
        Node::One(_, x) | Node::Collapse(_, _, x) => vec![x],
        Node::Two(_, a, b, _) => vec![a, b],
    }
}

/// All containers of an expression.
pub(crate) fn leaves(root: &Expr) -> Vec<NDAstroData> {
    let leaf = |e: Expr| if let Node::Leaf(nd) = e.node() { Some(NDAstroData::clone(nd)) } else { None };
    walk(root).into_iter().filter_map(leaf).collect()
}

/// Bytes of headers and of pixels read so far in all files of these expressions.
pub(crate) fn read_so_far(expressions: &[Expr]) -> (u64, u64) {
    let leaves: Vec<NDAstroData> = expressions.iter().flat_map(leaves).collect();
    bytes_read(leaves.iter().flat_map(NDAstroData::planes))
}

/// numpy's rule for two shapes.
pub(super) fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>> {
    let rank = a.len().max(b.len());
    let at = |shape: &[usize], i: usize| (i + shape.len()).checked_sub(rank).map_or(1, |i| shape[i]);
    let joined: Vec<usize> = (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y => Ok(x),
            (1, y) => Ok(y),
            (x, 1) => Ok(x),
            _ => Err(Error::Shape {
                what: "second operand".into(),
                expected: a.to_vec(),
                found: b.to_vec(),
                why: "that of the first, or one that repeats to it".into(),
            }),
        })
        .collect::<Result<_>>()?;
    // Shapes that repeat to each other may be small, and what they come to may not.
    let pixels = joined.iter().try_fold(1usize, |n, &len| n.checked_mul(len));
    match pixels.filter(|&n| n <= MOST_PIXELS) {
        Some(_) => Ok(joined),
        None => Err(Error::Parameter(format!("operands of shapes {a:?} and {b:?} come to too many pixels"))),
    }
}

/// So that bytes can be counted.
const MOST_PIXELS: usize = usize::MAX >> 16;
/// Levels of operations within each other that can be sliced.
const DEPTH: usize = 1000;

/// All nodes below, each once, operands before what uses them.
pub(super) fn walk(root: &Expr) -> Vec<Expr> {
    let mut seen = HashSet::new();
    let mut order = Vec::new();
    let mut open = vec![(root.clone(), false)];
    while let Some((expr, ready)) = open.pop() {
        if ready {
            order.push(expr);
        } else if seen.insert(expr.place()) {
            let below: Vec<Expr> = operands(&expr).into_iter().rev().cloned().collect();
            open.push((expr, true));
            open.extend(below.into_iter().map(|e| (e, false)));
        }
    }
    order
}

/// The shape of an expression, from those of its parts.
pub(super) fn shape(root: &Expr) -> Result<Vec<usize>> {
    Ok(shapes(root)?.remove(&root.place()).unwrap_or_default())
}

/// Shapes of all parts.
fn shapes(root: &Expr) -> Result<HashMap<*const Node, Vec<usize>>> {
    let mut shapes: HashMap<*const Node, Vec<usize>> = HashMap::new();
    for expr in walk(root) {
        let of = |e: &Expr| shapes.get(&e.place()).cloned().unwrap_or_default();
        let shape = match expr.node() {
            Node::Leaf(nd) => nd.shape(),
            Node::Scalar(_) => Vec::new(),
            Node::One(_, x) => of(x),
            Node::Two(_, a, b, rules) => {
                let shape = broadcast(&of(a), &of(b))?;
                match &rules.correlation {
                    Correlation::Pixels(nd) => broadcast(&shape, &nd.shape())?,
                    _ => shape,
                }
            }
            Node::Collapse(_, axes, x) => {
                let shape = of(x);
                left(&shape, &axes_of(axes, shape.len())?)
            }
            Node::Wrong(why) => return Err(Error::Parameter(why.clone())),
        };
        shapes.insert(expr.place(), shape);
    }
    Ok(shapes)
}

/// The same expression of parts of its containers.
pub(super) fn sliced(root: &Expr, slices: &Slices) -> Result<Expr> {
    let shapes = shapes(root)?;
    let of = |e: &Expr| shapes.get(&e.place()).cloned().unwrap_or_default();
    let slices = slices.resolve(&of(root))?;
    let mut depths: HashMap<*const Node, usize> = HashMap::new();
    for expr in walk(root) {
        let below = operands(&expr).into_iter().filter_map(|e| depths.get(&e.place())).max().copied();
        depths.insert(expr.place(), below.unwrap_or(0) + 1);
    }
    let depth = depths.get(&root.place()).copied().unwrap_or(0);
    if depth > DEPTH {
        let why = format!("an expression of {depth} levels cannot be sliced (of {DEPTH} it can): evaluate parts of it");
        return Err(Error::Parameter(why));
    }
    let mut made = HashMap::new();
    Ok(part(root, &slices, &of, &mut made))
}

/// The part of an expression that slices of what it is in come to. Axes that it does not have, or repeats, are taken of
/// the whole alone.
fn part(
    expr: &Expr,
    slices: &[AxisSlice],
    of: &impl Fn(&Expr) -> Vec<usize>,
    made: &mut HashMap<(*const Node, Vec<AxisSlice>), Expr>,
) -> Expr {
    let own = of(expr);
    let slices = fitting(slices, &own);
    let key = (expr.place(), slices.clone());
    if let Some(done) = made.get(&key) {
        return done.clone();
    }
    let node = match expr.node() {
        Node::Leaf(nd) => Some(Node::Leaf(Box::new(nd.sliced(&slices)))),
        Node::Scalar(_) | Node::Wrong(_) => None,
        Node::One(f, x) => Some(Node::One(*f, part(x, &slices, of, made))),
        Node::Two(op, a, b, rules) => {
            let mut rules = rules.clone();
            if let Correlation::Pixels(nd) = &mut rules.correlation {
                **nd = nd.sliced(&fitting(&slices, &nd.shape()));
            }
            Some(Node::Two(*op, part(a, &slices, of, made), part(b, &slices, of, made), rules))
        }
        Node::Collapse(statistic, axes, x) => {
            let inner = of(x);
            // The axes were checked when the shapes were found.
            let collapsed = axes_of(axes, inner.len()).unwrap_or_else(|_| vec![false; inner.len()]);
            let mut kept = slices.iter();
            let all = |len: usize| AxisSlice::Range { start: 0, step: 1, len };
            let whole = inner
                .iter()
                .zip(&collapsed)
                .map(|(&len, &c)| if c { all(len) } else { kept.next().copied().unwrap_or(all(len)) });
            let whole: Vec<AxisSlice> = whole.collect();
            // Axes that are dropped move those behind them.
            let stays = |s: &AxisSlice| matches!(s, AxisSlice::Range { .. });
            let axes = (0..inner.len()).filter(|&i| collapsed[i]);
            let axes = axes.map(|i| whole[..i].iter().filter(|s| stays(s)).count() as isize).collect();
            Some(Node::Collapse(*statistic, axes, part(x, &whole, of, made)))
        }
    };
    let result = node.map_or_else(|| expr.clone(), Expr::new);
    made.insert(key, result.clone());
    result
}

/// Slices of a result as slices of an operand of this shape.
fn fitting(slices: &[AxisSlice], own: &[usize]) -> Vec<AxisSlice> {
    let missing = slices.len().saturating_sub(own.len());
    let one = |(&len, slice): (&usize, &AxisSlice)| match *slice {
        AxisSlice::Index(_) if len == 1 => AxisSlice::Index(0),
        AxisSlice::Range { len: 0, .. } => AxisSlice::Range { start: 0, step: 1, len: 0 },
        AxisSlice::Range { .. } if len == 1 => AxisSlice::Range { start: 0, step: 1, len: 1 },
        other => other,
    };
    own.iter().zip(&slices[missing..]).map(one).collect()
}
