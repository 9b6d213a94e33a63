//! What commands tell: as text for people, as JSON for programs.

use std::{fmt::Write, time::Duration};

use serde_json::{Value, json};
use volchunk::{AxisKind, Plan, Report, VolumeInfo};
use volchunk_io::{Format, TableFormat};

use crate::{
    config::{Target, comma},
    prepare::Prepared,
    progress::{duration, rate},
    table::Written,
};

/// A volume, for `info`.
pub(crate) fn info_text(path: &str, info: &VolumeInfo) -> String {
    let mut t = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(t, "{name:<15}{value}");
    };
    line("volume", path.to_owned());
    line("shape", format!("{} ({})", shape(&info.shape), info.axis_names()));
    line("dtype", info.dtype.to_string());
    line("size", format!("{} voxels, {}", grouped(info.voxels()), bytes(info.bytes())));
    line("voxel size", voxel_size(info));
    if info.axes.iter().any(|a| a.origin != 0.0) {
        line(
            "origin",
            info.axes.iter().map(|a| a.origin.to_string()).collect::<Vec<_>>().join(", "),
        );
    }
    line(
        "storage chunk",
        match &info.storage {
            Some(storage) => shape(&storage.chunk),
            None => "none: any region costs what it holds".into(),
        },
    );
    if let Some(shard) = info.storage.as_ref().and_then(|s| s.shard.as_ref()) {
        line("shard", shape(shard));
    }
    t
}

/// A volume as JSON.
pub(crate) fn info_json(info: &VolumeInfo) -> Value {
    let axes = info.axes.iter().map(|a| {
        let kind = match a.kind {
            AxisKind::Space => "space",
            AxisKind::Time => "time",
            AxisKind::Channel => "channel",
        };
        json!({"name": a.name, "kind": kind, "scale": a.scale, "unit": a.unit, "origin": a.origin})
    });
    let sizes: Option<Vec<f64>> =
        info.spatial_axes().iter().map(|&a| info.axes[a].micrometers()).collect();
    let storage = info.storage.as_ref();
    json!({
        "shape": &info.shape[..],
        "dtype": info.dtype.name(),
        "axes": axes.collect::<Vec<_>>(),
        "voxel_size_um": sizes,
        "voxels": info.voxels(),
        "bytes": info.bytes(),
        "storage_chunk": storage.map(|s| s.chunk.to_vec()),
        "shard": storage.and_then(|s| s.shard.as_ref()).map(|s| s.to_vec()),
    })
}

/// What a plan says, for people and for programs: what `volchunk plan` prints.
///
/// ```
/// use volchunk::{Dtype, PlanRequest, StorageRequest, VolumeInfo, plan};
/// use volchunk_cli::PlanReport;
/// # fn main() -> volchunk::Result<()> {
/// let volume = VolumeInfo::new(&[64, 256, 256], Dtype::U16);
/// let op = volchunk_ops::OpSpec::parse("gaussian:sigma=2")?;
/// let pipeline = volchunk_ops::bind_chain(std::slice::from_ref(&op), volume.clone())?;
/// let plan = plan(&PlanRequest {
///     pipeline: &pipeline,
///     roi: None,
///     chunk: None,
///     storage: StorageRequest::Flat,
///     workers: Some(2),
///     memory: Some(4 << 30),
///     held: 0,
///     mask: None,
///     skip_empty: false,
///     read_overhead: 0,
///     write_overhead: &|_| Ok(0),
/// })?;
/// let report = PlanReport {
///     input: "array",
///     source: &volume,
///     ops: &[op.to_string()],
///     output: "array",
///     format: "NumPy array",
///     roi: false,
///     mask: None,
///     skip_empty: None,
///     plan: &plan,
/// };
/// assert!(report.text().starts_with("input          array: 64 × 256 × 256 uint16 (zyx)\n"));
/// assert_eq!(report.json()["chunks"], plan.grid.len());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct PlanReport<'a> {
    /// What to call the input: its path, or what it is.
    pub input: &'a str,
    /// The input.
    pub source: &'a VolumeInfo,
    /// The ops, in order, as `--op` takes them.
    pub ops: &'a [String],
    /// What to call the output.
    pub output: &'a str,
    /// The output's format; [`format_name`] for one that is written to a path.
    pub format: &'a str,
    /// Whether a region of interest was asked for; the text then names it. The JSON always does.
    pub roi: bool,
    /// What to call the mask, and how many chunks lie wholly outside of it.
    pub mask: Option<(&'a str, u64)>,
    /// The value of chunks that count as empty.
    pub skip_empty: Option<&'a str>,
    /// The plan.
    pub plan: &'a Plan,
}

impl PlanReport<'_> {
    /// Lines of a name and a value, each ending in a line feed.
    pub fn text(&self) -> String {
        let Plan { grid, output, workers, memory: m, .. } = self.plan;
        let mut t = String::new();
        let mut line = |name: &str, value: String| {
            let _ = writeln!(t, "{name:<15}{value}");
        };
        let source = self.source;
        line(
            "input",
            format!(
                "{}: {} {} ({})",
                self.input,
                shape(&source.shape),
                source.dtype,
                source.axis_names()
            ),
        );
        for op in self.ops {
            line("op", op.clone());
            if needs_passes(op) {
                line("passes", "over the whole volume, whatever the region or mask: they find what this op needs to know of it (percentiles: 1 for voxels of up to 16 bits, 2 for 32, 4 for 64)".into());
            }
        }
        line(
            "output",
            match self.plan.columns {
                Some(_) => format!("{}: a table ({})", self.output, self.format),
                None => format!(
                    "{}: {} {} ({}), {} of voxels",
                    self.output,
                    shape(&output.shape),
                    output.dtype,
                    self.format,
                    bytes(output.bytes())
                ),
            },
        );
        if self.roi {
            line("region", format!("{} of the result {}", grid.domain(), shape(grid.volume())));
        }
        line(
            "chunks",
            format!(
                "{} ({}), each {}",
                grouped(grid.len()),
                shape(grid.counts()),
                shape(grid.chunk_shape())
            ),
        );
        if let Some((mask, outside)) = self.mask {
            line(
                "mask",
                format!(
                    "{mask}: {} of {} chunks lie wholly outside, and will not be computed",
                    grouped(outside),
                    grouped(grid.len())
                ),
            );
        }
        if let Some(value) = self.skip_empty {
            line(
                "skip empty",
                format!("{value}: how many chunks read nothing else is known when they are read"),
            );
        }
        line("workers", workers.to_string());
        line(
            "peak memory",
            format!(
                "{} projected: {} for the process, {} for each worker, {} for neighbouring storage \
                 chunks; the cap is {}",
                bytes(m.peak),
                bytes(m.base),
                bytes(m.per_worker),
                bytes(m.halo_cache),
                bytes(m.cap)
            ),
        );
        line(
            "halo overhead",
            format!("{:.2} × the voxels of one chunk over all", self.plan.halo_overhead),
        );
        line(
            "read",
            format!(
                "{} needed; decoded {:.2} × that if the neighbours' storage chunks stay in memory, \
                 {:.2} × at worst",
                bytes(self.plan.needed_bytes),
                self.plan.amplification_best,
                self.plan.amplification_worst
            ),
        );
        if self.plan.columns.is_none() {
            line("storage", storage_text(output));
        }
        t
    }

    /// The same as an object; lengths in voxels, memory and sizes in bytes.
    pub fn json(&self) -> Value {
        let Plan { grid, output, workers, memory: m, .. } = self.plan;
        json!({
            "input": info_json(self.source),
            "ops": self.ops,
            "passes_for": self.ops.iter().filter(|op| needs_passes(op)).collect::<Vec<_>>(),
            "output": self.plan.columns.is_none().then(|| info_json(output)),
            "format": self.format,
            "region": grid.domain().ranges().map(|r| [r.start, r.end]).collect::<Vec<_>>(),
            "chunks": grid.len(),
            "chunk_grid": grid.counts(),
            "chunk": grid.chunk_shape(),
            "chunks_outside_mask": self.mask.map(|(_, outside)| outside),
            "skip_empty": self.skip_empty,
            "workers": workers,
            "memory": {
                "peak": m.peak,
                "base": m.base,
                "per_worker": m.per_worker,
                "halo_cache": m.halo_cache,
                "cap": m.cap,
            },
            "halo_overhead": self.plan.halo_overhead,
            "needed_bytes": self.plan.needed_bytes,
            "read_amplification": {
                "best": self.plan.amplification_best,
                "worst": self.plan.amplification_worst,
            },
        })
    }
}

/// Whether an op, as text, needs to know of the whole volume, and was not told.
fn needs_passes(op: &str) -> bool {
    volchunk_ops::OpSpec::parse(op).is_ok_and(|op| op.needs_pass())
}

fn storage_text(output: &VolumeInfo) -> String {
    match &output.storage {
        None => "contiguous; every chunk aligns".into(),
        Some(storage) => match &storage.shard {
            None => format!("storage chunks {}; every chunk aligns", shape(&storage.chunk)),
            Some(shard) => format!(
                "shards {} of storage chunks {}; every chunk aligns",
                shape(shard),
                shape(&storage.chunk)
            ),
        },
    }
}

/// What the runs of one output did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Done {
    /// Volumes written: 1, or the levels of a pyramid.
    levels: u64,
    voxels: u64,
    chunks: u64,
    elapsed: Duration,
    decoded_bytes: u64,
    needed_bytes: u64,
    /// Bytes; None where the system does not tell.
    measured: Option<u64>,
    /// Bytes, by the plan.
    projected: u64,
}

impl Done {
    pub(crate) fn of(report: &Report, plan: &Plan) -> Self {
        Self {
            levels: 1,
            voxels: report.voxels,
            chunks: report.chunks,
            elapsed: report.elapsed,
            decoded_bytes: report.decoded_bytes,
            needed_bytes: plan.needed_bytes,
            measured: report.peak_memory,
            projected: plan.memory.peak,
        }
    }

    /// The same with a run behind it, whose memory is another run's no more.
    pub(crate) fn add(&mut self, next: &Self) {
        self.levels += next.levels;
        self.voxels += next.voxels;
        self.chunks += next.chunks;
        self.elapsed += next.elapsed;
        self.decoded_bytes += next.decoded_bytes;
        self.needed_bytes = self.needed_bytes.saturating_add(next.needed_bytes);
        self.measured = self.measured.max(next.measured);
        self.projected = self.projected.max(next.projected);
    }
}

/// What finished runs did, in a paragraph.
pub(crate) fn summary(prepared: &Prepared, done: &Done, written: Option<Written>) -> String {
    let (config, plan) = (&prepared.config, &prepared.plan);
    let seconds = done.elapsed.as_secs_f64();
    let peak = match done.measured {
        Some(peak) => format!("{} measured, ", bytes(peak)),
        None => String::new(),
    };
    let (what, result) = match written {
        None => (
            format!("Wrote {} voxels", grouped(done.voxels)),
            format!("{} {}", shape(&plan.output.shape), plan.output.dtype),
        ),
        Some(written) => (
            format!("Searched {} voxels", grouped(done.voxels)),
            match (written.rows, written.found) {
                (0, 0) => "no blobs: no response is above the threshold".into(),
                (rows, found) => format!(
                    "{} blobs, of {} peaks ({} overlap a larger one)",
                    grouped(rows),
                    grouped(found),
                    grouped(found - rows)
                ),
            },
        ),
    };
    let mut text = format!(
        "{what} in {}, {}, in {} chunks of {}{} on {} workers, {:.2} × the \
         needed input decoded. Peak memory: {peak}{} projected. The result is {}: {result}, {}.",
        duration(seconds),
        rate(done.voxels as f64 / seconds.max(1e-9)),
        grouped(done.chunks),
        shape(plan.grid.chunk_shape()),
        if done.levels > 1 { " (at the finest level)" } else { "" },
        plan.workers,
        done.decoded_bytes as f64 / done.needed_bytes.max(1) as f64,
        bytes(done.projected),
        config.output.display(),
        target_name(config.target, &plan.output),
    );
    if config.target == Target::Volume(Format::Zarr) && !volchunk_io::ome_describable(&plan.output)
    {
        let _ = write!(
            text,
            " It is a plain Zarr because OME-Zarr cannot describe its axes ({}): it knows t, c and \
             two or three of space, in this order.",
            plan.output.axis_names()
        );
    }
    text
}

/// What a job's output is called; `info` is that of the volume that is written.
pub(crate) fn target_name(target: Target, info: &VolumeInfo) -> &'static str {
    match target {
        Target::Volume(format) => format_name(format, info),
        Target::Table(TableFormat::Csv) => "CSV",
        Target::Table(TableFormat::Parquet) => "Parquet",
        Target::Table(TableFormat::Blobs) => "MagellanMapper's archive",
    }
}

/// What `format` is called for a volume of `info`: OME-Zarr only where OME can describe its axes.
pub fn format_name(format: Format, info: &VolumeInfo) -> &'static str {
    match format {
        Format::Zarr if volchunk_io::ome_describable(info) => "OME-Zarr 0.5",
        Format::Zarr => "Zarr v3",
        Format::Npy => "NPY",
        Format::Tiff => "BigTIFF",
    }
}

fn voxel_size(info: &VolumeInfo) -> String {
    let sizes: Vec<String> = info
        .spatial_axes()
        .iter()
        .map(|&a| {
            let axis = &info.axes[a];
            match (axis.micrometers(), axis.scale, &axis.unit) {
                (Some(um), ..) => format!("{} {um} µm", axis.name),
                (None, Some(scale), Some(unit)) => format!("{} {scale} {unit}", axis.name),
                (None, Some(scale), None) => format!("{} {scale} (no unit)", axis.name),
                (None, None, _) => format!("{} unknown", axis.name),
            }
        })
        .collect();
    let unknown = info.axes.iter().any(|a| a.kind == AxisKind::Space && a.micrometers().is_none());
    let advice = if unknown { "; --voxel-size gives it" } else { "" };
    format!("{}{advice}", sizes.join(", "))
}

/// `64 × 256 × 256`.
pub(crate) fn shape(shape: &[u64]) -> String {
    comma(shape).replace(',', " × ")
}

/// Bytes in the binary unit that keeps the number short.
pub(crate) fn bytes(n: u64) -> String {
    let mut value = n as f64;
    for unit in ["bytes", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            let digits = usize::from(unit != "bytes" && value < 100.0);
            return format!("{value:.digits$} {unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// `13,107,200`.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, d) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(d);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(grouped(13_107_200), "13,107,200");
        assert_eq!(grouped(999), "999");
        assert_eq!(bytes(512), "512 bytes");
        assert_eq!(bytes(3 << 29), "1.5 GiB");
        assert_eq!(bytes(u64::MAX), "16777216.0 TiB");
        assert_eq!(shape(&[64, 256, 256]), "64 × 256 × 256");
    }
}
