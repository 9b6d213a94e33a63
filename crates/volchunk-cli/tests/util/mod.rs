//! A folder for a test's files, and the program to call on them.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use volchunk::{Buffer, Region, Scratch};
use volchunk_io::{CreateOptions, create, open};

/// A folder that goes with the test.
pub struct Dir(tempfile::TempDir);

/// What a call of the program gave.
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Dir {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A volume of uint16 that is different everywhere.
    pub fn volume(&self, name: &str, shape: &[u64]) -> PathBuf {
        let n = Region::whole(shape).voxels();
        let values: Vec<u16> = (0..n).map(|i| (i.wrapping_mul(40503) >> 3) as u16).collect();
        let path = self.path(name);
        let buffer = Buffer::from_slice(shape, &values);
        let info = volchunk::VolumeInfo::new(shape, volchunk::Dtype::U16);
        let sink = create(&path, &info, &CreateOptions::default()).unwrap();
        sink.write(&Region::whole(shape), buffer.view(), &mut Scratch::new()).unwrap();
        sink.finish().unwrap();
        path
    }

    /// Calls the program in this folder.
    pub fn call(&self, args: &[&str]) -> Outcome {
        Outcome::of(self.command(args).output().unwrap())
    }

    /// The program, to be called in this folder.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_volchunk"));
        command.args(args).current_dir(self.0.path());
        command
    }

    /// Every name in the folder, sorted.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Outcome {
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The call did what was asked.
    #[track_caller]
    pub fn done(self) -> Self {
        assert_eq!(self.code, Some(0), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// The call was refused with this exit code, and its message holds each of `words`.
    #[track_caller]
    pub fn refused(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        assert!(!self.stderr.contains("internal error"), "{}", self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "'{word}' is not in: {}", self.stderr);
        }
        self
    }
}

/// All voxels of the volume at `path`.
pub fn voxels(path: &Path) -> Buffer {
    let source = open(path).unwrap();
    let info = source.info();
    let mut all = Buffer::zeros(&info.shape, info.dtype);
    source.read(&Region::whole(&info.shape), all.view_mut(), &mut Scratch::new()).unwrap();
    all
}
