//! The ops whose result is a table of blobs, as text says them.

use volchunk::{AxisKind, Error, Result, VolumeInfo};

use super::{OpSpec, table::per_axis, value::Value};
use crate::{Blobs, Number, Scales};

/// What is to be known of an op that finds blobs, beside the op: what its table is for.
#[derive(Debug)]
pub struct Detector {
    /// The scales that rows of the table name by number.
    pub scales: Scales,
    /// Of two blobs of which more than this fraction overlaps, one is to go; 0 to 1.
    pub overlap: f64,
    /// The least response of a blob, which itself is too small.
    pub threshold: f64,
    /// The same as a fraction of the largest response of volume and scales; 0 to 1.
    pub threshold_rel: Option<f64>,
    /// Finds the largest response of a region.
    pub maximum: Blobs,
}

impl Detector {
    /// The threshold where `largest` is the largest response (None: there is none but NaN): the
    /// larger of the two.
    pub fn threshold_for(&self, largest: Option<f64>) -> f64 {
        let relative = self.threshold_rel.zip(largest).map(|(rel, largest)| rel * largest);
        relative.map_or(self.threshold, |r| r.max(self.threshold))
    }
}

impl OpSpec {
    /// For the ops `log` and `dog` on volumes like `input`; None for another op.
    ///
    /// ```
    /// use volchunk::{Dtype, VolumeInfo};
    /// use volchunk_ops::OpSpec;
    /// let volume = VolumeInfo::new(&[64, 64, 64], Dtype::U16);
    /// let op = OpSpec::parse("log:min-sigma=2:max-sigma=4:num-sigma=3:threshold=0.1:threshold-rel=0.5")?;
    /// let detector = op.detector(&volume)?.unwrap();
    /// assert_eq!(detector.scales.sigmas(1), [3.0, 3.0, 3.0]);
    /// // What is relative to the largest response can be bound when that is known.
    /// assert!(op.bind(&volume).is_err());
    /// let op = op.with_threshold(detector.threshold_for(Some(0.8)))?;
    /// assert!(op.to_string().contains(":threshold=0.4:overlap=0.5"));
    /// assert_eq!(op.bind(&volume)?.name(), "log");
    /// # Ok::<(), volchunk::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn detector(&self, input: &VolumeInfo) -> Result<Option<Detector>> {
        if !["log", "dog"].contains(&self.info.name) {
            return Ok(None);
        }
        let detector = || -> Result<Detector> {
            Ok(Detector {
                scales: self.scales(input)?,
                overlap: self.number("overlap")?.to_f64(),
                threshold: self.number("threshold")?.to_f64(),
                threshold_rel: self.optional_number("threshold-rel")?,
                maximum: self.search(input)?.maximum(),
            })
        };
        detector().map(Some).map_err(|e| e.context(format!("op '{self}'")))
    }

    /// The same op with that threshold, and none relative to the largest response.
    ///
    /// # Errors
    /// An op that has no such key; a threshold that is negative, infinite or NaN.
    pub fn with_threshold(&self, threshold: f64) -> Result<Self> {
        let mut spec = self.clone();
        for (key, value) in self.info.keys.iter().zip(&mut spec.values) {
            match key.name {
                "threshold" => *value = Some(Value::Number(Number::from_f64(threshold)?)),
                "threshold-rel" => *value = None,
                _ => {}
            }
        }
        if spec.value("threshold").is_none() {
            return Err(Error::argument(format!(
                "op {} has no threshold; legal: log, dog",
                self.info.name
            )));
        }
        (self.info.check)(&spec)?;
        Ok(spec)
    }

    /// The op that finds the peaks.
    pub(super) fn blobs(&self, input: &VolumeInfo) -> Result<Blobs> {
        if let Some(relative) = self.optional_number("threshold-rel")? {
            return Err(Error::argument(format!(
                "threshold-rel is {relative}, but the largest response of the volume is not known yet; legal here: threshold alone"
            )));
        }
        self.search(input)
    }

    fn search(&self, input: &VolumeInfo) -> Result<Blobs> {
        let spatial = input.spatial_axes();
        let border = per_axis(input, self.counts("exclude-border")?, 0, "exclude-border")?;
        let border: Vec<u64> = spatial.iter().map(|&a| border[a]).collect();
        let channels = self.value("channel").map(|_| self.counts("channel")).transpose()?;
        let threshold = self.number("threshold")?.to_f64();
        Blobs::new(input.clone(), &self.scales(input)?, threshold, &border, channels)
    }

    fn scales(&self, input: &VolumeInfo) -> Result<Scales> {
        let sigmas = |key| -> Result<Vec<f64>> {
            let of_axes = self.voxels(key, input)?;
            Ok((0..input.ndim())
                .filter(|&a| input.axes[a].kind == AxisKind::Space)
                .map(|a| of_axes[a])
                .collect())
        };
        let (min, max) = (sigmas("min-sigma")?, sigmas("max-sigma")?);
        if self.info.name == "dog" {
            return Scales::geometric(&min, &max, self.number("sigma-ratio")?.to_f64());
        }
        match (self.counts("num-sigma")?, self.word("log-scale")?) {
            ([count], "true") => Scales::logarithmic(&min, &max, *count),
            ([count], _) => Scales::linear(&min, &max, *count),
            (counts, _) => {
                Err(Error::argument(format!("num-sigma has {} values; legal: 1", counts.len())))
            }
        }
    }

    /// Whether the numbers are in their ranges.
    pub(super) fn check_blobs(&self) -> Result<()> {
        for (key, largest) in [("threshold", f64::MAX), ("threshold-rel", 1.0), ("overlap", 1.0)] {
            if let Some(value) = self.optional_number(key)?
                && !(0.0..=largest).contains(&value)
            {
                let legal = if largest == 1.0 { "0 to 1" } else { "finite, and at least 0" };
                return Err(Error::argument(format!("{key} is {value}; legal: {legal}")));
            }
        }
        match self.optional_number("sigma-ratio")? {
            Some(ratio) if !(ratio > 1.0 && ratio.is_finite()) => {
                Err(Error::argument(format!("sigma-ratio is {ratio}; legal: finite, and above 1")))
            }
            _ => Ok(()),
        }
    }

    fn optional_number(&self, key: &str) -> Result<Option<f64>> {
        self.value(key).map(|_| self.number(key).map(Number::to_f64)).transpose()
    }
}
