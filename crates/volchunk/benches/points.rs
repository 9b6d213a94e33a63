//! Suppressing points that two chunks both found: time a point for tables from 10⁵ on, in memory and
//! as a stream, and the most memory that the stream held; and of 512 chunks' tables, minima. Prints one
//! record a line.
//!
//! `cargo bench -p volchunk --bench points [-- ROWS]`, by default up to 10⁷ rows.

#![allow(clippy::unwrap_used)]

use std::time::Instant;

use volchunk::{Suppressor, Tolerance, os::peak_resident_memory, suppress_points, suppress_tables};

const COLUMNS: usize = 5;
const WORKERS: usize = 2;
/// Voxels across the volume on the axes behind the first, which grows with the table.
const ACROSS: f64 = 300.0;
/// Voxels for each point: the table is as dense as nuclei in a cleared brain may be.
const VOXELS: f64 = 500.0;
const CHUNK: f64 = 100.0;
const RUNS: usize = 7;

fn main() {
    // Cargo passes flags of its own, such as --bench.
    let most: usize = std::env::args().find_map(|a| a.parse().ok()).unwrap_or(10_000_000);
    let rule = Tolerance::new(&[3.0; 3], COLUMNS)
        .and_then(|rule| rule.with_value(3))
        .and_then(|rule| rule.with_chunk(&[4]))
        .unwrap();
    println!("bench,case,metric,value,unit");
    let sizes =
        || std::iter::successors(Some(100_000), |n| Some(n * 10)).take_while(|&n| n <= most);
    // The peak only rises: streams first, the smallest first.
    for rows in sizes() {
        let mut suppressor = Suppressor::new(&rule).unwrap();
        let (mut batch, mut kept, mut count) = (Vec::new(), Vec::new(), 0);
        let mut seconds = 0.0;
        let mut points = Points::new(rows);
        loop {
            batch.clear();
            batch.extend(points.by_ref().take(10_000).flatten());
            if batch.is_empty() {
                break;
            }
            let begin = Instant::now();
            suppressor.push(&batch, &mut kept).unwrap();
            seconds += begin.elapsed().as_secs_f64();
            count += kept.len() / COLUMNS;
            kept.clear();
        }
        suppressor.finish(&mut kept);
        count += kept.len() / COLUMNS;
        let peak = peak_resident_memory().unwrap_or(0) as f64 / 1e6;
        record(&format!("stream {rows} rows"), "time", seconds / rows as f64 * 1e9, "ns/row");
        record(&format!("stream {rows} rows"), "peak memory", peak, "MB");
        record(&format!("stream {rows} rows"), "kept", count as f64, "rows");
    }
    for rows in sizes().filter(|&n| n <= 10_000_000) {
        let table: Vec<f64> = Points::new(rows).flatten().collect();
        let begin = Instant::now();
        let kept = suppress_points(&table, &rule, WORKERS).unwrap();
        let mut out = vec![0.0; kept.len() * COLUMNS];
        kept.copy_to(&mut out, COLUMNS, WORKERS);
        let seconds = begin.elapsed().as_secs_f64();
        let case = format!("{WORKERS} threads {rows} rows");
        record(&case, "time", seconds / rows as f64 * 1e9, "ns/row");
        record(&case, "kept", kept.len() as f64, "rows");
    }
    of_chunks();
}

/// Chunks on each axis, their length, and how far they reach into the next: those of
/// `python_points.py`.
const GRID: usize = 8;
const OVERLAP: f64 = 5.0;
const CELLS: usize = 870_000;
/// Columns of MagellanMapper's tables of blobs.
const WIDE: usize = 11;

/// A table for each chunk.
fn of_chunks() {
    let mut tables = vec![Vec::new(); GRID.pow(3)];
    let mut points = Points::new(0);
    for _ in 0..CELLS {
        let cell = [0; 3].map(|_| points.random() * GRID as f64 * CHUNK);
        for step in 0..8 {
            // A cell in the first voxels of a chunk lies in the overlap of the one before, too.
            let axes = [0, 1, 2].map(|a| ((cell[a] / CHUNK) as usize).checked_sub(step >> a & 1));
            let seen = |a: usize| axes[a].filter(|&i| cell[a] - i as f64 * CHUNK < CHUNK + OVERLAP);
            let (Some(z), Some(y), Some(x)) = (seen(0), seen(1), seen(2)) else { continue };
            let mut row = [0.0; WIDE];
            for a in 0..3 {
                row[a] = (cell[a] + points.random() * 2.0 - 1.0).round();
            }
            row[4] = points.random();
            tables[(z * GRID + y) * GRID + x].extend(row);
        }
    }
    let tables: Vec<&[f64]> = tables.iter().map(Vec::as_slice).collect();
    let rows = tables.iter().map(|t| t.len() / WIDE).sum::<usize>();
    let rule = Tolerance::new(&[5.0; 3], WIDE)
        .and_then(|rule| rule.with_value(4))
        .and_then(|rule| rule.with_group(&[6]))
        .unwrap();
    for workers in [1, WORKERS] {
        let runs = (0..RUNS).map(|_| {
            let begin = Instant::now();
            let kept = suppress_tables(&tables, &rule, workers).unwrap();
            let found = begin.elapsed().as_secs_f64();
            let mut out = vec![0.0; kept.len() * WIDE];
            kept.copy_to(&mut out, WIDE, workers);
            (begin.elapsed().as_secs_f64(), found, kept.len())
        });
        let best = runs.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
        let case = format!("{workers} threads {rows} rows of {} chunks", tables.len());
        record(&case, "time", best.0 / rows as f64 * 1e9, "ns/row");
        record(&case, "time without the copy", best.1 / rows as f64 * 1e9, "ns/row");
        record(&case, "kept", best.2 as f64, "rows");
    }
}

/// Points in order of axis 0, the others at random; of two chunks where these meet.
struct Points {
    number: u64,
    rows: u64,
    state: u64,
}

impl Points {
    fn new(rows: usize) -> Self {
        Self { number: 0, rows: rows as u64, state: 1 }
    }

    /// From 0 to 1 (xorshift64*).
    fn random(&mut self) -> f64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64
    }
}

impl Iterator for Points {
    type Item = [f64; COLUMNS];

    fn next(&mut self) -> Option<Self::Item> {
        if self.number == self.rows {
            return None;
        }
        self.number += 1;
        let z = self.number as f64 * VOXELS / (ACROSS * ACROSS);
        let (y, x, value) = (self.random() * ACROSS, self.random() * ACROSS, self.random());
        // Beside a seam either chunk may have found it.
        let near = |at: f64, random: f64| ((at + (random - 0.5) * 6.0) / CHUNK).floor().max(0.0);
        let random = self.random();
        let chunk = (near(z, random) * 8.0 + near(y, random)) * 8.0 + near(x, random);
        Some([z, y, x, value, chunk])
    }
}

fn record(case: &str, metric: &str, value: f64, unit: &str) {
    println!("points,{case},{metric},{value:.4},{unit}");
}
