//! The report: one page that needs nothing beside itself, neither scripts nor a network.

use std::fmt::Write;

use volchunk::Result;

use super::{
    CellsReport, Ended,
    chart::Chart,
    figure::Colours,
    frame::{number, round_length},
    histogram::{Bar, Histogram},
    marks::{self, Style},
    place::{SOFTWARE, generator},
    png,
    spread::{AtBorders, Spread},
};
use crate::{
    progress::duration,
    report::{bytes, grouped, shape},
};

const STYLE: &str = include_str!("page.css");
/// Bars of a chart.
const BARS: usize = 40;
/// Differences from chance, in deviations, that are worth a look.
const STRIKING: f64 = 3.5;

/// `text` as HTML shows it, in content and in attributes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            _ => escaped.push(letter),
        }
    }
    escaped
}

/// The page of a finished job.
pub(super) fn page(report: &CellsReport, ended: &Ended) -> Result<String> {
    let about = &report.about;
    let mut t = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n{}\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; \
         style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body>\n",
        generator(),
        escape(&report.title()),
    );
    let _ = writeln!(
        t,
        "<header><h1>{}</h1>\n<p class=\"lead\">{} in {} voxels ({}){}; found in {} by {} {}.</p>\
         </header>\n<main>",
        escape(&report.title()),
        cells(report.count),
        shape(about.grid.domain().shape()),
        escape(&about.volume.axis_names()),
        escape(&report.voxel_text().map(|v| format!(" of {v}")).unwrap_or_default()),
        duration(ended.elapsed.as_secs_f64()),
        SOFTWARE,
        env!("CARGO_PKG_VERSION"),
    );
    if report.count == 0 {
        t += "<p class=\"warn\">No cell was found.</p>\n";
    }
    t += "<h2>Where the cells are</h2>\n";
    projections(&mut t, report)?;
    if report.count > 0 {
        t += "<h2>What they are like</h2>\n<div class=\"grid\">\n";
        sigmas(&mut t, report);
        values(&mut t, &report.values);
        t += "</div>\n<h2>Do seams show?</h2>\n";
        seams(&mut t, &report.spreads);
    }
    tables(&mut t, report, ended);
    t += "</main>\n</body>\n</html>\n";
    Ok(t)
}

/// `4,148 cells`.
pub(super) fn cells(count: u64) -> String {
    format!("{} cell{}", grouped(count), if count == 1 { "" } else { "s" })
}

fn projections(t: &mut String, report: &CellsReport) -> Result<()> {
    let picture = report.picture("", &[]);
    let frame = &report.frame;
    let (low, high) = picture.contrast();
    let _ = write!(
        t,
        "<p class=\"soft\">The largest voxel along each axis, black to white from {} to {}; faint \
         lines are the borders of the chunks. ",
        number(f64::from(low)),
        number(f64::from(high))
    );
    let gradient = |colour: fn(f32) -> [u8; 3]| {
        let stops: Vec<String> = (0..=6)
            .map(|k| {
                let [r, g, b] = colour(k as f32 / 6.0);
                format!("rgb({r} {g} {b})")
            })
            .collect();
        format!(
            "<span class=\"key\" style=\"background:linear-gradient(90deg,{})\"></span>",
            stops.join(",")
        )
    };
    if report.marks.iter().any(|m| m.style() != Style::Density) {
        match &report.about.colours {
            Colours::Scale(low, high) if high > low => {
                let _ = write!(
                    t,
                    "Colours: σ from {}{}{} {}. ",
                    number(*low),
                    gradient(marks::scale),
                    number(*high),
                    escape(&report.about.sigma_unit)
                );
            }
            Colours::Scale(..) => {}
            Colours::Channels(all) => {
                for (k, channel) in all.iter().enumerate() {
                    let [r, g, b] = marks::channel(k);
                    let _ = write!(
                        t,
                        "<span class=\"dot\" style=\"background:rgb({r} {g} {b})\"></span>channel {channel}"
                    );
                }
            }
        }
    }
    if let Some((most, square)) = picture.densest() {
        let _ = write!(
            t,
            "Shading: cells behind {}, from 0{}{most}; each picture's goes up to its own most.",
            escape(&square),
            gradient(marks::heat),
        );
    }
    // The panels share their axes at any width: columns in proportion to their pixels.
    let pixels: Vec<usize> = frame.axes.iter().map(|s| s.pixels).collect();
    let columns = match pixels.as_slice() {
        [z, _, x] => (format!("{x}fr {z}fr"), x + z + 10),
        _ => ("1fr".into(), pixels[1]),
    };
    let _ = writeln!(
        t,
        "</p>\n<figure><div class=\"panels\" style=\"grid-template-columns:{};max-width:{}px\">",
        columns.0, columns.1
    );
    let mut captions = String::new();
    for (k, panel) in frame.panels.iter().enumerate() {
        let mut canvas = picture.panel(k);
        let (down, across) = (&frame.axes[panel.down], &frame.axes[panel.across]);
        let (width, height) = canvas.size();
        let mut bar = String::new();
        if k == 0 {
            let length = round_length(across.voxels as f64 * across.size / 5.0);
            let pixels = (length / across.size * across.zoom()) as usize;
            canvas.fill(11, height.saturating_sub(19), pixels + 2, 7, [0; 3]);
            canvas.fill(12, height.saturating_sub(18), pixels, 5, [255; 3]);
            bar = format!("; the white bar is {} {} long", number(length), frame.unit);
        }
        let shown = match report.marks[k].style() {
            Style::Rings => "cells as rings of their radius",
            Style::Dots => "cells as dots",
            Style::Density => "cells as shading by density",
        };
        let axes = match down.axis {
            Some(_) => format!("{} to the right, {} down", across.name, down.name),
            None => format!("{} to the right", across.name),
        };
        let stretched: String = [panel.across, panel.down]
            .into_iter()
            .filter_map(|a| Some((a, frame.stretched(a)?)))
            .map(|(a, ratio)| format!("; {} stretched {ratio:.1} ×", frame.axes[a].name))
            .collect();
        let projected = match panel.along {
            Some(a) => format!("Along {}", frame.axes[a].name),
            None => "The volume".into(),
        };
        let caption = format!("{projected}: {axes}{stretched}; {shown}{bar}.");
        let _ = writeln!(
            t,
            "<img width=\"{width}\" height=\"{height}\" alt=\"{}\" src=\"data:image/png;base64,{}\">",
            escape(&format!("Maximum projection. {caption}")),
            base64(&png(&canvas)?),
        );
        let _ = write!(captions, "{}<br>", escape(&caption));
    }
    let _ = writeln!(t, "</div><figcaption>{captions}</figcaption></figure>");
    Ok(())
}

fn section(t: &mut String, title: &str, text: &str, chart: &Chart<'_>) {
    let _ = writeln!(
        t,
        "<section><h3>{}</h3>{}\n<p class=\"soft\">{text}</p></section>",
        escape(title),
        chart.svg()
    );
}

fn sigmas(t: &mut String, report: &CellsReport) {
    let unit = &report.about.sigma_unit;
    let across = format!("σ / {unit}");
    let (bars, names): (Vec<Bar>, Option<Vec<String>>) = match report.sigmas.distinct() {
        Some(all) => (
            all.iter()
                .enumerate()
                .map(|(k, (_, n))| (k as f64, k as f64 + 1.0, *n as f64))
                .collect(),
            Some(all.iter().map(|(sigma, _)| number(*sigma)).collect()),
        ),
        None => (report.sigmas.bars(BARS), None),
    };
    let most =
        bars.iter().enumerate().max_by(|a, b| a.1.2.total_cmp(&b.1.2)).map(|(k, b)| match &names {
            Some(names) => names[k].clone(),
            None => format!("{} to {}", number(b.0), number(b.1)),
        });
    let (bars_shown, told) = (bars.len(), most.unwrap_or_default());
    let edge = match (&names, bars.as_slice()) {
        (Some(_), [.., last]) if bars_shown > 2 && last.2 * 2.0 > report.count as f64 => {
            " Most lie at the largest scale: larger ones may be there, which a larger --max-sigma finds."
        }
        (Some(_), [first, ..]) if bars_shown > 2 && first.2 * 2.0 > report.count as f64 => {
            " Most lie at the smallest scale: a smaller --min-sigma may tell them from noise."
        }
        _ => "",
    };
    let chart = Chart {
        bars: &bars,
        across: &across,
        up: "cells",
        told: &format!("Cells by σ; most have {told} {unit}."),
        reference: None,
        border: false,
        names,
        whole: false,
    };
    let text = format!("Most cells have σ = {} {}.{edge}", escape(&told), escape(unit));
    section(t, "Scale of the cells", &text, &chart);
}

fn values(t: &mut String, values: &Histogram) {
    let bars = values.bars(BARS);
    let Some((low, high)) = values.range() else { return };
    let told = format!(
        "From {} to {}, median {}.",
        number(low),
        number(high),
        number(values.median().unwrap_or(low))
    );
    let chart = Chart {
        bars: &bars,
        across: "value at the peak",
        up: "cells",
        told: &format!("Cells by the value at their peak. {told}"),
        reference: None,
        border: false,
        names: None,
        whole: false,
    };
    let skipped = match values.skipped {
        0 => String::new(),
        n => format!(" {} without a finite value are left out.", cells(n)),
    };
    let text = format!(
        "{told}{skipped} A heap at the left end is what the threshold cuts: raise it, and many go."
    );
    section(t, "Strength of the peaks", &text, &chart);
}

fn seams(t: &mut String, spreads: &[Spread]) {
    *t += "<p class=\"soft\">A lost chunk would be a gap among the first charts' bars. Cells that are \
           lost or counted twice at the borders between chunks would be a dent or a peak at the red \
           line of the others: there, each bar is the number of cells for each plane of voxels, over \
           its mean; the band is two deviations of chance.</p>\n<div class=\"grid\">\n";
    for spread in spreads.iter().filter(|s| s.chunks() > 1) {
        let bars = spread.bars(2 * BARS);
        let gap = bars.iter().filter(|b| b.2 == 0.0).count();
        let title = format!("Chunks along {}", spread.name);
        let text = format!(
            "{} chunks of {} voxels{}.",
            spread.chunks(),
            spread.chunk(),
            if gap > 0 { format!("; {gap} of the bars are empty") } else { String::new() }
        );
        let chart = Chart {
            bars: &bars,
            across: &format!("chunk along {}", spread.name),
            up: "cells",
            told: &format!("Cells by chunk along {}: {text}", spread.name),
            reference: None,
            border: false,
            names: None,
            whole: true,
        };
        section(t, &title, &escape(&text), &chart);
    }
    for spread in spreads {
        let Some((bars, reach)) = spread.around_borders(BARS) else { continue };
        let title = format!("Around the borders along {}", spread.name);
        let (text, told) = verdict(spread.at_borders());
        let chart = Chart {
            bars: &bars,
            across: &format!("voxels from the border along {}", spread.name),
            up: "cells, relative",
            told: &format!(
                "Cells by distance from the borders of chunks along {}. {told}",
                spread.name
            ),
            reference: Some((1.0, reach)),
            border: true,
            names: None,
            whole: true,
        };
        section(t, &title, &text, &chart);
    }
    *t += "</div>\n";
    let whole: Vec<&str> =
        spreads.iter().filter(|s| s.chunks() == 1).map(|s| s.name.as_str()).collect();
    if !whole.is_empty() {
        let _ = writeln!(
            t,
            "<p>One chunk covers the volume along {}: no seam can be there.</p>",
            escape(&whole.join(", "))
        );
    }
}

/// What the counts at the borders say, as HTML and as text.
fn verdict(at: Option<AtBorders>) -> (String, String) {
    let Some(AtBorders { found, expected, score }) = at else {
        let text = "Chunks are too short to compare borders with what lies beside them.";
        return (text.into(), text.into());
    };
    let counts = format!(
        "{} within 2 voxels of a border, {:.0} expected from those 2 to 8 voxels away",
        cells(found),
        expected
    );
    let deviations = format!("{:+.1} deviations of chance", score);
    let (class, words) = match score.abs() > STRIKING {
        true => ("warn", "more than chance explains"),
        false => ("good", "no sign of a seam"),
    };
    (
        format!("{counts} ({deviations}): <span class=\"{class}\">{words}</span>."),
        format!("{counts} ({deviations}): {words}."),
    )
}

fn tables(t: &mut String, report: &CellsReport, ended: &Ended) {
    let about = &report.about;
    let mut table = |title: &str, rows: &[(String, String)]| {
        let _ = writeln!(t, "<h2>{title}</h2>\n<table>");
        for (name, value) in rows {
            let _ = writeln!(
                t,
                "<tr><th scope=\"row\">{}</th><td>{}</td></tr>",
                escape(name),
                escape(value)
            );
        }
        *t += "</table>\n";
    };
    let row = |name: &str, value: String| (name.to_owned(), value);
    table("Parameters", &about.parameters);
    let grid = &about.grid;
    let seconds = ended.elapsed.as_secs_f64();
    let peak = match ended.peak {
        Some(peak) => format!("{} measured, {} projected", bytes(peak), bytes(ended.projected)),
        None => format!("{} projected", bytes(ended.projected)),
    };
    let mut rows = vec![
        row("input", about.input.clone()),
        row("output", about.output.clone()),
        row(
            "volume",
            format!(
                "{} {} ({})",
                shape(&about.volume.shape),
                about.volume.dtype,
                about.volume.axis_names()
            ),
        ),
    ];
    if grid.domain().shape() != grid.volume() {
        rows.push(row("region", grid.domain().to_string()));
    }
    rows.extend([
        row(
            "chunks",
            format!(
                "{} ({}), each {}",
                grouped(grid.len()),
                shape(grid.counts()),
                shape(grid.chunk_shape())
            ),
        ),
        row("workers", ended.workers.to_string()),
        row("time", duration(seconds)),
        row("peak memory", peak),
        row("version", format!("volchunk {}", env!("CARGO_PKG_VERSION"))),
    ]);
    table("The run", &rows);
    let _ = writeln!(t, "<h2>Command</h2>\n<pre>{}</pre>", escape(&about.command));
}

/// RFC 4648.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |k: usize| u32::from(three.get(k).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for k in 0..4 {
            match k <= three.len() {
                true => text.push(LETTERS[(bits >> (18 - 6 * k) & 63) as usize] as char),
                false => text.push('='),
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_as_the_rfc_has_it() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (plain, encoded) in cases {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }

    #[test]
    fn text_of_users_is_text() {
        assert_eq!(escape("<a href=\"x\">&'"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
    }
}
