//! Suppressing points that two chunks both found: time a point for tables from 10⁵ on, in memory and
//! as a stream, and the most memory that the stream held. Prints one record a line.
//!
//! `cargo bench -p volchunk --bench points [-- ROWS]`, by default up to 10⁷ rows.

#![allow(clippy::unwrap_used)]

use std::time::Instant;

use volchunk::{Suppressor, Tolerance, os::peak_resident_memory, suppress_points};

const COLUMNS: usize = 5;
const WORKERS: usize = 2;
/// Voxels across the volume on the axes behind the first, which grows with the table.
const ACROSS: f64 = 300.0;
/// Voxels for each point: the table is as dense as nuclei in a cleared brain may be.
const VOXELS: f64 = 500.0;
const CHUNK: f64 = 100.0;

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
