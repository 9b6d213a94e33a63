//! Opening a file or a folder: every page's header, and what they have in common.

use std::path::{Path, PathBuf};

use volchunk::{Axis, Error, Region, Result, StorageGrid, VolumeInfo};

use super::{
    describe::{Described, Facts, describe},
    directory::{Reader, UintArray, tag},
    files::Files,
    page::{self, Compression, Layout},
    source::{Page, Planes, TiffSource},
};
use crate::{CountedFile, format::is_tiff_name};

/// The pages collected so far, and the layouts that they share.
#[derive(Default)]
struct Pages {
    layouts: Vec<Layout>,
    pages: Vec<Page>,
}

impl Pages {
    /// Adds a page of file number `file`.
    ///
    /// `name` tells the two apart when it does not match the first.
    fn add(
        &mut self,
        (layout, chunks): (Layout, page::Chunks),
        file: u32,
        name: impl Fn(usize) -> String,
    ) -> Result<()> {
        if let Some(first) = self.layouts.first() {
            let same = |l: &Layout| (l.height, l.width, l.samples, l.dtype);
            if same(first) != same(&layout) {
                return Err(Error::data(format!(
                    "planes differ: {} is {}, {} is {}; legal: the same shape and dtype",
                    name(0),
                    first.describe(),
                    name(self.pages.len()),
                    layout.describe()
                )));
            }
        }
        if self.layouts.last() != Some(&layout) {
            self.layouts.push(layout);
        }
        let layout = (self.layouts.len() - 1) as u32;
        self.pages.push(Page { file, layout, chunks });
        Ok(())
    }
}

pub(super) fn open(path: &Path) -> Result<TiffSource> {
    if path.is_dir() { open_folder(path) } else { open_file(path) }
}

fn open_file(path: &Path) -> Result<TiffSource> {
    let files = Files::new(vec![path.to_owned()]);
    let file = files.get(0)?;
    let mut pages = Pages::default();
    let (text, resolution) = read_pages(&file, |page| {
        pages.add(page, 0, |k| format!("page {k} of {}", path.display()))
    })?;
    files.count(file.bytes_read());
    let Some(layout) = pages.layouts.first() else {
        return Err(Error::data(format!("{}: the TIFF holds no image", path.display())));
    };
    let facts = Facts {
        name: path.display().to_string(),
        pages: pages.pages.len() as u64,
        layout,
        resolution,
    };
    let mut described = match text {
        Some(text) => describe(&text, &facts)?,
        None => Described::plain(facts.pages),
    };
    if matches!(described.planes, Planes::Contiguous) {
        let planes = described.leading.iter().map(|(_, n)| n).product();
        check_contiguous(&files, &file, &mut pages, planes)?;
    }
    let leading = std::mem::take(&mut described.leading);
    assemble(files, pages, leading, described)
}

fn open_folder(path: &Path) -> Result<TiffSource> {
    let fail = |e| Error::io(format_args!("listing {}", path.display()), e);
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(path).map_err(fail)? {
        let file = entry.map_err(fail)?.path();
        if is_tiff_name(&file) {
            paths.push(file);
        }
    }
    if paths.is_empty() {
        return Err(Error::data(format!(
            "{} holds no TIFF planes; legal: a folder of .tif or .tiff files",
            path.display()
        )));
    }
    paths.sort_by_cached_key(|p| natural_key(&p.to_string_lossy()));

    let mut files = Files::new(paths);
    let mut pages = Pages::default();
    let mut described = None;
    for index in 0..files.len() {
        // Not by the cache: this file may not be needed again for long.
        let file = CountedFile::open(files.path(index))?;
        files.note(&file)?;
        let name = |k| files.path(k).display().to_string();
        let mut count = 0;
        let (text, resolution) = read_pages(&file, |page| {
            count += 1;
            if count > 1 {
                return Err(Error::unsupported(format!(
                    "{} has several pages; a folder is read as one plane per file",
                    name(index)
                )));
            }
            pages.add(page, index as u32, name)
        })?;
        files.count(file.bytes_read());
        if count == 0 {
            return Err(Error::data(format!("{}: the TIFF holds no image", name(index))));
        }
        if described.is_none() {
            let layout = &pages.layouts[0];
            let facts = Facts { name: name(index), pages: 1, layout, resolution };
            let own = match text {
                Some(text) => describe(&text, &facts)?,
                None => Described::plain(1),
            };
            if matches!(own.planes, Planes::Contiguous) {
                return Err(Error::unsupported(format!(
                    "{} holds several planes; a folder is read as one plane per file",
                    name(index)
                )));
            }
            described = Some(own);
        }
    }
    let described = described.unwrap_or_else(|| Described::plain(1));
    let leading = vec![(described.z.clone(), files.len() as u64)];
    assemble(files, pages, leading, Described { planes: Planes::Pages, ..described })
}

/// Pixels per unit along x and y.
type Resolution = (Option<f64>, Option<f64>);

/// Hands the pages of `file` to `add`; returns the first one's description and resolution.
fn read_pages(
    file: &CountedFile,
    mut add: impl FnMut((Layout, page::Chunks)) -> Result<()>,
) -> Result<(Option<String>, Resolution)> {
    let mut reader = Reader::new(file)?;
    let mut first = None;
    while let Some(directory) = reader.next()? {
        let Some(page) = page::read(file, &mut reader, &directory)? else { continue };
        add(page)?;
        if first.is_none() {
            let text = reader.text(&directory, tag::IMAGE_DESCRIPTION)?;
            let x = reader.rational(&directory, tag::X_RESOLUTION)?;
            let y = reader.rational(&directory, tag::Y_RESOLUTION)?;
            first = Some((text, (x, y)));
        }
    }
    Ok(first.unwrap_or_default())
}

/// Makes the only page stand for `planes` that lie one behind the other, if the file holds them.
fn check_contiguous(
    files: &Files,
    file: &CountedFile,
    pages: &mut Pages,
    planes: u64,
) -> Result<()> {
    let (layout, page) = (&mut pages.layouts[0], &mut pages.pages[0]);
    let name = file.path().display();
    if layout.compression != Compression::None || layout.tiled {
        return Err(Error::data(format!(
            "{name}: its description claims {planes} planes, but it has one page, which is not an uncompressed one in strips"
        )));
    }
    // Strips count as one only if they follow each other.
    let mut offsets = Vec::new();
    let count = layout.chunks();
    files.uints(file, page.chunks.offsets, layout.order, (0, count), &mut offsets)?;
    let strip = layout.chunk_height * layout.chunk_row_bytes();
    if offsets.windows(2).any(|pair| pair[0].checked_add(strip) != Some(pair[1])) {
        return Err(Error::unsupported(format!(
            "{name}: its description claims {planes} planes behind one page, whose strips are scattered"
        )));
    }
    let first = offsets.first().copied().unwrap_or(0);
    let plane = layout.width * layout.pixel_bytes() * layout.height;
    let stop = plane.checked_mul(planes).and_then(|n| n.checked_add(first));
    if stop.is_none_or(|stop| stop > file.len()) {
        return Err(Error::data(format!(
            "{name} is truncated: its description claims {planes} planes of {plane} bytes from offset {first}, the file has {}",
            file.len()
        )));
    }
    layout.chunk_height = layout.height;
    page.chunks.offsets = UintArray::One(first);
    Ok(())
}

fn assemble(
    files: Files,
    pages: Pages,
    leading: Vec<(Axis, u64)>,
    described: Described,
) -> Result<TiffSource> {
    let layout = &pages.layouts[0];
    let (mut axes, mut shape): (Vec<Axis>, Vec<u64>) = leading.into_iter().unzip();
    let ones = axes.len();
    axes.extend([described.y, described.x]);
    shape.extend([layout.height, layout.width]);
    if layout.samples > 1 {
        axes.push(Axis::new("c"));
        shape.push(layout.samples);
    }
    let name = files.path(0).display();
    for (k, axis) in axes.iter().enumerate() {
        if axes[..k].iter().any(|a| a.name == axis.name) {
            return Err(Error::unsupported(format!(
                "{name}: axis '{}' occurs twice, for instance as channels and as samples of a pixel",
                axis.name
            )));
        }
    }
    let item = layout.dtype.size() as u64;
    if Region::whole(&shape).voxels().checked_mul(item).is_none_or(|n| n > i64::MAX as u64) {
        return Err(Error::data(format!(
            "{name} claims {shape:?} voxels of {item} bytes, more than can be addressed"
        )));
    }
    let packed = pages.layouts.iter().find(|l| l.compression != Compression::None);
    let storage = packed.map(|l| {
        let mut chunk = vec![1; ones];
        chunk.extend([l.chunk_height.min(l.height), l.chunk_width.min(l.width)]);
        chunk.extend((l.samples > 1).then_some(l.samples));
        StorageGrid { chunk: chunk.into_iter().collect(), shard: None }
    });
    let mut info = VolumeInfo::new(&shape, layout.dtype);
    info.axes = axes;
    info.storage = storage;
    let Pages { layouts, pages } = pages;
    Ok(TiffSource { info, files, layouts, pages, planes: described.planes })
}

/// Sorts names as people do: runs of digits by their number.
fn natural_key(name: &str) -> (Vec<(u8, usize, String)>, String) {
    let mut parts: Vec<(u8, usize, String)> = Vec::new();
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let digit = first.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != digit).unwrap_or(rest.len());
        let (run, tail) = rest.split_at(end);
        parts.push(if digit {
            let number = run.trim_start_matches('0');
            // Without leading zeros, the longer number is the greater one.
            (0, number.len(), number.to_owned())
        } else {
            (1, 0, run.to_lowercase())
        });
        rest = tail;
    }
    (parts, name.to_owned())
}
