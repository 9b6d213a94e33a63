//! Axes and voxel size given by the user, in place of what the file says or lacks.

use volchunk::{Axis, Error, Region, Result, Scratch, Source, View, ViewMut, VolumeInfo};

/// A source with other axes.
struct Described {
    inner: Box<dyn Source>,
    info: VolumeInfo,
}

/// The same voxels with the axes named `axes`, and with `voxel_size` in µm. Messages call the two
/// arguments `names`: for the program they are flags.
///
/// `axes` is one letter per axis, slowest first, such as `tczyx`. An axis keeps its scale, unit and
/// origin under another name, unless it now counts something else (time, not distance).
/// `voxel_size` is one value for all spatial axes, or one each, slowest first.
///
/// # Errors
/// Another number of letters than the volume has axes, a letter twice, what is no letter; another
/// number of values than there are spatial axes, a value that is not finite and positive.
pub fn describe(
    source: Box<dyn Source>,
    axes: Option<&str>,
    voxel_size: Option<&[f64]>,
    names: [&str; 2],
) -> Result<Box<dyn Source>> {
    if axes.is_none() && voxel_size.is_none() {
        return Ok(source);
    }
    let mut info = source.info().clone();
    if let Some(axes) = axes {
        rename(&mut info, axes, names[0])?;
    }
    if let Some(sizes) = voxel_size {
        resize(&mut info, sizes, names[1])?;
    }
    Ok(Box::new(Described { inner: source, info }))
}

fn rename(info: &mut VolumeInfo, axes: &str, name: &str) -> Result<()> {
    let letters: Vec<char> = axes.chars().collect();
    let fail = |what: String| Err(Error::argument(format!("{name} {axes}: {what}")));
    if let Some(other) = letters.iter().find(|c| !c.is_ascii_lowercase()) {
        return fail(format!("{other:?} is no axis; legal: a letter a to z per axis, as in tczyx"));
    }
    if let Some(twice) = (1..letters.len()).find(|&a| letters[..a].contains(&letters[a])) {
        return fail(format!("axis '{}' is named twice", letters[twice]));
    }
    if letters.len() != info.ndim() {
        return fail(format!(
            "names {} axes, the volume {:?} has {}",
            letters.len(),
            info.shape,
            info.ndim()
        ));
    }
    for (axis, letter) in info.axes.iter_mut().zip(letters) {
        let new = Axis::new(letter);
        if axis.kind == new.kind {
            axis.name = new.name;
        } else {
            *axis = new;
        }
    }
    Ok(())
}

fn resize(info: &mut VolumeInfo, sizes: &[f64], name: &str) -> Result<()> {
    if let Some(size) = sizes.iter().find(|s| !(s.is_finite() && **s > 0.0)) {
        return Err(Error::argument(format!(
            "{name}: {size} µm is no voxel size; legal: finite, above 0"
        )));
    }
    let sizes = info.per_axis(sizes, 0.0, name)?;
    for a in info.spatial_axes() {
        let axis = &mut info.axes[a];
        // The origin is a length in the axis's unit, and stays where it is.
        let origin = Axis { scale: Some(axis.origin), ..axis.clone() };
        axis.origin = origin.micrometers().unwrap_or(axis.origin);
        (axis.scale, axis.unit) = (Some(sizes[a]), Some("micrometer".into()));
    }
    Ok(())
}

impl Source for Described {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn read(&self, region: &Region, out: ViewMut<'_>, scratch: &mut Scratch) -> Result<()> {
        self.inner.read(region, out, scratch)
    }

    fn borrow(&self, region: &Region) -> Option<View<'_>> {
        self.inner.borrow(region)
    }

    fn stamp(&self, region: &Region) -> Result<u64> {
        self.inner.stamp(region)
    }

    fn stored_bytes(&self, region: &Region) -> Result<u64> {
        self.inner.stored_bytes(region)
    }

    fn read_overhead(&self) -> u64 {
        self.inner.read_overhead()
    }

    fn bytes_read(&self) -> u64 {
        self.inner.bytes_read()
    }
}

#[cfg(test)]
mod tests {
    use volchunk::{AxisKind, Dtype};

    use super::*;

    const FLAGS: [&str; 2] = ["--axes", "--voxel-size"];

    /// A volume without voxels to read; z in nanometres, its origin at 3000.
    struct Fake(VolumeInfo);

    impl Source for Fake {
        fn info(&self) -> &VolumeInfo {
            &self.0
        }

        fn read(&self, _: &Region, _: ViewMut<'_>, _: &mut Scratch) -> Result<()> {
            Ok(())
        }
    }

    fn fake(shape: &[u64]) -> Box<dyn Source> {
        let mut info = VolumeInfo::new(shape, Dtype::U8);
        let z = &mut info.axes[shape.len() - 3];
        (z.scale, z.unit, z.origin) = (Some(500.0), Some("nanometer".into()), 3000.0);
        Box::new(Fake(info))
    }

    #[test]
    fn axes_and_sizes_are_replaced() {
        let source =
            describe(fake(&[2, 4, 5, 6]), Some("tzyx"), Some(&[5.0, 2.0, 1.5]), FLAGS).unwrap();
        let axes = &source.info().axes;
        assert_eq!(source.info().axis_names(), "tzyx");
        assert_eq!((axes[0].kind, axes[0].scale), (AxisKind::Time, None));
        assert_eq!((axes[1].micrometers(), axes[1].origin), (Some(5.0), 3.0));
        assert_eq!(axes[3].micrometers(), Some(1.5));
        let one = describe(fake(&[4, 5, 6]), None, Some(&[2.0]), FLAGS).unwrap();
        assert!(one.info().axes.iter().all(|a| a.micrometers() == Some(2.0)));
        // z becomes t: 500 nm between time points would be nonsense. Renamed y keeps what it has.
        let time = describe(fake(&[4, 5, 6]), Some("tyx"), None, FLAGS).unwrap();
        assert_eq!(time.info().axes[0], Axis::new("t"));
        let depth = describe(fake(&[4, 5, 6]), Some("dyx"), None, FLAGS).unwrap();
        assert_eq!(depth.info().axes[0].micrometers(), Some(0.5));
    }

    #[test]
    fn nonsense_is_refused() {
        let message = |axes, size: Option<&[f64]>| {
            describe(fake(&[4, 5, 6]), axes, size, FLAGS).map(|_| ()).unwrap_err().to_string()
        };
        assert!(
            message(Some("yx"), None)
                .contains("--axes yx: names 2 axes, the volume [4, 5, 6] has 3")
        );
        assert!(message(Some("zyy"), None).contains("'y' is named twice"));
        assert!(message(Some("z,y"), None).contains("',' is no axis"));
        assert!(message(Some(""), None).contains("names 0 axes"));
        assert!(message(None, Some(&[1.0, 2.0])).contains("--voxel-size has 2 values"));
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(message(None, Some(&[1.0, bad, 1.0])).contains("no voxel size"));
        }
    }
}
