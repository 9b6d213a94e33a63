//! Shared memory: a true copy of any array, seen by a process that was given the descriptor.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::{
    fs::File,
    io::{Read, Write},
    os::{fd::AsFd, unix::process::ExitStatusExt},
    process::{Command, Stdio},
};

use proptest::{collection::vec, prelude::*, sample::select};
use volchunk::{Buffer, Dtype, ErrorKind, Region, SharedArray, SharedMemory, View, share};

const ROLE: &str = "VOLCHUNK_TEST_ROLE";

/// This program again, in one of the roles of [`other_process`], with `memory` as its input.
fn other(role: &str, memory: &File) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["other_process", "--exact", "--nocapture"])
        .env(ROLE, role)
        .stdin(Stdio::from(memory.try_clone().unwrap()))
        .stdout(Stdio::piped());
    command
}

/// What the other process does; an empty test in this one.
#[test]
fn other_process() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let file = File::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    match &role[..] {
        "adds one" => {
            let mut array = SharedArray::open(file, &[3, 4], Dtype::U16).unwrap();
            // SAFETY: the parent waits.
            let mut view = unsafe { array.view_mut() };
            let bytes = view.data_mut();
            for item in bytes.chunks_exact_mut(2) {
                let value = u16::from_ne_bytes([item[0], item[1]]) + 1;
                item.copy_from_slice(&value.to_ne_bytes());
            }
        }
        "grows" => {
            let memory = SharedMemory::open(file, 10).unwrap().grown(1 << 20).unwrap();
            // SAFETY: the parent waits, and the last byte is mapped.
            unsafe { memory.as_ptr().add((1 << 20) - 1).write(9) };
        }
        "waits" => {
            let memory = SharedMemory::open(file, 10).unwrap();
            println!("open");
            std::io::stdout().flush().unwrap();
            std::thread::sleep(std::time::Duration::from_secs(60));
            drop(memory);
        }
        role => panic!("no such role: {role}"),
    }
}

#[test]
fn another_process_opens_it_and_both_see_what_is_written() {
    let image = Buffer::from_slice(&[3, 4], &Vec::from_iter(0..12u16));
    let shared = share(&image.view(), 2).unwrap();
    for round in 1..4u16 {
        assert!(other("adds one", shared.file()).status().unwrap().success());
        let expected: Vec<u8> = (0..12u16).flat_map(|v| (v + round).to_ne_bytes()).collect();
        // SAFETY: the other process has ended.
        assert_eq!(unsafe { shared.view() }.as_contiguous().unwrap(), expected);
    }
}

#[test]
fn what_another_process_adds_is_there_after_growing_here_too() {
    let memory = SharedMemory::new(10).unwrap();
    // SAFETY: nobody else uses it yet.
    unsafe { memory.as_ptr().write(5) };
    assert!(other("grows", memory.file()).status().unwrap().success());
    let grown = memory.grown(1 << 20).unwrap();
    // SAFETY: the other process has ended; nothing is written meanwhile.
    let (old, new) = unsafe { (memory.bytes(), grown.bytes()) };
    assert_eq!((old.len(), old[0], new.len(), new[0], new[(1 << 20) - 1]), (10, 5, 1 << 20, 5, 9));
    assert_eq!(grown.grown(1).unwrap().len(), 1 << 20, "it never shrinks");
}

#[test]
fn nothing_is_left_of_it_and_it_outlives_a_killed_process() {
    let memory = SharedMemory::new(10).unwrap();
    let mut child = other("waits", memory.file()).spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    let mut seen = String::new();
    while !seen.contains("open") {
        let mut byte = [0];
        output.read_exact(&mut byte).unwrap();
        seen.push(char::from(byte[0]));
    }
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    // SAFETY: the other process has ended.
    assert_eq!(unsafe { memory.bytes() }, [0; 10]);
    let links = std::os::unix::fs::MetadataExt::nlink(&memory.file().metadata().unwrap());
    assert_eq!(links, 0, "it has no name");
}

#[cfg(target_os = "linux")]
#[test]
fn nobody_can_cut_it_off() {
    let memory = SharedMemory::new(10_000).unwrap();
    assert!(memory.file().set_len(1).is_err());
    assert_eq!(memory.file().metadata().unwrap().len(), 10_000);
}

#[test]
fn too_short_or_too_large_is_refused() {
    let memory = SharedMemory::new(10).unwrap();
    let open = |shape: &[u64]| {
        let file = memory.file().try_clone().unwrap();
        SharedArray::open(file, shape, Dtype::U16).map(|_| ()).map_err(|e| e.to_string())
    };
    assert_eq!(open(&[5]), Ok(()));
    assert_eq!(open(&[6]), Err("shared memory of 10 bytes, 12 were to be opened".into()));
    for shape in [&[u64::MAX][..], &[1 << 31, 1 << 31]] {
        let error = SharedArray::zeros(shape, Dtype::U64).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    }
    let error = SharedMemory::new(1 << 62).unwrap_err();
    assert!(
        error.kind() == ErrorKind::Io && error.to_string().contains("4611686018427387904 bytes")
    );
}

proptest! {
    #[test]
    fn a_copy_of_any_array(
        shape in vec(0u64..7, 0..5),
        dtype in select(&Dtype::ALL[..]),
        lo in vec(0u64..3, 4),
        reversed in any::<bool>(),
        threads in 0usize..4,
    ) {
        // A part of a larger volume, its axes in either order.
        let n = shape.len();
        let outer: Vec<u64> = shape.iter().zip(&lo).map(|(s, l)| s + 2 * l).collect();
        let mut volume = Buffer::zeros(&outer, dtype);
        for (i, byte) in volume.bytes_mut().iter_mut().enumerate() {
            *byte = (i * 31 + i / 255) as u8;
        }
        let part = Region::from_ranges(shape.iter().zip(&lo).map(|(s, l)| *l..l + s));
        let order: Vec<usize> = if reversed { (0..n).rev().collect() } else { (0..n).collect() };
        let view = volume.view().part(&part).permuted(&order);
        let shared = share(&view, threads).unwrap();
        prop_assert_eq!((shared.shape(), shared.dtype()), (view.shape(), dtype));
        // SAFETY: this process alone has it, and only reads.
        let copy = unsafe { shared.view() };
        prop_assert_eq!(voxel_bytes(&copy), voxel_bytes(&view));
        let same = SharedArray::open(shared.file().try_clone().unwrap(), view.shape(), dtype).unwrap();
        // SAFETY: as above.
        prop_assert_eq!(voxel_bytes(&unsafe { same.view() }), voxel_bytes(&view));
    }
}

/// The bytes of every voxel in C order, found by index.
fn voxel_bytes(view: &View<'_>) -> Vec<u8> {
    let size = view.dtype().size();
    let mut offsets = vec![0usize];
    for (&n, &stride) in view.shape().iter().zip(view.strides()) {
        offsets =
            offsets.iter().flat_map(|o| (0..n).map(move |i| o + (i * stride) as usize)).collect();
    }
    offsets.iter().flat_map(|&o| view.data()[o..o + size].to_vec()).collect()
}
