//! Every op: its keys, and how it is bound. A further op is one row here.

use volchunk::{Error, Op, Result, VolumeInfo};

use super::{OpSpec, given::per_axis, value::Kind};
use crate::{
    Cast, Downsample, Elementwise, Extremum, Footprint, Gaussian, LocalPercentile, Median,
    Multiply, Order, Percentile, Rescale, Shape, Subtract, Threshold, TotalVariation, Transpose,
    closing, erosion_where, highpass, opening, tophat, unsharp,
};

/// An op that can be named in text.
#[derive(Debug)]
pub struct OpInfo {
    /// Its name.
    pub name: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    /// Its keys, in canonical order.
    pub keys: &'static [Key],
    /// Relations between values that no single key can check.
    pub(super) check: fn(&OpSpec) -> Result<()>,
    pub(super) bind: fn(&OpSpec, &VolumeInfo) -> Result<Box<dyn Op>>,
    /// The percentiles of its whole input that it needs, which the key `found` then holds.
    pub(super) percents: fn(&OpSpec) -> Result<Vec<f64>>,
}

/// A key of an op.
#[derive(Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Whether it must be given.
    pub required: bool,
    /// Its value where it is not given.
    pub default: Option<&'static str>,
    /// What it means, in a line.
    pub summary: &'static str,
}

impl PartialEq for OpInfo {
    /// Names are unique.
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl OpInfo {
    /// The form to write: `gaussian:sigma=N[um][,…][:boundary=BOUNDARY]`.
    pub fn usage(&self) -> String {
        let keys = self.keys.iter().map(|k| {
            let key = format!(":{}={}", k.name, k.kind.placeholder());
            if k.required { key } else { format!("[{key}]") }
        });
        format!("{}{}", self.name, keys.collect::<String>())
    }
}

const fn required(name: &'static str, kind: Kind, summary: &'static str) -> Key {
    Key { name, kind, required: true, default: None, summary }
}

const fn optional(name: &'static str, kind: Kind, summary: &'static str) -> Key {
    Key { name, kind, required: false, default: None, summary }
}

const fn default(
    name: &'static str,
    kind: Kind,
    value: &'static str,
    summary: &'static str,
) -> Key {
    Key { name, kind, required: false, default: Some(value), summary }
}

const fn op(
    name: &'static str,
    summary: &'static str,
    keys: &'static [Key],
    bind: fn(&OpSpec, &VolumeInfo) -> Result<Box<dyn Op>>,
) -> OpInfo {
    OpInfo { name, summary, keys, check: |_| Ok(()), bind, percents: |_| Ok(Vec::new()) }
}

const MIN_SIGMA: &str = "least standard deviation; above 0";
const MAX_SIGMA: &str = "largest standard deviation; at least min-sigma";
const THRESHOLD: &str = "least response, which itself is too small; at least 0";
const THRESHOLD_REL: &str = "the same as a fraction of the largest response of the volume, 0 to 1; the larger of the two counts";
const OVERLAP: &str = "fraction, 0 to 1; of two blobs of which more than this overlaps, one goes when the table is finished";
const BORDER: &str = "no blobs in the first and last so many voxels of an axis";
const CHANNEL: &str = "channels to search (if not given, all)";
const FOOTPRINT: Key = default(
    "footprint",
    Kind::Choice(&["octahedron", "ball", "cube"]),
    "octahedron",
    "the neighbourhood, as in skimage.morphology",
);
const RADIUS: Key = required("radius", Kind::Integers, "voxels on either side of the centre");
const LOW: Key = default("low", Kind::Number, "5", "percentile that becomes min");
const HIGH: Key = default("high", Kind::Number, "99.5", "percentile that becomes max");
const MIN: Key = default("min", Kind::Number, "0", "what the low percentile becomes");
const MAX: Key = default("max", Kind::Number, "1", "what the high percentile becomes");
const SMOOTH_BOUNDARY: Key =
    default("boundary", Kind::Boundaries, "reflect", "what it sees beyond the true edge");

/// Every op, in the order in which help shows them.
pub static OPS: &[OpInfo] = &[
    op(
        "gaussian",
        "Gaussian filter or its derivatives, with the numbers of scipy.ndimage.gaussian_filter",
        &[
            required("sigma", Kind::Lengths, "standard deviation; 0 leaves an axis as it is"),
            optional(
                "order",
                Kind::Integers,
                "0 smooths (so if not given), n is its n-th derivative",
            ),
            optional("truncate", Kind::Number, "where it ends, in sigmas (if not given, 4)"),
            optional("radius", Kind::Integers, "where it ends, in voxels; in place of truncate"),
            default("boundary", Kind::Boundaries, "reflect", "what it sees beyond the true edge"),
            optional(
                "dtype",
                Kind::Dtype,
                "dtype of the output; integers truncate toward zero (if not given, float32, or float64 for float64 and integers of 32 bits or more)",
            ),
        ],
        |spec, input| {
            let dtype = spec.value("dtype").map(|_| spec.dtype("dtype")).transpose()?;
            boxed(Gaussian::new(input.clone(), &spec.gaussian_axes(input)?, dtype)?)
        },
    ),
    op(
        "downsample",
        "mean of each group of voxels; dtype stays, integers round half to even",
        &[required("factor", Kind::Counts, "voxels of a group per axis")],
        |spec, input| {
            let factor = per_axis(input, spec.counts("factor")?, 1, "factor")?;
            boxed(Downsample::new(input.clone(), &factor)?)
        },
    ),
    OpInfo {
        check: |spec| spec.one_of("factor", "size"),
        ..op(
            "rescale",
            "resamples to a factor or a voxel size; dtype stays, integers round half to even",
            &[
                optional(
                    "factor",
                    Kind::Factors,
                    "output voxels per input voxel; above 1 enlarges",
                ),
                optional("size", Kind::Micrometers, "voxel size of the output"),
                default("order", Kind::Choice(&["0", "1"]), "1", "0 nearest, 1 linear"),
            ],
            |spec, input| {
                let factor = match spec.value("size") {
                    Some(_) => spec.enlargement("size", input)?,
                    None => {
                        let factor: Vec<f64> =
                            spec.lengths("factor")?.iter().map(|f| f.value).collect();
                        per_axis(input, &factor, 1.0, "factor")?
                    }
                };
                let order = if spec.word("order")? == "0" { Order::Nearest } else { Order::Linear };
                boxed(Rescale::new(input.clone(), &factor, order)?)
            },
        )
    },
    op(
        "transpose",
        "axes in another order",
        &[required("axes", Kind::Axes, "all axes in their new order")],
        |spec, input| boxed(Transpose::by_names(input.clone(), spec.word("axes")?)?),
    ),
    op(
        "cast",
        "another dtype; rounds half to even, saturates, NaN becomes 0",
        &[required("dtype", Kind::Dtype, "dtype of the output")],
        |spec, input| {
            let dtype = spec.dtype("dtype")?;
            boxed(Elementwise::new(input.clone(), Cast { dtype })?)
        },
    ),
    OpInfo {
        check: |spec| spec.clip().map(|_| ()),
        ..op(
            "clip",
            "moves values outside of a range to its ends; dtype stays",
            &[
                optional("min", Kind::Number, "least value"),
                optional("max", Kind::Number, "largest value"),
            ],
            |spec, input| boxed(Elementwise::new(input.clone(), spec.clip()?)?),
        )
    },
    op(
        "threshold",
        "1 where a voxel is above a value, else 0; uint8",
        &[required("value", Kind::Number, "the value, which itself gives 0")],
        |spec, input| {
            let value = spec.number("value")?;
            boxed(Elementwise::new(input.clone(), Threshold { value })?)
        },
    ),
    OpInfo {
        check: |spec| Subtract::new(spec.number("value")?).map(|_| ()),
        ..op(
            "subtract",
            "voxel minus a constant; float32, or float64 for float64 and integers of 32 bits or more",
            &[required("value", Kind::Number, "the constant")],
            |spec, input| {
                boxed(Elementwise::new(input.clone(), Subtract::new(spec.number("value")?)?)?)
            },
        )
    },
    OpInfo {
        check: |spec| Multiply::new(spec.number("value")?).map(|_| ()),
        ..op(
            "multiply",
            "voxel times a constant; float32, or float64 for float64 and integers of 32 bits or more",
            &[required("value", Kind::Number, "the constant")],
            |spec, input| {
                boxed(Elementwise::new(input.clone(), Multiply::new(spec.number("value")?)?)?)
            },
        )
    },
    OpInfo {
        check: |spec| spec.both("above", "sigma"),
        ..op(
            "erode",
            "grey erosion: the least voxel of a neighbourhood; dtype stays",
            &[
                FOOTPRINT,
                RADIUS,
                optional("above", Kind::Number, "only where the local mean is above this"),
                optional("sigma", Kind::Lengths, "of the gaussian that is the local mean"),
            ],
            |spec, input| {
                let footprint = spec.footprint(input)?;
                if spec.value("above").is_none() {
                    return boxed(Extremum::erosion(input.clone(), &footprint)?);
                }
                let mean = spec.smooth(input, "sigma")?;
                let above = spec.number("above")?.to_f64();
                boxed(erosion_where(input.clone(), &footprint, &mean, above)?)
            },
        )
    },
    op(
        "dilate",
        "grey dilation: the largest voxel of a neighbourhood; dtype stays",
        &[FOOTPRINT, RADIUS],
        |spec, input| boxed(Extremum::dilation(input.clone(), &spec.footprint(input)?)?),
    ),
    op(
        "open",
        "grey opening: erosion, then dilation; dtype stays",
        &[FOOTPRINT, RADIUS],
        |spec, input| boxed(opening(input.clone(), &spec.footprint(input)?)?),
    ),
    op(
        "close",
        "grey closing: dilation, then erosion; dtype stays",
        &[FOOTPRINT, RADIUS],
        |spec, input| boxed(closing(input.clone(), &spec.footprint(input)?)?),
    ),
    op(
        "tophat",
        "white top-hat: voxel minus the opening, so what is bright and small; dtype stays",
        &[FOOTPRINT, RADIUS],
        |spec, input| boxed(tophat(input.clone(), &spec.footprint(input)?)?),
    ),
    op(
        "median",
        "median of a cube, as scipy.ndimage.median_filter; dtype stays",
        &[RADIUS],
        |spec, input| {
            let radius = per_axis(input, spec.counts("radius")?, 0, "radius")?;
            boxed(Median::new(input.clone(), &Footprint::new(Shape::Cube, radius, input)?)?)
        },
    ),
    op(
        "highpass",
        "voxel minus its gaussian; float32, or float64 for float64 and integers of 32 bits or more",
        &[required("sigma", Kind::Lengths, "standard deviation of the gaussian"), SMOOTH_BOUNDARY],
        |spec, input| boxed(highpass(input.clone(), &spec.smooth(input, "sigma")?)?),
    ),
    OpInfo {
        check: |spec| spec.finite("amount").map(|_| ()),
        ..op(
            "unsharp",
            "unsharp mask: voxel + (voxel - gaussian) * amount; float32 or float64 as highpass",
            &[
                required("radius", Kind::Lengths, "standard deviation of the gaussian"),
                default("amount", Kind::Number, "1", "how much of the difference is added"),
                SMOOTH_BOUNDARY,
            ],
            |spec, input| {
                let axes = spec.smooth(input, "radius")?;
                boxed(unsharp(input.clone(), &axes, spec.finite("amount")?)?)
            },
        )
    },
    OpInfo {
        check: |spec| {
            let sane = |v: f64| (v > 0.0).then_some(()).filter(|()| v.is_finite());
            sane(spec.number("weight")?.to_f64()).ok_or_else(|| {
                Error::argument("weight is not above 0 and finite; legal: such as 0.1")
            })
        },
        ..op(
            "tv",
            "total-variation denoising, as skimage.restoration.denoise_tv_chambolle; float32 or float64 as highpass",
            &[
                default(
                    "weight",
                    Kind::Number,
                    "0.1",
                    "more denoises more; in the units of the voxels",
                ),
                default("iterations", Kind::Counts, "20", "how many; the halo is one less"),
            ],
            |spec, input| {
                let [iterations] = spec.counts("iterations")? else {
                    return Err(Error::argument("iterations has several values; legal: one"));
                };
                let weight = spec.number("weight")?.to_f64();
                boxed(TotalVariation::new(input.clone(), weight, *iterations)?)
            },
        )
    },
    OpInfo {
        check: |spec| spec.ranges(2),
        percents: |spec| spec.percents().map(Vec::from),
        ..op(
            "percentile",
            "clips to percentiles of the whole volume and rescales, after passes that find them; float32 or float64 as highpass",
            &[
                LOW,
                HIGH,
                MIN,
                MAX,
                optional("found", Kind::Numbers, "the two percentiles, in place of the passes"),
            ],
            |spec, input| {
                let found = spec.found()?.and_then(|v| v.try_into().ok());
                let [min, max] = [spec.finite("min")?, spec.finite("max")?];
                boxed(Percentile::new(input.clone(), found, min, max)?)
            },
        )
    },
    OpInfo {
        check: |spec| spec.ranges(1),
        percents: |spec| match spec.value("floor") {
            Some(_) => Ok(vec![spec.percents()?[1]]),
            None => Ok(Vec::new()),
        },
        ..op(
            "local-percentile",
            "clips to percentiles of the surroundings, interpolated between cells of a lattice, and rescales; float32 or float64 as highpass",
            &[
                required("block", Kind::Lengths, "size of a cell of the lattice"),
                LOW,
                HIGH,
                MIN,
                MAX,
                optional(
                    "floor",
                    Kind::Number,
                    "the high percentile is at least this times that of the whole volume",
                ),
                optional(
                    "found",
                    Kind::Numbers,
                    "the whole volume's high percentile, in place of the passes",
                ),
            ],
            |spec, input| {
                let size: Vec<u64> = spec
                    .voxels("block", input)?
                    .iter()
                    .map(|&v| v.round().max(1.0) as u64)
                    .collect();
                let range = [spec.finite("min")?, spec.finite("max")?];
                let op = LocalPercentile::new(input.clone(), &size, spec.percents()?, range)?;
                match spec.value("floor") {
                    None => boxed(op),
                    Some(_) => {
                        let whole = spec.found()?.and_then(|v| v.first().copied());
                        boxed(op.with_floor(spec.finite("floor")?, whole))
                    }
                }
            },
        )
    },
    OpInfo {
        check: OpSpec::check_blobs,
        ..op(
            "log",
            "a table of bright blobs, by the Laplacian of Gaussian; those of skimage.feature.blob_log before they are pruned",
            &[
                required("min-sigma", Kind::Lengths, MIN_SIGMA),
                required("max-sigma", Kind::Lengths, MAX_SIGMA),
                default("num-sigma", Kind::Counts, "10", "how many sigmas from least to largest"),
                default(
                    "log-scale",
                    Kind::Choice(&["false", "true"]),
                    "false",
                    "whether they are evenly spaced in the logarithm",
                ),
                default("threshold", Kind::Number, "0.2", THRESHOLD),
                optional("threshold-rel", Kind::Number, THRESHOLD_REL),
                optional("found", Kind::Numbers, "the largest response, in place of the pass"),
                default("overlap", Kind::Number, "0.5", OVERLAP),
                default("exclude-border", Kind::Integers, "0", BORDER),
                optional("channel", Kind::Integers, CHANNEL),
            ],
            |spec, input| boxed(spec.blobs(input)?),
        )
    },
    OpInfo {
        check: OpSpec::check_blobs,
        ..op(
            "dog",
            "a table of bright blobs, by the difference of Gaussians; those of skimage.feature.blob_dog before they are pruned",
            &[
                required("min-sigma", Kind::Lengths, MIN_SIGMA),
                required("max-sigma", Kind::Lengths, MAX_SIGMA),
                default("sigma-ratio", Kind::Number, "1.6", "from a sigma to the next; above 1"),
                default("threshold", Kind::Number, "0.5", THRESHOLD),
                optional("threshold-rel", Kind::Number, THRESHOLD_REL),
                optional("found", Kind::Numbers, "the largest response, in place of the pass"),
                default("overlap", Kind::Number, "0.5", OVERLAP),
                default("exclude-border", Kind::Integers, "0", BORDER),
                optional("channel", Kind::Integers, CHANNEL),
            ],
            |spec, input| boxed(spec.blobs(input)?),
        )
    },
];

/// Every op with its keys, a few lines each, for `--help`.
pub fn help() -> String {
    let mut text = String::new();
    for op in OPS {
        text += &format!("{}\n    {}\n", op.usage(), op.summary);
        for key in op.keys {
            let default = key.default.map_or(String::new(), |d| format!(" (default {d})"));
            text += &format!("    {}: {}: {}{default}\n", key.name, key.summary, key.kind.legal());
        }
    }
    text
}

fn boxed(op: impl Op + 'static) -> Result<Box<dyn Op>> {
    Ok(Box::new(op))
}
