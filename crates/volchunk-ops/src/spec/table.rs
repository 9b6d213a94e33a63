//! Every op: its keys, and how it is bound. A further op is one row here.

use volchunk::{AxisKind, Boundary, Dtype, Error, Op, Result, VolumeInfo};

use super::{
    OpSpec,
    value::{Kind, Length, Value},
};
use crate::{
    Cast, Clip, Downsample, Elementwise, Extremum, Footprint, Gaussian, GaussianAxis,
    LocalPercentile, Median, Multiply, Number, Order, Percentile, Reach, Rescale, Shape, Subtract,
    Threshold, TotalVariation, Transpose, closing, erosion_where, highpass, opening, tophat,
    unsharp,
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

macro_rules! getters {
    ($($name:ident: $variant:ident -> $t:ty, $convert:expr;)*) => {$(
        pub(super) fn $name(&self, key: &str) -> Result<$t> {
            match self.value(key) {
                Some(Value::$variant(v)) => Ok($convert(v)),
                _ => Err(Error::argument(format!("key '{key}' is missing"))),
            }
        }
    )*};
}

impl OpSpec {
    getters! {
        lengths: Lengths -> &[Length], |v| v;
        counts: Counts -> &[u64], |v| v;
        number: Number -> Number, |v: &Number| *v;
        numbers: Numbers -> &[Number], |v| v;
        boundaries: Boundaries -> &[Boundary], |v| v;
        dtype: Dtype -> Dtype, |v: &Dtype| *v;
        word: Word -> &str, |v| v;
    }

    /// The gaussian filter along each axis of `input`.
    fn gaussian_axes(&self, input: &VolumeInfo) -> Result<Vec<GaussianAxis>> {
        let integers = |key| match self.value(key) {
            Some(_) => Ok(Some(per_axis(input, self.counts(key)?, 0, key)?)),
            None => Ok::<_, Error>(None),
        };
        let (order, radius) = (integers("order")?, integers("radius")?);
        let reach = match self.value("truncate") {
            Some(_) => Reach::Sigmas(self.number("truncate")?.to_f64()),
            None => Reach::default(),
        };
        let boundaries = self.boundaries("boundary")?;
        let boundaries = per_axis(input, boundaries, Boundary::default(), "boundary")?;
        let axes = self.voxels("sigma", input)?.into_iter().zip(boundaries).enumerate();
        let axes = axes.map(|(a, (sigma, boundary))| GaussianAxis {
            sigma,
            order: order.as_ref().map_or(0, |o| o[a]),
            reach: radius.as_ref().map_or(reach, |r| Reach::Voxels(r[a])),
            boundary,
        });
        Ok(axes.collect())
    }

    /// Smoothing along each axis of `input` by `key`, with the boundary if the op has that key.
    fn smooth(&self, input: &VolumeInfo, key: &str) -> Result<Vec<GaussianAxis>> {
        let boundaries = match self.value("boundary") {
            Some(_) => {
                per_axis(input, self.boundaries("boundary")?, Boundary::default(), "boundary")?
            }
            None => vec![Boundary::default(); input.ndim()],
        };
        let axes = self.voxels(key, input)?.into_iter().zip(boundaries);
        Ok(axes.map(|(s, boundary)| GaussianAxis { boundary, ..GaussianAxis::smooth(s) }).collect())
    }

    fn footprint(&self, input: &VolumeInfo) -> Result<Footprint> {
        let shape = match self.word("footprint")? {
            "octahedron" => Shape::Octahedron,
            "ball" => Shape::Ball,
            _ => Shape::Cube,
        };
        Footprint::new(shape, per_axis(input, self.counts("radius")?, 0, "radius")?, input)
    }

    /// The key `found`, if it was given.
    pub(super) fn found(&self) -> Result<Option<Vec<f64>>> {
        match self.value("found") {
            Some(_) => Ok(Some(self.numbers("found")?.iter().map(|n| n.to_f64()).collect())),
            None => Ok(None),
        }
    }

    /// The keys `low` and `high`.
    fn percents(&self) -> Result<[f64; 2]> {
        Ok([self.number("low")?.to_f64(), self.number("high")?.to_f64()])
    }

    /// Refuses percentiles and ranges that are none; `count` is how many values `found` has.
    fn ranges(&self, count: usize) -> Result<()> {
        let [low, high] = self.percents()?;
        if !(0.0 <= low && low < high && high <= 100.0) {
            return Err(Error::argument(format!(
                "low is {low} and high is {high}; legal: 0 <= low < high <= 100"
            )));
        }
        self.finite("min").and(self.finite("max"))?;
        if self.value("floor").is_some() {
            self.finite("floor")?;
        }
        match self.found()? {
            Some(found) if found.len() != count || !found.is_sorted() => Err(Error::argument(
                format!("found has {} values, {found:?}; legal: {count}, ascending", found.len()),
            )),
            Some(found) if !found.iter().all(|v| v.is_finite()) => {
                Err(Error::argument(format!("found is {found:?}; legal: finite numbers")))
            }
            _ => Ok(()),
        }
    }

    fn finite(&self, key: &str) -> Result<f64> {
        let value = self.number(key)?.to_f64();
        match value.is_finite() {
            true => Ok(value),
            false => Err(Error::argument(format!("{key} is {value}; legal: a finite number"))),
        }
    }

    fn clip(&self) -> Result<Clip> {
        let bound = |key| self.value(key).map(|_| self.number(key)).transpose();
        Clip::new(bound("min")?, bound("max")?)
    }

    /// Refuses one of two keys without the other.
    fn both(&self, a: &str, b: &str) -> Result<()> {
        match (self.value(a), self.value(b)) {
            (Some(_), None) | (None, Some(_)) => Err(Error::argument(format!(
                "'{a}' and '{b}' belong together; legal: both, or neither"
            ))),
            _ => Ok(()),
        }
    }

    fn one_of(&self, a: &str, b: &str) -> Result<()> {
        match (self.value(a), self.value(b)) {
            (Some(_), Some(_)) => {
                Err(Error::argument(format!("both '{a}' and '{b}' are given; legal: one of them")))
            }
            (None, None) => Err(Error::argument(format!(
                "neither '{a}' nor '{b}' is given; legal: {}",
                self.info.usage()
            ))),
            _ => Ok(()),
        }
    }

    /// Lengths in voxels, one per axis of `input`, 0 where it is not spatial unless all are given.
    pub(super) fn voxels(&self, key: &str, input: &VolumeInfo) -> Result<Vec<f64>> {
        let none = Length { value: 0.0, micrometers: false };
        let lengths = per_axis(input, self.lengths(key)?, none, key)?;
        let voxels = lengths.iter().enumerate().map(|(a, length)| {
            Ok(if length.micrometers && length.value > 0.0 {
                length.value / voxel_size(key, input, a)?
            } else {
                length.value
            })
        });
        voxels.collect()
    }

    /// Output voxels per input voxel, one per axis of `input`, for output voxels of size `key`.
    fn enlargement(&self, key: &str, input: &VolumeInfo) -> Result<Vec<f64>> {
        let none = Length { value: 1.0, micrometers: true };
        let sizes = input.per_axis(self.lengths(key)?, none, key)?;
        let factors = sizes.iter().enumerate().map(|(a, size)| {
            Ok(match input.axes[a].kind {
                AxisKind::Space => voxel_size(key, input, a)? / size.value,
                _ => 1.0,
            })
        });
        factors.collect()
    }
}

/// Values for the axes of `input`: one for each, or as [`VolumeInfo::per_axis`] expands them.
pub(super) fn per_axis<T: Copy>(
    input: &VolumeInfo,
    values: &[T],
    other: T,
    key: &str,
) -> Result<Vec<T>> {
    match values.len() == input.ndim() {
        true => Ok(values.to_vec()),
        false => input.per_axis(values, other, key),
    }
}

/// Voxel size of axis `a` in µm.
fn voxel_size(key: &str, input: &VolumeInfo, a: usize) -> Result<f64> {
    let axis = &input.axes[a];
    match axis.micrometers() {
        Some(size) if size > 0.0 && size.is_finite() => Ok(size),
        Some(size) => Err(Error::argument(format!(
            "{key} is in µm, but the voxel size of axis {} is {size} µm; give one above 0 with --voxel-size",
            axis.name
        ))),
        None => Err(Error::argument(format!(
            "{key} is in µm, but the voxel size of axis {} is unknown (scale {:?}, unit {:?}); give it with --voxel-size, in µm for each spatial axis, such as --voxel-size 5,2,2",
            axis.name, axis.scale, axis.unit
        ))),
    }
}
