//! Split and trim-merge of 512³ uint16 into fresh memory, against a copy of as many bytes by as
//! many threads into fresh memory. Prints one record a line; the ratios are of minima, since fresh
//! memory and busy neighbours only ever add time.
//!
//! `cargo bench -p volchunk --bench merge [-- RUNS]`

#![allow(clippy::unwrap_used)]

use std::{
    hint::black_box,
    thread,
    time::{Instant, SystemTime},
};

use volchunk::{Buffer, ChunkGrid, Dtype, Halo, View, merge_chunks, split};

const SHAPE: [u64; 3] = [512, 512, 512];
const THREADS: usize = 2;
const GRIDS: [([u64; 3], [u64; 3]); 2] =
    [([64, 256, 256], [8, 32, 32]), ([16, 64, 64], [4, 16, 16])];

fn main() {
    // Cargo passes flags of its own, such as --bench.
    let runs = std::env::args().find_map(|a| a.parse().ok()).unwrap_or(21);
    let mut volume = Buffer::zeros(&SHAPE, Dtype::U16);
    for (i, v) in volume.as_slice_mut::<u16>().iter_mut().enumerate() {
        *v = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[0].into();
    }
    for (chunk, overlap) in GRIDS {
        compare(&volume, &chunk, &overlap, runs);
    }
}

/// Times the candidates in turn, `runs` times, and prints what each took.
fn compare(volume: &Buffer, chunk: &[u64], overlap: &[u64], runs: usize) {
    let halo = Halo::new(overlap.iter().map(|&o| (0, o)));
    let grid = ChunkGrid::new(&SHAPE, chunk).unwrap().with_halo(halo).unwrap();
    let split_and_merge = || {
        let views: Vec<View> = split(&volume.view(), &grid).unwrap().map(|(_, v)| v).collect();
        merge_chunks(&grid, &views, THREADS).unwrap()
    };
    // Chunks in memory of their own: what workers hand back.
    let copies: Vec<Buffer> = split(&volume.view(), &grid)
        .unwrap()
        .map(|(chunk, view)| {
            let mut copy = Buffer::zeros(chunk.outer.shape(), volume.dtype());
            copy.view_mut().copy_from(&view);
            copy
        })
        .collect();
    let copies: Vec<View> = copies.iter().map(Buffer::view).collect();
    let merge_copies = || merge_chunks(&grid, &copies, THREADS).unwrap();
    assert_eq!(split_and_merge().bytes(), volume.bytes());
    assert_eq!(merge_copies().bytes(), volume.bytes());

    let candidates: [(&str, &dyn Fn() -> Buffer); 4] = [
        ("copy into fresh memory", &|| copy(volume, Buffer::zeros(&SHAPE, Dtype::U16))),
        ("copy into fresh huge pages", &|| {
            copy(volume, Buffer::zeros_in_huge_pages(&SHAPE, Dtype::U16))
        }),
        ("split and merge", &split_and_merge),
        ("merge of chunk copies", &merge_copies),
    ];
    let mut seconds = candidates.map(|_| Vec::with_capacity(runs));
    for _ in 0..runs {
        for ((_, run), seconds) in candidates.iter().zip(&mut seconds) {
            let start = Instant::now();
            let made = black_box(run());
            seconds.push(start.elapsed().as_secs_f64());
            drop(made);
        }
    }
    for s in &mut seconds {
        s.sort_by(f64::total_cmp);
    }
    let date = today();
    let chunk = chunk.iter().map(u64::to_string).collect::<Vec<_>>().join("x");
    for ((name, _), s) in candidates.iter().zip(&seconds) {
        let print = |metric: &str, value: f64, unit: &str| {
            println!("{date},merge,{name} (512^3 uint16; chunk {chunk}),{metric},{value:.4},{unit}");
        };
        print("min", s[0], "s");
        print("median", s[runs / 2], "s");
        print("ratio of minima to copy into fresh memory", s[0] / seconds[0][0], "x");
        print("ratio of minima to copy into fresh huge pages", s[0] / seconds[1][0], "x");
    }
}

fn copy(from: &Buffer, mut to: Buffer) -> Buffer {
    let share = from.bytes().len().div_ceil(THREADS);
    thread::scope(|scope| {
        for (from, to) in from.bytes().chunks(share).zip(to.bytes_mut().chunks_mut(share)) {
            scope.spawn(|| to.copy_from_slice(from));
        }
    });
    to
}

/// The date in UTC, `YYYY-MM-DD`: days since 1970 to the civil calendar, in eras of 400 years that
/// begin on 1 March.
fn today() -> String {
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let days = seconds / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}
