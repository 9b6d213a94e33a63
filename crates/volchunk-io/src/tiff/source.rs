//! Reading regions.

use std::ops::Range;

use volchunk::{Dtype, Error, Region, Result, Scratch, Source, View, ViewMut, VolumeInfo};

use super::{
    decode,
    directory::UintArray,
    files::Files,
    page::{Chunks, Compression, Layout},
};
use crate::{CountedFile, file::mix, flat};

/// Rows that cannot be read in place pass through a buffer of about this size.
const BAND: u64 = 1 << 20;

/// One plane: which file, which of the layouts, and where in the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page {
    pub(super) file: u32,
    pub(super) layout: u32,
    pub(super) chunks: Chunks,
}

/// Which page holds plane `k` of the volume, the planes in C order of the leading axes.
#[derive(Debug)]
pub(super) enum Planes {
    /// Page `k`.
    Pages,
    /// Page `order[k]`.
    Ordered(Vec<u32>),
    /// All planes lie one behind the other from the start of the only page.
    Contiguous,
}

/// A volume in TIFF files.
#[derive(Debug)]
pub(super) struct TiffSource {
    pub(super) info: VolumeInfo,
    pub(super) files: Files,
    /// One, unless the pages are stored in several ways.
    pub(super) layouts: Vec<Layout>,
    pub(super) pages: Vec<Page>,
    pub(super) planes: Planes,
}

impl TiffSource {
    /// The page of a plane, and the number to call it by.
    fn page(&self, plane: u64) -> Result<(Page, u64)> {
        let index = match &self.planes {
            Planes::Pages => plane,
            Planes::Ordered(order) => u64::from(order[plane as usize]),
            Planes::Contiguous => 0,
        };
        let mut page = self.pages[index as usize];
        if let (Planes::Contiguous, UintArray::One(first)) =
            (&self.planes, &mut page.chunks.offsets)
        {
            let layout = &self.layouts[page.layout as usize];
            // Cannot overflow: the whole extent was checked against the file.
            *first += plane * layout.height * layout.width * layout.pixel_bytes();
        }
        Ok((page, index))
    }

    /// Offset and byte count of each strip or tile in the box `rows` × `cols` of them, C order.
    fn chunk_table(
        &self,
        file: &CountedFile,
        page: &Page,
        layout: &Layout,
        rows: &Range<u64>,
        cols: &Range<u64>,
    ) -> Result<(Vec<u64>, Vec<u64>)> {
        let across = layout.chunks_across();
        let width = cols.end - cols.start;
        let spans: Vec<(u64, u64)> = if width == across {
            vec![(rows.start * across, (rows.end - rows.start) * across)]
        } else {
            rows.clone().map(|r| (r * across + cols.start, width)).collect()
        };
        let (mut offsets, mut counts) = (Vec::new(), Vec::new());
        for span in spans {
            self.files.uints(file, page.chunks.offsets, layout.order, span, &mut offsets)?;
            if layout.compression != Compression::None {
                self.files.uints(file, page.chunks.byte_counts, layout.order, span, &mut counts)?;
            }
        }
        Ok((offsets, counts))
    }

    /// Reads rows `ys` and columns `xs` of an uncompressed plane into `out`, dense.
    fn read_stored(
        &self,
        page: &Page,
        (ys, xs): (Range<u64>, Range<u64>),
        out: &mut [u8],
    ) -> Result<()> {
        let layout = &self.layouts[page.layout as usize];
        let file = self.files.get(page.file as usize)?;
        let (ch, cw, pixel) = (layout.chunk_height, layout.chunk_width, layout.pixel_bytes());
        let rows = ys.start / ch..ys.end.div_ceil(ch);
        let cols = xs.start / cw..xs.end.div_ceil(cw);
        let (offsets, _) = self.chunk_table(&file, page, layout, &rows, &cols)?;
        let out_row = (xs.end - xs.start) * pixel;
        // Rows that follow each other both in the file and in `out` become one read.
        let mut run = (0u64, 0u64, 0u64);
        let mut flush = |(at, to, len): (u64, u64, u64)| {
            self.files.read_at(&file, &mut out[to as usize..(to + len) as usize], at)
        };
        for y in ys.clone() {
            let first = (y / ch - rows.start) * (cols.end - cols.start);
            for col in cols.clone() {
                let x = (col * cw).max(xs.start)..((col + 1) * cw).min(xs.end);
                let inside = (y % ch * cw + (x.start - col * cw)) * pixel;
                let start = offsets[(first + col - cols.start) as usize];
                if start < 8 {
                    return Err(Error::data(format!(
                        "{}: the voxels at row {y} are said to lie at offset {start}, in the header",
                        file.path().display()
                    )));
                }
                let at = start.saturating_add(inside);
                let to = (y - ys.start) * out_row + (x.start - xs.start) * pixel;
                let len = (x.end - x.start) * pixel;
                if run.2 > 0 && run.0.checked_add(run.2) == Some(at) && run.1 + run.2 == to {
                    run.2 += len;
                    continue;
                }
                if run.2 > 0 {
                    flush(run)?;
                }
                run = (at, to, len);
            }
        }
        flush(run)?;
        if layout.order.is_foreign() {
            flat::swap_bytes(out, layout.dtype.size());
        }
        Ok(())
    }

    /// Reads an uncompressed plane into a window that need not be dense, band by band.
    fn read_stored_through(
        &self,
        page: &Page,
        (ys, xs, samples): (Range<u64>, Range<u64>, Range<u64>),
        mut out: ViewMut<'_>,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let layout = &self.layouts[page.layout as usize];
        let row = (xs.end - xs.start) * layout.pixel_bytes();
        let band = (BAND / row).clamp(1, ys.end - ys.start);
        let mut bytes = scratch.take(&[band * row], Dtype::U8);
        let mut done = Ok(());
        let mut y = ys.start;
        while y < ys.end && done.is_ok() {
            let stop = (y + band).min(ys.end);
            let part = &mut bytes.bytes_mut()[..((stop - y) * row) as usize];
            done = self.read_stored(page, (y..stop, xs.clone()), part);
            let shape = self.plane_shape(stop - y, xs.end - xs.start, layout.samples);
            let from = View::contiguous(&shape, layout.dtype, part).part(&self.plane_region(
                0..stop - y,
                0..xs.end - xs.start,
                samples.clone(),
            ));
            let samples = 0..samples.end - samples.start;
            out.part_mut(&self.plane_region(
                y - ys.start..stop - ys.start,
                0..xs.end - xs.start,
                samples,
            ))
            .copy_from(&from);
            y = stop;
        }
        scratch.give(bytes);
        done
    }

    /// Decodes the strips or tiles that the window touches, and copies its part of each.
    fn read_compressed(
        &self,
        (page, number): (&Page, u64),
        (ys, xs, samples): (Range<u64>, Range<u64>, Range<u64>),
        mut out: ViewMut<'_>,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let layout = &self.layouts[page.layout as usize];
        let file = self.files.get(page.file as usize)?;
        let (ch, cw) = (layout.chunk_height, layout.chunk_width);
        let rows = ys.start / ch..ys.end.div_ceil(ch);
        let cols = xs.start / cw..xs.end.div_ceil(cw);
        let (offsets, counts) = self.chunk_table(&file, page, layout, &rows, &cols)?;
        let boxes = rows.clone().flat_map(|r| cols.clone().map(move |c| (r, c)));
        for ((r, c), (&at, &count)) in boxes.zip(offsets.iter().zip(&counts)) {
            let index = r * layout.chunks_across() + c;
            let stored = layout.stored_rows(index);
            let wanted_y = (r * ch).max(ys.start)..((r + 1) * ch).min(ys.end);
            let wanted_x = (c * cw).max(xs.start)..((c + 1) * cw).min(xs.end);
            let len = stored * layout.chunk_row_bytes();
            let place = || {
                let kind = if layout.tiled { "tile" } else { "strip" };
                format!(
                    "{}, page {number}, {kind} {index}",
                    self.files.path(page.file as usize).display()
                )
            };
            check_claim(layout, len, count, at, file.len()).map_err(|e| e.context(place()))?;
            let mut window = out.part_mut(&self.plane_region(
                wanted_y.start - ys.start..wanted_y.end - ys.start,
                wanted_x.start - xs.start..wanted_x.end - xs.start,
                0..samples.end - samples.start,
            ));
            if count == 0 {
                // A strip or tile that was never written, which sparse files have: zeros.
                let shape = window.shape().to_vec();
                let strides = vec![0; shape.len()];
                window.copy_from(&View::strided(&shape, &strides, layout.dtype, &[0; 8]));
                continue;
            }
            let mut voxels = scratch.take(&[len], Dtype::U8);
            let mut packed = scratch.take(&[decode::HEADER as u64 + count], Dtype::U8);
            let input = &mut packed.bytes_mut()[decode::HEADER..];
            let done = self.files.read_at(&file, input, at).and_then(|()| {
                decode::decode(layout, stored, packed.bytes_mut(), voxels.bytes_mut()).map_err(
                    |e| {
                        Error::data(format!(
                            "{} at offset {at} does not decode to {stored}×{cw} voxels: {e}",
                            place()
                        ))
                    },
                )
            });
            if done.is_ok() {
                let shape = self.plane_shape(stored, cw, layout.samples);
                let from = View::contiguous(&shape, layout.dtype, voxels.bytes());
                window.copy_from(&from.part(&self.plane_region(
                    wanted_y.start - r * ch..wanted_y.end - r * ch,
                    wanted_x.start - c * cw..wanted_x.end - c * cw,
                    samples.clone(),
                )));
            }
            scratch.give(packed);
            scratch.give(voxels);
            done?;
        }
        Ok(())
    }

    /// Whether the last axis counts the samples of a pixel.
    fn has_samples(&self) -> bool {
        self.layouts[0].samples > 1
    }

    /// Number of axes before y.
    fn leading(&self) -> usize {
        self.info.ndim() - 2 - usize::from(self.has_samples())
    }

    /// Shape of a part of one plane, with as many axes as the volume.
    fn plane_shape(&self, y: u64, x: u64, samples: u64) -> Vec<u64> {
        let mut shape = vec![1; self.leading()];
        shape.extend([y, x]);
        shape.extend(self.has_samples().then_some(samples));
        shape
    }

    fn plane_region(&self, y: Range<u64>, x: Range<u64>, samples: Range<u64>) -> Region {
        let leading = (0..self.leading()).map(|_| 0..1);
        let last = self.has_samples().then_some(samples);
        Region::from_ranges(leading.chain([y, x]).chain(last))
    }
}

impl Source for TiffSource {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn read(&self, region: &Region, mut out: ViewMut<'_>, scratch: &mut Scratch) -> Result<()> {
        if region.is_empty() {
            return Ok(());
        }
        let leading = self.leading();
        let (ys, xs) = (region.range(leading), region.range(leading + 1));
        let samples = if self.has_samples() { region.range(leading + 2) } else { 0..1 };
        let planes: u64 = region.shape()[..leading].iter().product();
        let mut position = vec![0; leading];
        for _ in 0..planes {
            let plane = (0..leading)
                .fold(0, |index, a| index * self.info.shape[a] + region.start()[a] + position[a]);
            let (page, number) = self.page(plane)?;
            let layout = &self.layouts[page.layout as usize];
            let window = Region::from_ranges(
                position
                    .iter()
                    .map(|&p| p..p + 1)
                    .chain((leading..region.ndim()).map(|a| 0..region.shape()[a])),
            );
            let mut part = out.part_mut(&window);
            let all_samples = samples.end - samples.start == layout.samples;
            if layout.compression != Compression::None {
                let window = (ys.clone(), xs.clone(), samples.clone());
                self.read_compressed((&page, number), window, part, scratch)?;
            } else if let Some(bytes) = part.as_contiguous_mut().filter(|_| all_samples) {
                self.read_stored(&page, (ys.clone(), xs.clone()), bytes)?;
            } else {
                let window = (ys.clone(), xs.clone(), samples.clone());
                self.read_stored_through(&page, window, part, scratch)?;
            }
            for a in (0..leading).rev() {
                position[a] += 1;
                if position[a] < region.shape()[a] {
                    break;
                }
                position[a] = 0;
            }
        }
        Ok(())
    }

    fn stamp(&self, region: &Region) -> Result<u64> {
        if self.files.len() == 1 {
            return self.files.get(0)?.stamp();
        }
        let leading = self.leading();
        let shape = &region.shape()[..leading];
        let mut last = None;
        (0..shape.iter().product()).try_fold(0, |hash, mut k: u64| {
            let (mut plane, mut step) = (0, 1);
            for (a, &n) in shape.iter().enumerate().rev() {
                plane += (region.start()[a] + k % n) * step;
                (k, step) = (k / n, step * self.info.shape[a]);
            }
            let file = self.page(plane)?.0.file as usize;
            // Planes of one file commonly follow each other.
            match last.replace(file) == Some(file) {
                true => Ok(hash),
                false => Ok(mix(hash, self.files.stamp(file)?)),
            }
        })
    }

    fn read_overhead(&self) -> u64 {
        let decode = |layout: &Layout| {
            let len = layout.chunk_height.saturating_mul(layout.chunk_row_bytes());
            len.saturating_add(most_packed(len))
        };
        let packed = self.layouts.iter().filter(|l| l.compression != Compression::None).map(decode);
        packed.max().unwrap_or(0).saturating_add(BAND)
    }

    fn bytes_read(&self) -> u64 {
        self.files.bytes_read()
    }
}

/// The most that a codec, given noise, makes of `len` bytes: LZW writes 12 bits for 8.
fn most_packed(len: u64) -> u64 {
    len.saturating_add(len / 2).saturating_add(64 << 10)
}

/// Refuses sizes that no codec produces, before memory is set aside for them.
fn check_claim(layout: &Layout, len: u64, count: u64, at: u64, file: u64) -> Result<()> {
    let fits = |n: u64| n < (1 << 32) - decode::HEADER as u64;
    if !fits(len) || !fits(count) {
        return Err(Error::unsupported(format!(
            "{count} bytes for {len} decoded ones; legal: below 4 GiB each"
        )));
    }
    if at.checked_add(count).is_none_or(|stop| stop > file) {
        return Err(Error::data(format!(
            "truncated: {count} bytes are expected at offset {at}, the file has {file}"
        )));
    }
    let most = count.saturating_mul(layout.compression.most_expansion()).saturating_add(64 << 10);
    if count > most_packed(len) || (count > 0 && len > most) {
        return Err(Error::data(format!(
            "{count} bytes claim to decode to {len}, which {:?} cannot do",
            layout.compression
        )));
    }
    Ok(())
}
