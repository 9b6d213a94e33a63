//! Writing BigTIFF at positions known from the start.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use volchunk::{Dtype, Error, Region, Result, Scratch, Sink, View, VolumeInfo, os};

use super::{ome, shaped};

/// Fields of a page; the first page has a description besides.
const FIELDS: u64 = 12;
/// Voxels that cannot be written in place pass through a buffer of about this size.
const BAND: u64 = 1 << 20;

/// A BigTIFF that is being written: header, all directories, description, then all planes.
#[derive(Debug)]
pub(super) struct TiffSink {
    info: VolumeInfo,
    file: File,
    path: PathBuf,
    partial: PathBuf,
    /// Where the voxels begin; a multiple of 16.
    data: u64,
}

impl TiffSink {
    pub(super) fn create(path: &Path, info: &VolumeInfo) -> Result<Self> {
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
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let fail = |e| Error::io(format_args!("creating {}", partial.display()), e);
        // Readable too: a later run may take up what this one leaves.
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&partial)
            .map_err(fail)?;
        file.set_len(layout.end).map_err(fail)?;
        let mut out = std::io::BufWriter::with_capacity(BAND as usize, &file);
        layout.write_head(info, &mut out).and_then(|()| out.flush()).map_err(fail)?;
        drop(out);
        let mut info = info.clone();
        info.storage = None;
        Ok(Self { info, file, path: path.to_owned(), partial, data: layout.data })
    }

    /// Writes rows of `bytes`, native order and dense, from byte `at` of the voxels.
    fn put(&self, bytes: &[u8], at: u64) -> Result<()> {
        os::write_all_at(&self.file, bytes, self.data + at).map_err(|e| {
            Error::io(
                format_args!("writing {} at offset {}", self.partial.display(), self.data + at),
                e,
            )
        })
    }
}

impl Sink for TiffSink {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn write(&self, region: &Region, data: View<'_>, scratch: &mut Scratch) -> Result<()> {
        if region.is_empty() {
            return Ok(());
        }
        let item = self.info.dtype.size() as u64;
        let shape = &self.info.shape;
        let ndim = region.ndim();
        // Axes from `inner` on are whole, so that one index before them is one run in the file.
        let mut inner = ndim;
        while inner > 0 && region.shape()[inner - 1] == shape[inner - 1] {
            inner -= 1;
        }
        let split = inner.saturating_sub(1);
        let step: u64 = shape[split + 1..].iter().product::<u64>() * item;
        let in_place = cfg!(target_endian = "little") && self.info.dtype != Dtype::Bool;
        let rows = region.shape()[split];
        let band = if in_place { rows } else { (BAND / step).clamp(1, rows) };
        let mut position = vec![0; split];
        loop {
            let start = (0..split)
                .fold(0, |sum, a| sum * shape[a] + region.start()[a] + position[a])
                * shape[split]
                + region.start()[split];
            let mut row = 0;
            while row < rows {
                let stop = (row + band).min(rows);
                let part = data.part(&Region::from_ranges(
                    position
                        .iter()
                        .map(|&p| p..p + 1)
                        .chain(std::iter::once(row..stop))
                        .chain((split + 1..ndim).map(|a| 0..shape[a])),
                ));
                let at = (start + row) * step;
                match part.as_contiguous().filter(|_| in_place) {
                    Some(bytes) => self.put(bytes, at)?,
                    None => {
                        let mut dense = scratch.take(part.shape(), self.info.dtype);
                        dense.view_mut().copy_from(&part);
                        to_file(dense.bytes_mut(), self.info.dtype);
                        let done = self.put(dense.bytes(), at);
                        scratch.give(dense);
                        done?;
                    }
                }
                row = stop;
            }
            let mut a = split;
            loop {
                if a == 0 {
                    return Ok(());
                }
                a -= 1;
                position[a] += 1;
                if position[a] < region.shape()[a] {
                    break;
                }
                position[a] = 0;
            }
        }
    }

    fn finish(&self) -> Result<()> {
        std::fs::rename(&self.partial, &self.path).map_err(|e| {
            Error::io(
                format_args!("renaming {} to {}", self.partial.display(), self.path.display()),
                e,
            )
        })
    }

    fn write_overhead(&self) -> u64 {
        BAND
    }
}

/// Native voxels to those of the file: little-endian; bool as 0 and 1.
fn to_file(bytes: &mut [u8], dtype: Dtype) {
    if dtype == Dtype::Bool {
        bytes.iter_mut().for_each(|b| *b = u8::from(*b != 0));
    }
    if cfg!(target_endian = "big") {
        bytes.chunks_exact_mut(dtype.size()).for_each(<[u8]>::reverse);
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

    /// Everything before the voxels.
    fn write_head(&self, info: &VolumeInfo, out: &mut impl Write) -> std::io::Result<()> {
        const SHORT: u16 = 3;
        const LONG: u16 = 4;
        const LONG8: u16 = 16;
        let (y, x) = (info.shape[info.ndim() - 2], info.shape[info.ndim() - 1]);
        let format = match info.dtype {
            Dtype::I8 | Dtype::I16 | Dtype::I32 | Dtype::I64 => 2,
            Dtype::F32 | Dtype::F64 => 3,
            _ => 1,
        };
        out.write_all(b"II")?;
        out.write_all(&[43, 0, 8, 0, 0, 0])?;
        out.write_all(&16u64.to_le_bytes())?;
        let mut at = 16;
        for plane in 0..self.planes {
            let field = |out: &mut dyn Write, tag: u16, kind: u16, count: u64, value: u64| {
                out.write_all(&tag.to_le_bytes())?;
                out.write_all(&kind.to_le_bytes())?;
                out.write_all(&count.to_le_bytes())?;
                out.write_all(&value.to_le_bytes())
            };
            let fields = FIELDS + u64::from(plane == 0);
            at += 16 + fields * 20;
            out.write_all(&fields.to_le_bytes())?;
            field(out, 254, LONG, 1, 2 * u64::from(self.planes > 1))?;
            field(out, 256, LONG, 1, x)?;
            field(out, 257, LONG, 1, y)?;
            field(out, 258, SHORT, 1, info.dtype.size() as u64 * 8)?;
            field(out, 259, SHORT, 1, 1)?;
            field(out, 262, SHORT, 1, 1)?;
            if plane == 0 {
                let len = self.description.len() as u64;
                // Text of up to eight bytes would stand in the field itself; XML is longer.
                field(out, 270, 2, len, self.text)?;
            }
            field(out, 273, LONG8, 1, self.data + plane * self.plane_bytes)?;
            field(out, 277, SHORT, 1, 1)?;
            field(out, 278, LONG, 1, y)?;
            field(out, 279, LONG8, 1, self.plane_bytes)?;
            field(out, 284, SHORT, 1, 1)?;
            field(out, 339, SHORT, 1, format)?;
            out.write_all(&(if plane + 1 == self.planes { 0 } else { at }).to_le_bytes())?;
        }
        out.write_all(&self.description)
    }
}
