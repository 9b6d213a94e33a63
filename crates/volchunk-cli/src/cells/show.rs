//! The pictures of a table that is complete.

use std::{path::Path, sync::atomic::AtomicBool, time::Instant};

use volchunk::{AxisKind, Result, VolumeInfo, os};
use volchunk_io::{TableInfo, open_table};

use super::{About, Cell, CellsReport, Colours, Ended, project};
use crate::{config::Limits, prepare::Prepared};

/// Rows that are read at a time.
const BATCH: usize = 4096;

/// Draws what the job of `prepared` found, which stands in its output: a figure, a page, or both.
///
/// # Errors
/// Reading table or volume; writing; a request to stop.
pub(crate) fn show(
    prepared: &Prepared,
    (figure, page): (Option<&Path>, Option<&Path>),
    started: Instant,
    limits: Limits,
    cancel: &AtomicBool,
) -> Result<()> {
    let mut table = open_table(&prepared.config.output)?;
    let columns = Columns::of(table.info())?;
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    let mut channels = Vec::new();
    let mut rows = Vec::new();
    while table.read(&mut rows, BATCH)? > 0 {
        for row in rows.chunks_exact(columns.count) {
            let cell = columns.cell(row);
            (low, high) = (low.min(cell.sigma), high.max(cell.sigma));
            if !channels.contains(&cell.channel) {
                channels.push(cell.channel);
            }
        }
    }
    channels.sort_unstable();
    let mut report = CellsReport::new(about(prepared, (low, high), &channels));
    let mut table = open_table(&prepared.config.output)?;
    while table.read(&mut rows, BATCH)? > 0 {
        rows.chunks_exact(columns.count).for_each(|row| {
            let cell = columns.cell(row);
            report.add(&cell.shown());
        });
    }
    let volume = prepared.source.info();
    // The voxels behind the cells: of the input, where its axes are those that were searched.
    let grid = &prepared.plan.grid;
    if volume.shape[..] == *grid.volume() {
        let axis = volume.axes.iter().position(|a| a.kind == AxisKind::Channel);
        let channel = axis.map(|a| (a, channels.first().copied().unwrap_or(0)));
        let frame = (&report.frame().clone(), report.memory());
        let source = &*prepared.source;
        let images = project(source, grid.domain(), channel, frame, limits, cancel)?;
        report.set_projections(images);
    }
    if let Some(path) = figure {
        report.write_figure(path)?;
    }
    if let Some(path) = page {
        let ended = Ended {
            elapsed: started.elapsed(),
            workers: prepared.plan.workers,
            peak: os::peak_resident_memory(),
            projected: prepared.plan.memory.peak,
        };
        report.write_report(path, &ended)?;
    }
    Ok(())
}

fn about(prepared: &Prepared, sigmas: (f64, f64), channels: &[u64]) -> About {
    let (config, plan) = (&prepared.config, &prepared.plan);
    let input = config.input.display().to_string();
    let name = config.input.file_name().map_or(input.clone(), |n| n.to_string_lossy().into_owned());
    let ops = config.ops.iter().map(|op| {
        let text = op.to_string();
        let (name, keys) = text.split_once(':').unwrap_or((&text, ""));
        (name.to_owned(), keys.replace(':', ", "))
    });
    let mut command: Vec<String> = std::env::args().collect();
    if let Some(program) = command.first_mut() {
        *program = "volchunk".into();
    }
    About {
        name,
        input,
        output: config.output.display().to_string(),
        command: command.join(" "),
        parameters: ops.collect(),
        // What the ops make of it; a table has no dtype.
        volume: VolumeInfo {
            dtype: prepared.source.info().dtype,
            ..prepared.pipeline.output().clone()
        },
        grid: plan.grid.clone(),
        colours: match channels {
            [_, _, ..] => Colours::Channels(channels.to_vec()),
            _ => Colours::Scale(sigmas.0, sigmas.1),
        },
        sigma_unit: "voxels".into(),
    }
}

/// Where a cell's values stand in a row.
struct Columns {
    count: usize,
    at: Vec<usize>,
    /// Without one, σ follows from the radius.
    sigma: Option<usize>,
    radius: usize,
    /// On each spatial axis, where it is not the same on all.
    sigmas: Vec<usize>,
    value: Option<usize>,
    channel: Option<usize>,
}

/// A cell of its own.
struct Read {
    at: Vec<f64>,
    sigma: f64,
    radius: Vec<f64>,
    value: f64,
    channel: u64,
}

impl Read {
    fn shown(&self) -> Cell<'_> {
        let Self { at, sigma, radius, value, channel } = self;
        Cell { at, sigma: *sigma, radius, value: *value, channel: *channel }
    }
}

impl Columns {
    fn of(info: &TableInfo) -> Result<Self> {
        let at = info.coordinates()?;
        let sigmas = (0..at.len()).map_while(|k| info.index_of(&format!("sigma-{k}")).ok());
        Ok(Self {
            count: info.columns.len(),
            sigma: info.index_of("sigma").ok(),
            radius: info.index_of("radius")?,
            sigmas: sigmas.collect(),
            value: info.index_of("value").ok(),
            channel: info.index_of("channel").ok(),
            at,
        })
    }

    fn cell(&self, row: &[f64]) -> Read {
        let root = (self.at.len() as f64).sqrt();
        let of = |column: Option<usize>| column.map_or(0.0, |c| row[c]);
        Read {
            at: self.at.iter().map(|&c| row[c]).collect(),
            sigma: self.sigma.map_or(row[self.radius] / root, |c| row[c]),
            radius: match self.sigmas.is_empty() {
                true => vec![row[self.radius]],
                false => self.sigmas.iter().map(|&c| row[c] * root).collect(),
            },
            value: of(self.value),
            channel: of(self.channel) as u64,
        }
    }
}
