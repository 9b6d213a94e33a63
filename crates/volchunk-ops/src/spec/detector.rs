//! The ops whose result is a table of blobs, as text says them.

use volchunk::{AxisKind, Error, Result, VolumeInfo};

use super::{OpSpec, given::per_axis};
use crate::{Blobs, Number, Scales};

/// What is to be known of an op that finds blobs, beside the op: what its table is for.
#[derive(Debug)]
pub struct Detector {
    /// The scales that rows of the table name by number.
    pub scales: Scales,
    /// Of two blobs of which more than this fraction overlaps, one is to go; 0 to 1.
    pub overlap: f64,
    /// Finds the largest response of a region.
    pub maximum: Blobs,
}

impl OpSpec {
    /// For the ops `log` and `dog` on volumes like `input`; None for another op.
    ///
    /// ```
    /// use volchunk::{Dtype, VolumeInfo};
    /// use volchunk_ops::OpSpec;
    /// let volume = VolumeInfo::new(&[64, 64, 64], Dtype::U16);
    /// let op = OpSpec::parse("log:min-sigma=2:max-sigma=4:num-sigma=3:threshold=0.1")?;
    /// let detector = op.detector(&volume)?.unwrap();
    /// assert_eq!((detector.scales.sigmas(1), detector.overlap), (&[3.0, 3.0, 3.0][..], 0.5));
    /// # Ok::<(), volchunk::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn detector(&self, input: &VolumeInfo) -> Result<Option<Detector>> {
        if !["log", "dog"].contains(&self.info.name) {
            return Ok(None);
        }
        let detector = || {
            Ok(Detector {
                scales: self.scales(input)?,
                overlap: self.number("overlap")?.to_f64(),
                maximum: self.search(input, 0.0)?.maximum(),
            })
        };
        detector().map(Some).map_err(|e: Error| e.context(format!("op '{self}'")))
    }

    /// Whether this op has a threshold relative to the largest response, which was not found yet.
    pub(crate) fn lacks_largest(&self) -> bool {
        self.value("threshold-rel").is_some() && self.value("found").is_none()
    }

    /// The op that finds the peaks; what is relative to the largest response counts when that is
    /// known.
    pub(super) fn blobs(&self, input: &VolumeInfo) -> Result<Blobs> {
        let threshold = self.number("threshold")?.to_f64();
        let largest = self.found()?.and_then(|found| found.first().copied());
        let relative = self.optional_number("threshold-rel")?;
        let relative = relative.zip(largest).map_or(threshold, |(rel, largest)| rel * largest);
        let blobs = self.search(input, threshold.max(relative))?;
        Ok(if self.lacks_largest() { blobs.unresolved() } else { blobs })
    }

    fn search(&self, input: &VolumeInfo, threshold: f64) -> Result<Blobs> {
        let spatial = input.spatial_axes();
        let border = per_axis(input, self.counts("exclude-border")?, 0, "exclude-border")?;
        let border: Vec<u64> = spatial.iter().map(|&a| border[a]).collect();
        let channels = self.value("channel").map(|_| self.counts("channel")).transpose()?;
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
        if self.found()?.is_some_and(|found| found.len() != 1) {
            return Err(Error::argument(
                "found has several values; legal: one, the largest response",
            ));
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
