//! SIGKILL at random moments: what comes out in the end is what an uninterrupted run gives, nothing
//! that was committed is written twice, and in between nothing looks complete.
//!
//! Few kills here; as many as you like by
//! `VOLCHUNK_KILLS=200 cargo test -p volchunk-cli --test kill -- --nocapture`.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic)]

mod util;

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::{Duration, Instant, SystemTime},
};

use util::{Dir, voxels};
use volchunk::Journal;
use volchunk_io::{OutputState, output_state};

/// Kills for each kind of output.
fn kills() -> u32 {
    std::env::var("VOLCHUNK_KILLS").map_or(20, |n| n.parse().unwrap())
}

/// Random numbers, other ones each time: the moments are, too.
struct Rng(u64);

impl Rng {
    fn new() -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        Self(now.as_nanos() as u64 | 1)
    }

    /// From 0 to below 1.
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// A job of 96 chunks, and its result.
struct Bench {
    dir: Dir,
    whole: Vec<u8>,
    op: &'static str,
    /// How long it takes.
    whole_run: Duration,
    /// Flags beside those of every job.
    more: &'static [&'static str],
}

const CHUNKS: u64 = 96;

impl Bench {
    fn new(output: &str, more: &'static [&'static str]) -> Self {
        let (op, whole) = match output.ends_with(".csv") {
            true => ("log:min-sigma=1.2:max-sigma=2:num-sigma=2:threshold=0.001", "whole.csv"),
            false => ("gaussian:sigma=1.5", "whole.npy"),
        };
        let dir = Dir::new();
        dir.volume("flat.npy", &[48, 128, 64]);
        dir.call(&["convert", "flat.npy", "in.zarr", "--chunk", "8,32,16"]).done();
        // Large boxes of 0 and 1: some chunks lie outside, some partly.
        dir.volume("boxes.npy", &[5, 7, 3]);
        let mask =
            ["--op", "threshold:value=25000", "--op", "rescale:factor=9.6,18.3,21.3:order=0"];
        dir.call(&[&["run", "boxes.npy", "mask.zarr"], &mask[..]].concat()).done();
        let started = Instant::now();
        dir.call(&Self::args_of(op, whole, more, &[])).done();
        let whole_run = started.elapsed();
        let whole = content(&dir.path(whole));
        assert!(whole.len() > 1000);
        Self { dir, whole, op, whole_run, more }
    }

    fn args<'a>(&self, output: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        Self::args_of(self.op, output, self.more, more)
    }

    fn args_of<'a>(
        op: &'a str,
        output: &'a str,
        own: &[&'a str],
        more: &[&'a str],
    ) -> Vec<&'a str> {
        let args = ["run", "in.zarr", output, "--op", op, "--chunk", "8,32,16"];
        [&args[..], &["--workers", "2"], own, more].concat()
    }

    fn spawn(&self, args: &[&str]) -> Child {
        let mut command = self.dir.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Begins, and kills at a random moment of a whole run; true if it was done before.
    fn kill(&self, mut child: Child, rng: &mut Rng) -> bool {
        std::thread::sleep(self.whole_run.mul_f64(rng.next() * 0.8));
        child.kill().unwrap();
        child.wait().unwrap().success()
    }

    fn is_complete(&self, output: &str) -> bool {
        matches!(output_state(&self.dir.path(output)).unwrap(), OutputState::Complete { .. })
    }

    #[track_caller]
    fn assert_whole(&self, output: &str) {
        assert!(content(&self.dir.path(output)) == self.whole, "{output}");
    }

    fn remove(&self, output: &str) {
        volchunk_io::remove_output(&self.dir.path(output)).unwrap();
    }

    /// Chunks that are committed.
    fn committed(&self, output: &str) -> Vec<u64> {
        let folder = self.dir.path(&format!("{output}.volchunk"));
        let entries = fs::read_dir(folder).into_iter().flatten().map(|e| e.unwrap().path());
        let journals = entries.filter(|path| path.extension().is_some_and(|e| e == "journal"));
        let mut all = Vec::new();
        for path in journals {
            let journal = Journal::read(&path).unwrap();
            all.extend(journal.chunks().filter(|&n| journal.receipt(n).unwrap().is_some()));
        }
        all
    }

    /// The storage chunk that is chunk `number` of a Zarr: which file, written when.
    fn file_of(&self, output: &str, number: u64) -> (u64, SystemTime) {
        let place = format!("{}/{}/{}", number / 16, number / 4 % 4, number % 4);
        let meta = fs::metadata(self.dir.path(output).join("0/c").join(place)).unwrap();
        (meta.ino(), meta.modified().unwrap())
    }
}

/// The voxels of a volume, the bytes of a table.
fn content(path: &Path) -> Vec<u8> {
    match path.extension().is_some_and(|e| e == "csv") {
        true => fs::read(path).unwrap(),
        false => voxels(path).bytes().to_vec(),
    }
}

/// Files that no run left on purpose.
fn leftovers(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with('.') || name.ends_with(".partial") || name.ends_with(".new") {
            found.push(path.clone());
        }
        if path.is_dir() {
            found.extend(leftovers(&path));
        }
    }
    found
}

fn killed(output: &str, more: &'static [&'static str]) {
    let bench = Bench::new(output, more);
    let is_zarr = output.ends_with(".zarr");
    let mut rng = Rng::new();
    let (mut left, mut whole_runs) = (kills(), 0);
    while left > 0 {
        let mut files: HashMap<u64, (u64, SystemTime)> = HashMap::new();
        // One job is killed up to five times.
        for _ in 0..5 {
            left = left.saturating_sub(1);
            let before = bench.committed(output).len();
            let done = bench.kill(bench.spawn(&bench.args(output, &[])), &mut rng);
            if done {
                break;
            }
            if bench.is_complete(output) {
                // Killed while it was telling so.
                bench.assert_whole(output);
                break;
            }
            let committed = bench.committed(output);
            assert!(committed.len() >= before);
            for number in committed.into_iter().filter(|_| is_zarr) {
                let file = bench.file_of(output, number);
                assert_eq!(*files.entry(number).or_insert(file), file, "chunk {number}");
            }
            if rng.next() < 0.3 {
                tear(&bench.dir.path(&format!("{output}.volchunk/0.journal")), &mut rng);
                files.retain(|number, _| bench.committed(output).contains(number));
            }
        }
        let before = bench.committed(output).len();
        let complete = bench.is_complete(output);
        let text = bench.dir.call(&bench.args(output, &[])).done().stdout;
        assert!(
            complete || before == 0 || text.contains(&format!(" {before} chunks were done")),
            "{text}"
        );
        bench.assert_whole(output);
        for (number, file) in files {
            assert_eq!(bench.file_of(output, number), file, "chunk {number} was written again");
        }
        assert_eq!(bench.committed(output).len() as u64, CHUNKS);
        assert_eq!(leftovers(&bench.dir.path("")), Vec::<PathBuf>::new());
        bench.remove(output);
        whole_runs += 1;
    }
    println!("{output}: {} kills, {whole_runs} runs, 0 differences", kills());
}

/// As a kill within the journal's own write does.
fn tear(journal: &Path, rng: &mut Rng) {
    let Ok(file) = fs::File::options().write(true).open(journal) else { return };
    let len = file.metadata().unwrap().len();
    let kept = Journal::read(journal).unwrap();
    let records = len.saturating_sub(40 + kept.job().len() as u64);
    file.set_len(len - ((rng.next() * 100.0) as u64).min(records)).unwrap();
}

#[test]
fn a_zarr_survives_kills() {
    killed("out.zarr", &[]);
}

#[test]
fn a_table_survives_kills() {
    killed("out.csv", &[]);
}

#[test]
fn an_npy_survives_kills() {
    killed("out.npy", &[]);
}

#[test]
fn a_tiff_survives_kills() {
    killed("out.tif", &[]);
}

/// Chunks that are filled, and chunks that are filled in part, have receipts like all others.
#[test]
fn a_masked_run_survives_kills() {
    let more = &["--mask", "mask.zarr", "--fill", "7", "--skip-empty", "0"];
    killed("out.zarr", more);
    killed("out.npy", more);
}

/// Two parts at once, each killed when chance has it; then `finish`, killed too.
#[test]
fn parts_survive_kills() {
    let bench = Bench::new("out.zarr", &[]);
    let mut rng = Rng::new();
    for output in ["out.zarr", "out.npy"] {
        let mut left = kills() / 2;
        while left > 0 {
            for _ in 0..3 {
                left = left.saturating_sub(1);
                let first = bench.spawn(&bench.args(output, &["--part", "0/2"]));
                let second = bench.spawn(&bench.args(output, &["--part", "1/2"]));
                bench.kill(first, &mut rng);
                bench.kill(second, &mut rng);
                assert!(!bench.is_complete(output));
            }
            let before = bench.committed(output).len();
            let parts = ["0/2", "1/2"].map(|p| bench.spawn(&bench.args(output, &["--part", p])));
            for part in parts {
                util::Outcome::of(part.wait_with_output().unwrap()).done();
            }
            assert!(bench.committed(output).len() as u64 == CHUNKS && before as u64 <= CHUNKS);
            assert!(!bench.is_complete(output));
            for _ in 0..3 {
                let mut child = bench.spawn(&["finish", output]);
                std::thread::sleep(bench.whole_run.mul_f64(rng.next() * 0.2));
                child.kill().unwrap();
                child.wait().unwrap();
                // Whatever it says, it is true.
                if bench.is_complete(output) {
                    bench.assert_whole(output);
                }
            }
            bench.dir.call(&["finish", output]).done();
            bench.assert_whole(output);
            assert_eq!(leftovers(&bench.dir.path("")), Vec::<PathBuf>::new());
            bench.remove(output);
        }
    }
}

/// Level by level.
#[test]
fn a_pyramid_survives_kills() {
    let dir = Dir::new();
    dir.volume("in.npy", &[4, 1040, 520]);
    let args = |output| ["convert", "in.npy", output, "--pyramid", "--chunk", "4,130,130"];
    let started = Instant::now();
    dir.call(&args("whole.zarr")).done();
    let whole_run = started.elapsed();
    let assert_same_levels = || {
        for level in 0..4 {
            let at = |output: &str| voxels(&dir.path(output).join(level.to_string()));
            assert!(at("out.zarr").bytes() == at("whole.zarr").bytes(), "level {level}");
        }
    };
    let mut rng = Rng::new();
    let mut left = kills() / 2;
    while left > 0 {
        for _ in 0..4 {
            left = left.saturating_sub(1);
            let mut child = dir.command(&args("out.zarr"));
            let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(whole_run.mul_f64(rng.next()));
            child.kill().unwrap();
            child.wait().unwrap();
            // Whatever it says, it is true.
            let state = output_state(&dir.path("out.zarr")).unwrap();
            if matches!(state, OutputState::Complete { .. }) {
                assert_same_levels();
            }
        }
        dir.call(&args("out.zarr")).done();
        assert_same_levels();
        assert_eq!(leftovers(&dir.path("")), Vec::<PathBuf>::new());
        volchunk_io::remove_output(&dir.path("out.zarr")).unwrap();
    }
}
