//! Which chunks and voxels are worth computing: the mask, the value of empty chunks.

use volchunk::{
    Buffer, Dtype, Element, Error, Mask, Pipeline, Result, Source, VolumeInfo, dispatch,
};
use volchunk_io::open;
use volchunk_ops::Number;

use crate::{config::Selection, fingerprint::Fingerprint};

/// What a job was told to leave out, opened and checked.
#[derive(Default)]
pub(crate) struct Selected {
    mask: Option<Masked>,
    /// One voxel of the input.
    pub(crate) skip_empty: Option<Buffer>,
}

struct Masked {
    source: Box<dyn Source>,
    /// One voxel of the result.
    fill: Buffer,
    fingerprint: Fingerprint,
}

impl Selected {
    /// Opens what `selection` names, for a `pipeline` of one source.
    ///
    /// # Errors
    /// What the mask's format reports; a value that no voxel can have.
    pub(crate) fn open(selection: &Selection, pipeline: &Pipeline) -> Result<Self> {
        let open_mask = |path: &std::path::PathBuf| -> Result<Masked> {
            let source = open(path).map_err(|e| e.context("--mask"))?;
            let fingerprint = Fingerprint::of(path, source.info())?;
            let number = selection.fill.unwrap_or(Number::Integer(0));
            let fill = voxel(number, pipeline.output().dtype, "--fill", "the result")?;
            Ok(Masked { source, fill, fingerprint })
        };
        let value =
            |number| voxel(number, pipeline.sources()[0].dtype, "--skip-empty", "the input");
        Ok(Self {
            mask: selection.mask.as_ref().map(open_mask).transpose()?,
            skip_empty: selection.skip_empty.map(value).transpose()?,
        })
    }

    /// Of the mask, before any of it was read.
    pub(crate) fn fingerprint(&self) -> Option<&Fingerprint> {
        self.mask.as_ref().map(|mask| &mask.fingerprint)
    }

    pub(crate) fn mask_source(&self) -> Option<&dyn Source> {
        self.mask.as_ref().map(|mask| &*mask.source)
    }

    /// The mask for a `result`.
    pub(crate) fn mask(&self, result: &VolumeInfo) -> Result<Option<Mask<'_>>> {
        self.mask.as_ref().map(|m| Mask::new(&*m.source, m.fill.clone(), result)).transpose()
    }
}

/// `number` as one voxel: a float is rounded to the dtype, an integer must be one of its own.
///
/// ```
/// use volchunk::Dtype;
/// use volchunk_ops::Number;
/// let fill = volchunk_cli::voxel(Number::parse("-1")?, Dtype::I16, "fill", "the result")?;
/// assert_eq!(fill.as_slice::<i16>(), [-1]);
/// let error = volchunk_cli::voxel(Number::parse("-1")?, Dtype::U8, "fill", "the result");
/// assert!(error.unwrap_err().to_string().starts_with("fill -1: the result is uint8"));
/// # Ok::<(), volchunk::Error>(())
/// ```
///
/// # Errors
/// What no voxel of `dtype` can be; says which `flag` it was, and `whose` dtype.
pub fn voxel(number: Number, dtype: Dtype, flag: &str, whose: &str) -> Result<Buffer> {
    let legal = dispatch!(dtype, T => {
        let voxel = number.to_voxel::<T>();
        let same = match (number, voxel.to_i128()) {
            (Number::Integer(i), Some(v)) => i == v,
            (Number::Float(_), Some(_)) => false,
            (number, None) => voxel.to_f64().is_finite() || !number.to_f64().is_finite(),
        };
        same.then(|| Buffer::from_slice(&[], &[voxel]))
    });
    legal.ok_or_else(|| {
        Error::argument(format!(
            "{flag} {number}: {whose} is {dtype}, which has no such value; legal: a number that a \
             voxel of {dtype} can have"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_the_dtypes_own() {
        let of = |text: &str, dtype| voxel(Number::parse(text).unwrap(), dtype, "--fill", "it");
        assert_eq!(of("-1", Dtype::I8).unwrap().as_slice::<i8>(), [-1]);
        assert_eq!(of("0.1", Dtype::F32).unwrap().as_slice::<f32>(), [0.1]);
        assert_eq!(of("inf", Dtype::F64).unwrap().as_slice::<f64>(), [f64::INFINITY]);
        assert_eq!(of("18446744073709551615", Dtype::U64).unwrap().as_slice::<u64>(), [u64::MAX]);
        assert_eq!(of("1", Dtype::Bool).unwrap().bytes(), [1]);
        for (text, dtype) in
            [("256", Dtype::U8), ("0.5", Dtype::I16), ("2", Dtype::Bool), ("1e300", Dtype::F32)]
        {
            assert!(of(text, dtype).unwrap_err().to_string().contains("--fill"), "{text}");
        }
    }
}
