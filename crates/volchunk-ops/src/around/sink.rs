//! Where the means go, and which voxels are asked about.

use std::sync::{Mutex, PoisonError};

use volchunk::{Dtype, Error, Region, Result, Scratch, Sink, Source, View, ViewMut, VolumeInfo};

use super::Ellipsoids;

/// Keeps the means of all ellipsoids, a row for each, a column for each channel.
pub(super) struct Means {
    info: VolumeInfo,
    channel: usize,
    channels: usize,
    values: Mutex<Vec<f64>>,
}

impl Means {
    pub(super) fn new(ellipsoids: &Ellipsoids) -> Result<Self> {
        let volume = ellipsoids.volume();
        let info = VolumeInfo { dtype: Dtype::U8, storage: None, ..volume.clone() };
        let channels = usize::try_from(ellipsoids.channels()).unwrap_or(usize::MAX);
        let count =
            ellipsoids.len().checked_mul(channels).filter(|n| *n <= isize::MAX as usize / 8);
        let count = count.ok_or_else(|| {
            Error::argument(format!(
                "{} ellipsoids in {channels} channels; legal: as many means as memory can hold",
                ellipsoids.len()
            ))
        })?;
        let values = Mutex::new(vec![f64::NAN; count]);
        Ok(Self { info, channel: ellipsoids.channel_axis(), channels, values })
    }

    /// Bytes that it holds.
    pub(super) fn bytes(&self) -> u64 {
        8 * self.values.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    pub(super) fn into_values(self) -> Vec<f64> {
        self.values.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Means {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn write(&self, _: &Region, data: View<'_>, _: &mut Scratch) -> Result<()> {
        // A place, the number of the ellipsoid, the mean.
        let ndim = self.info.ndim();
        let rows = data.as_slice::<f64>().unwrap_or_default().chunks_exact(ndim + 2);
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        for row in rows {
            values[row[ndim] as usize * self.channels + row[self.channel] as usize] = row[ndim + 1];
        }
        Ok(())
    }

    fn finish(&self) -> Result<()> {
        Ok(())
    }
}

/// A volume that is 1 where ellipsoids have their centre, in all channels: chunks without one need not
/// be read.
pub(super) struct Centres<'a> {
    info: VolumeInfo,
    ellipsoids: &'a Ellipsoids,
}

impl<'a> Centres<'a> {
    pub(super) fn new(ellipsoids: &'a Ellipsoids) -> Self {
        let info = VolumeInfo { dtype: Dtype::U8, storage: None, ..ellipsoids.volume().clone() };
        Self { info, ellipsoids }
    }
}

impl Source for Centres<'_> {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn read(&self, region: &Region, mut out: ViewMut<'_>, _: &mut Scratch) -> Result<()> {
        let none = vec![0; region.ndim()];
        out.copy_from(&View::strided(region.shape(), &none, Dtype::U8, &[0]));
        let strides: Vec<u64> = out.strides().to_vec();
        let mut place = vec![0; region.ndim()];
        for channel in region.range(self.ellipsoids.channel_axis()) {
            self.ellipsoids.within(region, |number| {
                self.ellipsoids.centre_voxel(number, &mut place);
                place[self.ellipsoids.channel_axis()] = channel;
                let axes = place.iter().zip(region.start()).zip(&strides);
                let offset: u64 = axes.map(|((at, start), stride)| (at - start) * stride).sum();
                out.data_mut()[offset as usize] = 1;
            });
        }
        Ok(())
    }
}
