//! From the points that a caller's function found in chunks to those of a volume.

use std::cmp::Ordering;

use volchunk::{
    ChunkGrid, Coords, Error, Result, Rule, Spool, Suppressor, Tolerance, VolumeInfo, sweep,
};
use volchunk_io::{Column, ColumnKind, TableInfo};

use super::{TableRows, share};

/// The rows of the table that a function of points makes.
///
/// What chunks found, a row for each point: the voxel that holds it on each axis, its coordinates,
/// further columns, and whether its chunk's table was of floats, 1 or 0. The table has
/// `index,axis-0,axis-1,…,value,value-1,…`, with the index from 0 on and `value` the first of the
/// further columns; all of them whole numbers unless a table was of floats. Its rows are sorted by the
/// coordinates, then by the further columns; NaN stands behind all numbers.
///
/// ```
/// use volchunk::{Buffer, ChunkGrid, Dtype, Region, Scratch, Sink, Spool, VolumeInfo};
/// use volchunk_cli::{PointRows, TableRows};
/// let volume = VolumeInfo::new(&[8], Dtype::U8);
/// let grid = ChunkGrid::new(&[8], &[4])?;
/// let spool = Spool::temporary(volume.clone(), &grid, 4)?;
/// for (at, point) in [(0, [3.0, 3.4, 0.5, 1.0]), (4, [4.0, 3.6, 0.9, 1.0])] {
///     let table = Buffer::from_slice(&[1, 4], &point);
///     spool.write(&Region::new(&[at], &[4]), table.view(), &mut Scratch::new())?;
/// }
/// let points = PointRows::new(&volume, Some(vec![1.0]), &[&spool])?;
/// let mut rows = Vec::new();
/// points.each(&[&spool], 1 << 20, &mut |some| Ok(rows.extend_from_slice(some)))?;
/// assert_eq!(rows, [0.0, 3.6, 0.9]);
/// # Ok::<(), volchunk::Error>(())
/// ```
#[derive(Debug)]
pub struct PointRows {
    info: TableInfo,
    /// Columns of the function's tables.
    columns: usize,
    rule: Option<Tolerance>,
    /// How many leading axes have whole coordinates alone.
    whole: usize,
}

impl PointRows {
    /// For what `spools` hold together of the points in `volume`. With `dedupe`, of points of
    /// different chunks within so many voxels on each axis, that with the larger `value` stays, as
    /// [`Tolerance`] says.
    ///
    /// # Errors
    /// A tolerance that is none; more columns than a table may have; damage; I/O.
    pub fn new(volume: &VolumeInfo, dedupe: Option<Vec<f64>>, spools: &[&Spool]) -> Result<Self> {
        let ndim = volume.ndim();
        let held = spools.iter().map(|spool| spool.columns() as usize).max().unwrap_or(0);
        let further = held.saturating_sub(2 * ndim + 1);
        if held != 0 && held < 2 * ndim + 1 {
            return Err(Error::data(format!("{held} columns are no points of {ndim} axes")));
        }
        let (floats, whole) = look(ndim, spools)?;
        let kind = if floats { ColumnKind::F64 } else { ColumnKind::Integer };
        let axes = (0..ndim).map(|a| format!("axis-{a}"));
        let values = (0..further).map(|k| match k {
            0 => "value".to_owned(),
            _ => format!("value-{k}"),
        });
        let columns = axes.chain(values).map(|name| Column::new(name, kind));
        let info = TableInfo {
            columns: [Column::new("index", ColumnKind::Integer)]
                .into_iter()
                .chain(columns)
                .collect(),
            axes: volume.axes.to_vec(),
            attributes: Some(serde_json::json!({ "shape": &volume.shape[..] })),
        };
        let columns = ndim + further;
        let rule = dedupe.map(|tolerance| {
            // The chunk's number behind each row.
            let rule = Tolerance::new(&tolerance, columns + 1)?.with_chunk(&[columns])?;
            if further > 0 { rule.with_value(ndim) } else { Ok(rule) }
        });
        Ok(Self { info, columns, rule: rule.transpose()?, whole })
    }

    /// Appends a row of what chunks found as the table's columns, with its chunk's number if that
    /// matters.
    fn lay_out(&self, found: &[f64], grid: &ChunkGrid, rows: &mut Vec<f64>) {
        let ndim = self.info.axes.len();
        rows.extend_from_slice(&found[ndim..ndim + self.columns]);
        if self.rule.is_some() {
            let places = found.iter().zip(grid.domain().start()).zip(grid.chunk_shape());
            let index: Coords =
                places.map(|((&at, first), c)| (at as u64).saturating_sub(*first) / c).collect();
            rows.push(grid.number_of(&index) as f64);
        }
    }
}

impl TableRows for PointRows {
    fn info(&self) -> &TableInfo {
        &self.info
    }

    fn each(
        &self,
        spools: &[&Spool],
        memory: u64,
        each: &mut dyn FnMut(&[f64]) -> Result<()>,
    ) -> Result<u64> {
        let Some(grid) = spools.first().map(|spool| spool.grid()) else { return Ok(0) };
        let ndim = self.info.axes.len();
        let held = 2 * ndim + 1 + (self.columns - ndim);
        let rule = self.rule.as_ref();
        let mut suppressor = rule.map(Suppressor::new).transpose()?;
        let width = rule.map_or(self.columns, |rule| rule.columns());
        let mut next = 0u64;
        let mut numbered = Vec::new();
        let mut hand_on = |rows: &mut Vec<f64>| {
            numbered.clear();
            for row in rows.chunks_exact(width) {
                numbered.push(next as f64);
                numbered.extend_from_slice(&row[..self.columns]);
                next += 1;
            }
            rows.clear();
            each(&numbered)
        };
        // Rows arrive by their voxels. Up to the first axis on which points lie between voxels, that
        // is the order of the coordinates; what one voxel of that axis holds is sorted here.
        let alike = (self.whole + 1).min(ndim);
        let mut place: Vec<f64> = Vec::new();
        let (mut gathered, mut sorted, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        let mut put = |gathered: &mut Vec<f64>| {
            sort(gathered, width, &mut sorted);
            gathered.clear();
            match &mut suppressor {
                Some(suppressor) => {
                    suppressor.push(&sorted, &mut kept)?;
                    hand_on(&mut kept)
                }
                None => hand_on(&mut sorted),
            }
        };
        let found = sweep(spools, share(memory), &mut |found| {
            for row in found.chunks_exact(held) {
                if place != row[..alike] {
                    put(&mut gathered)?;
                    place = row[..alike].to_vec();
                }
                self.lay_out(row, grid, &mut gathered);
            }
            Ok(())
        })?;
        put(&mut gathered)?;
        if let Some(suppressor) = suppressor.take() {
            suppressor.finish(&mut kept);
            hand_on(&mut kept)?;
        }
        Ok(found)
    }
}

/// Whether any of the points is one of floats, and on how many leading axes all lie at whole numbers.
fn look(ndim: usize, spools: &[&Spool]) -> Result<(bool, usize)> {
    let (mut floats, mut whole) = (false, ndim);
    for spool in spools {
        let columns = spool.columns() as usize;
        for number in 0..spool.grid().len() {
            if floats && whole == 0 {
                return Ok((floats, whole));
            }
            if spool.rows(number).unwrap_or(0) == 0 {
                continue;
            }
            let Some(table) = spool.table(number)? else { continue };
            for row in table.as_slice::<f64>().chunks_exact(columns.max(1)) {
                floats |= row.last().is_some_and(|&flag| flag != 0.0);
                let apart = row[..ndim].iter().zip(&row[ndim..]).position(|(v, at)| v != at);
                whole = whole.min(apart.unwrap_or(ndim));
            }
        }
    }
    Ok((floats, whole))
}

/// `rows` in order: by the first column, then the second, and so on.
fn sort(rows: &[f64], columns: usize, sorted: &mut Vec<f64>) {
    let mut order: Vec<&[f64]> = rows.chunks_exact(columns).collect();
    order.sort_unstable_by(|a, b| by_numbers(a, b));
    sorted.clear();
    order.iter().for_each(|row| sorted.extend_from_slice(row));
}

/// As NumPy sorts: zeros are equal, NaN is more than any number. Rows that are equal stand in the
/// order of their bits, so that there is one order.
fn by_numbers(a: &[f64], b: &[f64]) -> Ordering {
    let compare =
        |a: &f64, b: &f64| a.partial_cmp(b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()));
    let bits = || a.iter().zip(b).map(|(a, b)| a.total_cmp(b)).find(|o| o.is_ne());
    let differ = a.iter().zip(b).map(|(a, b)| compare(a, b)).find(|o| o.is_ne());
    differ.or_else(bits).unwrap_or(Ordering::Equal)
}
