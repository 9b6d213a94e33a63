//! What a run shows while it works: a bar on a terminal, lines in a log, or nothing.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal, Write},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use volchunk::Progress;

/// Shows how far a run is, on standard error.
pub(crate) struct Display(Kind);

enum Kind {
    Nothing,
    Bar(ProgressBar),
    Lines(Mutex<Lines>),
}

struct Lines {
    what: &'static str,
    started: Instant,
    last: Instant,
    tenth: u64,
}

/// A log gets a line this often, or at each tenth if that is rarer than once a second.
const EVERY: Duration = Duration::from_secs(5);

impl Display {
    /// Shows `what` ("filtering") is being done to `voxels` voxels.
    pub(crate) fn new(what: &'static str, voxels: u64, quiet: bool) -> Self {
        if quiet {
            return Self(Kind::Nothing);
        }
        if io::stderr().is_terminal() {
            return Self(Kind::Bar(bar(what, voxels)));
        }
        let now = Instant::now();
        Self(Kind::Lines(Mutex::new(Lines { what, started: now, last: now, tenth: 0 })))
    }

    /// Takes note of a chunk; from any thread.
    pub(crate) fn update(&self, progress: Progress) {
        match &self.0 {
            Kind::Nothing => {}
            // Chunks report out of order; a bar must not go back.
            Kind::Bar(bar) if progress.voxels_done > bar.position() => {
                bar.set_position(progress.voxels_done);
            }
            Kind::Bar(_) => {}
            Kind::Lines(lines) => {
                let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(line) = lines.line(progress, Instant::now()) {
                    // Nobody may be reading the log: that is no reason to stop.
                    let _ = writeln!(io::stderr(), "{line}");
                }
            }
        }
    }

    /// Leaves the terminal as it was.
    pub(crate) fn end(&self) {
        if let Kind::Bar(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

impl Lines {
    fn line(&mut self, progress: Progress, now: Instant) -> Option<String> {
        let tenth = progress.voxels_done.saturating_mul(10) / progress.voxels.max(1);
        let since = now - self.last;
        let due = since >= EVERY || (tenth > self.tenth && since >= Duration::from_secs(1));
        if !due || progress.chunks_done == progress.chunks {
            return None;
        }
        (self.last, self.tenth) = (now, tenth.max(self.tenth));
        let seconds = (now - self.started).as_secs_f64();
        // What an earlier run did took none of this one's time.
        let done = progress.voxels_done.saturating_sub(progress.voxels_kept) as f64;
        let left = progress.voxels.saturating_sub(progress.voxels_done) as f64;
        let left = seconds * left / done.max(1.0);
        Some(format!(
            "{}: {:.0} %, chunk {} of {}, {}, {} left",
            self.what,
            100.0 * done / progress.voxels.max(1) as f64,
            progress.chunks_done,
            progress.chunks,
            rate(done / seconds.max(1e-9)),
            duration(left),
        ))
    }
}

fn bar(what: &'static str, voxels: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(voxels), ProgressDrawTarget::stderr());
    let style =
        ProgressStyle::with_template("{msg} {wide_bar} {percent:>3} %  {rate}, {left} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .with_key("rate", |s: &ProgressState, w: &mut dyn std::fmt::Write| {
                let _ = w.write_str(&rate(s.per_sec()));
            })
            .with_key("left", |s: &ProgressState, w: &mut dyn std::fmt::Write| {
                let _ = w.write_str(&duration(s.eta().as_secs_f64()));
            });
    bar.set_style(style);
    bar.set_message(what);
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

/// Voxels per second.
pub(crate) fn rate(voxels_per_second: f64) -> String {
    match voxels_per_second {
        v if v >= 1e9 => format!("{:.2} billion voxels/s", v / 1e9),
        v if v >= 1e6 => format!("{:.1} million voxels/s", v / 1e6),
        v => format!("{v:.0} voxels/s"),
    }
}

/// Seconds, with minutes and hours where there are such.
pub(crate) fn duration(seconds: f64) -> String {
    if seconds < 60.0 {
        let digits = usize::from(seconds < 10.0) + usize::from(seconds < 1.0);
        return format!("{seconds:.digits$} s");
    }
    let whole = seconds.min(1e15).round() as u64;
    let (h, m, s) = (whole / 3600, whole / 60 % 60, whole % 60);
    let mut text = String::new();
    if h > 0 {
        let _ = write!(text, "{h} h ");
    }
    let _ = write!(text, "{m} min");
    if h == 0 {
        let _ = write!(text, " {s} s");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_gets_few_lines() {
        let start = Instant::now();
        let mut lines = Lines { what: "filtering", started: start, last: start, tenth: 0 };
        let mut at = |chunks_done, ms| {
            let progress = Progress {
                chunks_done,
                chunks: 100,
                voxels_done: chunks_done * 7,
                voxels: 700,
                voxels_kept: 0,
            };
            lines.line(progress, start + Duration::from_millis(ms))
        };
        assert_eq!(at(30, 500), None);
        assert_eq!(
            at(40, 2000).as_deref(),
            Some("filtering: 40 %, chunk 40 of 100, 140 voxels/s, 3.0 s left")
        );
        assert_eq!(at(41, 4000), None);
        assert!(at(42, 7100).is_some());
        assert_eq!(at(60, 7200), None);
        assert_eq!(at(100, 60_000), None);
    }

    #[test]
    fn durations_are_short() {
        for (seconds, text) in [
            (0.123, "0.12 s"),
            (3.21, "3.2 s"),
            (59.4, "59 s"),
            (61.0, "1 min 1 s"),
            (7322.0, "2 h 2 min"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }
}
