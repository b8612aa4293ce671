//! Numbers that two programs draw alike, so that a fixture need not hold them: a hash of a name, a seed and a position.
//! `eval/parity/drawn.py` is the same in Python.

use super::Tensors;
use crate::config::RunConfig;
use crate::data::normalize::normalize;
use burn::tensor::TensorData;
use ndarray::Array3;

/// `count` numbers of 24 bits in [−1, 1).
fn uniform(name: &str, seed: u64, count: usize) -> Vec<f64> {
    let fnv = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    let start = format!("{seed}/{name}").bytes().fold(0x811C_9DC5, fnv);
    let number = |i: usize| {
        let mut x = (i as u32).wrapping_mul(0x9E37_79B9).wrapping_add(start);
        x = (x ^ (x >> 16)).wrapping_mul(0x85EB_CA6B); // MurmurHash3's last step
        x = (x ^ (x >> 13)).wrapping_mul(0xC2B2_AE35);
        x ^= x >> 16;
        f64::from(x >> 8) / f64::from(1 << 23) - 1.0
    };
    (0..count).map(number).collect()
}

/// The weight of this canonical name.
pub fn weight(name: &str, shape: &[usize], seed: u64) -> TensorData {
    let values = uniform(name, seed, shape.iter().product()).into_iter();
    let value = |u: f64| match name.rsplit('.').next() {
        Some("weight") => {
            let kernel: usize = shape[2..].iter().product();
            u * (6.0 / (shape[0].max(shape[1]) * kernel) as f64).sqrt()
        }
        Some("gamma") => (0.75 + u / 4.0) * if name.contains(".last.") { 0.25 } else { 1.0 },
        Some("beta") if !name.contains(".last.") && !name.contains(".shortcut.") => 1.0 + u / 2.0,
        Some("running_var") => 1.25 + 0.75 * u,
        _ => 0.25 * u,
    };
    TensorData::new(values.map(|u| value(u) as f32).collect::<Vec<f32>>(), shape)
}

/// Images of noise over blocks of one color, normalised: `[batch, 3, height, width]`.
pub fn input(config: &RunConfig, batch: usize) -> TensorData {
    let [height, width] = [config.train.resolution.height, config.train.resolution.width];
    let [rows, columns] = [height.div_ceil(8), width.div_ceil(8)];
    let noise = uniform("noise", config.seed, batch * 3 * height * width);
    let colours = uniform("colours", config.seed, batch * 3 * rows * columns);
    let byte = |b: usize, (y, x, channel): (usize, usize, usize)| {
        let plane = 3 * b + channel;
        let colour = colours[(plane * rows + y / 8) * columns + x / 8];
        (127.5 + 127.5 * (0.75 * colour + 0.25 * noise[(plane * height + y) * width + x])) as u8
    };
    let picture = |b: usize| Array3::from_shape_fn((height, width, 3), |position| byte(b, position));
    let normalization = config.data.dataset.normalization();
    let values: Vec<f32> = (0..batch).flat_map(|b| normalize(&picture(b), normalization)).collect();
    TensorData::new(values, [batch, 3, height, width])
}

/// What a fixture keeps of a result: all, or so many numbers spread over all positions.
fn thinned(data: &TensorData) -> TensorData {
    const KEPT: usize = 96;
    let gcd = |mut a: usize, mut b: usize| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let values: Vec<f32> = data.iter::<f32>().collect();
    let mut step = values.len().div_ceil(KEPT);
    while gcd(step, values.len()) > 1 {
        step += 1;
    }
    let kept: Vec<f32> = values.into_iter().step_by(step).collect();
    let count = kept.len();
    TensorData::new(kept, [count])
}

/// The same of all.
pub fn all_thinned(tensors: Tensors) -> Tensors {
    tensors.into_iter().map(|(name, data)| (name, thinned(&data))).collect()
}
