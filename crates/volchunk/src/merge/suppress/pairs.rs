//! Points that are each other's nearest: those that two chunks both found, as the mean of both.

use std::{
    borrow::Cow,
    sync::atomic::{AtomicBool, Ordering},
};

use super::{
    Rule, Tolerance, check_rule,
    layer::{Layer, cell_axes},
    raster,
    rows::Rows,
    table::Table,
    threads::on_threads,
    with_cell_axes,
};
use crate::{Error, ErrorKind, Result};

/// Replaces pairs of points by their means, on at most `workers` threads, the caller's among them.
///
/// Two rows that the rule takes for one point become one if each is the other's nearest: their
/// coordinates the mean, all other columns those of the row with the larger value. Nearest is by
/// Euclidean distance, in tolerances on each axis; at equal distances, the first in raster order.
/// A row is averaged once; of three that lie within tolerance of each other, one remains. `rows` is
/// row-major, in any order; the result is in raster order, and depends neither on that order nor on the
/// number of workers.
///
/// ```
/// use volchunk::{Tolerance, mean_points};
/// // x, value, chunk
/// let rule = Tolerance::new(&[2.0], 3)?.with_value(1)?.with_chunk(&[2])?;
/// let found = mean_points(&[7.0, 0.5, 0.0, 8.0, 0.9, 1.0, 9.5, 0.1, 2.0], &rule, 1)?;
/// assert_eq!(found, [7.5, 0.9, 1.0, 9.5, 0.1, 2.0]);
/// # Ok::<(), volchunk::Error>(())
/// ```
///
/// # Errors
/// As [`suppress_points`](super::suppress_points).
pub fn mean_points(rows: &[f64], rule: &Tolerance, workers: usize) -> Result<Vec<f64>> {
    check_rule(rule)?;
    means(Rows::of_one(Cow::Borrowed(rows), rule.columns()), rule, workers)
}

/// As [`mean_points`], of one table for each chunk, with no column for the chunk.
///
/// # Errors
/// As [`suppress_tables`](super::suppress_tables).
pub fn mean_tables(tables: &[&[f64]], rule: &Tolerance, workers: usize) -> Result<Vec<f64>> {
    check_rule(rule)?;
    means(Rows::of_chunks(tables, rule.columns()), &rule.by_table(), workers)
}

fn means(rows: Rows<'_>, rule: &Tolerance, workers: usize) -> Result<Vec<f64>> {
    with_cell_axes!(rule, D => paired(rule, &Table::<D>::whole(rows, rule, workers)?))
}

fn paired<const D: usize>(rule: &Tolerance, table: &Table<'_, D>) -> Result<Vec<f64>> {
    let found = Nearest::<D>::new(rule, table, &AtomicBool::new(false))?;
    let layers = &found.layers;
    let mut merged: Vec<Vec<f64>> = vec![Vec::new(); layers.len()];
    for (at, layer) in layers.iter().enumerate() {
        for slot in 0..layer.len() {
            let row = layer.row(slot);
            match found.partner((at, slot)) {
                None => merged[at].extend_from_slice(row),
                Some(other) if (at, slot) < other => {
                    let mean = rule.mean(row, layers[other.0].row(other.1));
                    // It may lie before the rows of the second's layer.
                    let into = if mean[0] < layers[other.0].low() { at } else { other.0 };
                    merged[into].extend(mean);
                }
                Some(_) => {}
            }
        }
    }
    let columns = rule.columns();
    let sorted = on_threads(table.workers, merged, |rows| {
        let mut order: Vec<&[f64]> = rows.chunks_exact(columns).collect();
        order.sort_unstable_by(|a, b| raster(a, b));
        order.concat()
    });
    Ok(sorted.concat())
}

/// A row by the number of its layer and its slot.
pub(super) type Place = (usize, usize);

/// Of each row of a table the nearest one, of those that the rule takes for the same point.
pub(super) struct Nearest<'a, const D: usize> {
    pub(super) layers: Vec<Layer<'a, D>>,
    of: Vec<Vec<Option<Place>>>,
}

impl<'a, const D: usize> Nearest<'a, D> {
    /// # Errors
    /// [`ErrorKind::Cancelled`] once `cancel` is set, looked at before each layer.
    pub(super) fn new(rule: &Tolerance, table: &Table<'a, D>, cancel: &AtomicBool) -> Result<Self> {
        let go_on = || match cancel.load(Ordering::Relaxed) {
            true => Err(Error::new(ErrorKind::Cancelled, "cancelled")),
            false => Ok(()),
        };
        let numbers: Vec<usize> = (0..table.layers()).collect();
        let layers = on_threads(table.workers, numbers.clone(), |number| {
            go_on().map(|()| table.layer(rule, number))
        });
        let layers: Vec<Layer<'_, D>> = layers.into_iter().collect::<Result<_>>()?;
        let of = on_threads(table.workers, numbers, |at| {
            let nearest = |slot| nearest(rule, &layers, (at, slot));
            go_on().map(|()| (0..layers[at].len()).map(nearest).collect())
        });
        let of = of.into_iter().collect::<Result<_>>()?;
        Ok(Self { layers, of })
    }

    /// The row that is nearest to the one at `place`, if that one is nearest to it too.
    pub(super) fn partner(&self, place: Place) -> Option<Place> {
        let nearest = |(at, slot): Place| self.of[at][slot];
        nearest(place).filter(|&other| nearest(other) == Some(place))
    }
}

/// The row nearest to one, of those that the rule takes for the same point.
fn nearest<const D: usize>(
    rule: &Tolerance,
    layers: &[Layer<'_, D>],
    (own, slot): Place,
) -> Option<Place> {
    let reach = cell_axes::<D>(rule.reach().len()).map(|a| rule.reach()[a]);
    let (row, site) = (layers[own].row(slot), layers[own].site(slot));
    let key = layers[own].key(slot);
    let mut best: Option<(f64, &[f64], Place)> = None;
    for (at, layer) in layers.iter().enumerate().take(own + 2).skip(own.saturating_sub(1)) {
        layer.near(site, &reach, key, |other| {
            let other_row = layer.row(other);
            if (at, other) != (own, slot) && rule.conflict(row, other_row) {
                let distance = rule.distance(row, other_row);
                let is_nearer = best.is_none_or(|(d, r, place)| {
                    let order = distance.total_cmp(&d).then_with(|| raster(other_row, r));
                    // Rows that are the same lie in one layer.
                    order.then(layer.key(other).id.cmp(&layers[place.0].key(place.1).id)).is_lt()
                });
                if is_nearer {
                    best = Some((distance, other_row, (at, other)));
                }
            }
            true
        });
    }
    best.map(|(.., place)| place)
}
