//! The default chunk shape: from what the input and output store, the halo, and the cap.

use super::{
    plan::{Plan, PlanRequest, over_memory, plan_for},
    storage_choice::StorageRequest,
};
use crate::{AxisKind, ChunkGrid, Coords, ErrorKind, Region, Result, Scale};

/// The plan whose chunk shape costs least among multiples of the storage unit, under the cap.
///
/// # Errors
/// [`ErrorKind::OverMemory`] if not even the smallest fits.
pub(super) fn choose(request: &PlanRequest<'_>) -> Result<Plan> {
    let mut unit = unit(request);
    loop {
        let (best, smallest) = survey(request, &unit)?;
        if let Some(plan) = best {
            return Ok(plan);
        }
        // Storage units too large for the cap: parts of them are read more than once, but fit.
        let halved = halve(request, &unit);
        if halved != unit {
            unit = halved;
            continue;
        }
        let plan = plan_for(request, &smallest.unwrap_or(unit))?;
        if plan.memory.peak <= plan.memory.cap {
            return Ok(plan);
        }
        let advice = match plan.workers {
            1 => "not even one such chunk fits".to_owned(),
            n => format!("no smaller chunk fits {n} workers; try fewer"),
        };
        return Err(over_memory(&plan, &advice));
    }
}

/// The cheapest plan that fits, and the shape that needs least of those that do not, over multiples of
/// `unit`.
fn survey(request: &PlanRequest<'_>, unit: &[u64]) -> Result<(Option<Plan>, Option<Coords>)> {
    let cap = request.memory.unwrap_or(u64::MAX);
    let mut best: Option<(f64, Plan)> = None;
    let mut smallest: Option<(u64, Coords)> = None;
    for chunk in candidates(request, unit) {
        // A plan has a line for every chunk along every axis; of what cannot fit one chunk tells.
        let planned = least_peak(request, &chunk).and_then(|peak| match peak > cap {
            true => Ok(Err(peak)),
            false => plan_for(request, &chunk).map(|plan| match plan.memory.peak {
                peak if peak > cap => Err(peak),
                _ => Ok(plan),
            }),
        });
        let planned = match planned {
            Err(e) if matches!(e.kind(), ErrorKind::Misaligned | ErrorKind::Unsupported) => {
                continue;
            }
            planned => planned?,
        };
        match planned {
            Err(peak) if smallest.as_ref().is_none_or(|(least, _)| peak < *least) => {
                smallest = Some((peak, chunk));
            }
            Err(_) => {}
            Ok(plan) => {
                let cost = cost(&plan, request.workers());
                if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                    best = Some((cost, plan));
                }
            }
        }
    }
    Ok((best.map(|(_, plan)| plan), smallest.map(|(_, chunk)| chunk)))
}

/// What chunks of this shape need at least: that of as many workers with the one in the middle.
fn least_peak(request: &PlanRequest<'_>, chunk: &[u64]) -> Result<u64> {
    let out = request.pipeline.output();
    let domain = request.roi.clone().unwrap_or_else(|| Region::whole(&out.shape));
    let grid = ChunkGrid::over(&out.shape, domain, chunk)?;
    let middle = (0..grid.ndim()).map(|a| grid.core_range(a, grid.counts()[a] / 2));
    let one = PlanRequest { roi: Some(Region::from_ranges(middle)), ..request.clone() };
    let memory = plan_for(&one, chunk)?.memory;
    let workers = request.workers().min(usize::try_from(grid.len()).unwrap_or(usize::MAX));
    Ok(memory.base.saturating_add(memory.per_worker.saturating_mul(workers as u64)))
}

/// Half of `unit` on its longest axis, unless the output's storage forbids it.
fn halve(request: &PlanRequest<'_>, unit: &[u64]) -> Coords {
    let mut unit = Coords::from_slice(unit);
    let explicit = matches!(&request.storage, StorageRequest::Chunked { chunk, shard } if chunk.is_some() || shard.is_some());
    let divided = (0..unit.len()).filter(|&a| !explicit && !is_idle(request, a));
    if let Some(axis) = divided.max_by_key(|&a| unit[a])
        && unit[axis] > 8
    {
        unit[axis] = unit[axis].div_ceil(2);
    }
    unit
}

/// Work per voxel kept, relative: halos, those of `workers` that are idle at the end, or for want of
/// chunks, a little for memory held and for storage chunks that are decoded again.
fn cost(plan: &Plan, workers: usize) -> f64 {
    let chunks = plan.grid.len() as f64;
    let workers = workers as f64;
    let idle = (chunks / workers).ceil() * workers / chunks;
    let held = plan.memory.per_worker as f64 / 1e9;
    plan.halo_overhead * idle + held + 0.05 * (plan.amplification_worst - 1.0)
}

/// Powers of two times the unit, on the spatial axes; the unit itself on the others.
fn candidates(request: &PlanRequest<'_>, unit: &[u64]) -> Vec<Coords> {
    let out = request.pipeline.output();
    let domain = request.roi.as_ref().map_or(&out.shape[..], |r| r.shape());
    let mut shapes: Vec<Coords> = vec![Coords::new()];
    for a in 0..out.ndim() {
        let mut lengths = vec![unit[a].min(domain[a].max(1))];
        // Of many spatial axes the last three vary: the product must stay small.
        let varies = out.axes[a].kind == AxisKind::Space && a + 3 >= out.ndim();
        if varies {
            let doubled =
                (1..6).map(|k| unit[a].saturating_mul(1 << k)).take_while(|&n| n < domain[a] * 2);
            lengths.extend(doubled.map(|n| if n >= domain[a] { domain[a] } else { n }));
            lengths.dedup();
        }
        shapes = shapes
            .iter()
            .flat_map(|s| {
                lengths.iter().map(move |&n| {
                    let mut s = s.clone();
                    s.push(n);
                    s
                })
            })
            .collect();
    }
    shapes
}

/// The least chunk worth while: what the output must store in one piece, else what the input
/// stores in one piece, else a size at which halos and calls cost little.
fn unit(request: &PlanRequest<'_>) -> Coords {
    let out = request.pipeline.output();
    if let StorageRequest::Chunked { chunk, shard } = &request.storage
        && let Some(unit) = shard.as_ref().or(chunk.as_ref())
    {
        return unit.clone();
    }
    let stored = input_unit(request);
    (0..out.ndim())
        .map(|a| match (out.axes[a].kind, &stored) {
            _ if is_idle(request, a) => out.shape[a],
            (_, Some(unit)) => unit[a],
            (AxisKind::Space, None) => 32,
            _ => 1,
        })
        .collect()
}

/// Whether no input depends on axis `a` of the result: to divide it would compute the same again.
fn is_idle(request: &PlanRequest<'_>, a: usize) -> bool {
    let step = request.pipeline.steps().last();
    step.is_some_and(|step| {
        (0..step.inputs.len())
            .all(|i| step.op.needs(i).iter().all(|need| need.output_axis != Some(a)))
    })
}

/// The first source's storage chunk, seen from the result; None where it has none.
fn input_unit(request: &PlanRequest<'_>) -> Option<Coords> {
    let storage = request.pipeline.sources().first()?.storage.as_ref()?;
    let out = request.pipeline.output();
    let mut unit: Coords = smallvec::smallvec![1; out.ndim()];
    for (a, &length) in storage.chunk.iter().enumerate() {
        // Follow the axis through the chain; where an op reads all of it, it drives nothing.
        let (mut axis, mut scale) = (Some(a), Scale::ONE);
        for step in request.pipeline.steps() {
            let need = axis.and_then(|a| step.op.needs(0).get(a));
            axis = need.and_then(|n| n.output_axis);
            if let Some(need) = need {
                scale.num = scale.num.saturating_mul(need.scale.num);
                scale.den = scale.den.saturating_mul(need.scale.den);
            }
        }
        if let Some(axis) = axis.filter(|&a| a < unit.len()) {
            unit[axis] = (length.saturating_mul(scale.den) / scale.num.max(1))
                .clamp(1, out.shape[axis].max(1));
        }
    }
    Some(unit)
}
