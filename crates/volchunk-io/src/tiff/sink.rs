//! Writing BigTIFF at positions known from the start.

use std::path::Path;

use volchunk::{Dtype, Error, Region, Result, Scratch, Sink, View, ViewMut, VolumeInfo};

use super::{ome, shaped};
use crate::{
    file::{Begin, PartialFile},
    flat::{self, FlatArray, FlatOutput},
};

/// Fields of a page; the first page has a description besides.
const FIELDS: u64 = 12;

/// A BigTIFF that is being written: header, all directories, description, then all planes.
#[derive(Debug)]
pub(super) struct TiffSink {
    info: VolumeInfo,
    output: FlatOutput,
    layout: Layout,
}

impl TiffSink {
    pub(super) fn create(path: &Path, info: &VolumeInfo, begin: Begin) -> Result<Self> {
        let planes = check(path, info)?;
        let description = match ome::dtype_name(info.dtype) {
            Some(name) => ome::write(info, name),
            None => shaped::write(info),
        };
        let layout = Layout::new(info, planes, description).ok_or_else(|| {
            Error::argument(format!(
                "{}: a TIFF of shape {:?} {} exceeds what can be addressed",
                path.display(),
                info.shape,
                info.dtype
            ))
        })?;
        // The planes follow one another without gaps.
        let swapped = cfg!(target_endian = "big");
        let array = FlatArray::new(layout.data, &info.shape, info.dtype, swapped);
        let output = FlatOutput::open(path, array, layout.end, begin)?;
        let info = VolumeInfo { storage: None, ..info.clone() };
        Ok(Self { info, output, layout })
    }
}

impl Sink for TiffSink {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn write(&self, region: &Region, data: View<'_>, scratch: &mut Scratch) -> Result<()> {
        self.output.write(region, &data, scratch)
    }

    fn stored_bytes(&self, region: &Region) -> Result<u64> {
        Ok(self.output.stored_bytes(region))
    }

    fn read_back(&self, region: &Region, out: ViewMut<'_>, scratch: &mut Scratch) -> Result<()> {
        self.output.read_back(region, out, scratch)
    }

    fn flush(&self) -> Result<()> {
        self.output.file().flush_all()
    }

    /// The directories come last: until then the file is not even a TIFF.
    fn finish(&self) -> Result<()> {
        self.layout.write_head(&self.info, self.output.file())?;
        self.output.file().finish()
    }

    fn write_overhead(&self) -> u64 {
        flat::BUFFER
    }
}

/// Checks that `info` can be a TIFF; the number of its planes.
fn check(path: &Path, info: &VolumeInfo) -> Result<u64> {
    let names: Vec<&str> = info.axes.iter().map(|a| a.name.as_str()).collect();
    let unique = (0..names.len()).all(|k| !names[..k].contains(&names[k]));
    let legal = unique
        && names.len() == info.ndim()
        && names.ends_with(&["y", "x"])
        && names.iter().all(|n| ["t", "c", "z", "y", "x"].contains(n));
    if !legal {
        return Err(Error::unsupported(format!(
            "{}: a TIFF cannot hold the axes '{}'; legal: any of t, c, z, then y, x; .zarr and .npy take others",
            path.display(),
            info.axis_names()
        )));
    }
    if let Some(axis) = info.shape.iter().position(|&n| n == 0) {
        return Err(Error::argument(format!(
            "{}: axis {} of {:?} has no voxels; legal: 1 or more",
            path.display(),
            info.axes[axis].name,
            info.shape
        )));
    }
    let (leading, plane) = info.shape.split_at(info.ndim() - 2);
    if let Some(n) = plane.iter().find(|&&n| n > u64::from(u32::MAX)) {
        return Err(Error::unsupported(format!(
            "{}: a TIFF page is at most 4294967295 voxels wide and high, not {n}",
            path.display()
        )));
    }
    // Saturating: what does not fit is refused with the layout.
    Ok(Region::whole(leading).voxels())
}

/// Where everything lies.
#[derive(Debug)]
struct Layout {
    planes: u64,
    plane_bytes: u64,
    description: Vec<u8>,
    text: u64,
    data: u64,
    end: u64,
}

impl Layout {
    /// None where it exceeds the addressable.
    fn new(info: &VolumeInfo, planes: u64, description: String) -> Option<Self> {
        let mut description = description.into_bytes();
        description.push(0);
        let (y, x) = (info.shape[info.ndim() - 2], info.shape[info.ndim() - 1]);
        let plane_bytes = y.checked_mul(x)?.checked_mul(info.dtype.size() as u64)?;
        let directories = planes.checked_mul(16 + FIELDS * 20)?.checked_add(20)?;
        let text = directories.checked_add(16)?;
        let data = text.checked_add(description.len() as u64)?.checked_next_multiple_of(16)?;
        let end = plane_bytes.checked_mul(planes)?.checked_add(data)?;
        (end <= i64::MAX as u64).then_some(Self {
            planes,
            plane_bytes,
            description,
            text,
            data,
            end,
        })
    }

    /// Writes everything before the voxels.
    fn write_head(&self, info: &VolumeInfo, file: &PartialFile) -> Result<()> {
        const SHORT: u16 = 3;
        const LONG: u16 = 4;
        const LONG8: u16 = 16;
        let (y, x) = (info.shape[info.ndim() - 2], info.shape[info.ndim() - 1]);
        let format = match info.dtype {
            Dtype::I8 | Dtype::I16 | Dtype::I32 | Dtype::I64 => 2,
            Dtype::F32 | Dtype::F64 => 3,
            _ => 1,
        };
        let mut head = b"II\x2b\0\x08\0\0\0".to_vec();
        head.extend(16u64.to_le_bytes());
        // Where `head`, which goes to the file piece by piece, begins; and where the page ends.
        let (mut start, mut at) = (0, 16);
        for plane in 0..self.planes {
            let fields = FIELDS + u64::from(plane == 0);
            at += 16 + fields * 20;
            head.extend(fields.to_le_bytes());
            let mut field = |tag: u16, kind: u16, count: u64, value: u64| {
                head.extend(tag.to_le_bytes());
                head.extend(kind.to_le_bytes());
                head.extend(count.to_le_bytes());
                head.extend(value.to_le_bytes());
            };
            field(254, LONG, 1, 2 * u64::from(self.planes > 1));
            field(256, LONG, 1, x);
            field(257, LONG, 1, y);
            field(258, SHORT, 1, info.dtype.size() as u64 * 8);
            field(259, SHORT, 1, 1);
            field(262, SHORT, 1, 1);
            if plane == 0 {
                // Text of up to eight bytes would stand in the field itself; XML is longer.
                field(270, 2, self.description.len() as u64, self.text);
            }
            field(273, LONG8, 1, self.data + plane * self.plane_bytes);
            field(277, SHORT, 1, 1);
            field(278, LONG, 1, y);
            field(279, LONG8, 1, self.plane_bytes);
            field(284, SHORT, 1, 1);
            field(339, SHORT, 1, format);
            head.extend((if plane + 1 == self.planes { 0 } else { at }).to_le_bytes());
            if head.len() as u64 >= flat::BUFFER {
                file.write_all_at(&head, start)?;
                start += head.len() as u64;
                head.clear();
            }
        }
        head.extend(&self.description);
        file.write_all_at(&head, start)
    }
}
