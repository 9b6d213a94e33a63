//! A small font of strokes: letters, digits and the signs that pictures need, at any size.

/// Units from the top of a capital to the baseline; descenders reach 4 below.
pub(crate) const CAPITAL: f32 = 12.0;
/// Units between letters.
const SPACING: f32 = 3.2;
/// Units of a blank.
const BLANK: f32 = 5.0;
/// What stands for a letter that is not here: a box.
const MISSING: &str = "aahahmamaa";

/// Strokes, separated by blanks. A stroke is pairs of letters, a = 0 to q = 16: x to the right, y
/// down; capitals from a to m, small letters from e to m. A stroke after `~` is a smooth curve, which
/// the points guide (a quadratic B-spline).
const GLYPHS: [(char, &str); 92] = [
    ('0', "~aahahmamaa"),
    ('1', "bceaem"),
    ('2', "~adaahahfam amhm"),
    ('3', "~acaahahgdg ~dgigimamak"),
    ('4', "gmgaaiii"),
    ('5', "habaaf ~afceieimamak"),
    ('6', "~afhfhmamaf ~haabaj"),
    ('7', "aahadm"),
    ('8', "~bahahgbgba ~agigimamag"),
    ('9', "~aahahhahaa ~hdhlam"),
    ('A', "ameaim bihi"),
    ('B', "aaam ~aahahgag ~agigimam"),
    ('C', "~idiaaaamimij"),
    ('D', "aaam ~aaiaimam"),
    ('E', "haaaamhm aggg"),
    ('F', "haaaam aggg"),
    ('G', "~idiaaaamimih ihfh"),
    ('H', "aaam iaim agig"),
    ('I', "aaam"),
    ('J', "gagj ~gjgmamaj"),
    ('K', "aaam iaah deim"),
    ('L', "aaamhm"),
    ('M', "amaafikakm"),
    ('N', "amaaimia"),
    ('O', "~aajajmamaa"),
    ('P', "amaa ~aaiaihah"),
    ('Q', "~aajajmamaa fjjm"),
    ('R', "amaa ~aaiaihah ehim"),
    ('S', "~iciaaaagigimamak"),
    ('T', "aaia eaem"),
    ('U', "aaah iaih ~ahamimih"),
    ('V', "aaemia"),
    ('W', "aadmgbjmma"),
    ('X', "aaim iaam"),
    ('Y', "aaegia egem"),
    ('Z', "aaiaamim"),
    ('a', "~aehehmamae hehm"),
    ('b', "aaam ~aehehmamae"),
    ('c', "~hgheaeamhmhk"),
    ('d', "hahm ~aehehmamae"),
    ('e', "aihi ~hiheaeamhmhk"),
    ('f', "cmcd ~cdcafa aefe"),
    ('g', "~aehehmamae hehn ~hnhqaqap"),
    ('h', "aaam ~ahaehehh hhhm"),
    ('i', "aeam abab"),
    ('j', "cecn ~cncqaq cbcb"),
    ('k', "aaam heai chhm"),
    ('l', "aaam"),
    ('m', "aeam ~ahaegegh ghgm ~ghgememh mhmm"),
    ('n', "aeam ~ahaehehh hhhm"),
    ('o', "~aehehmamae"),
    ('p', "aeaq ~aehehmamae"),
    ('q', "hehq ~aehehmamae"),
    ('r', "aeam ~aiaefe"),
    ('s', "~gggeaeaigigmamak"),
    ('t', "cbck ~ckcmfm aefe"),
    ('u', "aeaj ~ajamhmhj hehm"),
    ('v', "aedmge"),
    ('w', "aecmffimke"),
    ('x', "aegm geam"),
    ('y', "aedm gebq"),
    ('z', "aegeamgm"),
    ('µ', "aeaq ~ajamhmhj hehm"),
    ('μ', "aeaq ~ajamhmhj hehm"),
    ('σ', "~aehehmamae deje"),
    ('.', "amam"),
    (',', "blao"),
    (':', "afaf amam"),
    (';', "bfbf blao"),
    ('-', "aifi"),
    ('–', "aihi"),
    ('−', "aihi"),
    ('+', "aiii eeem"),
    ('×', "bfhl hfbl"),
    ('=', "agig akik"),
    ('/', "gaan"),
    ('\\', "aagn"),
    ('(', "~daafajdo"),
    (')', "~aadfdjao"),
    ('[', "daaaaodo"),
    (']', "aadadoao"),
    ('<', "hdahhl"),
    ('>', "adhhal"),
    ('_', "ahhh"),
    ('%', "iaam ~aaeaefafaa ~ehihimemeh"),
    ('\'', "aaac"),
    ('!', "aaai amam"),
    ('?', "~acaahahgdgdi dmdm"),
    ('#', "dabm jahm aeke aiji"),
    ('·', "ahah"),
    ('…', "amam emem imim"),
    ('|', "aaao"),
];

/// Lines of a text, in units, and where the next letter would begin.
pub(crate) struct Strokes {
    pub(crate) lines: Vec<[(f32, f32); 2]>,
    pub(crate) width: f32,
}

/// The strokes of `text`, its first letter at 0.
pub(crate) fn strokes(text: &str) -> Strokes {
    let mut lines = Vec::new();
    let mut left = 0.0;
    for letter in text.chars() {
        if letter.is_whitespace() {
            left += BLANK;
            continue;
        }
        let glyph = GLYPHS.iter().find(|(c, _)| *c == letter).map_or(MISSING, |(_, s)| s);
        let mut right = 0f32;
        for stroke in glyph.split(' ') {
            let (smooth, pairs) = match stroke.strip_prefix('~') {
                Some(pairs) => (true, pairs),
                None => (false, stroke),
            };
            let unit = |c: u8| f32::from(c.saturating_sub(b'a'));
            let mut points: Vec<(f32, f32)> =
                pairs.as_bytes().chunks_exact(2).map(|p| (unit(p[0]), unit(p[1]))).collect();
            right = points.iter().fold(right, |most, p| most.max(p.0));
            // An underscore lies below the baseline, where no pair of letters reaches in a line.
            let drop = if letter == '_' { 7.0 } else { 0.0 };
            points.iter_mut().for_each(|p| *p = (p.0 + left, p.1 + drop));
            let points = if smooth { curve(&points) } else { points };
            lines.extend(points.windows(2).map(|pair| [pair[0], pair[1]]));
        }
        left += right + SPACING;
    }
    Strokes { lines, width: (left - SPACING).max(0.0) }
}

/// The quadratic B-spline that `points` guide, as short lines; closed where they are.
fn curve(points: &[(f32, f32)]) -> Vec<(f32, f32)> {
    const STEPS: usize = 6;
    let middle = |a: (f32, f32), b: (f32, f32)| ((a.0 + b.0) / 2.0, (a.1 + b.1) / 2.0);
    let n = points.len();
    if n < 3 {
        return points.to_vec();
    }
    let closed = points[0] == points[n - 1];
    let mut out = Vec::new();
    let guides = if closed { 0..n - 1 } else { 1..n - 1 };
    for i in guides.clone() {
        let before = if i == 0 { points[n - 2] } else { points[i - 1] };
        let (guide, after) = (points[i], points[i + 1]);
        let from = if !closed && i == 1 { before } else { middle(before, guide) };
        let to = if !closed && i == n - 2 { after } else { middle(guide, after) };
        let first = usize::from(i > guides.start);
        for k in first..=STEPS {
            let t = k as f32 / STEPS as f32;
            let (a, b) = ((1.0 - t) * (1.0 - t), 2.0 * t * (1.0 - t));
            let at = |f: f32, g: f32, h: f32| a * f + b * g + t * t * h;
            out.push((at(from.0, guide.0, to.0), at(from.1, guide.1, to.1)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_glyph_lies_in_its_box_and_stands_once() {
        for (k, (letter, _)) in GLYPHS.iter().enumerate() {
            assert!(GLYPHS[..k].iter().all(|(c, _)| c != letter), "{letter} stands twice");
            let strokes = strokes(&letter.to_string());
            assert!(!strokes.lines.is_empty(), "{letter}");
            for (x, y) in strokes.lines.into_iter().flatten() {
                assert!((0.0..=16.0).contains(&x) && (0.0..=16.0).contains(&y), "{letter} {x} {y}");
            }
        }
    }

    #[test]
    fn a_closed_curve_closes() {
        let o = strokes("o").lines;
        assert_eq!(o[0][0], o[o.len() - 1][1]);
    }
}
