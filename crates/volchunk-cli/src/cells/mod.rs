//! What a detection found, as pictures: a figure (`--figure`) and a page (`--report`).
//!
//! [`CellsReport`] takes the cells as their table streams by, and keeps counts and pixels only. The
//! voxels behind them come from [`project`], a run of its own over the input, or from
//! [`projections::Projections`], a sink that another run fills.

mod chart;
mod figure;
mod frame;
mod histogram;
mod marks;
mod page;
mod place;
mod projections;
mod show;
mod spread;
#[cfg(test)]
mod tests;

use std::{path::Path, time::Duration};

use volchunk::{ChunkGrid, Error, Result, VolumeInfo};

pub(crate) use figure::Colours;
pub(crate) use frame::Frame;
pub(crate) use place::{check_writable, is_ours};
pub(crate) use projections::{Image, image_bytes, project};
pub(crate) use show::show;

use crate::{draw::Canvas, picture, report::shape};
use figure::Picture;
use frame::number;
use histogram::Histogram;
use marks::Marks;
use spread::Spread;

/// What is known of a detection before it runs.
#[derive(Debug, Clone)]
pub(crate) struct About {
    /// What to call the volume, in titles.
    pub(crate) name: String,
    pub(crate) input: String,
    pub(crate) output: String,
    /// The command that was given.
    pub(crate) command: String,
    /// Names and values, in the order in which to show them.
    pub(crate) parameters: Vec<(String, String)>,
    /// The volume in which cells are sought.
    pub(crate) volume: VolumeInfo,
    /// The chunks, over the region of the volume that is searched.
    pub(crate) grid: ChunkGrid,
    /// What the colours of cells tell.
    pub(crate) colours: Colours,
    /// The unit of a cell's σ.
    pub(crate) sigma_unit: String,
}

/// What is known after it ran.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) elapsed: Duration,
    pub(crate) workers: usize,
    /// Bytes; None where the system does not tell.
    pub(crate) peak: Option<u64>,
    /// Bytes, by the plan.
    pub(crate) projected: u64,
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell<'a> {
    /// Voxel coordinates, one for each spatial axis of the volume, slowest first.
    pub(crate) at: &'a [f64],
    /// In the unit that [`About`] names.
    pub(crate) sigma: f64,
    /// In voxels: one for each spatial axis, or one for all of them.
    pub(crate) radius: &'a [f64],
    pub(crate) value: f64,
    pub(crate) channel: u64,
}

/// Gathers what figure and page show. Its memory does not follow the volume, nor the cells.
pub(crate) struct CellsReport {
    about: About,
    frame: Frame,
    images: Vec<Image>,
    marks: Vec<Marks>,
    sigmas: Histogram,
    values: Histogram,
    spreads: Vec<Spread>,
    count: u64,
}

impl CellsReport {
    /// Without cells; without voxels, until [`set_projections`](Self::set_projections).
    pub(crate) fn new(about: About) -> Self {
        let frame = Frame::new(&about.volume, about.grid.domain());
        let pixels = |k: usize| frame.axes[k].pixels;
        let marks =
            frame.panels.iter().map(|p| Marks::new(pixels(p.across), pixels(p.down))).collect();
        let spatial = about.volume.spatial_axes();
        let spreads = spatial
            .iter()
            .map(|&a| Spread::new(&about.grid, a, &about.volume.axes[a].name))
            .collect();
        let images = frame
            .panels
            .iter()
            .map(|p| vec![f32::NAN; frame.axes[p.down].blocks * frame.axes[p.across].blocks])
            .collect();
        Self {
            about,
            frame,
            images,
            marks,
            sigmas: Histogram::default(),
            values: Histogram::default(),
            spreads,
            count: 0,
        }
    }

    /// What [`project`] or [`Projections`] is to be given.
    pub(crate) fn frame(&self) -> &Frame {
        &self.frame
    }

    /// Bytes that gathering and drawing hold, whatever the cells.
    pub(crate) fn memory(&self) -> u64 {
        let distances: u64 = self.about.grid.chunk_shape().iter().sum();
        let marks = Marks::bytes(&self.frame);
        // Layers, and while they are drawn the canvas, its PNG and that as text.
        marks * 2 + 2 * image_bytes(&self.frame) + 8 * distances + (1 << 20)
    }

    /// The voxels that the cells are drawn on, one image for each panel of the frame.
    pub(crate) fn set_projections(&mut self, images: Vec<Image>) {
        self.images = images;
    }

    /// Takes a row of the table. The order does not matter but where cells cover one another.
    pub(crate) fn add(&mut self, cell: &Cell<'_>) {
        self.count += 1;
        self.sigmas.add(cell.sigma);
        self.values.add(cell.value);
        self.spreads.iter_mut().zip(cell.at).for_each(|(spread, &at)| spread.add(at));
        let colour = self.about.colours.of(cell.sigma, cell.channel);
        for (panel, marks) in self.frame.panels.iter().zip(&mut self.marks) {
            let place = |axis: usize| {
                let shown = &self.frame.axes[axis];
                let Some((_, k)) = shown.axis else {
                    return (shown.pixels as f64 / 2.0, 3.0);
                };
                let radius = cell.radius.get(k).or(cell.radius.last()).copied().unwrap_or(0.0);
                let at = cell.at.get(k).copied().unwrap_or(f64::NAN);
                (shown.place(at), radius * shown.zoom())
            };
            let ((x, rx), (y, ry)) = (place(panel.across), place(panel.down));
            marks.add((x, y), (rx, ry), colour);
        }
    }

    /// `mouse.zarr: 4,148 cells`.
    fn title(&self) -> String {
        format!("{}: {}", self.about.name, page::cells(self.count))
    }

    /// `5 × 2 × 2 µm`; None where no size is known.
    fn voxel_text(&self) -> Option<String> {
        let info = &self.about.volume;
        let sizes: Option<Vec<String>> =
            info.spatial_axes().iter().map(|&a| info.axes[a].micrometers().map(number)).collect();
        Some(format!("{} µm", sizes?.join(" × ")))
    }

    fn picture<'a>(&'a self, title: &'a str, lines: &'a [String]) -> Picture<'a> {
        Picture {
            frame: &self.frame,
            grid: &self.about.grid,
            images: &self.images,
            marks: &self.marks,
            colours: &self.about.colours,
            sigma_unit: &self.about.sigma_unit,
            title,
            lines,
        }
    }

    /// Writes the figure, a PNG.
    ///
    /// # Errors
    /// I/O; nothing is left at `path` that was not there.
    pub(crate) fn write_figure(&self, path: &Path) -> Result<()> {
        let about = &self.about;
        let mut line = format!(
            "{} voxels ({})",
            shape(about.grid.domain().shape()),
            about.volume.axis_names()
        );
        if let Some(size) = self.voxel_text() {
            line += &format!(" of {size}");
        }
        line += &format!(", in chunks of {}", shape(about.grid.chunk_shape()));
        let canvas = self.picture(&self.title(), &[line]).draw();
        place::write_whole(path, &png(&canvas)?)
    }

    /// Writes the page, an HTML file that stands alone.
    ///
    /// # Errors
    /// I/O; nothing is left at `path` that was not there.
    pub(crate) fn write_report(&self, path: &Path, ended: &Ended) -> Result<()> {
        place::write_whole(path, page::page(self, ended)?.as_bytes())
    }
}

/// A canvas as PNG.
fn png(canvas: &Canvas) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    picture::encode(&mut bytes, canvas.size(), canvas.pixels(), place::SOFTWARE)
        .map_err(|e| Error::io("encoding a picture", std::io::Error::other(e)))?;
    Ok(bytes)
}
