//! Figure and page of whole detections, and the page in a real browser.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    sync::atomic::AtomicBool,
};

use volchunk::{ArraySource, Buffer, Dtype, Region};

use super::*;
use crate::config::Limits;

fn about(volume: VolumeInfo, chunk: &[u64]) -> About {
    let grid = ChunkGrid::new(&volume.shape, chunk).unwrap();
    let colours = match volume.ndim() {
        5 => Colours::Channels(vec![0, 1]),
        _ => Colours::Scale(2.0, 5.0),
    };
    About {
        name: "a <b> & \"c\".zarr".into(),
        input: "<script>alert(1)</script>".into(),
        output: "cells.csv".into(),
        command: "volchunk detect '<in>' cells.csv --method log".into(),
        parameters: vec![("method".into(), "log".into()), ("</table>".into(), "& more".into())],
        volume,
        grid,
        colours,
        sigma_unit: "voxels".into(),
    }
}

fn ended() -> Ended {
    Ended { elapsed: Duration::from_millis(2340), workers: 2, peak: None, projected: 300 << 20 }
}

/// A report on a volume of `shape` with `count` cells at places that look random.
fn report(shape: &[u64], chunk: &[u64], count: u64) -> CellsReport {
    let mut info = VolumeInfo::new(shape, Dtype::U8);
    for axis in &mut info.axes {
        (axis.scale, axis.unit) = (Some(2.0), Some("micrometer".into()));
    }
    let voxels: Vec<u8> =
        (0..info.voxels()).map(|i| (i.wrapping_mul(0x9e37_79b9) >> 24) as u8).collect();
    let volume = Buffer::from_slice(shape, &voxels);
    let source = ArraySource::new(volume.view());
    let mut report = CellsReport::new(about(info, chunk));
    let domain = Region::whole(shape);
    let frame = report.frame().clone();
    let images =
        project(&source, &domain, None, (&frame, 0), Limits::default(), &AtomicBool::new(false))
            .unwrap();
    report.set_projections(images);
    let spatial = source_axes(shape.len());
    for k in 0..count {
        let mut random = k.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let at: Vec<f64> = shape[shape.len() - spatial..]
            .iter()
            .map(|&n| {
                random = random.rotate_left(17).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                ((random >> 33) % n) as f64
            })
            .collect();
        let sigma = 2.0 + (k % 4) as f64;
        report.add(&Cell {
            at: &at,
            sigma,
            radius: &[sigma * 1.7],
            value: 0.1 + (k % 97) as f64 / 50.0,
            channel: k % 2,
        });
    }
    report
}

fn source_axes(ndim: usize) -> usize {
    ndim.min(3)
}

#[test]
fn any_volume_and_any_number_of_cells_has_figure_and_page() {
    let dir = tempfile::tempdir().unwrap();
    let cases: [(&[u64], &[u64], u64); 7] = [
        (&[20, 40, 50], &[8, 16, 16], 30),
        (&[20, 40, 50], &[20, 40, 50], 0),
        (&[40, 50], &[16, 16], 5),
        (&[700], &[100], 40),
        (&[1, 1, 1], &[1, 1, 1], 1),
        (&[2, 2, 6, 30, 30], &[1, 1, 6, 16, 16], 12),
        (&[3, 1700, 20], &[3, 1, 20], 20_000),
    ];
    for (shape, chunk, count) in cases {
        let report = report(shape, chunk, count);
        let (png, html) = (dir.path().join("cells.png"), dir.path().join("cells.html"));
        report.write_figure(&png).unwrap();
        report.write_report(&html, &ended()).unwrap();
        let decoder = png::Decoder::new(std::io::BufReader::new(fs::File::open(&png).unwrap()));
        let reader = decoder.read_info().unwrap();
        let size = (reader.info().width, reader.info().height);
        assert!(
            (640..1500).contains(&size.0) && (100..1600).contains(&size.1),
            "{shape:?} {size:?}"
        );
        let page = fs::read_to_string(&html).unwrap();
        assert!(page.contains(&page::cells(count)), "{shape:?}");
        // Pictures spell anything.
        let text: String =
            page.split("base64,").map(|t| t.split_once('"').map_or(t, |(_, text)| text)).collect();
        assert!(!text.contains("NaN") && !text.contains("inf"), "{shape:?}");
        check_writable("--report", &html, &[]).unwrap();
        check_writable("--figure", &png, &[]).unwrap();
    }
}

#[test]
fn what_users_call_things_stays_text() {
    let dir = tempfile::tempdir().unwrap();
    let html = dir.path().join("cells.html");
    report(&[8, 20, 20], &[8, 8, 8], 9).write_report(&html, &ended()).unwrap();
    let page = fs::read_to_string(&html).unwrap();
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert_eq!(page.matches("</table>").count(), 2);
    assert!(page.contains("<h1>a &lt;b&gt; &amp; &quot;c&quot;.zarr: 9 cells</h1>"));
}

#[test]
fn memory_does_not_follow_the_volume() {
    let of = |n: u64| {
        let info = VolumeInfo::new(&[n, n, n], Dtype::U16);
        CellsReport::new(about(info, &[64, 64, 64])).memory()
    };
    assert!(of(100_000) < 200 << 20, "{}", of(100_000));
}

#[test]
fn projecting_asks_for_no_more_than_its_cap() {
    let volume = Buffer::zeros(&[64, 64, 64], Dtype::U16);
    let info = VolumeInfo::new(&[64, 64, 64], Dtype::U16);
    let source = ArraySource::new(volume.view());
    let domain = Region::whole([64, 64, 64]);
    let frame = Frame::new(&info, &domain);
    let limits = Limits { memory: Some(1 << 10), ..Limits::default() };
    let e =
        project(&source, &domain, None, (&frame, 0), limits, &AtomicBool::new(false)).unwrap_err();
    assert_eq!(e.kind(), volchunk::ErrorKind::OverMemory);
}

/// Debian's name for it, and others'.
fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    std::env::split_paths(&path).flat_map(|d| names.map(|n| d.join(n))).find(|p| p.is_file())
}

/// What the browser prints of the page at `path`: its document, and its console.
fn browse(browser: &Path, path: &Path, profile: &Path) -> (String, String) {
    let child = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"])
        .args(["--enable-logging=stderr", "--v=0", "--virtual-time-budget=4000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&child.stdout), text(&child.stderr))
}

#[test]
fn the_page_opens_in_a_browser() {
    let Some(browser) = browser() else {
        eprintln!("skipped: the_page_opens_in_a_browser needs chromium");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let (html, profile) = (dir.path().join("cells.html"), dir.path().join("profile"));
    report(&[20, 60, 80], &[8, 16, 16], 300).write_report(&html, &ended()).unwrap();
    let (document, console) = browse(&browser, &html, &profile);
    assert!(document.contains("300 cells"), "{document}\n{console}");
    assert!(!console.contains("CONSOLE"), "{console}");
    // A probe has a script of its own, so its page must allow scripts.
    let page = fs::read_to_string(&html).unwrap();
    let policy = page.find("<meta http-equiv").unwrap();
    let end = policy + page[policy..].find('>').unwrap() + 1;
    let probe = page.replace(&page[policy..end], "").replace(
        "</body>",
        "<script>addEventListener('load', () => { \
         const sizes = [...document.images].map(i => Math.min(i.naturalWidth, i.naturalHeight)); \
         const wide = document.documentElement.scrollWidth > innerWidth; \
         document.body.dataset.probe = sizes.join(' ') + ' wide ' + wide + ' charts ' \
         + document.querySelectorAll('svg').length })</script></body>",
    );
    fs::write(&html, probe).unwrap();
    let (document, console) = browse(&browser, &html, &profile);
    let found = document.split("data-probe=\"").nth(1).and_then(|t| t.split('"').next());
    let found = found.unwrap_or_else(|| panic!("no probe: {document}\n{console}"));
    let (sizes, rest) = found.split_once(" wide ").unwrap();
    assert_eq!(sizes.split(' ').count(), 3, "{found}");
    assert!(sizes.split(' ').all(|s| s.parse::<u32>().unwrap() > 50), "{found}");
    assert_eq!(rest, "false charts 8", "{found}");
}
