//! `volchunk demo`: a volume of known cells, searched in chunks, held against the whole and against
//! what is known.

mod agreement;
mod cells;
mod own;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use clap::Parser;
use volchunk::{Control, Error, Pipeline, PlanRequest, Result, Source, StorageRequest, plan};
use volchunk_io::{CreateOptions, Format, create, open_table, remove_output, write_overhead};

use crate::{
    args::{Cli, Command, DemoArgs},
    commands::detect,
    output::print,
    report::shape,
};
use agreement::agreement;
use cells::Cells;

/// What is sought, as flags of `detect`.
const SOUGHT: &[&str] =
    &["--min-sigma", "2.2um", "--max-sigma", "3.4um", "--num-sigma", "3", "--threshold", "0.003"];
/// The same as an op.
const OP: &str = "log:min-sigma=2.2um:max-sigma=3.4um:num-sigma=3:threshold=0.003";
const CHUNK: &str = "32,96,96";

/// Makes the volume, finds the cells, checks that no seam shows in their table, draws them.
pub(crate) fn demo(args: &DemoArgs, cancel: &AtomicBool) -> Result<()> {
    let dir = folder(args.dir.as_deref())?;
    let (volume, found, whole) =
        (dir.join("cells.zarr"), dir.join("cells.csv"), dir.join("whole.csv"));
    let (figure, page) = (dir.join("demo.png"), dir.join("demo.html"));
    own::check(&volume, &[&found, &whole], OP, &[&figure, &page])?;
    for output in [&volume, &found, &whole] {
        remove_output(output)?;
    }
    let cells = Cells::new([64, 512, 512]);
    print(&format!(
        "1. A synthetic volume of cells, {} uint16, voxels of 3 × 2 × 2 µm\n   → {}\n",
        shape(&cells.info().shape),
        volume.display()
    ))?;
    write_cells(&cells, &volume, cancel)?;

    let text = |path: &Path| path.display().to_string();
    let mut command = vec!["volchunk".to_owned(), "detect".into(), text(&volume), text(&found)];
    command.extend(SOUGHT.iter().map(ToString::to_string));
    command.extend(["--chunk".into(), CHUNK.into()]);
    command.extend(["--figure".into(), text(&figure), "--report".into(), text(&page)]);
    print(&format!(
        "2. Its cells, found chunk by chunk, as this command does it:\n   {}\n",
        command.join(" ")
    ))?;
    call(&command, cancel)?;

    let mut command = vec!["volchunk".to_owned(), "detect".into(), text(&volume), text(&whole)];
    command.extend(SOUGHT.iter().map(ToString::to_string));
    command.extend(["--chunk", "64,512,512", "--workers", "1", "--quiet"].map(Into::into));
    // A few hundred megabytes, whatever is free.
    command.extend(["--memory", "4GiB"].map(Into::into));
    call(&command, cancel)?;
    let read = |path: &Path| {
        fs::read(path).map_err(|e| Error::io(format_args!("reading {}", path.display()), e))
    };
    let same = read(&found)? == read(&whole)?;
    print(&format!(
        "3. The same with one chunk that covers the volume, on one thread: the two tables are {}.\n",
        if same { "the same file, byte for byte" } else { "NOT the same" }
    ))?;
    if !same {
        return Err(Error::data("the chunks show in the table: please report it"));
    }
    let agreement = agreement(&cells.known(), &centres(&found)?);
    print(&format!("4. {agreement}\n"))?;
    print(&format!(
        "5. A figure, and a page with histograms and counts\n   → {}\n   → {}\n",
        figure.display(),
        page.display()
    ))
}

/// Carries out a command of this program.
fn call(command: &[String], cancel: &AtomicBool) -> Result<()> {
    match Cli::try_parse_from(command).map(|cli| cli.command) {
        Ok(Command::Detect(args)) => detect(&args, cancel),
        _ => Err(Error::argument(format!("no such command: {}", command.join(" ")))),
    }
}

/// The folder to work in.
fn folder(dir: Option<&Path>) -> Result<PathBuf> {
    let dir = match dir {
        Some(dir) => dir.to_owned(),
        None => std::env::temp_dir().join(format!("volchunk-demo-{}", std::process::id())),
    };
    match fs::create_dir(&dir) {
        Err(e) if !dir.is_dir() => Err(Error::io(format_args!("--dir {}", dir.display()), e)),
        _ => Ok(dir),
    }
}

/// The volume as OME-Zarr, computed chunk by chunk by the engine itself.
fn write_cells(volume: &Cells, path: &Path, cancel: &AtomicBool) -> Result<()> {
    let pipeline = Pipeline::new(vec![volume.info().clone()]);
    let plan = plan(&PlanRequest {
        pipeline: &pipeline,
        roi: None,
        // As the search divides it.
        chunk: Some(volchunk::Coords::from_slice(&[32, 96, 96])),
        storage: StorageRequest::Chunked { chunk: None, shard: None },
        workers: None,
        memory: None,
        held: 0,
        read_overhead: volume.read_overhead(),
        write_overhead: &|info| write_overhead(Format::Zarr, info, &CreateOptions::default()),
        mask: None,
        skip_empty: false,
    })?;
    let options = CreateOptions { attributes: Some(own::attributes()), ..CreateOptions::default() };
    let sink = create(path, &plan.output, &options)?;
    let control = Control { cancel, ..Control::default() };
    volchunk::run(&plan, &pipeline, &[volume], &*sink, control).map(|_| ())
}

/// The coordinates in a table, in voxels z y x.
fn centres(path: &Path) -> Result<Vec<[f64; 3]>> {
    let mut table = open_table(path)?;
    let (columns, count) = (table.info().coordinates()?, table.info().columns.len());
    let (mut all, mut rows) = (Vec::new(), Vec::new());
    while table.read(&mut rows, 4096)? > 0 {
        all.extend(rows.chunks_exact(count).map(|row| [0, 1, 2].map(|a| row[columns[a]])));
    }
    Ok(all)
}
