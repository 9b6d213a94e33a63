//! Which format a path means, and the two ways in: [`open`] and [`create`].

use std::{fs, io, path::Path};

use volchunk::{Error, ErrorKind, Result, Sink, Source, VolumeInfo};

use crate::{
    file::{Begin, CountedFile, partial_path},
    flat, npy, tiff, zarr,
};

/// A format that volumes are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OME-Zarr 0.5 on Zarr v3; plain Zarr v3 where OME cannot describe the axes.
    Zarr,
    /// NPY version 1, C order.
    Npy,
    /// BigTIFF, uncompressed, one page per plane, OME-XML.
    Tiff,
}

impl Format {
    /// The format that the ending of `path` names.
    ///
    /// # Errors
    /// Another ending; lists the legal ones.
    pub fn of_output(path: &Path) -> Result<Self> {
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
        match ending.as_str() {
            "zarr" => Ok(Self::Zarr),
            "npy" => Ok(Self::Npy),
            "tif" | "tiff" => Ok(Self::Tiff),
            _ => Err(Error::argument(format!(
                "{}: the output's ending decides its format; legal: .zarr, .npy, .tif, .tiff",
                path.display()
            ))),
        }
    }

    /// The format of what stands at `path`, an existing file or folder, by its content.
    ///
    /// A folder is a Zarr store if it holds Zarr metadata, a volume of planes if it holds TIFFs; a
    /// file is known by its first bytes. Its ending says nothing.
    ///
    /// # Errors
    /// I/O; nothing that volchunk reads: says what stands there and what would be legal.
    pub fn of_input(path: &Path) -> Result<Self> {
        if fs::metadata(path).map_err(|e| missing(path, e))?.is_dir() {
            return of_folder(path);
        }
        let file = CountedFile::open(path)?;
        let mut start = vec![0; file.len().min(8) as usize];
        file.read_exact_at(&mut start, 0)?;
        match start.as_slice() {
            [] => Err(Error::data(format!("{} is empty: 0 bytes", path.display()))),
            b if b.starts_with(npy::MAGIC) => Ok(Self::Npy),
            [b'I', b'I', b'*' | b'+', 0, ..] | [b'M', b'M', 0, b'*' | b'+', ..] => Ok(Self::Tiff),
            b => Err(Error::unsupported(format!(
                "{} starts with {}; legal: {LEGAL}",
                path.display(),
                shown(b)
            ))),
        }
    }
}

const LEGAL: &str = "a Zarr folder, a folder of TIFF planes, a TIFF file, an NPY file";

/// Files of which each makes a folder a Zarr group or array, version 3 or 2.
pub(crate) const ZARR_METADATA: [&str; 4] = ["zarr.json", ".zarray", ".zgroup", ".zattrs"];

fn of_folder(path: &Path) -> Result<Format> {
    if ZARR_METADATA.iter().any(|name| path.join(name).is_file()) {
        return Ok(Format::Zarr);
    }
    let fail = |e| Error::io(format_args!("reading the folder {}", path.display()), e);
    let mut first: Option<String> = None;
    for entry in fs::read_dir(path).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        if is_tiff_name(&entry.path()) {
            return Ok(Format::Tiff);
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        if first.as_ref().is_none_or(|f| name < *f) {
            first = Some(name);
        }
    }
    let place = path.display();
    Err(match first {
        None => Error::data(format!("the folder {place} is empty; legal: {LEGAL}")),
        Some(name) => Error::unsupported(format!(
            "the folder {place} holds neither Zarr metadata nor TIFF files (but '{name}'); legal: {LEGAL}"
        )),
    })
}

/// Whether a file in a folder counts as a TIFF plane: its ending is .tif or .tiff, in any case.
pub(crate) fn is_tiff_name(path: &Path) -> bool {
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or("");
    // macOS leaves files such as ._plane.tif beside those that it copies to other file systems.
    let hidden = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
    !hidden && (ending.eq_ignore_ascii_case("tif") || ending.eq_ignore_ascii_case("tiff"))
}

fn missing(path: &Path, error: io::Error) -> Error {
    let place = path.display();
    if error.kind() != io::ErrorKind::NotFound {
        return Error::io(format_args!("opening {place}"), error);
    }
    let partial = partial_path(path);
    let hint = if partial.exists() {
        format!("; {} is an unfinished output", partial.display())
    } else {
        String::new()
    };
    Error::new(ErrorKind::Io, format!("{place}: no such file or folder{hint}")).caused_by(error)
}

/// Bytes in hexadecimal, and as text where they are text.
fn shown(bytes: &[u8]) -> String {
    let hex: Vec<_> = bytes.iter().map(|b| format!("{b:02x}")).collect();
    let text: String =
        bytes.iter().map(|&b| if b.is_ascii_graphic() { char::from(b) } else { '.' }).collect();
    format!("the bytes {} ({text})", hex.join(" "))
}

/// How an output is written.
#[derive(Debug, Clone, Default)]
pub struct CreateOptions {
    /// A JSON object whose entries stand under `attributes.volchunk` of a Zarr's root metadata,
    /// beside `complete`. Zarr only.
    pub attributes: Option<serde_json::Value>,
    /// Zstandard level of storage chunks; None: 1. Zarr only.
    pub zstd_level: Option<i32>,
    /// Whether [`Sink::write`] waits until the voxels are on the disk, so that not even a power cut
    /// loses them.
    pub durable: bool,
}

/// Opens the volume at `path`, whose format is recognised by what stands there
/// ([`Format::of_input`]). An array or group inside a Zarr is a path too: `brain.zarr/0`.
///
/// # Errors
/// Nothing there; nothing that volchunk reads; an unfinished output; a header that contradicts
/// itself or the file's length; a volume without voxels, of 2^63 bytes or more, or with an axis of
/// 2^62 voxels or more.
pub fn open(path: &Path) -> Result<Box<dyn Source>> {
    let format = Format::of_input(path)?;
    let unfinished = match format {
        Format::Zarr => {
            zarr::attributes(path)?.is_some_and(|own| own.get("complete") == Some(&false.into()))
        }
        _ => path.extension().is_some_and(|e| e == "partial"),
    };
    if unfinished {
        return Err(Error::data(format!(
            "{} is an output that was not finished; legal: a complete volume",
            path.display()
        )));
    }
    let source = match format {
        Format::Zarr => zarr::open(path),
        Format::Npy => npy::open(path),
        Format::Tiff => tiff::open(path),
    }?;
    check_shape(path, source.info()).map_err(|e| Error::data(e.to_string()))?;
    Ok(source)
}

/// Creates the output at `path`, whose ending names its format, for a volume of `info`.
///
/// `info.storage` gives storage chunks and shards of a Zarr. Until [`Sink::finish`] the output
/// says that it is not complete: a Zarr in its attributes, a file by its name, `path.partial`.
///
/// ```
/// use volchunk::{Buffer, Dtype, Region, Scratch, VolumeInfo};
/// use volchunk_io::{CreateOptions, create, open};
/// # fn main() -> volchunk::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// let path = dir.path().join("volume.npy");
/// let info = VolumeInfo::new(&[2, 3], Dtype::U16);
/// let sink = create(&path, &info, &CreateOptions::default())?;
/// let voxels = Buffer::from_slice(&[2, 3], &[1u16, 2, 3, 4, 5, 6]);
/// sink.write(&Region::whole([2, 3]), voxels.view(), &mut Scratch::new())?;
/// sink.finish()?;
///
/// let mut last = Buffer::zeros(&[2, 1], Dtype::U16);
/// let source = open(&path)?;
/// source.read(&Region::new([0, 2], [2, 1]), last.view_mut(), &mut Scratch::new())?;
/// assert_eq!(last.as_slice::<u16>(), [3, 6]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Another ending, a missing parent folder, a volume of a shape that [`open`] refuses, what the
/// format cannot hold;
/// [`ErrorKind::Exists`] if the output, finished or not, is there already; I/O.
pub fn create(path: &Path, info: &VolumeInfo, options: &CreateOptions) -> Result<Box<dyn Sink>> {
    for taken in [path, &partial_path(path)] {
        if fs::symlink_metadata(taken).is_ok() {
            let message = format!("the output {} already exists", taken.display());
            return Err(Error::new(ErrorKind::Exists, message));
        }
    }
    begin(path, info, options, false)
}

/// As [`create`], but goes on with the output that stands at `path`, if it is what `create` made of
/// the same volume. What was written there stays; if it was complete, it is so no more. Where
/// nothing stands, it is created.
///
/// [`Sink::stored_bytes`] then tells of each region whether it is there.
///
/// # Errors
/// As `create`, but [`ErrorKind::Exists`] only if something else stands at `path`: other metadata,
/// a longer file; [`ErrorKind::Truncated`]: a file that was cut short, of which
/// [`remove_output`](crate::remove_output) makes room to begin anew.
pub fn resume(path: &Path, info: &VolumeInfo, options: &CreateOptions) -> Result<Box<dyn Sink>> {
    begin(path, info, options, true)
}

fn begin(
    path: &Path,
    info: &VolumeInfo,
    options: &CreateOptions,
    resume: bool,
) -> Result<Box<dyn Sink>> {
    let format = Format::of_output(path)?;
    check_shape(path, info)?;
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !parent.is_dir() {
        return Err(Error::new(
            ErrorKind::Io,
            format!(
                "the output {} needs the folder {}, which does not exist",
                path.display(),
                parent.display()
            ),
        ));
    }
    let flat = Begin { resume, durable: options.durable };
    match format {
        Format::Zarr => zarr::create(path, info, options, resume),
        Format::Npy => npy::create(path, info, flat),
        Format::Tiff => tiff::create(path, info, flat),
    }
}

/// [`Sink::write_overhead`] of an output of `format` and `info`, before it is created: a plan needs
/// it.
pub fn write_overhead(format: Format, info: &VolumeInfo, options: &CreateOptions) -> Result<u64> {
    match format {
        Format::Zarr => zarr::write_overhead(info, options),
        // Rows are gathered in pieces.
        Format::Npy | Format::Tiff => Ok(flat::BUFFER),
    }
}

/// Longest axis: coordinates stay far enough from the end of i64 to be added and negated.
const LONGEST: u64 = (1 << 62) - 1;

fn check_shape(path: &Path, info: &VolumeInfo) -> Result<()> {
    let (place, shape) = (path.display(), &info.shape);
    if let Some(a) = shape.iter().position(|&n| n == 0) {
        return Err(Error::argument(format!(
            "{place}: axis {a} of shape {shape:?} has no voxels; legal: at least 1 on every axis"
        )));
    }
    if let Some(a) = shape.iter().position(|&n| n > LONGEST) {
        return Err(Error::argument(format!(
            "{place}: axis {a} of shape {shape:?} is too long; legal: below 2^62 voxels"
        )));
    }
    if info.bytes() > i64::MAX as u64 {
        return Err(Error::argument(format!(
            "{place}: a volume of shape {shape:?} {} is too large; legal: below 2^63 bytes",
            info.dtype
        )));
    }
    Ok(())
}
