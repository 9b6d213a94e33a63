//! Points of different channels that are each other's nearest.

use std::{collections::BTreeMap, sync::atomic::AtomicBool};

use volchunk::{Error, Result, Tolerance};
use volchunk_io::{Column, ColumnKind, TableInfo, open_table};
use volchunk_ops::Length;

use super::{
    CHANNELS, Measure, Request,
    rows::{Budget, From, named, whole},
};
use crate::report::grouped;

/// No row.
const NOBODY: u32 = u32::MAX;

/// Bytes of a row that do not follow its columns, when two channels are paired: its place among layers
/// and cells, its nearest, its pair.
const PAIRING: u64 = 128;

/// Bytes of a row for each channel: its partner twice, while the pairs are sorted out, and a distance;
/// and a flag that an archive of blobs gathers.
const PER_CHANNEL: u64 = 21;

pub(super) struct Distance {
    /// Coordinates, frame, channel, index: what decides, in this order.
    rows: Vec<f64>,
    rule: Tolerance,
    workers: usize,
    /// The channels that there are, ascending, and how many points they have.
    counts: BTreeMap<u64, u64>,
    /// Of each channel, what each row is paired with.
    partners: Vec<Partners>,
    /// Two channels, how many pairs.
    pairs: Vec<([u64; 2], u64)>,
}

/// For each row a row of one channel, and its distance.
struct Partners {
    channel: u64,
    rows: Vec<u32>,
    distances: Vec<f64>,
}

impl Distance {
    /// Reads what decides of the table.
    pub(super) fn read(request: &Request<'_>, tolerance: &str) -> Result<Self> {
        if request.description.axes.is_some() {
            return Err(Error::argument("--axes names those of an image; legal: with --image"));
        }
        let mut reader = open_table(request.input)?;
        let info = reader.info();
        let channel = info.index_of("channel").map_err(|e| named(request, &e))?;
        let (coordinates, tolerance) = lengths(request, info, tolerance)?;
        let ndim = coordinates.len();
        let mut wanted: Vec<From> = coordinates.iter().map(|&c| From::Column(c)).collect();
        wanted.push(From::column_or(info, "frame", From::Constant(0.0)));
        wanted.push(From::Column(channel));
        wanted.push(From::column_or(info, "index", From::Number));
        let names: Vec<String> =
            coordinates.iter().map(|&c| info.columns[c].name.clone()).collect();
        let columns = wanted.len();
        let rule =
            Tolerance::new(&tolerance, columns)?.with_group(&[ndim])?.with_chunk(&[ndim + 1])?;
        // The rows, those of two channels, and these by place.
        let bytes = 8 * (2 * columns + ndim) as u64 + PAIRING;
        let (mut rows, mut counts) = (Vec::new(), BTreeMap::new());
        let budget = Budget::new(request);
        budget.each_row(&mut *reader, &wanted, bytes, &mut |number, row| {
            if let Some((name, at)) = names.iter().zip(row).find(|(_, at)| !at.is_finite()) {
                return Err(Error::data(format!(
                    "row {number}: {name} is {at}; legal: a finite number"
                )));
            }
            whole(row[ndim], number, "frame")?;
            whole(row[ndim + 2], number, "index")?;
            *counts.entry(whole(row[ndim + 1], number, "channel")?).or_insert(0) += 1;
            if counts.len() > CHANNELS {
                return Err(Error::data(format!(
                    "there are more than {CHANNELS} channels; legal: a column 'channel' that holds them"
                )));
            }
            rows.extend_from_slice(row);
            Ok(())
        })?;
        let partners = PER_CHANNEL * counts.len() as u64;
        budget.check(counts.values().sum(), bytes + partners)?;
        if counts.len() < 2 {
            let has = match counts.first_key_value() {
                None => "no points".to_owned(),
                Some((channel, _)) => format!("points of channel {channel} alone"),
            };
            return Err(Error::data(format!(
                "{} has {has}; legal: points of two channels or more",
                request.input.display()
            )));
        }
        let (partners, pairs) = (Vec::new(), Vec::new());
        Ok(Self { rows, rule, workers: request.limits.workers(), counts, partners, pairs })
    }

    /// Numbers of a row.
    fn row(&self, number: usize) -> &[f64] {
        let columns = self.rows.len() / self.len();
        &self.rows[number * columns..(number + 1) * columns]
    }
}

/// Where the coordinates stand, and the tolerance in their unit.
fn lengths(request: &Request<'_>, info: &TableInfo, text: &str) -> Result<(Vec<usize>, Vec<f64>)> {
    let lengths = Length::parse_all(text).map_err(|e| e.context("--tolerance"))?;
    let ndim = info.axes.len();
    if lengths.len() != 1 && lengths.len() != ndim {
        return Err(Error::argument(format!(
            "--tolerance {text} has {} values; legal: 1, or one for each of the {ndim} coordinates of {}",
            lengths.len(),
            request.input.display()
        )));
    }
    let sizes = request.description.voxel_size.as_deref();
    if let Some(sizes) = sizes
        && (sizes.len() != 1 && sizes.len() != ndim
            || !sizes.iter().all(|s| s.is_finite() && *s > 0.0))
    {
        return Err(Error::argument(format!(
            "--voxel-size has {} values, {sizes:?}; legal: 1, or one for each of the {ndim} coordinates \
             of {}, above 0",
            sizes.len(),
            request.input.display()
        )));
    }
    if sizes.is_some() && !lengths.iter().any(|length| length.micrometers) {
        return Err(Error::argument(format!(
            "--voxel-size changes nothing: --tolerance {text} is in voxels; legal: with one in µm, as 6um"
        )));
    }
    let mut found = (Vec::new(), Vec::new());
    for (a, column) in info.coordinates()?.into_iter().enumerate() {
        let length = lengths[if lengths.len() == 1 { 0 } else { a }];
        let given = sizes.map(|sizes| sizes[if sizes.len() == 1 { 0 } else { a }]);
        let (column, tolerance) = if !length.micrometers {
            (column, length.value)
        } else if let Some(size) = given {
            (column, length.value / size)
        } else if let Ok(um) = info.index_of(&format!("um-{a}")) {
            (um, length.value)
        } else if let Some(size) = info.axes[a].micrometers().filter(|s| s.is_finite() && *s > 0.0)
        {
            (column, length.value / size)
        } else {
            return Err(Error::argument(format!(
                "--tolerance {text} is in µm, and {} tells no voxel size; give it with --voxel-size, such \
                 as --voxel-size 5,2,2",
                request.input.display()
            )));
        };
        found.0.push(column);
        found.1.push(tolerance);
    }
    Ok(found)
}

impl Measure for Distance {
    fn columns(&self) -> Vec<Column> {
        let of = |channel: &u64| {
            let column = |what, kind| Column::new(format!("coloc-{channel}{what}"), kind);
            [
                column("", ColumnKind::Integer),
                column("-index", ColumnKind::Integer),
                column("-distance", ColumnKind::F64),
            ]
        };
        self.counts.keys().flat_map(of).collect()
    }

    fn work(&mut self, cancel: &AtomicBool) -> Result<()> {
        let found = volchunk::colocalize(&self.rows, &self.rule, self.workers, cancel)?;
        let len = self.len();
        let none = |&channel: &u64| {
            let (rows, distances) = (vec![NOBODY; len], vec![f64::NAN; len]);
            Partners { channel, rows, distances }
        };
        self.partners = self.counts.keys().map(none).collect();
        let places: Vec<u64> = self.counts.keys().copied().collect();
        for both in found {
            for pair in &both.pairs {
                let [a, b] = pair.rows;
                for (channel, row, partner) in [(both.channels[1], a, b), (both.channels[0], b, a)]
                {
                    let Ok(k) = places.binary_search(&channel) else { continue };
                    let partners = &mut self.partners[k];
                    partners.rows[row as usize] = partner;
                    partners.distances[row as usize] = pair.distance;
                }
            }
            self.pairs.push((both.channels, both.pairs.len() as u64));
        }
        Ok(())
    }

    fn len(&self) -> usize {
        self.counts.values().sum::<u64>() as usize
    }

    fn push(&self, row: usize, values: &mut Vec<f64>) {
        let own = self.row(row);
        let (channel, index) = (own[own.len() - 2], own[own.len() - 1]);
        for partners in &self.partners {
            let partner = partners.rows[row];
            if partners.channel as f64 == channel {
                values.extend([1.0, index, 0.0]);
            } else if partner == NOBODY {
                values.extend([0.0, -1.0, f64::NAN]);
            } else {
                let other = self.row(partner as usize);
                values.extend([1.0, other[other.len() - 1], partners.distances[row]]);
            }
        }
    }

    fn summary(&self) -> String {
        let line = |&([a, b], pairs): &([u64; 2], u64)| {
            let count = |channel| grouped(self.counts.get(&channel).copied().unwrap_or(0));
            format!(
                "channels {a} and {b}: {} of {} and of {} points are paired\n",
                grouped(pairs),
                count(a),
                count(b)
            )
        };
        self.pairs.iter().map(line).collect()
    }
}
