//! Cores of any lengths, and tables of points, against loops over voxels and rows.
#![allow(clippy::unwrap_used)]

use proptest::{collection::vec, prelude::*};
use volchunk::{Buffer, Dtype, ErrorKind, View, ViewMut, join_cores, merge_points};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn cores_of_any_lengths_lie_where_a_loop_puts_them(
        lengths in vec(vec(0u64..40, 1..5), 1..4), threads in 1usize..4,
    ) {
        let shape: Vec<u64> = lengths.iter().map(|l| l.iter().sum()).collect();
        let count: u64 = shape.iter().product();
        let numbers: Vec<u32> = (0..count as u32).collect();
        let whole = Buffer::from_slice(&shape, &numbers);
        // Every combination of one length per axis, last axis fastest, with its start.
        let mut boxes: Vec<Vec<(u64, u64)>> = vec![vec![]];
        for lengths in &lengths {
            let starts = lengths.iter().scan(0, |end, &n| { *end += n; Some((*end - n, n)) });
            let axis: Vec<(u64, u64)> = starts.collect();
            boxes = boxes.iter().flat_map(|b| axis.iter().map(move |&a| [&b[..], &[a]].concat())).collect();
        }
        let cores: Vec<Buffer> = boxes.iter().map(|b| {
            let shape: Vec<u64> = b.iter().map(|a| a.1).collect();
            let region = volchunk::Region::from_ranges(b.iter().map(|&(s, n)| s..s + n));
            let mut core = Buffer::zeros(&shape, Dtype::U32);
            core.view_mut().copy_from(&whole.view().part(&region));
            core
        }).collect();
        let views: Vec<View> = cores.iter().map(Buffer::view).collect();
        let mut out = Buffer::zeros(&shape, Dtype::U32);
        join_cores(&lengths, &views, out.view_mut(), threads).unwrap();
        prop_assert_eq!(out.as_slice::<u32>(), &numbers[..]);
    }

    #[test]
    fn every_row_gets_the_index_of_its_chunk(
        counts in vec(1u64..4, 1..4), columns in 0u64..4,
        rows in vec(prop::option::of(0u64..4), 27), strided in any::<bool>(),
    ) {
        let chunks = counts.iter().product::<u64>() as usize;
        let mut next = 0.5;
        let mut expected = Vec::new();
        let mut buffers = Vec::new();
        for (number, rows) in rows[..chunks].iter().enumerate() {
            let mut rest = number as u64;
            let mut index: Vec<f64> =
                counts.iter().rev().map(|n| { let i = rest % n; rest /= n; i as f64 }).collect();
            index.reverse();
            buffers.push(rows.map(|rows| {
                let mut values = Vec::new();
                for _ in 0..rows {
                    let row: Vec<f64> = (0..columns).map(|_| { next += 1.0; next }).collect();
                    expected.extend(row.iter().chain(&index));
                    values.extend(row);
                }
                // Column by column in memory, where strided.
                let stored = if strided {
                    (0..values.len()).map(|i| {
                        let (column, row) = (i as u64 / rows, i as u64 % rows);
                        values[(row * columns + column) as usize]
                    }).collect()
                } else { values };
                (rows, Buffer::from_slice(&[stored.len() as u64], &stored))
            }));
        }
        let tables: Vec<Option<View>> = buffers.iter().map(|b| b.as_ref().map(|(rows, b)| {
            let strides = if strided { [8, rows * 8] } else { [columns * 8, 8] };
            View::strided(&[*rows, columns], &strides, Dtype::F64, b.bytes())
        })).collect();
        match merge_points(&counts, &tables).unwrap() {
            None => prop_assert!(tables.iter().all(Option::is_none)),
            Some(merged) => {
                prop_assert_eq!(merged.shape()[1], columns + counts.len() as u64);
                prop_assert_eq!(merged.as_slice::<f64>(), &expected[..]);
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let core = Buffer::from_slice(&[2, 2], &[0u8; 4]);
    let mut out = Buffer::zeros(&[2, 4], Dtype::U8);
    let mut join = |lengths: &[Vec<u64>], n: usize| {
        let error = join_cores(lengths, &vec![core.view(); n], out.view_mut(), 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        error.to_string()
    };
    assert!(join(&[vec![2], vec![3, 1]], 2).contains("core [0, 0]"));
    assert!(join(&[vec![2], vec![2, 2]], 3).contains("3 cores"));
    assert!(join(&[vec![2], vec![2, 3]], 2).contains("output has shape [2, 4]"));
    assert!(join(&[vec![2], vec![2, u64::MAX]], 2).contains("output has shape"));

    let table = |shape: &[u64]| Buffer::zeros(shape, Dtype::U8);
    let (a, b, flat) = (table(&[1, 2]), table(&[1, 3]), table(&[4]));
    let points = |counts: &[u64], tables: &[&Buffer]| {
        let tables: Vec<Option<View>> = tables.iter().map(|t| Some(t.view())).collect();
        merge_points(counts, &tables).unwrap_err().to_string()
    };
    assert!(points(&[1, 2], &[&a, &b]).contains("chunk [0, 1] has 3 columns"));
    assert!(points(&[1, 2], &[&a, &flat]).contains("chunk [0, 1] has shape [4]"));
    assert!(points(&[2], &[&a]).contains("1 tables"));
    assert!(points(&[300], &[&a; 300]).contains("uint8 columns cannot hold the chunk index 299"));

    let mut gaps = vec![0u8; 20];
    let out = ViewMut::strided(&[1, 3], &[10, 2], Dtype::U8, &mut gaps);
    assert!(volchunk::merge_points_into(&[1], &[Some(a.view())], out).is_err());
}
