//! Several volumes of one shape, voxel by voxel.

use volchunk::{
    AxisNeed, Block, Buffer, Dtype, Element, Error, Op, Port, Region, Result, Scratch, View,
    VolumeInfo, dispatch,
};

use crate::rows::{axes, normal, row};

/// What is made of an image and of what was computed from it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Combine {
    /// `image − other`, where the other is at most the image, of its dtype.
    Excess,
    /// `image − other`, in the other's float dtype.
    Difference,
    /// `image + (image − other) · amount`, in the other's float dtype.
    Sharpen(f64),
    /// `first` where `other` is above the value, else the image; first and image are of one dtype.
    Where(f64),
}

/// A [`Combine`] bound to volumes: the image, the other, and for `Where` the first.
#[derive(Debug)]
pub(crate) struct Combined {
    inputs: Vec<Port>,
    outputs: [Port; 1],
    needs: Vec<AxisNeed>,
    what: Combine,
}

impl Combined {
    pub(crate) fn new(what: Combine, image: &VolumeInfo, other: &VolumeInfo) -> Result<Self> {
        let mut inputs =
            vec![Port::image(image.clone()), Port { name: "other", info: other.clone() }];
        let dtype = match what {
            Combine::Excess | Combine::Where(_) => image.dtype,
            Combine::Difference | Combine::Sharpen(_) => other.dtype,
        };
        if matches!(what, Combine::Where(_)) {
            inputs.push(Port { name: "first", info: image.clone() });
        }
        let output = VolumeInfo { dtype, ..image.clone() };
        Ok(Self {
            needs: (0..image.ndim()).map(AxisNeed::identity).collect(),
            inputs,
            outputs: crate::output_port("combine", output)?,
            what,
        })
    }
}

impl Op for Combined {
    fn name(&self) -> &'static str {
        "combine"
    }

    fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    fn needs(&self, _: usize) -> &[AxisNeed] {
        &self.needs
    }

    fn keeps_constant(&self) -> bool {
        true
    }

    fn compute(
        &self,
        inputs: &[Block<'_>],
        region: &Region,
        outputs: &mut [Buffer],
        _: &mut Scratch,
    ) -> Result<()> {
        let ([image, other, rest @ ..], [out]) = (inputs, outputs) else {
            return Err(Error::argument("two volumes and an output are needed"));
        };
        if region.is_empty() {
            return Ok(());
        }
        let (image, other) = (&image.view, &other.view);
        match self.what {
            Combine::Excess => dispatch!(image.dtype(), T => {
                each::<T, T, T>(image, other, out, |to, image, other| {
                    for ((to, &a), &b) in to.iter_mut().zip(image).zip(other) {
                        *to = excess(a, b);
                    }
                });
            }),
            Combine::Where(value) => {
                let Some(first) = rest.first() else {
                    return Err(Error::argument("three volumes are needed"));
                };
                dispatch!(image.dtype(), T => {
                    each::<T, T, T>(&first.view, &first.view, out, |to, first, _| {
                        to.copy_from_slice(first);
                    });
                    match other.dtype() {
                        Dtype::F32 => unless_above::<T, f32>(image, other, value, out),
                        _ => unless_above::<T, f64>(image, other, value, out),
                    }
                });
            }
            Combine::Difference => sharp(image, other, out, |_, detail| detail, |_, detail| detail),
            Combine::Sharpen(amount) => {
                let narrow = amount as f32;
                let wide = move |image: f64, detail: f64| image + detail * amount;
                sharp(image, other, out, move |image, detail| image + detail * narrow, wide);
            }
        }
        Ok(())
    }
}

/// The image where `other` is not above `value`; what is in `out` stays elsewhere.
fn unless_above<T: Element, U: Element>(
    image: &View<'_>,
    other: &View<'_>,
    value: f64,
    out: &mut Buffer,
) {
    each::<T, U, T>(image, other, out, |to, image, other| {
        for ((to, &image), other) in to.iter_mut().zip(image).zip(other) {
            let above = other.to_f64() > value;
            *to = if above { *to } else { normal(image) };
        }
    });
}

/// `f(image, image − other)` in the other's dtype, which is that of `out`.
fn sharp(
    image: &View<'_>,
    other: &View<'_>,
    out: &mut Buffer,
    narrow: impl Fn(f32, f32) -> f32,
    wide: impl Fn(f64, f64) -> f64,
) {
    dispatch!(image.dtype(), T => match out.dtype() {
        Dtype::F32 => each::<T, f32, f32>(image, other, out, |to, image, other| {
            for ((to, &a), &b) in to.iter_mut().zip(image).zip(other) {
                // Exact: only what f32 holds is combined in f32.
                let a = a.to_f64() as f32;
                *to = narrow(a, a - b);
            }
        }),
        _ => each::<T, f64, f64>(image, other, out, |to, image, other| {
            for ((to, &a), &b) in to.iter_mut().zip(image).zip(other) {
                let a = a.to_f64();
                *to = wide(a, a - b);
            }
        }),
    });
}

/// Calls `f` with every row of three volumes of one shape.
fn each<A: Element, B: Element, C: Element>(
    a: &View<'_>,
    b: &View<'_>,
    out: &mut Buffer,
    mut f: impl FnMut(&mut [C], &[A], &[B]),
) {
    let split = |view: &View<'_>, size: usize| {
        let mut axes = axes(view);
        let last = axes.pop().unwrap_or((1, size));
        (axes, last)
    };
    let (before_a, (n, step_a)) = split(a, size_of::<A>());
    let (before_b, (_, step_b)) = split(b, size_of::<B>());
    let mut starts = Vec::new();
    crate::rows::each(&before_a, 0, &mut |at| starts.push(at));
    let (mut number, to) = (0, out.as_slice_mut::<C>());
    let (mut spare_a, mut spare_b) = (Vec::new(), Vec::new());
    crate::rows::each(&before_b, 0, &mut |at| {
        let row_a = row(a.data(), starts[number], step_a, n, &mut spare_a);
        let row_b = row(b.data(), at, step_b, n, &mut spare_b);
        let to = &mut to[number * n..][..n];
        f(to, row_a, row_b);
        number += 1;
    });
}

/// `a − b`, `b` at most `a`; saturates.
#[inline(always)]
fn excess<T: Element>(a: T, b: T) -> T {
    match (a.to_i128(), b.to_i128()) {
        (Some(a), Some(b)) if T::DTYPE.size() == 8 => T::from_i128(a - b),
        _ => T::from_f64(a.to_f64() - b.to_f64()),
    }
}
