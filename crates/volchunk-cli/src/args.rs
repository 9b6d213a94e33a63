//! The command line as it is typed; nothing is checked here but its form.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use volchunk::Result;

use crate::colocalize::{self, ColocalizeArgs};

const EXAMPLES: &str = "\
Examples:
  volchunk info scan/                      a folder of TIFF planes
  volchunk plan scan/ out.zarr --op gaussian:sigma=2 --memory 2GiB
  volchunk run  scan/ out.zarr --op gaussian:sigma=5um --voxel-size 5,2,2
  volchunk convert scan/ scan.zarr --pyramid
  volchunk status out.zarr                 how far it is; the command that began it goes on with it
  volchunk demo

Exit codes: 0 done, 1 failure, 2 wrong usage, 130 stopped by Ctrl-C.";

const DETECT: &str = "\
The meaning is that of scikit-image's blob_log and blob_dog on the whole volume: the table does not
depend on chunks, workers or parts. Responses are in units of the full range of an integer dtype (a
uint16 volume whose cells stand out by 600 has responses of about 0.01), so thresholds are small; after an op that
gives floats, such as highpass, they are in units of its voxels.

Examples:
  volchunk detect scan/ cells.csv --min-sigma 1.5,4,4 --max-sigma 2.5,6,6 --num-sigma 3 --threshold 0.003
  volchunk detect scan/ cells.csv --voxel-size 5,2,2 --min-sigma 6um --max-sigma 9um --num-sigma 3 \\
      --op highpass:sigma=30um --threshold 300 --figure cells.png --report cells.html

Exit codes: 0 done, also where nothing was found, 1 failure, 2 wrong usage, 130 stopped by Ctrl-C.";

const VERIFY: &str = "\
Of an output of `run` or `convert`, every chunk is read back and held against the digest that was taken
when it was written. Up to 24 regions where chunks meet, of up to 32,768 voxels each (of a table, chunks
of a grid that is shifted by half a chunk), are computed anew and compared bit for bit. And on planes of
the grid, of any volume, what changes across them is compared with what changes across the planes beside
them: a seam is where it stands out. A volume with fewer than 256 voxels on a plane, or fewer than 20
planes to compare with, is too small to judge, which is said in place of a finding.

Examples:
  volchunk verify out.zarr
  volchunk verify stitched.tif --grid 64,256,256 --figure seam.png

Exit codes: 0 nothing found, 1 something found, or a failure, 2 wrong usage, 130 stopped by Ctrl-C.";

const POINTS: &str = "\
Examples:
  volchunk points cells.csv cells.parquet
  volchunk points brain_blobs.npz cells.csv --roi 100:200,:,: --channel 0
  volchunk points cells.parquet --count --min-value 0.1

A table's ending decides its format: .csv opens in napari; .parquet keeps axes and voxel size;
_blobs.npz is what MagellanMapper reads, which has no place for columns but its own and
coloc-N. Rows keep their order, and their index.";

/// Divides n-d image volumes into overlapping chunks, works on every core, reassembles without seams.
///
/// Reads folders of TIFF planes, TIFF, NPY, Zarr and OME-Zarr; writes OME-Zarr, NPY and BigTIFF.
#[derive(Debug, Parser)]
#[command(name = "volchunk", bin_name = "volchunk", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say what a volume is: shape, dtype, axes, voxel size, storage chunks
    #[command(after_help = "Example: volchunk info scan/ --voxel-size 5,2,2 --json")]
    Info(InfoArgs),
    /// State what a run would cost: chunks, memory, halos, bytes read and written
    #[command(after_help = ops_help())]
    Plan(PlanArgs),
    /// Run ops over a volume, chunk by chunk, on every core
    #[command(after_help = ops_help())]
    Run(RunArgs),
    /// Find blobs, such as cells, in a whole volume, and write a table of them
    #[command(after_help = DETECT)]
    Detect(Box<DetectArgs>),
    /// Write a volume in another format, or another storage, without an op
    #[command(
        after_help = "Example: volchunk convert scan/ scan.zarr --voxel-size 5,2,2 --pyramid"
    )]
    Convert(ConvertArgs),
    /// Say how far an output is, also while it is being written
    #[command(after_help = "Example: volchunk status out.zarr --json")]
    Status(StatusArgs),
    /// Check an output: is it what was written, and can a seam be seen? Also on other programs' output
    #[command(after_help = VERIFY)]
    Verify(VerifyArgs),
    /// Mark an output complete that was written with --part, if every chunk of every part is there
    #[command(after_help = "Example: volchunk run in.tif out.zarr --part 0/2; \
                      volchunk run in.tif out.zarr --part 1/2; volchunk finish out.zarr")]
    Finish(FinishArgs),
    /// Write a table of points in another format, or a part of it; count them
    #[command(after_help = POINTS)]
    Points(PointsArgs),
    /// Say which points lie in several channels: by distance to other channels' points, or by intensity
    #[command(after_help = colocalize::HELP)]
    Colocalize(Box<ColocalizeArgs>),
    /// Make a synthetic volume of cells, find them, check that no seam can be seen
    Demo(DemoArgs),
}

/// The ops, for `plan --help` and `run --help`.
fn ops_help() -> String {
    let mut text = String::from(
        "Ops (values separated by commas address the spatial axes, slowest first; one value stands \
         for all of them):\n",
    );
    for line in volchunk_ops::help().lines() {
        text += &format!("  {line}\n");
    }
    text + "\nExample: volchunk run in.tif out.zarr --op gaussian:sigma=1,2.5,2.5 --op threshold:value=300"
}

/// What supplies or overrides an input's metadata.
#[derive(Debug, Default, Args)]
pub(crate) struct Describe {
    /// Names of the input's axes, a letter each, slowest first, such as tczyx
    #[arg(long, value_name = "NAMES", allow_hyphen_values = true)]
    pub(crate) axes: Option<String>,
    /// Voxel size in µm: one value, or one for each spatial axis, slowest first, such as 5,2,2
    #[arg(long, value_name = "µm[,µm…]", allow_hyphen_values = true)]
    pub(crate) voxel_size: Option<String>,
}

/// What is done to the input.
#[derive(Debug, Default, Args)]
pub(crate) struct Ops {
    /// Ops that are commonly used together; before those of --op
    #[arg(long, value_name = "NAME", value_parser = clap::builder::PossibleValuesParser::new(volchunk_ops::PRESETS))]
    pub(crate) preset: Option<String>,
    /// An op, name:key=value[:key=value…]; repeat for a pipeline
    #[arg(long = "op", value_name = "OP")]
    pub(crate) ops: Vec<String>,
}

impl Ops {
    /// All of them, as text.
    pub(crate) fn list(&self) -> Result<Vec<String>> {
        let preset = self.preset.as_deref().map(volchunk_ops::preset).transpose()?;
        let preset = preset.into_iter().flatten().map(|op| op.to_string());
        Ok(preset.chain(self.ops.iter().cloned()).collect())
    }
}

/// How the result is divided and stored.
#[derive(Debug, Default, Args)]
pub(crate) struct Divide {
    /// Chunk in voxels: one length, or one for each spatial axis [default: chosen by the plan]
    #[arg(long, value_name = "N[,N…]", allow_hyphen_values = true)]
    pub(crate) chunk: Option<String>,
    /// Storage chunk of a Zarr output in voxels [default: the chunk, or a divisor of it]
    #[arg(long, value_name = "N[,N…]", allow_hyphen_values = true)]
    pub(crate) storage_chunk: Option<String>,
    /// Shard of a Zarr output in voxels: a multiple of the storage chunk [default: no shards]
    #[arg(long, value_name = "N[,N…]", allow_hyphen_values = true)]
    pub(crate) shard: Option<String>,
    /// Only this region of the result, every axis: 0:30,100:400,: (open ends are legal)
    #[arg(long, value_name = "A:B,…", allow_hyphen_values = true)]
    pub(crate) roi: Option<String>,
}

/// What need not be computed.
#[derive(Debug, Default, Args)]
pub(crate) struct Select {
    /// A volume of the result's shape: where it is 0 the output is the fill value; chunks that lie
    /// wholly there are not computed
    #[arg(long, value_name = "FILE")]
    pub(crate) mask: Option<PathBuf>,
    /// What the output is outside of the mask [default: 0]
    #[arg(long, value_name = "VALUE", requires = "mask", allow_hyphen_values = true)]
    pub(crate) fill: Option<String>,
    /// Don't compute chunks that read nothing but this value: they get what the ops give there, and
    /// the result stays the same, bit for bit
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    pub(crate) skip_empty: Option<String>,
}

/// What the machine grants.
#[derive(Debug, Args)]
pub(crate) struct Limits {
    /// Most memory to use, such as 2GiB or 500MB [default: half of what is free]
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub(crate) memory: Option<String>,
    /// Threads [default: as many as there are cores]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) workers: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    /// The volume: a folder of TIFF planes, a TIFF, an NPY, a Zarr
    pub(crate) input: PathBuf,
    #[command(flatten)]
    pub(crate) describe: Describe,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// The volume to read
    pub(crate) input: PathBuf,
    /// What a run would write; the ending decides: .zarr, .npy, .tif
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) ops: Ops,
    #[command(flatten)]
    pub(crate) divide: Divide,
    #[command(flatten)]
    pub(crate) select: Select,
    #[command(flatten)]
    pub(crate) limits: Limits,
    #[command(flatten)]
    pub(crate) describe: Describe,
    /// Write the job to this file, for `volchunk run --job`
    #[arg(long, value_name = "FILE")]
    pub(crate) write_job: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The volume to read
    #[arg(required_unless_present = "job")]
    pub(crate) input: Option<PathBuf>,
    /// What to write; the ending decides: .zarr, .npy, .tif
    #[arg(required_unless_present = "job")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) ops: Ops,
    #[command(flatten)]
    pub(crate) divide: Divide,
    #[command(flatten)]
    pub(crate) select: Select,
    #[command(flatten)]
    pub(crate) limits: Limits,
    #[command(flatten)]
    pub(crate) describe: Describe,
    /// Run the job in this file, which `volchunk plan --write-job` wrote
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "input", "output", "ops", "preset", "chunk", "storage_chunk", "shard", "roi", "axes", "voxel_size",
        "mask", "fill", "skip_empty",
    ])]
    pub(crate) job: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) manner: Manner,
}

/// What is looked for.
#[derive(Debug, Args)]
pub(crate) struct Detector {
    /// log, the Laplacian of Gaussian, or dog, the difference of Gaussians
    #[arg(long, value_name = "METHOD", default_value = "log", value_parser = ["log", "dog"])]
    method: String,
    /// Least standard deviation of a blob: one, or one for each spatial axis; voxels, or µm as in 6um
    #[arg(long, value_name = "N[um][,N…]", allow_hyphen_values = true)]
    min_sigma: String,
    /// Largest standard deviation
    #[arg(long, value_name = "N[um][,N…]", allow_hyphen_values = true)]
    max_sigma: String,
    /// How many standard deviations from the least to the largest; log only [default: 10]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    num_sigma: Option<String>,
    /// From a standard deviation to the next; dog only [default: 1.6]
    #[arg(long, value_name = "RATIO", allow_hyphen_values = true)]
    sigma_ratio: Option<String>,
    /// Space standard deviations evenly in the logarithm; log only
    #[arg(long)]
    log_scale: bool,
    /// Least response of a blob, which itself is too small [default: 0.2, dog 0.5]
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    threshold: Option<String>,
    /// The same as a fraction of the largest response of the volume, which a pass of its own finds;
    /// the larger of the two counts
    #[arg(long, value_name = "FRACTION", allow_hyphen_values = true)]
    threshold_rel: Option<String>,
    /// Of two blobs of which more than this fraction overlaps, the larger stays [default: 0.5]
    #[arg(long, value_name = "FRACTION", allow_hyphen_values = true)]
    overlap: Option<String>,
    /// No blobs in the first and last N voxels: of all spatial axes, or of each [default: 0]
    #[arg(long, value_name = "N[,N…]", allow_hyphen_values = true)]
    exclude_border: Option<String>,
    /// Channels to search, such as 0,1 [default: all]
    #[arg(long, value_name = "N[,N…]", allow_hyphen_values = true)]
    channel: Option<String>,
}

impl Detector {
    /// As an op.
    pub(crate) fn op(&self) -> String {
        let mut op =
            format!("{}:min-sigma={}:max-sigma={}", self.method, self.min_sigma, self.max_sigma);
        for (key, value) in [
            ("num-sigma", &self.num_sigma),
            ("sigma-ratio", &self.sigma_ratio),
            ("threshold", &self.threshold),
            ("threshold-rel", &self.threshold_rel),
            ("overlap", &self.overlap),
            ("exclude-border", &self.exclude_border),
            ("channel", &self.channel),
        ] {
            if let Some(value) = value {
                op += &format!(":{key}={value}");
            }
        }
        if self.log_scale {
            op += ":log-scale=true";
        }
        op
    }
}

#[derive(Debug, Args)]
pub(crate) struct DetectArgs {
    /// The volume to read
    pub(crate) input: PathBuf,
    /// The table to write; the ending decides: .csv, .parquet, _blobs.npz
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) detector: Detector,
    #[command(flatten)]
    pub(crate) ops: Ops,
    /// Draw the cells on maximum projections of the input
    #[arg(long, value_name = "PNG")]
    pub(crate) figure: Option<PathBuf>,
    /// Write a page with the figure, histograms, counts along the axes, parameters
    #[arg(long, value_name = "HTML")]
    pub(crate) report: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) divide: Divide,
    #[command(flatten)]
    pub(crate) select: Select,
    #[command(flatten)]
    pub(crate) limits: Limits,
    #[command(flatten)]
    pub(crate) describe: Describe,
    #[command(flatten)]
    pub(crate) manner: Manner,
}

/// How a command that writes behaves.
#[derive(Debug, Args)]
pub(crate) struct Manner {
    /// Replace whatever output is there, instead of going on with it
    #[arg(long)]
    pub(crate) force: bool,
    /// Of an output that was begun, or is complete, read back every chunk, and compute those anew
    /// that are not what was written
    #[arg(long, conflicts_with = "force")]
    pub(crate) check: bool,
    /// Try a chunk that met an I/O error again, up to N times, after a while that doubles
    #[arg(long, value_name = "N", default_value = "0", allow_hyphen_values = true)]
    pub(crate) retries: String,
    /// When a chunk fails, go on with the others; list the failed ones, and exit with 1
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// Write one of n disjoint parts, 0 <= i < n; then `volchunk finish`
    #[arg(long, value_name = "i/n", conflicts_with = "force", allow_hyphen_values = true)]
    pub(crate) part: Option<String>,
    /// What a chunk must survive to count as done: none, the end of this process; chunk, a power cut
    /// too, as every chunk is flushed to the disk
    #[arg(long, value_name = "WHAT", default_value = "none", value_parser = ["none", "chunk"])]
    pub(crate) durable: String,
    /// Print nothing but errors
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The output of `run` or `convert`
    pub(crate) output: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// An output of `run` or `convert`; with --grid any volume
    pub(crate) output: PathBuf,
    /// Look for seams alone, on a grid of this distance in voxels: one length, or one for each
    /// spatial axis [default: the chunk that the output was made with]
    #[arg(long, value_name = "N[,N…]", allow_hyphen_values = true)]
    pub(crate) grid: Option<String>,
    /// A voxel at which a chunk of --grid begins: one, or one for each spatial axis [default: 0]
    #[arg(long, value_name = "N[,N…]", requires = "grid", allow_hyphen_values = true)]
    pub(crate) offset: Option<String>,
    /// Draw the worst seam, or where one is likeliest, beside what was measured there
    #[arg(long, value_name = "PNG")]
    pub(crate) figure: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) limits: Limits,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FinishArgs {
    /// The output that was written with --part
    pub(crate) output: PathBuf,
    /// Print nothing but errors
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ConvertArgs {
    /// The volume to read
    pub(crate) input: PathBuf,
    /// What to write; the ending decides: .zarr, .npy, .tif
    pub(crate) output: PathBuf,
    /// Also write coarser levels, each half as fine (mean of 2× per spatial axis); OME-Zarr only
    #[arg(long)]
    pub(crate) pyramid: bool,
    #[command(flatten)]
    pub(crate) divide: Divide,
    #[command(flatten)]
    pub(crate) limits: Limits,
    #[command(flatten)]
    pub(crate) describe: Describe,
    #[command(flatten)]
    pub(crate) manner: Manner,
}

#[derive(Debug, Args)]
pub(crate) struct PointsArgs {
    /// The table to read: .csv, .parquet, _blobs.npz
    pub(crate) input: PathBuf,
    /// The table to write; the ending decides: .csv, .parquet, _blobs.npz
    #[arg(required_unless_present = "count")]
    pub(crate) output: Option<PathBuf>,
    /// Only points within this region, in voxels, every spatial axis: 0:30,100:400,: (half open)
    #[arg(long, value_name = "A:B,…", allow_hyphen_values = true)]
    pub(crate) roi: Option<String>,
    /// Only points of these channels
    #[arg(long, value_name = "N[,N…]", allow_hyphen_values = true)]
    pub(crate) channel: Option<String>,
    /// Only points whose value is at least this
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    pub(crate) min_value: Option<String>,
    /// Print how many points there are, of each channel too
    #[arg(long)]
    pub(crate) count: bool,
    /// Print nothing but errors, and what --count asks for
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Folder for the volumes and the picture [default: a new one among temporary files]
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
}
