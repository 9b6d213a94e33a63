//! `volchunk points`.

use std::{
    collections::BTreeMap,
    ops::Range,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use volchunk::{Error, ErrorKind, Result};
use volchunk_io::{
    ColumnKind, OutputLock, TableFormat, TableInfo, TableReader, TableWriter, create_table,
    open_table, same_or_inside,
};

use crate::{
    args::PointsArgs,
    config::{Roi, numbers},
    output::print,
    report::grouped,
};

/// Rows that are held at once.
const BATCH: usize = 8192;

/// Most channels that are counted one by one.
const CHANNELS: usize = 10_000;

/// Writes a table in another format, or a part of it; counts its rows.
pub(crate) fn points(args: &PointsArgs, cancel: &AtomicBool) -> Result<()> {
    if let Some(output) = &args.output {
        check_places(&args.input, output)?;
    }
    let mut reader = open_table(&args.input)?;
    let filter = Filter::new(args, reader.info())?;
    let mut output = match &args.output {
        Some(path) => {
            let lock = OutputLock::take(path, Duration::ZERO)?;
            Some((create_table(path, reader.info())?, lock, path))
        }
        None => None,
    };
    let mut counts = args.count.then(|| Counts::new(reader.info()));
    let (read, kept) = copy(
        &mut *reader,
        &filter,
        output.as_mut().map(|(writer, ..)| &mut **writer as &mut dyn TableWriter),
        counts.as_mut(),
        cancel,
    )?;
    let mut text = String::new();
    if let Some((writer, _lock, path)) = output {
        writer.finish()?;
        if !args.quiet {
            let of = if kept < read { format!(" of {}", grouped(read)) } else { String::new() };
            text += &format!("{}: {}{of} points\n", path.display(), grouped(kept));
        }
    }
    if let Some(counts) = counts {
        if args.output.is_none() {
            text += &format!("{}: {} points\n", args.input.display(), grouped(kept));
        }
        text += &counts.text();
    }
    print(&text)
}

/// Refuses an output whose ending names no format of tables, or that is the input.
pub(crate) fn check_places(input: &Path, output: &Path) -> Result<()> {
    TableFormat::of_path(output)?;
    if same_or_inside(input, output) {
        return Err(Error::argument(format!(
            "the output {} is, holds or lies inside the input {}; legal: a place apart from it",
            output.display(),
            input.display()
        )));
    }
    let parent = output.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !parent.is_dir() {
        let (output, parent) = (output.display(), parent.display());
        let message =
            format!("the output {output} needs the folder {parent}, which does not exist");
        return Err(Error::new(ErrorKind::Io, message));
    }
    Ok(())
}

/// Passes on the rows that `filter` keeps, in their order; tells how many there were, and how many
/// these are.
fn copy(
    reader: &mut dyn TableReader,
    filter: &Filter,
    mut writer: Option<&mut dyn TableWriter>,
    mut counts: Option<&mut Counts>,
    cancel: &AtomicBool,
) -> Result<(u64, u64)> {
    let columns = reader.info().columns.len();
    let (mut rows, mut chosen) = (Vec::new(), Vec::new());
    let (mut read, mut kept) = (0, 0);
    loop {
        if cancel.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Cancelled, "stopped"));
        }
        let count = reader.read(&mut rows, BATCH)?;
        if count == 0 {
            return Ok((read, kept));
        }
        chosen.clear();
        for row in rows.chunks_exact(columns).filter(|row| filter.keeps(row)) {
            chosen.extend_from_slice(row);
            kept += 1;
            if let Some(counts) = &mut counts {
                counts.add(row)?;
            }
        }
        read += count as u64;
        if let Some(writer) = &mut writer {
            writer.write(&chosen)?;
        }
    }
}

/// Which rows are wanted.
struct Filter {
    /// A column of coordinates, and where they are wanted.
    region: Vec<(usize, Range<f64>)>,
    channels: Option<(usize, Vec<f64>)>,
    /// Column, least value, whether values are `f32`.
    value: Option<(usize, f64, bool)>,
}

impl Filter {
    fn new(args: &PointsArgs, info: &TableInfo) -> Result<Self> {
        let named = |error: Error, flag| error.context(format!("{flag}, {}", args.input.display()));
        let region = match &args.roi {
            None => Vec::new(),
            Some(text) => {
                let ranges = Roi::parse(text)?.spatial(info.axes.len())?;
                info.coordinates()?.into_iter().zip(ranges).collect()
            }
        };
        let channels = match &args.channel {
            None => None,
            Some(text) => {
                let legal = "channels from 0, as in 0,1";
                let channels: Vec<u32> = numbers(text, "--channel", legal)?;
                let column = info.index_of("channel").map_err(|e| named(e, "--channel"))?;
                Some((column, channels.into_iter().map(f64::from).collect()))
            }
        };
        let value = match &args.min_value {
            None => None,
            Some(text) => {
                let least = text.trim().parse().ok().filter(|v: &f64| !v.is_nan());
                let least = least.ok_or_else(|| {
                    Error::argument(format!("--min-value {text}: legal: a number"))
                })?;
                let column = info.index_of("value").map_err(|e| named(e, "--min-value"))?;
                Some((column, least, info.columns[column].kind == ColumnKind::F32))
            }
        };
        Ok(Self { region, channels, value })
    }

    fn keeps(&self, row: &[f64]) -> bool {
        self.region.iter().all(|(c, range)| range.contains(&row[*c]))
            && self.channels.as_ref().is_none_or(|(c, all)| all.contains(&row[*c]))
            // An f32 that was written as 0.7 is not below 0.7, though the f64 of this name is above.
            && self.value.is_none_or(|(c, least, f32s)| {
                if f32s { row[c] as f32 >= least as f32 } else { row[c] >= least }
            })
    }
}

/// How many points there are of each channel.
struct Counts {
    channel: Option<usize>,
    of: BTreeMap<i64, u64>,
}

impl Counts {
    fn new(info: &TableInfo) -> Self {
        Self { channel: info.index_of("channel").ok(), of: BTreeMap::new() }
    }

    fn add(&mut self, row: &[f64]) -> Result<()> {
        if let Some(c) = self.channel {
            *self.of.entry(row[c] as i64).or_default() += 1;
            if self.of.len() > CHANNELS {
                return Err(Error::data(format!(
                    "--count: there are more than {CHANNELS} channels; legal: a column 'channel' \
                     that holds them"
                )));
            }
        }
        Ok(())
    }

    fn text(&self) -> String {
        let lines = self.of.iter().map(|(c, n)| format!("channel {c}: {}\n", grouped(*n)));
        lines.collect()
    }
}
