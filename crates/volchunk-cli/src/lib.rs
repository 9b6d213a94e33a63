//! The volchunk program, and the library behind it.
//!
//! Raw arguments become a checked config, a config and its input a prepared job, and a
//! command carries that out. [`program`] is all of the program; [`call`] is the same for a caller
//! that has its own signals and threads. [`PlanReport`] and [`parse_bytes`] serve callers that
//! make jobs of their own, so that these read and say the same; [`Asked`] keeps journals for them, and
//! [`BlobRows`] and [`PointRows`] make their tables.

mod args;
mod asked;
mod cells;
mod colocalize;
mod commands;
mod config;
mod demo;
mod draw;
mod fingerprint;
mod job;
mod journals;
mod output;
#[doc(hidden)]
pub mod parsers;
mod picture;
mod prepare;
mod progress;
mod report;
mod selection;
mod standing;
mod start;
mod statistics;
mod store;
mod table;
mod verify;

use std::{
    ffi::OsString,
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
};

pub use asked::{Asked, Found, Given, GivenVolume, Settled, Writing};
use clap::Parser;
pub use config::parse_bytes;
pub use fingerprint::{Content, Fingerprint};
pub use job::FunctionRecord;
pub use report::{PlanReport, format_name};
pub use selection::voxel;
pub use start::Wanted;
pub use table::{BlobRows, PointRows, TableRows};
use volchunk::{Error, ErrorKind, Result};

/// How a call of the program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All was done. Code 0.
    Done,
    /// Something failed that was asked for rightly. Code 1.
    Failure,
    /// What was asked for cannot be right. Code 2.
    Usage,
    /// The caller, or Ctrl-C, stopped it. Code 130, as a shell reports SIGINT.
    Stopped,
}

impl Exit {
    /// The process's exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Stopped => 130,
        }
    }

    fn of(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::InvalidArgument | ErrorKind::Misaligned => Self::Usage,
            ErrorKind::Cancelled => Self::Stopped,
            _ => Self::Failure,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// Set by Ctrl-C.
static STOP: AtomicBool = AtomicBool::new(false);

/// The whole program: parses `args` (the first is the program's name), runs the command, prints
/// errors to standard error. Takes Ctrl-C for itself: the first stops the run within one chunk, a
/// second ends the process.
pub fn program(args: impl IntoIterator<Item = OsString>) -> Exit {
    // Freed chunks must not count towards the cap.
    volchunk::os::return_large_blocks();
    // Where a handler cannot be had, Ctrl-C ends the process: the output still says it is unfinished.
    let _ = ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(Exit::Stopped.code().into());
        }
    });
    // The engine reports a panic as an error that names the chunk, `call` any other; a trace is for
    // who asks for it.
    if std::env::var_os("RUST_BACKTRACE").is_none() {
        std::panic::set_hook(Box::new(|_| {}));
    }
    call(args, &STOP)
}

/// As [`program`], but leaves signals alone: set `cancel`, from any thread, to stop.
///
/// ```
/// use std::sync::atomic::AtomicBool;
/// use volchunk_cli::{Exit, call};
/// let args = ["volchunk", "info", "no-such-file.npy"].map(Into::into);
/// assert_eq!(call(args, &AtomicBool::new(false)), Exit::Failure);
/// ```
pub fn call(args: impl IntoIterator<Item = OsString>, cancel: &AtomicBool) -> Exit {
    let cli = match args::Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version are no errors, and go to standard output.
            let exit = if e.use_stderr() { Exit::Usage } else { Exit::Done };
            let _ = e.print();
            return exit;
        }
    };
    let error = match catch_unwind(AssertUnwindSafe(|| command(&cli, cancel))) {
        Ok(Ok(())) => return Exit::Done,
        Ok(Err(e)) if output::is_broken_pipe(&e) => return Exit::Done,
        Ok(Err(e)) => e,
        Err(_) => Error::data(
            "internal error: please report it, with what RUST_BACKTRACE=1 makes this command print",
        ),
    };
    output::complain(&error);
    Exit::of(&error)
}

fn command(cli: &args::Cli, cancel: &AtomicBool) -> Result<()> {
    match &cli.command {
        args::Command::Info(args) => commands::info(args),
        args::Command::Plan(args) => commands::plan(args, cancel),
        args::Command::Detect(args) => commands::detect(args, cancel),
        args::Command::Run(args) => commands::run(args, cancel),
        args::Command::Convert(args) => commands::convert(args, cancel),
        args::Command::Status(args) => commands::status(args),
        args::Command::Verify(args) => verify::verify(args, cancel),
        args::Command::Finish(args) => commands::finish(args, cancel),
        args::Command::Points(args) => commands::points(args, cancel),
        args::Command::Colocalize(args) => colocalize::colocalize(args, cancel),
        args::Command::Demo(args) => demo::demo(args, cancel),
    }
}
