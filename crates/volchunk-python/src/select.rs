//! Which voxels of a result are worth computing: a mask, the value of empty chunks.

use std::sync::Arc;

use volchunk::{
    Axis, Buffer, Mask, Pipeline, Region, Result, Scratch, Source, ViewMut, VolumeInfo,
};
use volchunk_cli::voxel;
use volchunk_ops::Number;

/// What a job was told to leave out, checked.
#[derive(Default)]
pub(crate) struct Selected {
    /// Of the result's shape.
    pub(crate) mask: Option<Arc<dyn Source>>,
    /// One voxel of the result.
    fill: Option<Buffer>,
    /// One voxel of the input.
    pub(crate) skip_empty: Option<Buffer>,
}

impl Selected {
    /// `fill` and `skip_empty` are numbers as text; without a fill it is 0.
    ///
    /// # Errors
    /// No number, or one that no voxel can have.
    pub(crate) fn new(
        mask: Option<Arc<dyn Source>>,
        fill: Option<&str>,
        skip_empty: Option<&str>,
        pipeline: &Pipeline,
    ) -> Result<Self> {
        let result = pipeline.output();
        let fill = match mask {
            Some(_) => {
                let fill =
                    Number::parse_voxel(fill.unwrap_or("0")).map_err(|e| e.context("fill"))?;
                Some(voxel(fill, result.dtype, "fill", "the result")?)
            }
            None => None,
        };
        let value = |text| {
            let number = Number::parse(text).map_err(|e| e.context("skip_empty"))?;
            voxel(number, pipeline.sources()[0].dtype, "skip_empty", "the image")
        };
        Ok(Self {
            mask: mask.map(|mask| with_channels(mask, result)),
            fill,
            skip_empty: skip_empty.map(value).transpose()?,
        })
    }

    /// The mask for a `result`.
    pub(crate) fn mask(&self, result: &VolumeInfo) -> Result<Option<Mask<'_>>> {
        self.mask
            .as_deref()
            .zip(self.fill.clone())
            .map(|(source, fill)| Mask::new(source, fill, result))
            .transpose()
    }
}

/// `mask` for all channels alike, where the result has one axis more than it, first or last.
fn with_channels(mask: Arc<dyn Source>, result: &VolumeInfo) -> Arc<dyn Source> {
    let (own, whole) = (&mask.info().shape, &result.shape);
    if own.len() + 1 != whole.len() {
        return mask;
    }
    let at = match whole[1..] == own[..] {
        true => 0,
        false if whole[..own.len()] == own[..] => own.len(),
        false => return mask,
    };
    let mut info = mask.info().clone();
    info.shape.insert(at, whole[at]);
    info.axes.insert(at, Axis::new("c"));
    info.storage = None;
    Arc::new(ForChannels { mask, at, info })
}

/// A mask that is the same for every channel.
struct ForChannels {
    mask: Arc<dyn Source>,
    /// The axis of channels.
    at: usize,
    info: VolumeInfo,
}

impl ForChannels {
    /// `region` without channels.
    fn without(&self, region: &Region) -> Region {
        Region::from_ranges(
            region.ranges().enumerate().filter(|&(a, _)| a != self.at).map(|(_, r)| r),
        )
    }
}

impl Source for ForChannels {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    /// Once for each channel: a copy of one beside the result would be memory that no plan counts.
    fn read(&self, region: &Region, mut out: ViewMut<'_>, scratch: &mut Scratch) -> Result<()> {
        let one = self.without(region);
        let mut shape = region.shape().to_vec();
        let channels = std::mem::replace(&mut shape[self.at], 1);
        for channel in 0..channels {
            let mut start = vec![0; shape.len()];
            start[self.at] = channel;
            let mut part = out.part_mut(&Region::new(&start, &shape));
            let mut strides = part.strides().to_vec();
            strides.remove(self.at);
            let part = ViewMut::strided(one.shape(), &strides, self.info.dtype, part.data_mut());
            self.mask.read(&one, part, scratch)?;
        }
        Ok(())
    }

    fn read_overhead(&self) -> u64 {
        self.mask.read_overhead()
    }

    fn stamp(&self, region: &Region) -> Result<u64> {
        self.mask.stamp(&self.without(region))
    }

    fn bytes_read(&self) -> u64 {
        self.mask.bytes_read()
    }
}
