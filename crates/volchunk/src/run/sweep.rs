//! The tables of all chunks as one, in an order that does not depend on the grid.

use std::{cmp::Ordering, ops::Range};

use super::spool::Spool;
use crate::{ChunkGrid, Error, Region, Result};

/// Hands over the rows of all chunks of one grid, which `spools` hold together, in raster order: by
/// their first column, then the second, and so on. `each` gets them in pieces, one behind the other,
/// of about `memory` bytes at most: smaller pieces read tables several times, a table as long as its
/// chunk's rows at once.
///
/// Returns the number of rows.
///
/// # Errors
/// No spool, or spools of several grids; a chunk without a table; damage; what `each` returns; I/O.
pub fn sweep(
    spools: &[&Spool],
    memory: u64,
    each: &mut dyn FnMut(&[f64]) -> Result<()>,
) -> Result<u64> {
    let Some((first, others)) = spools.split_first() else {
        return Err(Error::argument("there is no table to go through"));
    };
    let same = |s: &&Spool| s.grid() == first.grid() && s.columns() == first.columns();
    if !others.iter().all(same) {
        return Err(Error::argument("the tables are those of several grids; legal: of one"));
    }
    let grid = first.grid();
    // Where no chunk found anything, there may be none.
    let columns = match first.columns() {
        0 => grid.ndim(),
        columns => columns as usize,
    };
    let mut sweep = Sweep { spools, grid, columns, memory, each, rows: 0 };
    if grid.is_empty() {
        return Ok(0);
    }
    if grid.ndim() == 0 || sweep.columns < grid.ndim() {
        return Err(Error::argument("tables without a coordinate for each axis"));
    }
    for i in 0..grid.counts()[0] {
        let layer = grid.core_range(0, i);
        sweep.visit(&grid.domain().with_range(0, layer), 0)?;
    }
    Ok(sweep.rows)
}

struct Sweep<'a> {
    spools: &'a [&'a Spool],
    grid: &'a ChunkGrid,
    columns: usize,
    memory: u64,
    each: &'a mut dyn FnMut(&[f64]) -> Result<()>,
    rows: u64,
}

impl Sweep<'_> {
    /// Hands over the rows in `region`, which is one voxel long on every axis before `axis`, and
    /// whole on every axis behind it.
    fn visit(&mut self, region: &Region, axis: usize) -> Result<()> {
        let mut rows = 0u64;
        for number in chunks(self.grid, region) {
            rows = rows.saturating_add(holder(self.spools, number)?.1);
        }
        if rows <= self.most() {
            return self.read(region);
        }
        // Rows crowd: how many there are at each position is counted, and then as many positions as
        // fit are read together.
        let range = region.range(axis);
        let counts = self.counts(region, axis)?;
        let (mut start, mut held) = (range.start, 0u64);
        for (at, count) in range.clone().zip(counts) {
            if held.saturating_add(count) > self.most() && held > 0 {
                self.read(&region.with_range(axis, start..at))?;
                (start, held) = (at, 0);
            }
            if count > self.most() && axis + 1 < region.ndim() {
                self.visit(&region.with_range(axis, at..at + 1), axis + 1)?;
                (start, held) = (at + 1, 0);
            } else {
                held += count;
            }
        }
        match held {
            0 => Ok(()),
            _ => self.read(&region.with_range(axis, start..range.end)),
        }
    }

    /// How many rows may be held: they, their order, and the sorted rows.
    fn most(&self) -> u64 {
        self.memory / (16 * self.columns as u64 + 8)
    }

    /// How many rows of `region` there are at each position along `axis`.
    fn counts(&self, region: &Region, axis: usize) -> Result<Vec<u64>> {
        let first = region.range(axis).start;
        let mut counts = vec![0; region.shape()[axis] as usize];
        for number in chunks(self.grid, region) {
            each_row_in(self.spools, number, region, &mut |row| {
                counts[(row[axis] as u64 - first) as usize] += 1;
            })?;
        }
        Ok(counts)
    }

    fn read(&mut self, region: &Region) -> Result<()> {
        let found = rows_in(self.spools, region)?;
        self.hand_over(&found)
    }

    fn hand_over(&mut self, rows: &[f64]) -> Result<()> {
        let row = |i: usize| &rows[i * self.columns..(i + 1) * self.columns];
        let mut order: Vec<usize> = (0..rows.len() / self.columns).collect();
        order.sort_unstable_by(|&a, &b| raster(row(a), row(b)).then(a.cmp(&b)));
        let sorted: Vec<f64> = order.iter().flat_map(|&i| row(i)).copied().collect();
        self.rows += order.len() as u64;
        (self.each)(&sorted)
    }
}

/// The rows in `region` of what the chunks that touch it found, chunk by chunk.
pub(super) fn rows_in(spools: &[&Spool], region: &Region) -> Result<Vec<f64>> {
    let mut found = Vec::new();
    let Some(grid) = spools.first().map(|spool| spool.grid()) else { return Ok(found) };
    for number in chunks(grid, region) {
        each_row_in(spools, number, region, &mut |row| found.extend_from_slice(row))?;
    }
    Ok(found)
}

/// Calls `each` with the rows in `region` of what chunk `number` found.
fn each_row_in(
    spools: &[&Spool],
    number: u64,
    region: &Region,
    each: &mut dyn FnMut(&[f64]),
) -> Result<()> {
    let (spool, rows) = holder(spools, number)?;
    if rows > 0
        && let Some(table) = spool.table(number)?
    {
        let rows = table.as_slice::<f64>().chunks_exact(spool.columns().max(1) as usize);
        rows.filter(|row| contains(region, row)).for_each(each);
    }
    Ok(())
}

/// Raster order of two rows: by the first column, then the second, and so on.
pub(super) fn raster(a: &[f64], b: &[f64]) -> Ordering {
    let pairs = a.iter().zip(b);
    pairs.map(|(x, y)| x.total_cmp(y)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
}

/// The spool that has the table of chunk `number`, and the table's rows.
fn holder<'s>(spools: &[&'s Spool], number: u64) -> Result<(&'s Spool, u64)> {
    let found = spools.iter().find_map(|spool| Some((*spool, spool.rows(number)?)));
    found.ok_or_else(|| {
        let index = spools.first().map(|spool| spool.grid().index_of(number));
        Error::data(format!("chunk {:?} has no table", &index.unwrap_or_default()[..]))
    })
}

/// The numbers of the chunks whose cores touch `region`, in C order.
fn chunks(grid: &ChunkGrid, region: &Region) -> impl Iterator<Item = u64> + use<> {
    let span = |a: usize| -> Range<u64> {
        let (first, chunk) = (grid.domain().start()[a], grid.chunk_shape()[a]);
        let range = region.range(a);
        (range.start - first) / chunk..(range.end - first).div_ceil(chunk)
    };
    let spans: Vec<Range<u64>> = (0..grid.ndim()).map(span).collect();
    let counts = grid.counts().to_vec();
    let total: u64 = spans.iter().map(|s| s.end - s.start).product();
    (0..total).map(move |mut k| {
        let (mut number, mut step) = (0, 1);
        for (span, count) in spans.iter().zip(&counts).rev() {
            let n = span.end - span.start;
            number += (span.start + k % n) * step;
            step *= count;
            k /= n;
        }
        number
    })
}

fn contains(region: &Region, row: &[f64]) -> bool {
    region.ranges().zip(row).all(|(range, &at)| range.contains(&(at as u64)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Buffer, Dtype, Scratch, Sink, VolumeInfo};

    proptest! {
        /// Whatever the grid, the parts and the memory, the rows come as a sort of all of them.
        #[test]
        fn rows_come_in_raster_order(
            shape in prop::collection::vec(1u64..9, 1..4),
            chunk in 1u64..6,
            places in prop::collection::vec((prop::num::u64::ANY, 0u8..4), 0..40),
            parts in 1u64..4,
            memory in prop_oneof![Just(0u64), 1u64..2000],
        ) {
            let ndim = shape.len();
            let grid = ChunkGrid::new(&shape, &vec![chunk; ndim]).unwrap();
            let columns = ndim as u64 + 1;
            let info = VolumeInfo::new(&shape, Dtype::U8);
            let spools: Vec<Spool> = (0..parts)
                .map(|_| Spool::temporary(info.clone(), &grid, columns).unwrap())
                .collect();
            let mut rows: Vec<Vec<f64>> = places
                .iter()
                .map(|&(mut place, value)| {
                    let mut row: Vec<f64> = shape
                        .iter()
                        .map(|&n| {
                            let at = place % n;
                            place /= n;
                            at as f64
                        })
                        .collect();
                    row.push(f64::from(value));
                    row
                })
                .collect();
            for number in 0..grid.len() {
                let core = grid.chunk(number).core;
                let own: Vec<f64> =
                    rows.iter().filter(|row| contains(&core, row)).flatten().copied().collect();
                let table = Buffer::from_slice(&[own.len() as u64 / columns, columns], &own);
                spools[(number % parts) as usize]
                    .write(&core, table.view(), &mut Scratch::new())
                    .unwrap();
            }
            rows.sort_by(|a, b| a.partial_cmp(b).unwrap());
            let mut swept = Vec::new();
            let spools: Vec<&Spool> = spools.iter().collect();
            let count = sweep(&spools, memory, &mut |batch| {
                swept.extend_from_slice(batch);
                Ok(())
            });
            prop_assert_eq!(count.unwrap(), rows.len() as u64);
            prop_assert_eq!(swept, rows.concat());
        }
    }

    #[test]
    fn a_missing_chunk_is_named() {
        let grid = ChunkGrid::new(&[4, 4], &[2, 2]).unwrap();
        let info = VolumeInfo::new(&[4, 4], Dtype::U8);
        let spool = Spool::temporary(info, &grid, 3).unwrap();
        let empty = Buffer::zeros(&[0, 3], Dtype::F64);
        for number in [0, 1, 3] {
            let core = grid.chunk(number).core;
            spool.write(&core, empty.view(), &mut Scratch::new()).unwrap();
        }
        let error = sweep(&[&spool], 1 << 20, &mut |_| Ok(())).unwrap_err();
        assert!(error.to_string().contains("[1, 0]"), "{error}");
    }
}
