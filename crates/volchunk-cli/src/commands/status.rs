//! `volchunk status`.

use std::{fmt::Write, sync::atomic::AtomicBool};

use serde_json::{Value, json};
use volchunk::{Chunk, Error, ErrorKind, Result};
use volchunk_io::{OutputState, Part, output_state, output_writers};

use crate::{
    args::StatusArgs,
    config::Limits,
    journals::{Kept, journals},
    output::print,
    progress::duration,
    report::grouped,
    standing::standing,
};

/// How far one output is.
struct Status {
    complete: bool,
    writers: Vec<String>,
    chunks: u64,
    done: u64,
    failed: Vec<(usize, Chunk)>,
    /// Of a complete output, the first chunk that has no receipt, or of which files are gone or of another
    /// size.
    lost: Option<String>,
    /// Chunks per second, of the runs that are going on.
    rate: Option<f64>,
    /// Level or part: its name, chunks that are done, chunks.
    shares: Vec<(String, u64, u64)>,
}

/// Prints how far an output is.
pub(crate) fn status(args: &StatusArgs) -> Result<()> {
    let output = &args.output;
    let place = output.display();
    let state = output_state(output)?;
    let kept = journals(output)?;
    let complete = matches!(state, OutputState::Complete { .. });
    if kept.is_empty() && !complete {
        return Err(Error::new(
            ErrorKind::Io,
            match state {
                OutputState::Absent => format!("{place}: there is no such output"),
                OutputState::Foreign => format!("{place} is no output of volchunk"),
                _ => format!("{place} is unfinished, and has no journal to tell how far it is"),
            },
        ));
    }
    let mut status = Status::of(complete, output_writers(output)?, &kept)?;
    if complete {
        // Its journals were complete with it: what is missing now was lost since.
        let workers = Limits::default().workers();
        let found = standing(output, &kept, None, workers, &AtomicBool::new(false))?;
        status.done = status.chunks.saturating_sub(found.missing);
        if found.first.is_some() {
            // What the journals have of levels and parts is not what is there.
            status.shares.clear();
        }
        status.lost = found.first;
    }
    match args.json {
        true => print(&format!("{:#}\n", status.json(&place.to_string()))),
        false => print(&status.text(&place.to_string())),
    }
}

impl Status {
    fn of(complete: bool, writers: Vec<String>, kept: &[Kept]) -> Result<Self> {
        let mut status = Self {
            complete,
            chunks: 0,
            done: 0,
            failed: Vec::new(),
            lost: None,
            rate: None,
            shares: Vec::new(),
            writers,
        };
        for Kept { head, part, journal } in kept {
            let grid = head.grid()?;
            let range = journal.chunks();
            let (done, chunks) = (journal.done(), range.end - range.start);
            // Parts that were not begun are missing too.
            status.chunks += match part {
                Some(_) if status.chunks > 0 => 0,
                _ => grid.len(),
            };
            status.done += done;
            let failed = journal.failed();
            status.failed.extend(failed.into_iter().map(|n| (head.level, grid.chunk(n))));
            let goes_on = match part {
                Some(part) => status.writers.iter().any(|w| w.ends_with(&format!("(part {part})"))),
                None => !status.writers.is_empty() && done < chunks,
            };
            if let Some(rate) = journal.rate().filter(|_| goes_on) {
                *status.rate.get_or_insert(0.0) += rate;
            }
            let name = match part {
                Some(part) => format!("part {part}"),
                None => format!("level {}", head.level),
            };
            status.shares.push((name, done, chunks));
        }
        if let Some(of) = kept.first().and_then(|k| k.part).map(|part| part.of) {
            for part in (0..of).map(|index| Part { index, of }) {
                if kept.binary_search_by_key(&Some(part), |k| k.part).is_err() {
                    let range = part.range(status.chunks);
                    status.shares.push((format!("part {part}"), 0, range.end - range.start));
                }
            }
        }
        Ok(status)
    }

    fn missing(&self) -> u64 {
        self.chunks.saturating_sub(self.done).saturating_sub(self.failed.len() as u64)
    }

    fn seconds_left(&self) -> Option<f64> {
        self.rate.map(|rate| self.chunks.saturating_sub(self.done) as f64 / rate)
    }

    fn text(&self, place: &str) -> String {
        let mut t = String::new();
        let mut line = |name: &str, value: String| {
            let _ = writeln!(t, "{name:<15}{value}");
        };
        line(
            "output",
            format!("{place}: {}", if self.complete { "complete" } else { "unfinished" }),
        );
        if !self.complete {
            let writers = self.writers.join(", ");
            line("writer", if writers.is_empty() { "none just now".into() } else { writers });
        }
        match self.chunks {
            0 => line("chunks", "unknown: it has no journal".into()),
            chunks => line(
                "chunks",
                format!(
                    "{} of {} done ({:.1} %), {} failed, {} missing",
                    grouped(self.done),
                    grouped(chunks),
                    100.0 * self.done as f64 / chunks as f64,
                    self.failed.len(),
                    grouped(self.missing())
                ),
            ),
        }
        if let (Some(rate), Some(left)) = (self.rate, self.seconds_left()) {
            line("rate", format!("{rate:.1} chunks/s, {} left", duration(left)));
        }
        if self.shares.len() > 1 {
            for (name, done, chunks) in &self.shares {
                line(name, format!("{} of {} done", grouped(*done), grouped(*chunks)));
            }
        }
        if let Some(first) = &self.lost {
            line("lost", format!("{first}, the first; the command that made it writes them anew"));
        }
        for (level, chunk) in &self.failed {
            let level = if *level > 0 { format!(" of level {level}") } else { String::new() };
            line("failed", format!("chunk {:?}{level} at {}", &chunk.index[..], chunk.core));
        }
        t
    }

    fn json(&self, place: &str) -> Value {
        let failed = self.failed.iter().map(|(level, chunk)| {
            json!({
                "level": level,
                "chunk": &chunk.index[..],
                "region": chunk.core.ranges().map(|r| [r.start, r.end]).collect::<Vec<_>>(),
            })
        });
        let shares = self
            .shares
            .iter()
            .map(|(name, done, chunks)| json!({"name": name, "done": done, "chunks": chunks}));
        json!({
            "output": place,
            "complete": self.complete,
            "writers": self.writers,
            "chunks": self.chunks,
            "done": self.done,
            "missing": self.missing(),
            "lost": self.lost,
            "failed": failed.collect::<Vec<_>>(),
            "chunks_per_second": self.rate,
            "seconds_left": self.seconds_left(),
            "shares": shares.collect::<Vec<_>>(),
        })
    }
}
