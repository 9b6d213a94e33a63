//! Suppression of points against its definition: from the strongest row to the weakest, a row is kept
//! unless a kept one is in conflict with it.
#![allow(clippy::unwrap_used)]

use std::{cmp::Ordering, sync::atomic::AtomicBool};

use proptest::{collection::vec, prelude::*, sample::select};
use volchunk::{
    ErrorKind, Overlap, Rule, Suppressor, Tolerance, colocalize, mean_points, mean_tables,
    suppress_points, suppress_tables,
};

/// Nobody stops it.
static GO: AtomicBool = AtomicBool::new(false);

fn raster(a: &[f64], b: &[f64]) -> Ordering {
    a.iter().zip(b).map(|(a, b)| a.total_cmp(b)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
}

/// The definition: all rows by strength, each beside all that were kept.
fn greedy(
    rows: &[f64],
    columns: usize,
    stronger: impl Fn(&[f64], &[f64]) -> Ordering,
    conflict: impl Fn(&[f64], &[f64]) -> bool,
) -> Vec<f64> {
    let mut order: Vec<&[f64]> = rows.chunks_exact(columns).collect();
    order.sort_by(|a, b| stronger(a, b).then_with(|| raster(a, b)));
    let mut kept: Vec<&[f64]> = Vec::new();
    for row in order {
        if !kept.iter().any(|other| conflict(row, other)) {
            kept.push(row);
        }
    }
    kept.sort_by(|a, b| raster(a, b));
    kept.concat()
}

/// The same rows in another order, from a seed.
fn shuffled(rows: &[f64], columns: usize, seed: u64) -> Vec<f64> {
    let mut order: Vec<&[f64]> = rows.chunks_exact(columns).collect();
    let key = |i: usize| (i as u64 + 1).wrapping_mul(seed | 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut keys: Vec<(u64, &[f64])> =
        order.drain(..).enumerate().map(|(i, r)| (key(i).rotate_left(23), r)).collect();
    keys.sort_by_key(|&(k, _)| k);
    keys.into_iter().map(|(_, r)| r).collect::<Vec<_>>().concat()
}

/// The stream's survivors: rows in order of axis 0, batches of `batch` rows.
fn streamed(rows: &[f64], rule: &dyn Rule, batch: usize) -> Vec<f64> {
    let columns = rule.columns();
    let mut order: Vec<&[f64]> = rows.chunks_exact(columns).collect();
    order.sort_by(|a, b| a[0].partial_cmp(&b[0]).unwrap());
    let mut suppressor = Suppressor::new(rule).unwrap();
    let mut kept = Vec::new();
    for batch in order.chunks(batch) {
        suppressor.push(&batch.concat(), &mut kept).unwrap();
    }
    suppressor.finish(&mut kept);
    kept
}

/// All ways, against `expected`.
fn all_ways(rows: &[f64], rule: &dyn Rule, expected: &[f64], seed: u64) {
    let bits = |rows: &[f64]| rows.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    for workers in [1, 2, 3, 7] {
        let other = shuffled(rows, rule.columns(), seed.wrapping_add(workers as u64));
        let found = suppress_points(&other, rule, workers).unwrap();
        assert_eq!(bits(&found.to_vec()), bits(expected), "{workers} workers");
        let mut first = vec![f64::NAN; found.len() * (rule.columns() - 1)];
        found.copy_to(&mut first, rule.columns() - 1, workers);
        let cut = expected.chunks_exact(rule.columns()).flat_map(|r| &r[..r.len() - 1]);
        assert_eq!(bits(&first), bits(&cut.copied().collect::<Vec<_>>()));
    }
    for batch in [1, 100, usize::MAX] {
        assert_eq!(bits(&streamed(rows, rule, batch)), bits(expected), "batches of {batch}");
    }
}

/// Coordinates that repeat, or do not, or with outliers, or alone far from 0.
fn coordinate(extent: u64) -> BoxedStrategy<f64> {
    let lattice = (0..extent * 2).prop_map(|n| n as f64 / 2.0);
    let any = 0.0..extent as f64;
    let far = select(vec![-1e15, -1e6, -3.0, 1e6, 1e15]);
    prop_oneof![20 => lattice, 20 => any, 1 => far].boxed()
}

/// Rows of `ndim` coordinates, value, channel, and `index` columns of the chunk.
fn points(ndim: usize, extent: u64, count: usize, index: usize) -> BoxedStrategy<Vec<f64>> {
    let value = prop_oneof![(0u32..4).prop_map(f64::from), 0.0..1.0];
    let row = (vec(coordinate(extent), ndim), value, 0u32..2, vec(0u32..3, index)).prop_map(
        |(mut row, value, channel, chunk)| {
            row.extend([value, f64::from(channel)]);
            row.extend(chunk.into_iter().map(f64::from));
            row
        },
    );
    vec(row, 0..count).prop_map(|rows| rows.concat()).boxed()
}

fn tolerance_case(rows: &[f64], tolerance: &[f64], index: usize, by_channel: bool, seed: u64) {
    let ndim = tolerance.len();
    let columns = ndim + 2 + index;
    let chunk: Vec<usize> = (ndim + 2..columns).collect();
    let mut rule = Tolerance::new(tolerance, columns)
        .and_then(|r| r.with_value(ndim))
        .and_then(|r| r.with_chunk(&chunk))
        .unwrap();
    if by_channel {
        rule = rule.with_group(&[ndim + 1]).unwrap();
    }
    let expected = greedy(
        rows,
        columns,
        |a, b| b[ndim].total_cmp(&a[ndim]),
        |a, b| {
            (0..ndim).all(|i| (a[i] - b[i]).abs() <= tolerance[i])
                && (!by_channel || a[ndim + 1] == b[ndim + 1])
                && (index == 0 || a[ndim + 2..] != b[ndim + 2..])
        },
    );
    all_ways(rows, &rule, &expected, seed);
}

/// Tables of coordinates, value and channel: of chunks on a grid that reach into the next, and of boxes
/// anywhere, on a lattice of halves, so that many rows lie at the tolerance exactly.
fn chunks(ndim: usize, most: usize) -> BoxedStrategy<Vec<Vec<f64>>> {
    let on_grid = (vec(0u32..3, ndim), 0u32..5)
        .prop_map(|(at, over)| (at.into_iter().map(|i| i * 20).collect(), 20 + over));
    let anywhere = (vec(0u32..60, ndim), select(vec![1, 5, 60]));
    let chunk = prop_oneof![4 => on_grid, 1 => anywhere].prop_flat_map(
        move |(low, length): (Vec<u32>, u32)| {
            let value = prop_oneof![(0u32..4).prop_map(f64::from), 0.0..1.0];
            let row =
                (vec(0..=length, ndim), value, 0u32..2).prop_map(move |(at, value, channel)| {
                    let mut row: Vec<f64> =
                        at.iter().zip(&low).map(|(i, low)| f64::from(i + low) / 2.0).collect();
                    row.extend([value, f64::from(channel)]);
                    row
                });
            vec(row, 0..most).prop_map(|rows| rows.concat())
        },
    );
    vec(chunk, 0..9).boxed()
}

/// The rows of all tables of `columns`, each with the number of its table behind it.
fn with_chunk(tables: &[Vec<f64>], columns: usize) -> Vec<f64> {
    let rows = tables.iter().enumerate().flat_map(|(number, table)| {
        table.chunks_exact(columns).map(move |row| [row, &[number as f64]].concat())
    });
    rows.collect::<Vec<_>>().concat()
}

fn tables_case(tables: &[Vec<f64>], tolerance: &[f64], by_channel: bool, seed: u64) {
    let ndim = tolerance.len();
    let columns = ndim + 2;
    let mut rule = Tolerance::new(tolerance, columns).and_then(|r| r.with_value(ndim)).unwrap();
    if by_channel {
        rule = rule.with_group(&[ndim + 1]).unwrap();
    }
    let expected = greedy(
        &with_chunk(tables, columns),
        columns + 1,
        |a, b| b[ndim].total_cmp(&a[ndim]),
        |a, b| {
            (0..ndim).all(|i| (a[i] - b[i]).abs() <= tolerance[i])
                && (!by_channel || a[ndim + 1] == b[ndim + 1])
                && a[columns] != b[columns]
        },
    );
    let expected: Vec<f64> =
        expected.chunks_exact(columns + 1).flat_map(|row| &row[..columns]).copied().collect();
    for workers in [1, 2, 3] {
        let other: Vec<Vec<f64>> = tables.iter().map(|t| shuffled(t, columns, seed)).collect();
        let other: Vec<&[f64]> = other.iter().map(Vec::as_slice).collect();
        let kept = suppress_tables(&other, &rule, workers).unwrap();
        assert_eq!(kept.to_vec(), expected, "{workers} workers");
        let first = kept.numbers().next().map(|n| n as usize);
        assert!(first.is_none_or(|n| other.concat()[n * columns] == expected[0]));
    }
}

/// Two chunks whose boxes are apart by the tolerance, or by the least more than that; and one box in
/// another. Of what lies in reach, the stronger is kept.
#[test]
fn what_lies_at_the_tolerance_is_in_reach() {
    let kept = |tables: &[&[f64]], tolerance: &[f64]| {
        let rule = Tolerance::new(tolerance, tolerance.len() + 1).unwrap();
        let rule = rule.with_value(tolerance.len()).unwrap();
        suppress_tables(tables, &rule, 1).unwrap().len()
    };
    for (at, tolerance, expected) in [
        (4.0, 2.0, 3),
        (4.0_f64.next_up(), 2.0, 4),
        (4.0, 2.0_f64.next_down(), 4),
        (2.0, 0.0, 3),
        (2.0_f64.next_up(), 0.0, 4),
        (-2.0, 2.0, 3),
        ((-2.0_f64).next_down(), 2.0, 4),
    ] {
        let other = if at < 0.0 { -9.0 } else { 9.0 };
        let tables: [&[f64]; 2] = [&[0.0, 1.0, 2.0, 1.0], &[at, 0.5, other, 0.5]];
        assert_eq!(kept(&tables, &[tolerance]), expected, "{at} {tolerance}");
        // The same on the second of two axes, and with the tables the other way round.
        let tables: [&[f64]; 2] = [&[at, 0.5, other, 0.5], &[0.0, 1.0, 2.0, 1.0]];
        assert_eq!(kept(&tables, &[tolerance]), expected, "{at} {tolerance}");
        let tables: [&[f64]; 2] =
            [&[7.0, 0.0, 1.0, 7.0, 2.0, 1.0], &[7.0, at, 0.5, 7.0, other, 0.5]];
        assert_eq!(kept(&tables, &[1.0, tolerance]), expected, "{at} {tolerance}");
    }
    assert_eq!(kept(&[&[0.0, 1.0, 5.0, 1.0, 9.0, 1.0], &[5.5, 0.5]], &[0.5]), 3);
    assert_eq!(kept(&[&[0.0, 1.0, 5.0, 1.0, 9.0, 1.0], &[6.0, 0.5]], &[0.5]), 4);
    assert_eq!(kept(&[&[], &[1.0, 1.0], &[], &[1.0, 1.0]], &[0.0]), 1);
    assert_eq!(kept(&[&[f64::MAX, 1.0], &[f64::MIN, 1.0], &[f64::MAX, 2.0]], &[1.0]), 2);
}

/// Tables of one row each, of which all boxes on axis 0 overlap: too many to compare each with all.
#[test]
fn many_tables_are_not_slow() {
    let rows: Vec<[f64; 3]> =
        (0..100_000u32).map(|i| [0.0, f64::from(i / 2), f64::from(i % 2)]).collect();
    let tables: Vec<&[f64]> = rows.iter().map(|row| &row[..]).collect();
    let rule = Tolerance::new(&[0.5; 2], 3).unwrap().with_value(2).unwrap();
    let begin = std::time::Instant::now();
    assert_eq!(suppress_tables(&tables, &rule, 2).unwrap().len(), rows.len() / 2);
    assert!(begin.elapsed().as_secs_f64() < 5.0, "{:?}", begin.elapsed());
}

/// The square of how far two rows lie apart, in tolerances.
fn distance(a: &[f64], b: &[f64], tolerance: &[f64]) -> f64 {
    let axes = tolerance.iter().enumerate().filter(|(_, t)| **t > 0.0);
    axes.map(|(k, t)| ((a[k] - b[k]) / t).powi(2)).sum()
}

/// Of each row the nearest of those that are `alike`, all looked at one by one.
fn nearest(
    table: &[&[f64]],
    tolerance: &[f64],
    alike: impl Fn(&[f64], &[f64]) -> bool,
) -> Vec<Option<usize>> {
    let of = |a: &&[f64]| {
        let others = (0..table.len()).filter(|&j| alike(a, table[j]));
        others.min_by(|&j, &k| {
            let apart = |j: usize| distance(a, table[j], tolerance);
            apart(j).total_cmp(&apart(k)).then_with(|| raster(table[j], table[k]))
        })
    };
    table.iter().map(of).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn tolerance_is_greedy(
        (tolerance, rows, index) in (1usize..=6, 0usize..=3).prop_flat_map(|(ndim, index)| {
            let extent = [2000, 40, 14, 8, 6, 5][ndim - 1];
            let tolerance = vec(select(vec![0.0, 0.5, 1.0, 1.7, 5.0]), ndim);
            (tolerance, points(ndim, extent, 1500, index), Just(index))
        }),
        by_channel: bool,
        seed: u64,
    ) {
        tolerance_case(&rows, &tolerance, index, by_channel, seed);
    }

    /// Strength rises along the table, so that what survives at one end decides the other.
    #[test]
    fn long_chains_are_greedy(count in 3000usize..5000, step in 0.3f64..1.2, down: bool, seed: u64) {
        let rows: Vec<f64> = (0..count)
            .flat_map(|i| {
                let value = if down { count - i } else { i };
                [i as f64 * step, (i % 3) as f64, value as f64, 0.0]
            })
            .collect();
        let rule = Tolerance::new(&[1.0, 5.0], 4).unwrap().with_value(2).unwrap();
        let expected = greedy(&rows, 4, |a, b| b[2].total_cmp(&a[2]), |a, b| {
            (a[0] - b[0]).abs() <= 1.0 && (a[1] - b[1]).abs() <= 5.0
        });
        all_ways(&rows, &rule, &expected, seed);
    }

    /// A table for each chunk, over boxes that are apart, touch, overlap, or lie in one another.
    #[test]
    fn tables_are_greedy(
        (tolerance, tables) in (1usize..=6).prop_flat_map(|ndim| {
            let most = [800, 500, 300, 200, 100, 60][ndim - 1];
            (vec(select(vec![0.0, 0.5, 1.0, 1.7, 3.0]), ndim), chunks(ndim, most))
        }),
        by_channel: bool,
        seed: u64,
    ) {
        let ndim = tolerance.len();
        tables_case(&tables, &tolerance, by_channel, seed);
        // Means, of the same rows in one table that tells the chunk.
        let rule = |columns| {
            Tolerance::new(&tolerance, columns).and_then(|r| r.with_value(ndim)).unwrap()
        };
        let one = mean_points(
            &with_chunk(&tables, ndim + 2),
            &rule(ndim + 3).with_chunk(&[ndim + 2]).unwrap(),
            2,
        );
        let one = one.unwrap();
        let one = one.chunks_exact(ndim + 3).flat_map(|row| &row[..ndim + 2]);
        let slices: Vec<&[f64]> = tables.iter().map(Vec::as_slice).collect();
        let means = mean_tables(&slices, &rule(ndim + 2), 2).unwrap();
        prop_assert_eq!(means, one.copied().collect::<Vec<_>>());
    }

    /// Every pair of rows, looked at one by one.
    #[test]
    fn means_are_of_mutual_nearest(
        (tolerance, rows) in (1usize..=4).prop_flat_map(|ndim| {
            let extent = [3000, 60, 14, 8][ndim - 1];
            let tolerance = vec(select(vec![0.0, 0.5, 1.0, 3.0]), ndim);
            (tolerance, points(ndim, extent, 1500, 1))
        }),
        seed: u64,
    ) {
        let ndim = tolerance.len();
        let columns = ndim + 3;
        let table: Vec<&[f64]> = rows.chunks_exact(columns).collect();
        let nearest = nearest(&table, &tolerance, |a, b| {
            a[ndim + 1..] != b[ndim + 1..]
                && a[ndim + 1] == b[ndim + 1]
                && (0..ndim).all(|k| (a[k] - b[k]).abs() <= tolerance[k])
        });
        // Rows that are the same in all columns: which of them is averaged makes no difference, but
        // this oracle would have to choose.
        let mut distinct = table.clone();
        distinct.sort_by(|a, b| raster(a, b));
        prop_assume!(distinct.windows(2).all(|w| w[0] != w[1]));
        let mut expected: Vec<Vec<f64>> = Vec::new();
        for (i, &near) in nearest.iter().enumerate() {
            match near.filter(|&j| nearest[j] == Some(i)) {
                None => expected.push(table[i].to_vec()),
                Some(j) if i < j => {
                    let (a, b) = (table[i], table[j]);
                    let first = b[ndim].total_cmp(&a[ndim]).then_with(|| raster(a, b)).is_lt();
                    let mut mean = if first { a } else { b }.to_vec();
                    for axis in 0..ndim {
                        mean[axis] = (a[axis] + b[axis]) / 2.0;
                    }
                    expected.push(mean);
                }
                Some(_) => {}
            }
        }
        expected.sort_by(|a, b| raster(a, b));
        let rule = Tolerance::new(&tolerance, columns)
            .and_then(|r| r.with_value(ndim))
            .and_then(|r| r.with_group(&[ndim + 1]))
            .and_then(|r| r.with_chunk(&[ndim + 2]))
            .unwrap();
        for workers in [1, 2, 5] {
            let other = shuffled(&rows, columns, seed.wrapping_add(workers as u64));
            prop_assert_eq!(mean_points(&other, &rule, workers).unwrap(), expected.concat());
        }
    }

    /// Every two rows of every two channels, looked at one by one.
    #[test]
    fn channels_are_paired_by_mutual_nearest(
        (tolerance, rows) in (1usize..=6).prop_flat_map(|ndim| {
            let extent = [3000, 60, 14, 8, 6, 5][ndim - 1];
            let tolerance = vec(select(vec![0.0, 0.5, 1.0, 1.7, 3.0]), ndim);
            (tolerance, points(ndim, extent, 1200, 1))
        }),
        seed: u64,
    ) {
        // Value, frame, channel; and a name, so that no two rows are the same.
        let ndim = tolerance.len();
        let columns = ndim + 4;
        let named = |(k, row): (usize, &[f64])| [row, &[k as f64]].concat();
        let rows: Vec<f64> = rows.chunks_exact(columns - 1).enumerate().flat_map(named).collect();
        let (frame, channel, name) = (ndim + 1, ndim + 2, ndim + 3);
        let mut expected = Vec::new();
        for (a, b) in [(0.0, 1.0), (0.0, 2.0), (1.0, 2.0)] {
            let table: Vec<&[f64]> =
                rows.chunks_exact(columns).filter(|r| r[channel] == a || r[channel] == b).collect();
            let nearest = nearest(&table, &tolerance, |p, q| {
                p[frame] == q[frame]
                    && p[channel] != q[channel]
                    && (0..ndim).all(|k| tolerance[k] > 0.0 || p[k] == q[k])
                    && distance(p, q, &tolerance) <= 1.0
            });
            for (i, near) in nearest.iter().enumerate() {
                let Some(j) = near.filter(|&j| nearest[j] == Some(i)) else { continue };
                let (p, q) = (table[i], table[j]);
                if p[channel] == a {
                    expected.push((a, b, p[name], q[name], distance(p, q, &tolerance).sqrt()));
                }
            }
        }
        let rule = Tolerance::new(&tolerance, columns)
            .and_then(|r| r.with_group(&[frame]))
            .and_then(|r| r.with_chunk(&[channel]))
            .unwrap();
        for workers in [1, 2, 5] {
            let other = shuffled(&rows, columns, seed.wrapping_add(workers as u64));
            let named = |row: u32| other[row as usize * columns + name];
            let mut found = Vec::new();
            for both in colocalize(&other, &rule, workers, &GO).unwrap() {
                prop_assert!(both.pairs.windows(2).all(|w| w[0].rows[0] < w[1].rows[0]));
                let [a, b] = both.channels.map(|c| c as f64);
                let pair = |p: &volchunk::Pair| {
                    let [first, second] = p.rows.map(named);
                    (a, b, first, second, p.distance)
                };
                let mut pairs: Vec<_> = both.pairs.iter().map(pair).collect();
                pairs.sort_by(|p, q| p.2.total_cmp(&q.2));
                found.extend(pairs);
            }
            prop_assert_eq!(&found, &expected, "{} workers", workers);
        }
    }

    #[test]
    fn overlap_is_greedy(
        (ratio, rows) in (2usize..=3).prop_flat_map(|ndim| {
            let sigma = prop_oneof![(1u32..5).prop_map(f64::from), 0.5..4.0];
            let extent = [120, 40][ndim - 2];
            let row = (vec(coordinate(extent), ndim), sigma, (0u32..4).prop_map(f64::from));
            let row = row.prop_map(|(mut row, sigma, value)| {
                row.extend([sigma, value, 0.0]);
                row
            });
            let rows = vec(row, 0..1500).prop_map(|rows| rows.concat());
            (vec(select(vec![1.0, 0.5, 3.0]), ndim), rows)
        }),
        overlap in select(vec![0.0, 0.1, 0.5, 0.8, 1.0]),
        seed: u64,
    ) {
        let ndim = ratio.len();
        let columns = ndim + 3;
        let rule = Overlap::new(overlap, 4.0, &ratio, ndim, columns)
            .and_then(|r| r.with_value(ndim + 1))
            .unwrap();
        let stronger = |a: &[f64], b: &[f64]| {
            b[ndim].total_cmp(&a[ndim]).then(b[ndim + 1].total_cmp(&a[ndim + 1]))
        };
        let shared = |a: &[f64], b: &[f64]| {
            let r = [a[ndim], b[ndim]].map(|sigma| sigma * (ndim as f64).sqrt());
            let square: f64 = (0..ndim).map(|i| ((a[i] - b[i]) / ratio[i]).powi(2)).sum();
            shared_volume(ndim, square.sqrt(), r[0], r[1])
        };
        // Where another formula's rounding could decide, there is nothing to test.
        let near = rows.chunks_exact(columns).enumerate().any(|(i, a)| {
            rows.chunks_exact(columns).take(i).any(|b| {
                let f = shared(a, b);
                f > 0.0 && f < 1.0 && (f - overlap).abs() < 1e-9
            })
        });
        prop_assume!(!near);
        let expected = greedy(&rows, columns, stronger, |a, b| shared(a, b) > overlap);
        all_ways(&rows, &rule, &expected, seed);
    }
}

/// Over the smaller one's: of discs after Wolfram MathWorld's "Circle-Circle Intersection", of balls
/// after its "Sphere-Sphere Intersection".
fn shared_volume(ndim: usize, d: f64, r: f64, s: f64) -> f64 {
    use std::f64::consts::PI;
    let least = r.min(s);
    if d >= r + s {
        return 0.0;
    }
    if d <= (r - s).abs() {
        return 1.0;
    }
    if ndim == 2 {
        let a = ((d * d + r * r - s * s) / (2.0 * d * r)).clamp(-1.0, 1.0).acos();
        let b = ((d * d + s * s - r * r) / (2.0 * d * s)).clamp(-1.0, 1.0).acos();
        let root = ((r + s - d) * (d + r - s) * (d - r + s) * (d + r + s)).abs().sqrt();
        return (r * r * a + s * s * b - 0.5 * root) / (PI * least * least);
    }
    let square = d * d + 2.0 * d * (r + s) - 3.0 * (r * r + s * s) + 6.0 * r * s;
    PI * (r + s - d).powi(2) * square / (12.0 * d) / (4.0 / 3.0 * PI * least.powi(3))
}

/// A table on a lattice whose period is a power of two, one row on each point, and an outlier: cells
/// that share a number must not make it slow.
#[test]
fn lattices_and_outliers_are_not_slow() {
    let mut rows: Vec<f64> = Vec::new();
    for i in 0..200_000u32 {
        rows.extend([i >> 12, (i >> 6) & 63, i & 63].map(|n| f64::from(n) * 64.0));
        rows.extend([1.0, f64::from(i % 2)]);
    }
    rows.extend([1e300, -1e300, 1e300, 1.0, 0.0]);
    for tolerance in [0.0, 1e-9, 1.0] {
        let rule = Tolerance::new(&[tolerance; 3], 5).unwrap().with_chunk(&[4]).unwrap();
        let begin = std::time::Instant::now();
        assert_eq!(suppress_points(&rows, &rule, 2).unwrap().len(), rows.len() / 5);
        assert!(begin.elapsed().as_secs_f64() < 5.0, "{tolerance}: {:?}", begin.elapsed());
    }
}

/// Of points at one place, one is in the pair, and the others in none.
#[test]
fn a_point_is_in_one_pair_at_most() {
    let rule = Tolerance::new(&[1.0], 2).unwrap().with_chunk(&[1]).unwrap();
    let pairs = |rows: &[f64], workers| {
        let found = colocalize(rows, &rule, workers, &GO).unwrap();
        let all = found.into_iter().flat_map(|both| both.pairs);
        all.map(|pair| (pair.rows, pair.distance)).collect::<Vec<_>>()
    };
    assert_eq!(pairs(&[5.0, 1.0, 5.0, 0.0, 5.0, 0.0, 5.0, 1.0], 2), [([1, 0], 0.0)]);
    // In a box, and not in the ellipse.
    let rule = Tolerance::new(&[1.0, 1.0], 3).unwrap().with_chunk(&[2]).unwrap();
    let corner = colocalize(&[5.0, 5.0, 0.0, 6.0, 6.0, 1.0], &rule, 1, &GO).unwrap();
    assert_eq!((corner[0].channels, corner[0].pairs.len()), ([0, 1], 0));
    assert!(colocalize(&[5.0, 5.0, 3.0], &rule, 1, &GO).unwrap().is_empty());
    let stop = AtomicBool::new(true);
    let stopped = colocalize(&[5.0, 5.0, 0.0, 6.0, 6.0, 1.0], &rule, 2, &stop).unwrap_err();
    assert_eq!(stopped.kind(), ErrorKind::Cancelled);
}

#[test]
fn nothing_to_do() {
    let rule = Tolerance::new(&[1.0], 2).unwrap();
    assert!(suppress_points(&[], &rule, 4).unwrap().is_empty());
    assert_eq!(suppress_points(&[1.0, 2.0], &rule, 4).unwrap().to_vec(), [1.0, 2.0]);
    let mut kept = Vec::new();
    Suppressor::new(&rule).unwrap().finish(&mut kept);
    assert!(kept.is_empty());
}

#[test]
fn what_cannot_be_right_is_named() {
    let said = |error: volchunk::Error, what: &[&str]| {
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(what.iter().all(|w| error.to_string().contains(w)), "{error}");
    };
    let rule = || Tolerance::new(&[1.0, 1.0], 4).unwrap();
    said(Tolerance::new(&[1.0, -1.0], 4).unwrap_err(), &["axis 1", "-1"]);
    said(Tolerance::new(&[f64::NAN], 4).unwrap_err(), &["axis 0", "NaN"]);
    said(Tolerance::new(&[1.0; 5], 4).unwrap_err(), &["5 axes", "4 columns"]);
    said(Tolerance::new(&[], 4).unwrap_err(), &["0 axes"]);
    said(rule().with_value(4).unwrap_err(), &["value column is 4", "0 to 3"]);
    said(rule().with_chunk(&[2, 7]).unwrap_err(), &["chunk column is 7"]);
    said(rule().with_group(&[9]).unwrap_err(), &["group column is 9"]);
    said(Overlap::new(1.5, 2.0, &[1.0], 1, 2).unwrap_err(), &["overlap is 1.5"]);
    said(Overlap::new(0.5, f64::INFINITY, &[1.0], 1, 2).unwrap_err(), &["σ is inf"]);
    said(Overlap::new(0.5, 2.0, &[1.0, 0.0], 2, 3).unwrap_err(), &["axis 1 is 0"]);

    let good = [1.0, 2.0, 3.0, 4.0];
    let table = |row: [f64; 4]| [good, good, row].concat();
    let rule = rule().with_value(2).unwrap().with_chunk(&[3]).unwrap();
    for (row, what) in [
        ([1.0, f64::NAN, 3.0, 4.0], ["row 2", "axis 1 is NaN"]),
        ([f64::INFINITY, 1.0, 3.0, 4.0], ["row 2", "axis 0 is inf"]),
        ([1.0, 1.0, f64::NAN, 4.0], ["row 2", "value, column 2"]),
        ([1.0, 1.0, 3.0, 0.5], ["row 2", "chunk, column 3, is 0.5"]),
        ([1.0, 1.0, 3.0, -1.0], ["row 2", "column 3, is -1"]),
    ] {
        said(suppress_points(&table(row), &rule, 1).unwrap_err(), &what);
        let mut kept = Vec::new();
        let mut suppressor = Suppressor::new(&rule).unwrap();
        said(suppressor.push(&table(row), &mut kept).unwrap_err(), &what);
    }
    said(suppress_points(&good[..3], &rule, 1).unwrap_err(), &["3 numbers"]);
    let bad = table([1.0, f64::NAN, 3.0, 4.0]);
    let tables: [&[f64]; 3] = [&good, &[], &bad];
    let what = ["table 2, row 2", "axis 1 is NaN"];
    said(suppress_tables(&tables, &rule, 1).unwrap_err(), &what);
    said(mean_tables(&tables, &rule, 1).unwrap_err(), &what);
    said(suppress_tables(&[&good, &good[..3]], &rule, 1).unwrap_err(), &["7 numbers"]);
    said(colocalize(&good[..3], &rule, 1, &GO).unwrap_err(), &["3 numbers"]);
    said(colocalize(&table([1.0, 1.0, 3.0, 0.5]), &rule, 1, &GO).unwrap_err(), &["row 2", "0.5"]);
    let bare = Tolerance::new(&[1.0, 1.0], 4).unwrap();
    said(colocalize(&good, &bare, 1, &GO).unwrap_err(), &["0 columns", "with_chunk"]);
    let mut suppressor = Suppressor::new(&rule).unwrap();
    let back = table([0.5, 1.0, 1.0, 1.0]);
    said(suppressor.push(&back, &mut Vec::new()).unwrap_err(), &["row 2", "0.5, after 1"]);

    let rule = Overlap::new(0.5, 2.0, &[1.0], 1, 2).unwrap();
    said(suppress_points(&[1.0, 2.5], &rule, 1).unwrap_err(), &["row 0", "σ, column 1, is 2.5"]);
    said(suppress_points(&[1.0, 0.0], &rule, 1).unwrap_err(), &["is 0"]);
}

/// What scikit-image keeps of blobs at random, but for some where it lets a blob drop others that it
/// drops itself, or not, as its search meets them.
#[test]
fn blobs_are_pruned_as_by_scikit_image() {
    let cases = [
        (&[1.0, 1.0][..], include_str!("../../../tests/data/blobs/2d.csv")),
        (&[1.0, 1.0, 1.0], include_str!("../../../tests/data/blobs/3d.csv")),
        (&[0.5, 1.0, 1.0], include_str!("../../../tests/data/blobs/3d-anisotropic.csv")),
    ];
    for (ratio, table) in cases {
        let (ndim, columns) = (ratio.len(), ratio.len() + 3);
        let rows: Vec<f64> = table
            .split_ascii_whitespace()
            .flat_map(|line| line.split(','))
            .map(|n| n.parse().unwrap())
            .collect();
        let rule = Overlap::new(0.5, 4.5, ratio, ndim, columns)
            .and_then(|r| r.with_value(ndim + 1))
            .unwrap();
        let ours = suppress_points(&rows, &rule, 2).unwrap().to_vec();
        let all = rows.chunks_exact(columns);
        let differ = all.clone().filter(|row| {
            let kept = ours.chunks_exact(columns).any(|r| r == *row);
            kept != (row[ndim + 2] == 1.0)
        });
        let (differ, count) = (differ.count(), all.len());
        assert!(differ as f64 <= 0.005 * count as f64, "{ratio:?}: {differ} of {count} differ");
        assert!(ours.len() < rows.len() * 19 / 20);
    }
}
