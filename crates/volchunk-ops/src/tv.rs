//! Total-variation denoising.

use std::ops::{Add, Div, Mul, Neg, Sub};

use volchunk::{
    AxisKind, AxisNeed, Block, Boundary, Buffer, Dtype, Element, Error, Op, Port, Region, Result,
    Scratch, VolumeInfo, dispatch,
};

use crate::rows::pieces;

/// Total-variation denoising by Chambolle's projection (A. Chambolle, 2004), a fixed number of
/// iterations, along the spatial axes.
///
/// Every iteration is that of `skimage.restoration.denoise_tv_chambolle`, which stops when little
/// changes anywhere in the volume; as that depends on all of it, here the number is given. The bits
/// are those of scikit-image on NumPy, for float32 and float64, with `eps=0` and as many
/// iterations. Integers keep their values, where scikit-image scales them to 0..1, so `weight` is in
/// the units of the voxels: the result is float32, or float64 for integers of 32 bits or more.
///
/// An iteration reaches one voxel further; the first none. So a voxel needs `iterations − 1` voxels
/// on either side. Beyond the true edge there is nothing: no gradient crosses it.
#[derive(Debug)]
pub struct TotalVariation {
    inputs: [Port; 1],
    outputs: [Port; 1],
    needs: Vec<AxisNeed>,
    weight: f64,
    iterations: u64,
}

/// More are taken for a mistake: the halo grows with them.
const MOST: u64 = 1 << 12;

impl TotalVariation {
    /// `weight` above 0: more denoises more. `iterations` from 1, which leaves the volume as it is.
    ///
    /// # Errors
    /// A weight that is not above 0 and finite; iterations outside of 1 to 4096; a volume without
    /// spatial axes, or with an axis without voxels.
    pub fn new(input: VolumeInfo, weight: f64, iterations: u64) -> Result<Self> {
        if !(weight > 0.0 && weight.is_finite()) {
            return Err(Error::argument(format!("weight is {weight}; legal: above 0, and finite")));
        }
        if !(1..=MOST).contains(&iterations) {
            return Err(Error::argument(format!("iterations is {iterations}; legal: 1 to {MOST}")));
        }
        if input.spatial_axes().is_empty() {
            return Err(Error::argument(format!(
                "tv needs a spatial axis; the volume's axes are '{}'",
                input.axis_names()
            )));
        }
        let needs = (0..input.ndim()).map(|a| match input.axes[a].kind {
            AxisKind::Space => {
                AxisNeed::identity(a).with_halo(iterations - 1, iterations - 1, Boundary::Nearest)
            }
            _ => AxisNeed::identity(a),
        });
        let dtype = crate::float_for(input.dtype);
        let output = VolumeInfo { dtype, ..input.clone() };
        Ok(Self {
            needs: needs.collect(),
            outputs: crate::output_port("tv", output)?,
            inputs: crate::input_port("tv", input)?,
            weight,
            iterations,
        })
    }
}

impl Op for TotalVariation {
    fn name(&self) -> &'static str {
        "tv"
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

    fn scratch_bytes(&self, shape: &[u64]) -> u64 {
        let info = &self.inputs[0].info;
        let held = shape.iter().zip(&info.shape).zip(&self.needs);
        let held = held.map(|((n, &all), need)| (n + need.halo.0 + need.halo.1).min(all));
        let item = self.outputs[0].info.dtype.size() as u64;
        // The image, what is made of it, and the projection along each axis; and a few rows.
        let arrays = info.spatial_axes().len() as u64 + 2;
        let rows = arrays * held.clone().next_back().unwrap_or(1) * item;
        held.fold(item * arrays, u64::saturating_mul).saturating_add(rows + 64)
    }

    fn keeps_constant(&self) -> bool {
        true
    }

    fn compute(
        &self,
        inputs: &[Block<'_>],
        region: &Region,
        outputs: &mut [Buffer],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let ([block], [out]) = (inputs, outputs) else {
            return Err(Error::argument("tv has one input and one output"));
        };
        if region.is_empty() {
            return Ok(());
        }
        match out.dtype() {
            Dtype::F32 => self.denoise::<f32>(block, region, out, scratch),
            _ => self.denoise::<f64>(block, region, out, scratch),
        }
        Ok(())
    }
}

/// What f32 and f64 have in common here.
trait Float:
    Element
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    fn root(self) -> Self;
}

impl Float for f32 {
    #[inline(always)]
    fn root(self) -> Self {
        self.sqrt()
    }
}

impl Float for f64 {
    #[inline(always)]
    fn root(self) -> Self {
        self.sqrt()
    }
}

impl TotalVariation {
    /// The block ends where the halo does, or at the true edge. It is taken for a volume: what that
    /// makes of its own edges reaches one voxel further with each iteration, and never the region.
    fn denoise<F: Float>(
        &self,
        block: &Block<'_>,
        region: &Region,
        out: &mut Buffer,
        scratch: &mut Scratch,
    ) {
        let shape = block.view.shape();
        let mut image = scratch.take(shape, F::DTYPE);
        let to = image.as_slice_mut::<F>();
        dispatch!(block.view.dtype(), T => pieces::<T>(&block.view, |at, from| {
            for (to, v) in to[at..].iter_mut().zip(from) {
                // No zero keeps a sign, whose fate would depend on the place.
                *to = F::from_f64(v.to_f64() + 0.0);
            }
        }));
        let axes = self.inputs[0].info.spatial_axes();
        let mut all = vec![axes.len() as u64];
        all.extend(shape);
        let mut projection = scratch.take(&all, F::DTYPE);
        projection.as_slice_mut::<F>().fill(F::default());
        let mut result = scratch.take(shape, F::DTYPE);
        result.bytes_mut().copy_from_slice(image.bytes());
        let tau = 1.0 / (2.0 * axes.len() as f64);
        let work = Work {
            axes: axes.iter().map(|&a| Along::new(shape, a)).collect(),
            row: shape.last().map_or(1, |&n| n as usize),
            tau: F::from_f64(tau),
            step: F::from_f64(tau / self.weight),
        };
        let arch = pulp::Arch::new();
        for _ in 1..self.iterations {
            let (image, result) = (image.as_slice::<F>(), result.as_slice_mut::<F>());
            let projection = projection.as_slice_mut::<F>();
            arch.dispatch(
                #[inline(always)]
                || {
                    work.project(result, projection);
                    work.restore(image, projection, result);
                },
            );
        }
        // Where the region lies in the block: not before it, by as much as the halo was not clipped.
        let start = region.start().iter().zip(&self.needs).map(|(&s, need)| s.min(need.halo.0));
        let place = start.zip(region.shape()).map(|(s, &n)| s..s + n);
        out.view_mut().copy_from(&result.view().part(&Region::from_ranges(place)));
        for buffer in [image, projection, result] {
            scratch.give(buffer);
        }
    }
}

/// An axis of a C-order array.
struct Along {
    length: usize,
    stride: usize,
    /// Whether it is the axis of the rows.
    last: bool,
}

impl Along {
    fn new(shape: &[u64], axis: usize) -> Self {
        let stride = shape[axis + 1..].iter().product::<u64>() as usize;
        Self { length: shape[axis] as usize, stride, last: axis + 1 == shape.len() }
    }

    /// The place along this axis of the voxel whose C-order number is `at`.
    fn place(&self, at: usize) -> usize {
        at / self.stride % self.length
    }
}

/// What the passes of every iteration know.
struct Work<F> {
    axes: Vec<Along>,
    /// Voxels of a row.
    row: usize,
    tau: F,
    /// tau / weight.
    step: F,
}

impl<F: Float> Work<F> {
    /// The gradient of `result` into the projection: `p = (p − tau·g) / (1 + |g|·tau/weight)`.
    #[inline(always)]
    fn project(&self, result: &[F], projection: &mut [F]) {
        let (n, row) = (result.len(), self.row);
        let mut gradients = vec![F::default(); self.axes.len() * row];
        let mut norm = vec![F::default(); row];
        for at in (0..n).step_by(row) {
            let here = &result[at..at + row];
            for (k, (axis, g)) in self.axes.iter().zip(gradients.chunks_exact_mut(row)).enumerate()
            {
                if axis.last {
                    difference(&mut g[..row - 1], &here[1..], &here[..row - 1]);
                    g[row - 1] = F::default();
                } else if axis.place(at) + 1 < axis.length {
                    difference(g, &result[at + axis.stride..][..row], here);
                } else {
                    g.fill(F::default());
                }
                for (norm, &g) in norm.iter_mut().zip(&*g) {
                    *norm = if k == 0 { g * g } else { *norm + g * g };
                }
            }
            let one = F::from_f64(1.0);
            norm.iter_mut().for_each(|norm| *norm = norm.root() * self.step + one);
            for (p, g) in projection.chunks_exact_mut(n).zip(gradients.chunks_exact(row)) {
                for ((p, &g), &norm) in p[at..at + row].iter_mut().zip(g).zip(&norm) {
                    *p = (*p - self.tau * g) / norm;
                }
            }
        }
    }

    /// The image plus the projection's divergence.
    #[inline(always)]
    fn restore(&self, image: &[F], projection: &[F], result: &mut [F]) {
        let (n, row) = (image.len(), self.row);
        let mut divergence = vec![F::default(); row];
        for at in (0..n).step_by(row) {
            for (k, p) in projection.chunks_exact(n).enumerate() {
                for (d, &p) in divergence.iter_mut().zip(&p[at..at + row]) {
                    *d = if k == 0 { p } else { *d + p };
                }
            }
            divergence.iter_mut().for_each(|d| *d = -*d);
            for (axis, p) in self.axes.iter().zip(projection.chunks_exact(n)) {
                if axis.last {
                    add(&mut divergence[1..], &p[at..at + row - 1]);
                } else if axis.place(at) > 0 {
                    add(&mut divergence, &p[at - axis.stride..][..row]);
                }
            }
            for ((to, &v), &d) in result[at..at + row].iter_mut().zip(&image[at..]).zip(&divergence)
            {
                *to = v + d;
            }
        }
    }
}

/// `b − a`; 0 where they are equal, infinities too.
#[inline(always)]
fn difference<F: Float>(to: &mut [F], b: &[F], a: &[F]) {
    for ((to, &b), &a) in to.iter_mut().zip(b).zip(a) {
        *to = if b == a { F::default() } else { b - a };
    }
}

#[inline(always)]
fn add<F: Float>(to: &mut [F], from: &[F]) {
    to.iter_mut().zip(from).for_each(|(to, &v)| *to = *to + v);
}
