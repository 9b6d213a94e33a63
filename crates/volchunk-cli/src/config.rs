//! What a job is to do, checked as far as can be without opening its input.

use std::{
    fmt::Display,
    ops::Range,
    path::{Path, PathBuf},
    str::FromStr,
};

use volchunk::{Coords, Error, Region, Result, VolumeInfo, os};
use volchunk_io::{Format, TableFormat};
use volchunk_ops::{Number, OpSpec};

use crate::args;

/// Axes and voxel size that the user gives in place of the file's.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Description {
    /// A letter for each axis, slowest first.
    pub(crate) axes: Option<String>,
    /// µm; one value, or one for each spatial axis.
    pub(crate) voxel_size: Option<Vec<f64>>,
}

/// Lengths in voxels: one for all spatial axes, one for each of them, or one for every axis.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lengths {
    pub(crate) values: Vec<u64>,
    /// The flag or key that gave them, for messages.
    what: &'static str,
}

/// A region of the result; open ends are None.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Roi(Vec<(Option<u64>, Option<u64>)>);

/// What a job writes, by its output's ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Volume(Format),
    Table(TableFormat),
}

impl Target {
    pub(crate) fn of_output(output: &Path) -> Result<Self> {
        let volume = Format::of_output(output).map(Self::Volume);
        volume.or_else(|e| match TableFormat::of_path(output) {
            Ok(format) => Ok(Self::Table(format)),
            Err(_) => Err(Error::new(
                e.kind(),
                format!("{e}; for a table of what an op finds: .csv, .parquet, _blobs.npz"),
            )),
        })
    }
}

/// One job: input, ops, division, output.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Config {
    pub(crate) input: PathBuf,
    pub(crate) output: PathBuf,
    pub(crate) target: Target,
    pub(crate) description: Description,
    pub(crate) ops: Vec<OpSpec>,
    pub(crate) roi: Option<Roi>,
    pub(crate) chunk: Option<Lengths>,
    pub(crate) storage_chunk: Option<Lengths>,
    pub(crate) shard: Option<Lengths>,
    /// Whether coarser levels are written too.
    pub(crate) pyramid: bool,
    pub(crate) selection: Selection,
}

/// What need not be computed.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Selection {
    pub(crate) mask: Option<PathBuf>,
    /// Outside of the mask; 0 where not given.
    pub(crate) fill: Option<Number>,
    /// The value of chunks that are not worth computing.
    pub(crate) skip_empty: Option<Number>,
}

impl Selection {
    fn from_args(args: &args::Select) -> Result<Self> {
        Self::new(args.mask.clone(), args.fill.as_deref(), args.skip_empty.as_deref())
    }

    /// From numbers as they are written.
    pub(crate) fn new(
        mask: Option<PathBuf>,
        fill: Option<&str>,
        skip_empty: Option<&str>,
    ) -> Result<Self> {
        let fill = fill.map(|t| Number::parse_voxel(t).map_err(|e| e.context("--fill")));
        let skip_empty =
            skip_empty.map(|t| Number::parse(t).map_err(|e| e.context("--skip-empty")));
        Ok(Self { mask, fill: fill.transpose()?, skip_empty: skip_empty.transpose()? })
    }
}

/// What the machine grants a run; no part of the job.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Limits {
    /// Bytes.
    pub(crate) memory: Option<u64>,
    pub(crate) workers: Option<usize>,
}

impl Description {
    pub(crate) fn from_args(args: &args::Describe) -> Result<Self> {
        let sizes = |t: &String| numbers::<f64>(t, "--voxel-size", "µm such as 5 or 5,2,2");
        Ok(Self {
            axes: args.axes.clone(),
            voxel_size: args.voxel_size.as_ref().map(sizes).transpose()?,
        })
    }
}

impl Config {
    pub(crate) fn from_args(
        input: &Path,
        output: &Path,
        ops: &[String],
        divide: &args::Divide,
        describe: &args::Describe,
        select: &args::Select,
    ) -> Result<Self> {
        let lengths = |text: &Option<String>, what| {
            text.as_ref().map(|t| Lengths::parse(t, what)).transpose()
        };
        let config = Self {
            input: input.to_owned(),
            output: output.to_owned(),
            target: Target::of_output(output)?,
            description: Description::from_args(describe)?,
            ops: parse_ops(ops)?,
            roi: divide.roi.as_ref().map(|t| Roi::parse(t)).transpose()?,
            chunk: lengths(&divide.chunk, "--chunk")?,
            storage_chunk: lengths(&divide.storage_chunk, "--storage-chunk")?,
            shard: lengths(&divide.shard, "--shard")?,
            pyramid: false,
            selection: Selection::from_args(select)?,
        };
        config.check_storage()?;
        Ok(config)
    }

    /// Levels, storage chunks and shards are a Zarr's.
    pub(crate) fn check_storage(&self) -> Result<()> {
        if self.pyramid && self.target != Target::Volume(Format::Zarr) {
            return Err(Error::argument(format!(
                "--pyramid: the output {} has no levels; legal: with .zarr",
                self.output.display()
            )));
        }
        let given = self.storage_chunk.as_ref().or(self.shard.as_ref());
        match given.filter(|_| self.target != Target::Volume(Format::Zarr)) {
            Some(lengths) => Err(Error::argument(format!(
                "{}: the output {} has no storage chunks or shards; legal: with .zarr",
                lengths.what,
                self.output.display()
            ))),
            None => Ok(()),
        }
    }
}

/// The ops, in order.
pub(crate) fn parse_ops(texts: &[String]) -> Result<Vec<OpSpec>> {
    texts.iter().map(|t| OpSpec::parse(t).map_err(|e| e.context("--op"))).collect()
}

impl Limits {
    pub(crate) fn from_args(args: &args::Limits) -> Result<Self> {
        let workers = |text: &String| match text.parse::<usize>() {
            Ok(n) if n > 0 => Ok(n),
            _ => Err(Error::argument(format!("--workers {text}: legal: a number from 1"))),
        };
        Ok(Self {
            memory: args.memory.as_deref().map(|t| parse_bytes(t, "--memory")).transpose()?,
            workers: args.workers.as_ref().map(workers).transpose()?,
        })
    }
}

impl Limits {
    /// Bytes for everything; where they are not given, what the process holds and half of what the
    /// machine leaves.
    pub(crate) fn cap(&self) -> u64 {
        self.memory.unwrap_or_else(|| {
            let free = os::available_memory().map_or(2 << 30, |m| m / 2);
            free.saturating_add(os::resident_memory().unwrap_or(0))
        })
    }

    /// Threads; where they are not given, as many as there are cores.
    pub(crate) fn workers(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.workers.unwrap_or_else(cores)
    }
}

/// Bytes with a unit of 1000 (kB, MB, GB, TB) or 1024 (KiB, MiB, GiB, TiB), or without one.
///
/// ```
/// use volchunk_cli::parse_bytes;
/// assert_eq!(parse_bytes("1.5 GiB", "--memory")?, 3 << 29);
/// let error = parse_bytes("8G", "memory").unwrap_err();
/// assert!(error.to_string().starts_with("memory 8G: legal: a number of bytes"));
/// # Ok::<(), volchunk::Error>(())
/// ```
///
/// # Errors
/// Another unit, no number, less than 1 byte, more than `u64` holds; calls the argument `what`.
pub fn parse_bytes(text: &str, what: &str) -> Result<u64> {
    let fail = || {
        Error::argument(format!(
            "{what} {text}: legal: a number of bytes, perhaps with kB, MB, GB, TB or KiB, MiB, \
             GiB, TiB, as in 500MB or 1.5GiB"
        ))
    };
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return Err(fail()),
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor).filter(|&b| b > 0).ok_or_else(fail);
    }
    let bytes = number.parse::<f64>().map_err(|_| fail())? * factor as f64;
    if bytes >= 1.0 && bytes < u64::MAX as f64 { Ok(bytes as u64) } else { Err(fail()) }
}

/// Numbers separated by commas.
pub(crate) fn numbers<T: FromStr>(text: &str, what: &str, legal: &str) -> Result<Vec<T>> {
    text.split(',')
        .map(|t| {
            t.trim().parse().map_err(|_| {
                Error::argument(format!("{what} {text}: '{t}' is not legal; legal: {legal}"))
            })
        })
        .collect()
}

impl Lengths {
    pub(crate) fn parse(text: &str, what: &'static str) -> Result<Self> {
        let legal = "lengths of at least 1 voxel, such as 64 or 64,256,256";
        Self::new(numbers(text, what, legal)?, what)
    }

    pub(crate) fn new(values: Vec<u64>, what: &'static str) -> Result<Self> {
        if values.is_empty() || values.contains(&0) {
            return Err(Error::argument(format!(
                "{what} {}: every length must be at least 1 voxel",
                comma(&values)
            )));
        }
        Ok(Self { values, what })
    }

    /// One length for every axis of `info`.
    pub(crate) fn for_axes(&self, info: &VolumeInfo) -> Result<Coords> {
        if self.values.len() == info.ndim() {
            return Ok(Coords::from_slice(&self.values));
        }
        info.per_axis(&self.values, 1, self.what).map(Coords::from_vec)
    }
}

impl Roi {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let fail = |part: &str| {
            Error::argument(format!(
                "--roi {text}: '{part}' is not legal; legal: start:stop, start:, :stop or : for \
                 every axis, as in 0:30,100:400,:"
            ))
        };
        let end = |t: &str, part: &str| match t.trim() {
            "" => Ok(None),
            t => t.parse().map(Some).map_err(|_| fail(part)),
        };
        text.split(',')
            .map(|part| {
                let (start, stop) = part.split_once(':').ok_or_else(|| fail(part))?;
                Ok((end(start, part)?, end(stop, part)?))
            })
            .collect::<Result<_>>()
            .map(Self)
    }

    /// Where the coordinates of points in it lie, on each of `axes` spatial axes.
    pub(crate) fn spatial(&self, axes: usize) -> Result<Vec<Range<f64>>> {
        if self.0.len() != axes {
            return Err(Error::argument(format!(
                "--roi has {} ranges, the points have {axes} coordinates; legal: one range for each, \
                 : for all of an axis",
                self.0.len()
            )));
        }
        let range = |&(start, stop): &(Option<u64>, Option<u64>)| {
            let number = |end: Option<u64>, open| end.map_or(open, |v| v as f64);
            let range = number(start, f64::NEG_INFINITY)..number(stop, f64::INFINITY);
            match range.is_empty() {
                false => Ok(range),
                true => Err(Error::argument(format!(
                    "--roi: {}:{} is empty; legal: a start below the stop",
                    range.start, range.end
                ))),
            }
        };
        self.0.iter().map(range).collect()
    }

    /// From a job's pairs of start and stop.
    pub(crate) fn from_pairs(pairs: &[[u64; 2]]) -> Self {
        Self(pairs.iter().map(|&[start, stop]| (Some(start), Some(stop))).collect())
    }

    /// The region of a result of `info`.
    pub(crate) fn region(&self, info: &VolumeInfo) -> Result<Region> {
        if self.0.len() != info.ndim() {
            return Err(Error::argument(format!(
                "--roi has {} ranges, the result {:?} has {} axes ({}); legal: one range for each, \
                 : for all of an axis",
                self.0.len(),
                info.shape,
                info.ndim(),
                info.axis_names()
            )));
        }
        let mut ranges = Vec::new();
        for (a, &(start, stop)) in self.0.iter().enumerate() {
            let n = info.shape[a];
            let (start, stop) = (start.unwrap_or(0), stop.unwrap_or(n));
            if start >= stop || stop > n {
                return Err(Error::argument(format!(
                    "--roi: {start}:{stop} on axis {} is {}; legal: within 0:{n} (the result's \
                     shape is {:?})",
                    info.axes[a].name,
                    if start >= stop { "empty" } else { "outside" },
                    info.shape
                )));
            }
            ranges.push(start..stop);
        }
        Ok(Region::from_ranges(ranges))
    }
}

/// Values with commas between them.
pub(crate) fn comma<T: Display>(values: &[T]) -> String {
    values.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use volchunk::Dtype;

    use super::*;

    #[test]
    fn bytes_have_units() {
        for (text, bytes) in [
            ("2GiB", 2 << 30),
            ("500MB", 500_000_000),
            ("1.5 GiB", 3 << 29),
            ("123456", 123_456),
            ("1kb", 1000),
        ] {
            assert_eq!(parse_bytes(text, "--memory").unwrap(), bytes, "{text}");
        }
        for text in ["", "GiB", "-1", "0", "0.0", "2G", "1e3", "NaN", "99999999TiB", "1.2.3MB"] {
            let message = parse_bytes(text, "--memory").unwrap_err().to_string();
            assert!(message.contains("--memory") && message.contains("GiB"), "{text}: {message}");
        }
    }

    #[test]
    fn regions_have_open_ends() {
        let info = VolumeInfo::new(&[30, 400, 500], Dtype::U8);
        let region = |t: &str| Roi::parse(t).and_then(|r| r.region(&info));
        assert_eq!(region("0:30,100:400,:").unwrap().to_string(), "[0:30, 100:400, 0:500]");
        assert_eq!(region(":3, 7:,1:2").unwrap().to_string(), "[0:3, 7:400, 1:2]");
        for bad in ["0:30", "0:31,:,:", "5:5,:,:", "6:5,:,:", "3,:,:", "-1:3,:,:", "a:b,:,:", ""] {
            assert!(region(bad).unwrap_err().to_string().contains("--roi"), "{bad}");
        }
    }

    #[test]
    fn lengths_address_the_spatial_axes() {
        let info = VolumeInfo::new(&[2, 3, 30, 400, 500], Dtype::U8);
        let lengths = |t: &str| Lengths::parse(t, "--chunk").and_then(|l| l.for_axes(&info));
        assert_eq!(lengths("64").unwrap().to_vec(), [1, 1, 64, 64, 64]);
        assert_eq!(lengths("8,16,32").unwrap().to_vec(), [1, 1, 8, 16, 32]);
        assert_eq!(lengths("2,1,8,16,32").unwrap().to_vec(), [2, 1, 8, 16, 32]);
        for bad in ["8,16", "0", "8,0,8", "-1", "x", "", "1.5"] {
            assert!(lengths(bad).unwrap_err().to_string().contains("--chunk"), "{bad}");
        }
    }
}
