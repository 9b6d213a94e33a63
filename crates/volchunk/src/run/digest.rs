//! Digests of voxels.

use std::hash::Hasher;

use twox_hash::XxHash3_64;

use crate::{Buffer, Dtype};

/// XXH3 (64 bits, seed 0) of the voxels in C order, little endian, booleans as 0 and 1: the same on
/// every machine. Detects damage, not forgery.
///
/// Method: Y. Collet, xxHash, <https://github.com/Cyan4973/xxHash>.
///
/// ```
/// use volchunk::{Buffer, digest};
/// let voxels = Buffer::from_slice(&[3], &[1u16, 2, 3]);
/// let same = Buffer::from_slice(&[3, 1], &[1u16, 2, 3]);
/// assert_eq!(digest(&voxels), digest(&same));
/// assert_ne!(digest(&voxels), digest(&Buffer::from_slice(&[3], &[1u16, 2, 4])));
/// ```
pub fn digest(voxels: &Buffer) -> u64 {
    let (dtype, bytes) = (voxels.dtype(), voxels.bytes());
    let little = dtype.size() == 1 || cfg!(target_endian = "little");
    if little && dtype != Dtype::Bool {
        return XxHash3_64::oneshot(bytes);
    }
    let mut hasher = XxHash3_64::new();
    let mut piece = [0; 4096];
    for bytes in bytes.chunks(piece.len()) {
        let piece = &mut piece[..bytes.len()];
        piece.copy_from_slice(bytes);
        match dtype {
            Dtype::Bool => piece.iter_mut().for_each(|b| *b = u8::from(*b != 0)),
            _ => piece.chunks_exact_mut(dtype.size()).for_each(<[u8]>::reverse),
        }
        hasher.write(piece);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference implementation's own values, so that journals outlive a change of crate.
    #[test]
    fn it_is_xxh3() {
        let of = |n: u8| digest(&Buffer::from_slice(&[u64::from(n)], &(0..n).collect::<Vec<u8>>()));
        assert_eq!(of(0), 0x2d06_8005_38d3_94c2);
        assert_eq!(digest(&Buffer::from_slice(&[3], b"xxh")), XxHash3_64::oneshot(b"xxh"));
    }

    #[test]
    fn every_true_is_one() {
        let mut odd = Buffer::zeros(&[5000], Dtype::Bool);
        odd.bytes_mut().iter_mut().enumerate().for_each(|(i, b)| *b = (i % 3) as u8);
        let mut plain = Buffer::zeros(&[5000], Dtype::Bool);
        plain.bytes_mut().iter_mut().enumerate().for_each(|(i, b)| *b = u8::from(i % 3 != 0));
        assert_eq!(digest(&odd), digest(&plain));
        let as_numbers: Vec<u8> = plain.bytes().to_vec();
        assert_eq!(digest(&plain), digest(&Buffer::from_slice(&[5000], &as_numbers)));
    }
}
