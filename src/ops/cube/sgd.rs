//! A step of SGD where the weight lies.
//!
//! CubeCL orders what one stream writes before what another reads by when memory was handed out. What is written in place it does not
//! see: a thread that has a stream of its own waits for the device before it leaves weights to others. Nor does it keep such memory for
//! data that burn has yet to read (it reads when data are first looked at): what is read of a weight is looked at before the next step.

use burn::backend::TensorMetadata;
use burn_cubecl::cubecl::{self, calculate_cube_count_elemwise, prelude::*};
use burn_cubecl::tensor::CubeTensor;

/// Weight and velocity after a step, in their own memory and order where nothing else reads them. All of one shape, in float32.
pub(super) fn step(
    weight: CubeTensor,
    velocity: CubeTensor,
    grad: CubeTensor,
    [lr, momentum, weight_decay]: [f64; 3],
    nesterov: bool,
) -> (CubeTensor, CubeTensor) {
    let own = |tensor: CubeTensor| if tensor.can_mut() && tensor.is_nonoverlapping() { tensor } else { tensor.copy() };
    let (weight, velocity) = (own(weight), own(velocity));
    let client = weight.client.clone();
    let length = weight.shape().num_elements();
    let [_, d1, d2, d3] = of_rank_four(weight.meta.shape(), 1);
    // Convolutions read weights, and write gradients, with their channels last.
    let [[w0, w1, w2, w3], [v0, v1, v2, v3], [g0, g1, g2, g3]] =
        [&weight, &velocity, &grad].map(|tensor| of_rank_four(tensor.meta.strides(), 0));
    let dim = CubeDim::new(&client, length);
    // SAFETY: units behind the last value return at once; each reads and writes one value of each tensor.
    unsafe {
        sgd_step::launch_unchecked(
            &client,
            calculate_cube_count_elemwise(&client, length, dim),
            dim,
            weight.required_address_type().max(grad.required_address_type()),
            weight.clone().into_buffer_arg(),
            velocity.clone().into_buffer_arg(),
            grad.into_buffer_arg(),
            length,
            d1,
            d2,
            d3,
            w0,
            w1,
            w2,
            w3,
            v0,
            v1,
            v2,
            v3,
            g0,
            g1,
            g2,
            g3,
            lr as f32,
            momentum as f32,
            weight_decay as f32,
            nesterov,
        );
    }
    (weight, velocity)
}

/// Lengths or strides of the last four axes, `missing` in front of them.
fn of_rank_four(axes: &[usize], missing: usize) -> [usize; 4] {
    let mut all = [missing; 4];
    all[4 - axes.len()..].copy_from_slice(axes);
    all
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn sgd_step(
    weight: &mut [f32],
    velocity: &mut [f32],
    grad: &[f32],
    length: usize,
    d1: usize,
    d2: usize,
    d3: usize,
    w0: usize,
    w1: usize,
    w2: usize,
    w3: usize,
    v0: usize,
    v1: usize,
    v2: usize,
    v3: usize,
    g0: usize,
    g1: usize,
    g2: usize,
    g3: usize,
    lr: f32,
    momentum: f32,
    weight_decay: f32,
    #[comptime] nesterov: bool,
) {
    if ABSOLUTE_POS >= length {
        terminate!();
    }
    // Neighbouring units have neighbouring second coordinates, which lie beside each other where channels are last.
    let rest = ABSOLUTE_POS / d1;
    let i1 = ABSOLUTE_POS - rest * d1;
    let line = rest / d3;
    let i3 = rest - line * d3;
    let i0 = line / d2;
    let i2 = line - i0 * d2;
    let own = i0 * w0 + i1 * w1 + i2 * w2 + i3 * w3;
    let moving = i0 * v0 + i1 * v1 + i2 * v2 + i3 * v3;
    let before = weight[own];
    let slope = grad[i0 * g0 + i1 * g1 + i2 * g2 + i3 * g3] + before * weight_decay;
    let speed = slope + velocity[moving] * momentum;
    velocity[moving] = speed;
    let step = if comptime!(nesterov) { speed * momentum + slope } else { speed };
    weight[own] = before - step * lr;
}
