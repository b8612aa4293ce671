use super::*;
use crate::ops::portable;
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::module::{conv2d as burn_conv2d, interpolate};
use burn::tensor::ops::{ConvOptions, InterpolateMode, InterpolateOptions};
use burn::tensor::{Device, Distribution, TensorData, Tolerance, activation};
use burn_flex::FlexTensor;

fn random<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), &Device::flex().autodiff())
}

fn assert_close<const D: usize>(a: Tensor<D>, b: Tensor<D>) {
    a.into_data().assert_approx_eq::<f32>(&b.into_data(), Tolerance::rel_abs(1e-4, 1e-4));
}

/// Gradients of `Σ weights·f` at each input.
fn gradients<const D: usize>(output: Tensor<D>, weights: Tensor<D>, inputs: &[Tensor<4>]) -> Vec<Tensor<4>> {
    let grads = (output * weights.detach()).sum().backward();
    inputs.iter().map(|input| input.grad(&grads).expect("every input is tracked")).collect()
}

#[test]
fn convolution_and_its_gradients_equal_burns() {
    // (channels in, out, kernel, stride, padding, dilation, height, width), all paths and odd sizes among them
    let cases = [
        (3, 8, 7, 2, 3, 1, 33, 41),
        (5, 7, 1, 1, 0, 1, 9, 11),
        (6, 4, 1, 2, 0, 1, 9, 12),
        (4, 6, 3, 1, 1, 1, 25, 30),
        (4, 6, 3, 2, 1, 1, 25, 30),
        (70, 9, 3, 1, 2, 2, 12, 10),
        (3, 5, 3, 1, 12, 12, 8, 9),
        (40, 64, 3, 1, 1, 1, 6, 7),
        (2, 3, 3, 1, 4, 1, 5, 6),
    ];
    for (cin, cout, kernel, stride, padding, dilation, height, width) in cases {
        let geometry = ConvGeometry { stride, padding, dilation };
        let x = random([3, cin, height, width]).require_grad();
        let weight = random([cout, cin, kernel, kernel]).require_grad();
        let ours = conv2d(x.clone(), weight.clone(), geometry);
        let options = ConvOptions::new([stride; 2], [padding; 2], [dilation; 2], 1);
        let burns = burn_conv2d(x.clone(), weight.clone(), None, options);
        assert_close(ours.clone(), burns.clone());
        let probe = random(ours.dims());
        let inputs = [x, weight];
        let expected = gradients(burns, probe.clone(), &inputs);
        for (ours, burns) in gradients(ours, probe, &inputs).into_iter().zip(expected) {
            assert_close(ours, burns);
        }
    }
}

#[test]
fn resized_convolution_equals_its_two_parts() {
    // (channels in, out, kernel, h, w, height, width); the last is of several bands
    let cases = [
        (3, 5, 3, 4, 6, 9, 13),
        (2, 4, 1, 5, 5, 5, 8),
        (4, 3, 3, 7, 8, 7, 8),
        (2, 3, 5, 6, 5, 3, 9),
        (32, 2, 3, 40, 70, 90, 1300),
    ];
    for (cin, cout, kernel, h, w, height, width) in cases {
        for align_corners in [false, true] {
            let geometry = ConvGeometry { stride: 1, padding: (kernel - 1) / 2, dilation: 1 };
            let x = random([2, cin, h, w]).require_grad();
            let weight = random([cout, cin, kernel, kernel]).require_grad();
            let inputs = [x.clone(), weight.clone()];
            let parts = conv2d(resize_bilinear(x.clone(), [height, width], align_corners), weight.clone(), geometry);
            let whole = resized_conv2d(x, weight, [height, width], align_corners, geometry);
            assert_close(whole.clone(), parts.clone());
            let probe = random(whole.dims()) / (height * width) as f32;
            let expected = gradients(parts, probe.clone(), &inputs);
            for (whole, parts) in gradients(whole, probe, &inputs).into_iter().zip(expected) {
                assert_close(whole, parts);
            }
        }
    }
}

#[test]
fn batch_norm_with_residual_and_relu_equals_its_formula() {
    for (with_residual, act) in [(false, Act::Identity), (false, Act::Relu), (true, Act::Identity), (true, Act::Relu)] {
        let x = (random([3, 5, 7, 9]) * 2.0 + 1.0).detach().require_grad();
        let residual = random([3, 5, 7, 9]).require_grad();
        let gamma = random([1, 5, 1, 1]).require_grad();
        let beta = random([1, 5, 1, 1]).require_grad();
        let added = with_residual.then(|| residual.clone());
        let ours =
            batch_norm_act(x.clone(), gamma.clone().reshape([5]), beta.clone().reshape([5]), added, None, 1e-5, act);

        let pixels = 3 * 7 * 9;
        let by_channel = x.clone().swap_dims(0, 1).reshape([5, pixels]);
        let mean = by_channel.clone().mean_dim(1);
        let centred = by_channel - mean.clone();
        let variance = centred.powf_scalar(2.0).mean_dim(1);
        let [m, v] = [mean.clone(), variance.clone()].map(|t| t.reshape([1, 5, 1, 1]));
        let mut expected = (x.clone() - m) / (v + 1e-5).sqrt() * gamma.clone() + beta.clone();
        if with_residual {
            expected = expected + residual.clone();
        }
        if act == Act::Relu {
            expected = activation::relu(expected);
        }
        assert_close(ours.mean, mean.reshape([5]));
        assert_close(ours.variance, variance.reshape([5]));
        assert_close(ours.output.clone(), expected.clone());

        let probe = random([3, 5, 7, 9]);
        let mut inputs = vec![x, gamma, beta];
        if with_residual {
            inputs.push(residual);
        }
        let wanted = gradients(expected, probe.clone(), &inputs);
        for (ours, wanted) in gradients(ours.output, probe, &inputs).into_iter().zip(wanted) {
            assert_close(ours, wanted);
        }
    }
}

fn primitive<const D: usize>(tensor: Tensor<D>) -> FlexTensor {
    FlexTensor::from_data(tensor.into_data())
}

/// Equal to 1e-4 of the largest magnitude.
fn assert_same<const N: usize>(ours: [FlexTensor; N], portable: [FlexTensor; N]) {
    for (ours, portable) in ours.into_iter().zip(portable) {
        let (ours, portable) = (ours.into_data(), portable.into_data());
        let largest = portable.iter::<f32>().fold(0f32, |max, value| max.max(value.abs()));
        ours.assert_approx_eq::<f32>(&portable, Tolerance::absolute(1e-4 * largest));
    }
}

#[test]
fn portable_convolution_and_its_gradients_equal_flexs() {
    for (cin, cout, kernel, stride, dilation) in
        [(3, 8, 7, 2, 1), (6, 4, 1, 2, 1), (4, 6, 3, 2, 1), (4, 6, 3, 1, 2), (3, 5, 3, 1, 12)]
    {
        let geometry = ConvGeometry { stride, padding: dilation * (kernel / 2), dilation };
        let x = primitive(random([2, cin, 13, 10]));
        let weight = primitive(random([cout, cin, kernel, kernel]));
        let ours = Flex::conv2d_nobias(x.clone(), weight.clone(), geometry);
        let shape = ours.shape().dims::<4>();
        assert_same([ours], [portable::conv2d::<Flex>(x.clone(), weight.clone(), geometry)]);
        let grad = primitive(random(shape));
        let given = || (x.clone(), weight.clone(), grad.clone());
        let ((x1, w1, g1), (x2, w2, g2)) = (given(), given());
        assert_same(
            [Flex::conv2d_grad_input(x1, w1, g1, geometry)],
            [portable::conv2d_grad_input::<Flex>(x2, w2, g2, geometry)],
        );
        let ((x1, w1, g1), (x2, w2, g2)) = (given(), given());
        assert_same(
            [Flex::conv2d_grad_weight(x1, w1, g1, geometry)],
            [portable::conv2d_grad_weight::<Flex>(x2, w2, g2, geometry)],
        );
    }
}

#[test]
fn portable_batch_norm_and_its_gradients_equal_flexs() {
    let full = || primitive(random([3, 5, 7, 9]) * 2.0 + 1.0);
    let (x, residual, grad) = (full(), full(), full());
    let (gamma, beta) = (primitive(random([5])), primitive(random([5])));
    for act in [Act::Identity, Act::Relu] {
        let given = || (x.clone(), gamma.clone(), beta.clone());
        let all = |(output, mean, variance): (FlexTensor, FlexTensor, FlexTensor)| [output, mean, variance];
        let all_moved = |(output, mean, variance, running_mean, running_var)| -> [FlexTensor; 5] {
            [output, mean, variance, running_mean, running_var]
        };
        let statistics = (primitive(random([5])), primitive(random([5]) + 2.0));
        let running = || statistics.clone();
        for residual in [None, Some(residual.clone())] {
            let ((x1, g1, b1), (x2, g2, b2)) = (given(), given());
            let ours = match residual.clone() {
                None => Flex::batch_norm_act(x1, g1, b1, running().0, running().1, 1e-5, act),
                Some(residual) => Flex::batch_norm_add_act(x1, g1, b1, residual, running().0, running().1, 1e-5, act),
            };
            let running = running().into();
            let portable = portable::batch_norm_act::<Flex>(x2, g2, b2, residual.clone(), running, 1e-5, act);
            assert_same(
                [Flex::relu_grad(ours.0.clone(), grad.clone())],
                [portable::relu_grad::<Flex>(portable.0.clone(), grad.clone())],
            );
            assert_same(all_moved(ours), all_moved(portable));
        }
        let (_, mean, variance, ..) =
            Flex::batch_norm_act(x.clone(), gamma.clone(), beta.clone(), running().0, running().1, 1e-5, act);
        let ((x1, g1, b1), (x2, g2, b2)) = (given(), given());
        let (m, v, g) = (mean.clone(), variance.clone(), grad.clone());
        let ours = Flex::batch_norm_act_grad(x1, g1, b1, m, v, g, 1e-5, act);
        let portable = portable::batch_norm_act_grad::<Flex>(x2, g2, b2, mean, variance, grad.clone(), 1e-5, act);
        assert_same(all(ours), all(portable));

        let ((x1, scale, shift), (x2, scale2, shift2)) = (given(), given());
        let ours = Flex::channel_affine_add_act(x1, scale, shift, residual.clone(), act);
        let portable = portable::channel_affine_act::<Flex>(x2, scale2, shift2, Some(residual.clone()), act);
        assert_same([ours], [portable]);
    }
}

#[test]
fn portable_resizing_and_its_gradient_equal_flexs() {
    for align_corners in [false, true] {
        for (from, to) in
            [([4, 5], [8, 10]), ([7, 3], [5, 11]), ([1, 1], [4, 6]), ([6, 6], [1, 1]), ([9, 13], [65, 97])]
        {
            let (x, grad) = (primitive(random([2, 3, from[0], from[1]])), primitive(random([2, 3, to[0], to[1]])));
            assert_same(
                [
                    Flex::resize_bilinear(x.clone(), to, align_corners),
                    Flex::resize_bilinear_grad(grad.clone(), from, align_corners),
                ],
                [
                    portable::resize_bilinear::<Flex>(x, to, align_corners),
                    portable::resize_bilinear_grad::<Flex>(grad, from, align_corners),
                ],
            );
        }
    }
}

#[test]
fn channel_affine_equals_its_formula() {
    let (x, residual) = (random([2, 3, 4, 5]), random([2, 3, 4, 5]));
    let (scale, shift) = (random([3]), random([3]));
    let expected = activation::relu(
        x.clone() * scale.clone().reshape([1, 3, 1, 1]) + shift.clone().reshape([1, 3, 1, 1]) + residual.clone(),
    );
    assert_close(channel_affine_act(x, scale, shift, Some(residual), Act::Relu), expected);
}

#[test]
fn bilinear_resizing_equals_burns_and_its_gradient_is_the_adjoint() {
    for align_corners in [false, true] {
        for (from, to) in [([4, 5], [8, 10]), ([7, 3], [5, 11]), ([1, 1], [4, 6]), ([6, 6], [1, 1])] {
            let x = random([2, 3, from[0], from[1]]).require_grad();
            let ours = resize_bilinear(x.clone(), to, align_corners);
            let options = InterpolateOptions::new(InterpolateMode::Bilinear)
                .with_output_size(to)
                .with_align_corners(align_corners);
            let burns = interpolate(x.clone(), options);
            assert_close(ours.clone(), burns);
            // ⟨g, A·x⟩ = ⟨Aᵀ·g, x⟩
            let probe = random(ours.dims());
            let forward: f32 = (ours.clone() * probe.clone()).sum().into_scalar();
            let [adjoint] = gradients(ours, probe, std::slice::from_ref(&x)).try_into().unwrap();
            let backward: f32 = (adjoint * x.detach()).sum().into_scalar();
            assert!((forward - backward).abs() < 1e-3 * forward.abs().max(1.0), "{forward} is not {backward}");
        }
    }
}

#[test]
fn a_global_average_is_the_mean_and_its_gradient_an_equal_share() {
    let x = random([2, 3, 4, 5]).require_grad();
    let average = global_average(x.clone());
    assert_close(average.clone(), x.clone().detach().mean_dim(3).mean_dim(2));
    let probe = random([2, 3, 1, 1]);
    let [gradient] = gradients(average, probe.clone(), std::slice::from_ref(&x)).try_into().unwrap();
    assert_close(gradient, (probe / 20.0).expand([2, 3, 4, 5]));
}

fn labels(values: &[i32], shape: [usize; 3]) -> Tensor<3, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), &Device::flex().autodiff())
}

#[test]
fn cross_entropy_of_two_classes_is_what_paper_and_pencil_say() {
    let logits = Tensor::<4>::from_data([[[[0.0, 2.0]], [[0.0, 0.0]]]], &Device::flex().autodiff()).require_grad();
    let loss = upsample_cross_entropy(logits.clone(), labels(&[1, 255], [1, 1, 2]), false);
    let value: f32 = loss.clone().into_scalar();
    assert!((value - 2f32.ln()).abs() < 1e-6, "one labelled pixel with equal scores: ln 2, not {value}");
    let grad = logits.grad(&loss.backward()).unwrap().into_data();
    let expected = TensorData::from([[[[0.5f32, 0.0]], [[-0.5, 0.0]]]]);
    grad.assert_approx_eq::<f32>(&expected, Tolerance::rel_abs(1e-5, 1e-6));
}

#[test]
fn cross_entropy_with_nothing_labelled_is_zero() {
    let logits = random([1, 3, 2, 2]).require_grad();
    let loss = upsample_cross_entropy(logits.clone(), labels(&[255; 16], [1, 4, 4]), true);
    assert_eq!(loss.clone().into_scalar::<f32>(), 0.0);
    assert_eq!(logits.grad(&loss.backward()).unwrap().abs().sum().into_scalar::<f32>(), 0.0);
}

#[test]
fn tiled_cross_entropy_equals_the_portable_one() {
    for align_corners in [false, true] {
        let (batch, classes, height, width) = (2, 5, 70, 24);
        let ids: Vec<i32> =
            (0..batch * height * width).map(|i| if i % 7 == 0 { 255 } else { (i * 31 % 5) as i32 }).collect();
        let label = FlexTensor::from_data(TensorData::new(ids.clone(), [batch, height, width]));
        let logits = random([batch, classes, 9, 5]) * 4.0;
        let logits = logits.detach().require_grad();
        let primitive = FlexTensor::from_data(logits.clone().into_data());
        let (loss, grad) = portable::upsample_cross_entropy::<Flex>(primitive, label, align_corners);
        let ours = upsample_cross_entropy(logits.clone(), labels(&ids, [batch, height, width]), align_corners);
        ours.clone().into_data().assert_approx_eq::<f32>(&loss.into_data(), Tolerance::rel_abs(1e-5, 1e-6));
        let ours = logits.grad(&(ours * 3.0).backward()).unwrap() / 3.0;
        ours.into_data().assert_approx_eq::<f32>(&grad.into_data(), Tolerance::rel_abs(1e-4, 1e-6));
    }
}

#[test]
fn binary_cross_entropy_equals_the_portable_one_and_survives_large_logits() {
    let logits = (random([2, 3, 20, 30]) * 5.0).detach();
    let target = random([2, 3, 20, 30]).clamp(0.0, 1.0);
    let [l, t] = [logits.clone(), target.clone()].map(|x| FlexTensor::from_data(x.into_data()));
    let (loss, grad) = portable::bce_with_logits::<Flex>(l, t);
    let logits = logits.require_grad();
    let ours = bce_with_logits(logits.clone(), target);
    ours.clone().into_data().assert_approx_eq::<f32>(&loss.into_data(), Tolerance::rel_abs(1e-5, 1e-6));
    let ours = logits.grad(&ours.backward()).unwrap();
    ours.into_data().assert_approx_eq::<f32>(&grad.into_data(), Tolerance::rel_abs(1e-4, 1e-8));

    let far = Tensor::<4>::from_data([[[[1000.0, -1000.0]]]], &Device::flex().autodiff());
    let target = Tensor::<4>::from_data([[[[1.0, 0.0]]]], &Device::flex().autodiff());
    assert!(bce_with_logits(far, target).into_scalar::<f32>() < 1e-30);
}
