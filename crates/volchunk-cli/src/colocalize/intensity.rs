//! Channels whose mean around a point is large.

use std::{path::Path, sync::atomic::AtomicBool};

use volchunk::{Axis, AxisKind, Control, Error, ErrorKind, Result, Source, VolumeInfo};
use volchunk_io::{Column, ColumnKind, TableInfo, open_table};
use volchunk_ops::{Ellipsoids, Length, PassOptions, means_around, percentile_of};

use super::{
    CHANNELS, Measure, Request,
    grid::Grid,
    rows::{Budget, From, named, whole},
};
use crate::{config::Limits, prepare::open_input, progress::Display, report::grouped};

pub(super) struct Intensity {
    source: Box<dyn Source>,
    limits: Limits,
    quiet: bool,
    /// Until they are measured.
    ellipsoids: Option<Ellipsoids>,
    /// Of each row.
    channels: Vec<u32>,
    /// Of each channel of the image.
    thresholds: Vec<Threshold>,
    /// Of each row, for each channel of the image.
    means: Vec<f64>,
    /// What the thresholds come to.
    least: Vec<f64>,
}

/// What a mean is compared with.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Threshold {
    Value(f64),
    /// A percentile of the means around the channel's own points.
    Percent(f64),
}

impl Threshold {
    fn parse_all(text: &str) -> Result<Vec<Self>> {
        let one = |part: &str| {
            let (number, percent) = match part.trim().strip_suffix('%') {
                Some(number) => (number, true),
                None => (part.trim(), false),
            };
            let value = number.parse::<f64>().ok().filter(|v| !v.is_nan());
            match (value, percent) {
                (Some(v), true) if (0.0..=100.0).contains(&v) => Ok(Self::Percent(v)),
                (Some(v), false) => Ok(Self::Value(v)),
                _ => Err(Error::argument(format!(
                    "--threshold {text}: '{part}' is not legal; legal: a value, or a percentile from 0% \
                     to 100%; one, or one for each channel, as in 5%,300"
                ))),
            }
        };
        text.split(',').map(one).collect()
    }
}

impl Intensity {
    /// Opens the image, and reads where its voxels are asked for.
    pub(super) fn read(
        request: &Request<'_>,
        image: &Path,
        radius: Option<&str>,
        threshold: &str,
    ) -> Result<Self> {
        let thresholds = Threshold::parse_all(threshold)?;
        let source = open_input(image, &request.description).map_err(|e| e.context("--image"))?;
        let volume = source.info().clone();
        let axis = volume.axes.iter().position(|axis| axis.kind == AxisKind::Channel);
        let count = axis.map_or(0, |a| volume.shape[a]);
        if count > CHANNELS as u64 {
            return Err(Error::argument(format!(
                "--image {} has {count} channels; legal: at most {CHANNELS}",
                image.display()
            )));
        }
        let mut reader = open_table(request.input)?;
        let info = reader.info();
        let channel = info.index_of("channel").map_err(|e| named(request, &e))?;
        let places = places(request, info, &volume, image)?;
        let grid = Grid::new(request, info, &volume, image)?;
        let (radii, given) = radii(info, &volume, radius)?;
        let mut wanted = places;
        let centre = wanted.len();
        wanted.extend(&radii);
        wanted.push(From::Column(channel));
        let has_time = volume.axes.iter().any(|axis| axis.kind == AxisKind::Time);
        wanted.push(From::column_or(info, "frame", From::Constant(0.0)));
        wanted.extend(grid.columns.iter().flat_map(|at| [at.voxel, at.um]).map(From::Column));
        let thresholds = match thresholds[..] {
            [one] => vec![one; count as usize],
            ref all if all.len() as u64 == count => all.to_vec(),
            ref all => {
                return Err(Error::argument(format!(
                    "--threshold {threshold} has {} values; legal: 1, or one for each of the {count} \
                     channels of {}",
                    all.len(),
                    image.display()
                )));
            }
        };
        let (mut rows, mut channels) = (Vec::new(), Vec::new());
        // The ellipsoids with room to grow, their order, their channel, the means.
        let columns = centre + radii.len();
        let bytes = (16 * columns + 16 + 8 + 16 * thresholds.len()) as u64;
        Budget::new(request).each_row(&mut *reader, &wanted, bytes, &mut |number, row| {
            let (place, rest) = row.split_at(columns);
            let own = whole(rest[0], number, "channel")?;
            if own >= count {
                return Err(Error::data(format!(
                    "row {number}: channel is {own}; legal: 0 to {}, {} has {count}",
                    count.saturating_sub(1),
                    image.display()
                )));
            }
            let frame = whole(rest[1], number, "frame")?;
            if frame > 0 && !has_time {
                return Err(Error::data(format!(
                    "row {number}: frame is {frame}; legal: 0, {} has no axis of time",
                    image.display()
                )));
            }
            grid.check(number, &rest[2..])?;
            rows.extend_from_slice(&place[..centre]);
            rows.extend(place[centre..].iter().zip(&given).map(|(at, factor)| at * factor));
            channels.push(own as u32);
            Ok(())
        })?;
        let ellipsoids = Ellipsoids::new(&volume, rows).map_err(|e| named(request, &e))?;
        let has = |k: usize| channels.contains(&(k as u32));
        let lacks = |(k, t): &(usize, &Threshold)| matches!(t, Threshold::Percent(_)) && !has(*k);
        if let Some((k, _)) = thresholds.iter().enumerate().find(lacks)
            && !channels.is_empty()
        {
            return Err(Error::argument(format!(
                "--threshold {threshold}: {} has no points of channel {k} to take a percentile of; legal: \
                 a value for it, or inf where it does not count, one for each of the {count} channels",
                request.input.display()
            )));
        }
        Ok(Self {
            source,
            limits: request.limits,
            quiet: request.quiet,
            ellipsoids: Some(ellipsoids),
            channels,
            thresholds,
            means: Vec::new(),
            least: Vec::new(),
        })
    }
}

/// Where a point lies on each axis of the image but the channels'.
fn places(
    request: &Request<'_>,
    info: &TableInfo,
    volume: &VolumeInfo,
    image: &Path,
) -> Result<Vec<From>> {
    let refuse = |what: String| Err(Error::argument(format!("--image {}{what}", image.display())));
    let count = |kind| volume.axes.iter().filter(|axis| axis.kind == kind).count();
    if count(AxisKind::Channel) != 1 || count(AxisKind::Time) > 1 {
        return refuse(format!(
            " has the axes {}; legal: one of channels and at most one of time, as --axes may name them",
            volume.axis_names()
        ));
    }
    let coordinates = info.coordinates()?;
    if coordinates.len() != count(AxisKind::Space) {
        return refuse(format!(
            " has {} axes of space ({}), the points of {} have {} coordinates; legal: as many",
            count(AxisKind::Space),
            volume.axis_names(),
            request.input.display(),
            coordinates.len()
        ));
    }
    let mut coordinates = coordinates.into_iter();
    let place = |axis: &Axis| match axis.kind {
        AxisKind::Space => coordinates.next().map(From::Column),
        AxisKind::Time => Some(From::column_or(info, "frame", From::Constant(0.0))),
        AxisKind::Channel => None,
    };
    Ok(volume.axes.iter().filter_map(place).collect())
}

/// Of each axis of space, where the radius stands, and what it is to be multiplied by.
fn radii(
    info: &TableInfo,
    volume: &VolumeInfo,
    radius: Option<&str>,
) -> Result<(Vec<From>, Vec<f64>)> {
    let spatial = volume.spatial_axes();
    if let Some(text) = radius {
        let lengths = Length::parse_all(text).map_err(|e| e.context("--radius"))?;
        let none = Length { value: 0.0, micrometers: false };
        let lengths = volume.per_axis(&lengths, none, "--radius")?;
        let voxels = |&a: &usize| {
            let size = match lengths[a].micrometers {
                true => volume.axes[a].micrometers().filter(|s| s.is_finite() && *s > 0.0),
                false => Some(1.0),
            };
            let voxels = size.map(|size| lengths[a].value / size).ok_or_else(|| {
                Error::argument(format!(
                    "--radius {text} is in µm, but the voxel size of axis {} is unknown; give it with \
                     --voxel-size, such as --voxel-size 5,2,2",
                    volume.axes[a].name
                ))
            })?;
            match voxels > 0.0 {
                true => Ok(From::Constant(voxels)),
                false => Err(Error::argument(format!("--radius {text}; legal: above 0"))),
            }
        };
        let radii: Vec<From> = spatial.iter().map(voxels).collect::<Result<_>>()?;
        return Ok((radii, vec![1.0; spatial.len()]));
    }
    // Where σ differs between the axes, so does the radius, which is σ·√n.
    let sigma = |k| info.index_of(&format!("sigma-{k}"));
    let per_axis: Result<Vec<usize>> = (0..spatial.len()).map(sigma).collect();
    if let Ok(columns) = per_axis {
        let radii = columns.into_iter().map(From::Column).collect();
        return Ok((radii, vec![(spatial.len() as f64).sqrt(); spatial.len()]));
    }
    let column = info
        .index_of("radius")
        .map_err(|e| e.context("--image without --radius takes the table's radii"))?;
    Ok((vec![From::Column(column); spatial.len()], vec![1.0; spatial.len()]))
}

impl Measure for Intensity {
    fn columns(&self) -> Vec<Column> {
        let of = |k| {
            [
                Column::new(format!("coloc-{k}"), ColumnKind::Integer),
                Column::new(format!("mean-{k}"), ColumnKind::F64),
            ]
        };
        (0..self.thresholds.len()).flat_map(of).collect()
    }

    fn work(&mut self, cancel: &AtomicBool) -> Result<()> {
        let Some(ellipsoids) = self.ellipsoids.take() else { return Ok(()) };
        let options = PassOptions {
            workers: self.limits.workers,
            memory: self.limits.memory,
            chunk: None,
            watch: &|voxels, pass| {
                let display = Display::new("measuring", voxels, self.quiet);
                let progress = |p| display.update(p);
                let report = pass(Control { cancel, progress: &progress });
                display.end();
                report
            },
        };
        let means = means_around(ellipsoids, &*self.source, &options);
        self.means = means.map_err(|e| match e.kind() {
            ErrorKind::OverMemory => e.context("--memory"),
            _ => e,
        })?;
        let (count, channels) = (self.thresholds.len(), &self.channels);
        let least = self.thresholds.iter().enumerate().map(|(k, threshold)| match *threshold {
            Threshold::Value(value) => value,
            Threshold::Percent(percent) => {
                let rows = self.means.chunks_exact(count).zip(channels);
                let own = rows.filter(|(_, own)| **own as usize == k).map(|(means, _)| means[k]);
                // Where all are NaN, none is large enough.
                percentile_of(own, percent).unwrap_or(f64::INFINITY)
            }
        });
        self.least = least.collect();
        match self.least.iter().position(|least| least.is_nan()) {
            None => Ok(()),
            Some(k) => Err(Error::data(format!(
                "--threshold: the percentile of the means of channel {k} is NaN, since they are \
                 infinite; legal: a value for it"
            ))),
        }
    }

    fn len(&self) -> usize {
        self.channels.len()
    }

    fn push(&self, row: usize, values: &mut Vec<f64>) {
        let (count, own) = (self.thresholds.len(), self.channels[row] as usize);
        let means = &self.means[row * count..(row + 1) * count];
        for (k, (mean, least)) in means.iter().zip(&self.least).enumerate() {
            values.extend([f64::from(u8::from(k == own || mean >= least)), *mean]);
        }
    }

    fn summary(&self) -> String {
        let count = self.thresholds.len();
        let mut text = String::new();
        for (k, least) in self.least.iter().enumerate() {
            text += &format!("channel {k}: threshold {least}\n");
        }
        for a in 0..count {
            let rows = self.means.chunks_exact(count.max(1)).zip(&self.channels);
            let own: Vec<&[f64]> =
                rows.filter(|(_, own)| **own as usize == a).map(|(means, _)| means).collect();
            for b in (0..count).filter(|&b| b != a && !own.is_empty()) {
                let found = own.iter().filter(|means| means[b] >= self.least[b]).count() as u64;
                text += &format!(
                    "channel {a}: {} of {} points lie in channel {b} too\n",
                    grouped(found),
                    grouped(own.len() as u64)
                );
            }
        }
        text
    }
}
