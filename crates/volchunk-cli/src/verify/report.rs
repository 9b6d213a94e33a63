//! What `verify` tells.

use std::fmt::Write;

use serde_json::{Value, json};
use volchunk::{Audit, AxisSeams, Finding, Reread, SCORE_GRID, SCORE_PLANE, VolumeInfo};

use super::{OfJournal, Verdict, basis::InputState};
use crate::{
    progress::duration,
    report::{bytes, grouped, shape},
};

/// Findings of one sort that are listed as text; JSON has all.
const SHOWN: usize = 20;

impl Verdict {
    pub(super) fn text(&self) -> String {
        let mut t = String::new();
        line(&mut t, "output", &self.place);
        if let Some(journal) = &self.journal {
            journal.text(&mut t);
        }
        match self.table {
            Some(true) => line(&mut t, "table", "the file is as it was written"),
            Some(false) => line(&mut t, "table", "the file is NOT as it was written"),
            None => {}
        }
        if let Err(why) = &self.seams {
            line(&mut t, "planes", &format!("not measured: {why}"));
        }
        for axis in self.seams.iter().flatten() {
            let name = format!("planes of {}", self.axis_names[axis.axis]);
            self.axis_text(&mut t, &name, axis);
        }
        if let Some(figure) = &self.figure {
            line(&mut t, "figure", &figure.display().to_string());
        }
        t
    }

    fn axis_text(&self, t: &mut String, name: &str, axis: &AxisSeams) {
        let (Some(grid), None) = (&axis.grid, &axis.skipped) else {
            let why = axis.skipped.as_deref().unwrap_or("too little can be compared");
            // An axis of one chunk has no seams.
            if axis.planes > 0 {
                line(t, name, &format!("not measured: {why}"));
            }
            return;
        };
        let scope = format!(
            "{} of {}, every {} voxels, in {} patches",
            axis.each.len(),
            grouped(axis.planes),
            self.chunk[axis.axis],
            axis.patches
        );
        if !axis.found() {
            let most = axis.each.iter().map(|(_, f)| f.score).fold(0.0, f64::max);
            line(
                t,
                name,
                &format!(
                    "no seam on {scope}: score {:.1} together, {most:.1} alone at most (a seam \
                     from {SCORE_GRID} and {SCORE_PLANE})",
                    grid.score
                ),
            );
            return;
        }
        let together = match grid.found {
            true => format!(": {}", found_text(grid)),
            false => String::new(),
        };
        line(t, name, &format!("SEAMS on {scope}{together}"));
        let mut seams: Vec<_> = axis.each.iter().filter(|(_, f)| f.found).collect();
        seams.sort_by(|a, b| b.1.score.total_cmp(&a.1.score));
        for (plane, finding) in seams.iter().take(SHOWN) {
            let at =
                format!("at {} = {plane}: {}", self.axis_names[axis.axis], found_text(finding));
            line(t, "", &at);
        }
        if seams.len() > SHOWN {
            line(t, "", &format!("and {} more planes", seams.len() - SHOWN));
        }
    }

    /// What is wrong, in short; None if nothing is.
    pub(super) fn complaint(&self) -> Option<String> {
        let mut parts = Vec::new();
        if let Some(journal) = &self.journal {
            if let InputState::Changed(what) = &journal.input {
                parts.push(format!("{what} since it was made"));
            }
            let altered: usize = journal.reread.iter().map(|(_, r)| r.altered.len()).sum();
            if altered > 0 {
                parts.push(format!(
                    "{} chunk{} not what was written",
                    grouped(altered as u64),
                    is(altered)
                ));
            }
            let audits = journal.audit.iter().flatten();
            let differing: usize = audits.map(|(_, a)| a.differing.len()).sum();
            if differing > 0 {
                parts.push(format!("{differing} of the regions of a shifted grid differ"));
            }
        }
        if self.table == Some(false) {
            parts.push("the table is not what was written".into());
        }
        let found = self.seams.iter().flatten().filter(|s| s.found());
        let axes: Vec<&str> = found.map(|s| &*self.axis_names[s.axis]).collect();
        if !axes.is_empty() {
            parts.push(format!("seams on planes of {}", axes.join(", ")));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    pub(super) fn json(&self) -> Value {
        let axes = self.seams.iter().flatten().map(|axis| {
            let each = axis.each.iter().map(|(plane, finding)| {
                let mut value = finding_json(finding);
                value["plane"] = json!(plane);
                value
            });
            json!({
                "axis": self.axis_names[axis.axis],
                "grid": self.chunk[axis.axis],
                "planes": axis.planes,
                "measured": axis.each.len(),
                "patches": axis.patches,
                "not_measured": axis.skipped,
                "found": axis.found(),
                "together": axis.grid.as_ref().map(|f| {
                    let mut value = finding_json(f);
                    value["profile"] = json!(f.profile);
                    value
                }),
                "each": each.collect::<Vec<_>>(),
            })
        });
        json!({
            "output": self.place,
            "fine": self.complaint().is_none(),
            "complaint": self.complaint(),
            "input": self.journal.as_ref().map(|journal| match &journal.input {
                InputState::AsItWas => json!({ "changed": false }),
                InputState::Changed(what) => json!({ "changed": true, "what": what }),
                InputState::Unknown(why) => json!({ "changed": null, "what": why }),
            }),
            "digests": self.journal.as_ref().map(OfJournal::reread_json),
            "shifted_grid": self.journal.as_ref().map(OfJournal::audit_json),
            "table_as_written": self.table,
            "planes": axes.collect::<Vec<_>>(),
            "planes_not_measured": self.seams.as_ref().err(),
            "figure": self.figure.as_ref().map(|f| f.display().to_string()),
        })
    }
}

impl OfJournal {
    fn text(&self, t: &mut String) {
        let input = match &self.input {
            InputState::AsItWas => "as it was when the output was made".to_owned(),
            InputState::Changed(what) => format!("CHANGED since the output was made: {what}"),
            InputState::Unknown(why) => format!("not known whether it changed: {why}"),
        };
        line(t, "input", &input);
        let sum = |of: fn(&Reread) -> u64| self.reread.iter().map(|(_, r)| of(r)).sum::<u64>();
        let altered = sum(|r| r.altered.len() as u64);
        let (read, seconds) = (sum(|r| r.bytes), self.elapsed.as_secs_f64());
        let result = match altered {
            0 => "all as written".to_owned(),
            n => format!("{} NOT as written", grouped(n)),
        };
        let rate = bytes((read as f64 / seconds.max(1e-9)) as u64);
        let text = format!(
            "{} chunks read back in {}, {rate}/s: {result}",
            grouped(sum(|r| r.chunks)),
            duration(seconds)
        );
        line(t, "digests", &text);
        let all = self.reread.iter().flat_map(|(l, r)| r.altered.iter().map(move |a| (l, a)));
        for (level, a) in all.clone().take(SHOWN) {
            let (index, core) = (&a.chunk.index[..], &a.chunk.core);
            line(t, "", &format!("chunk {index:?}{} at {core}: {}", of_level(*level), a.what));
        }
        if all.clone().count() > SHOWN {
            line(t, "", &format!("and {} more", all.count() - SHOWN));
        }
        match &self.audit {
            Err(why) => line(t, "shifted grid", &format!("not computed: {why}")),
            Ok(audits) => audits.iter().for_each(|(level, audit)| audit_text(t, *level, audit)),
        }
    }

    fn reread_json(&self) -> Value {
        let altered = self.reread.iter().flat_map(|(level, r)| {
            r.altered.iter().map(move |a| {
                json!({
                    "level": level,
                    "chunk": &a.chunk.index[..],
                    "region": ranges(&a.chunk.core),
                    "what": a.what,
                })
            })
        });
        json!({
            "chunks": self.reread.iter().map(|(_, r)| r.chunks).sum::<u64>(),
            "bytes": self.reread.iter().map(|(_, r)| r.bytes).sum::<u64>(),
            "seconds": self.elapsed.as_secs_f64(),
            "altered": altered.collect::<Vec<_>>(),
        })
    }

    fn audit_json(&self) -> Value {
        let audits = match &self.audit {
            Err(why) => return json!({ "not_computed": why }),
            Ok(audits) => audits,
        };
        let differing = audits.iter().flat_map(|(level, audit)| {
            audit.differing.iter().map(move |d| {
                json!({
                    "level": level,
                    "region": ranges(&d.region),
                    "voxels": d.voxels,
                    "first": &d.first[..],
                })
            })
        });
        json!({
            "regions": audits.iter().map(|(_, a)| a.chunks).sum::<u64>(),
            "voxels": audits.iter().map(|(_, a)| a.voxels).sum::<u64>(),
            "differing": differing.collect::<Vec<_>>(),
        })
    }
}

fn audit_text(t: &mut String, level: usize, audit: &Audit) {
    let computed = format!(
        "{} regions across planes of the grid{}, {} voxels, computed anew",
        audit.chunks,
        of_level(level),
        grouped(audit.voxels)
    );
    if audit.differing.is_empty() {
        line(t, "shifted grid", &format!("{computed}: bit for bit the same"));
        return;
    }
    line(t, "shifted grid", &format!("{computed}: {} DIFFER", audit.differing.len()));
    for d in audit.differing.iter().take(SHOWN) {
        let text = format!(
            "at {}: {} voxels or rows, the first at {:?}",
            d.region,
            grouped(d.voxels),
            &d.first[..]
        );
        line(t, "", &text);
    }
}

/// Why axes were not measured, in a line.
pub(super) fn skipped(seams: &[AxisSeams], info: &VolumeInfo) -> String {
    let parts = seams.iter().filter_map(|axis| {
        let why = axis.skipped.as_ref()?;
        Some(format!("{}: {why}", info.axes[axis.axis].name))
    });
    format!("{} (shape {})", parts.collect::<Vec<_>>().join("; "), shape(&info.shape))
}

fn found_text(finding: &Finding) -> String {
    let what = if finding.jump.step { "steps" } else { "differences" };
    let digits = if finding.ratio < 10.0 { 2 } else { 0 };
    format!(
        "{what} of order {} are {:.digits$} × those off the grid (score {:.1})",
        finding.jump.order, finding.ratio, finding.score
    )
}

fn finding_json(finding: &Finding) -> Value {
    json!({
        "found": finding.found,
        "score": finding.score,
        "ratio": finding.ratio,
        "order": finding.jump.order,
        "step": finding.jump.step,
    })
}

fn is(count: usize) -> &'static str {
    if count == 1 { " is" } else { "s are" }
}

fn of_level(level: usize) -> String {
    if level > 0 { format!(" of level {level}") } else { String::new() }
}

fn ranges(region: &volchunk::Region) -> Vec<[u64; 2]> {
    region.ranges().map(|r| [r.start, r.end]).collect()
}

fn line(t: &mut String, name: &str, value: &str) {
    let _ = writeln!(t, "{name:<15}{value}");
}
