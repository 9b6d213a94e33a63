//! Snappy's block format, decoded: pandas and pyarrow compress with it unless told otherwise.
//!
//! Source: `format_description.txt` of google/snappy.

/// Decodes `bytes` into `out`, which must be exactly filled; None where they mean something else.
pub(super) fn decode(bytes: &[u8], out: &mut [u8]) -> Option<()> {
    let (mut rest, mut at) = (bytes, 0usize);
    let mut length = 0u64;
    for shift in (0..35).step_by(7) {
        let byte = take(&mut rest, 1)?[0];
        length |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    if length != out.len() as u64 {
        return None;
    }
    while let Some((&tag, after)) = rest.split_first() {
        rest = after;
        let short = usize::from(tag >> 2);
        let (count, offset) = match tag & 3 {
            0 => {
                let count = match short {
                    0..60 => short,
                    more => little_endian(take(&mut rest, more - 59)?),
                };
                let count = count.checked_add(1)?;
                let literal = take(&mut rest, count)?;
                out.get_mut(at..at.checked_add(count)?)?.copy_from_slice(literal);
                at += count;
                continue;
            }
            1 => (short % 8 + 4, usize::from(tag >> 5) << 8 | usize::from(take(&mut rest, 1)?[0])),
            2 => (short + 1, little_endian(take(&mut rest, 2)?)),
            _ => (short + 1, little_endian(take(&mut rest, 4)?)),
        };
        if offset == 0 || offset > at || count > out.len() - at {
            return None;
        }
        // The copy may overlap what it writes, which then repeats.
        for k in at..at + count {
            out[k] = out[k - offset];
        }
        at += count;
    }
    (at == out.len()).then_some(())
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(count)?;
    *rest = after;
    Some(taken)
}

fn little_endian(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |n, &b| n << 8 | usize::from(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_copies() {
        // "abcabcabcd": a literal of 3, a copy of 6 from 3 back (one byte of offset), a literal.
        let bytes = [10, 2 << 2, b'a', b'b', b'c', (6 - 4) << 2 | 1, 3, 0, b'd'];
        let mut out = [0; 10];
        decode(&bytes, &mut out).unwrap();
        assert_eq!(&out, b"abcabcabcd");
        // The same copy with offsets of two and of four bytes.
        for (tag, width) in [(2, 2), (3, 4)] {
            let mut bytes = vec![10, 2 << 2, b'a', b'b', b'c', (6 - 1) << 2 | tag, 3];
            bytes.resize(bytes.len() + width - 1, 0);
            bytes.extend([0, b'd']);
            out.fill(0);
            decode(&bytes, &mut out).unwrap();
            assert_eq!(&out, b"abcabcabcd");
        }
        assert!(decode(&bytes, &mut [0; 9]).is_none(), "another length");
        for end in 0..bytes.len() {
            assert!(decode(&bytes[..end], &mut out).is_none(), "cut short at {end}");
        }
    }

    #[test]
    fn what_lies_before_the_beginning() {
        let mut out = [0; 10];
        assert!(
            decode(&[10, 2 << 2, b'a', b'b', b'c', 5 << 2 | 2, 4, 0, 0, b'd'], &mut out).is_none()
        );
        assert!(
            decode(&[10, 2 << 2, b'a', b'b', b'c', 5 << 2 | 2, 0, 0, 0, b'd'], &mut out).is_none()
        );
        assert!(decode(&[10, 63 << 2, 255, 255, 255, 255], &mut out).is_none());
    }
}
