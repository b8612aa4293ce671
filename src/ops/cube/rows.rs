//! Feature maps as rows of channels.

use burn::backend::cubecl::dtype_to_storage_type;
use burn::backend::{DType, TensorMetadata};
use burn::tensor::Shape;
use burn_cubecl::cubecl::{self, calculate_cube_count_elemwise, prelude::*};
use burn_cubecl::kernel::{cast, into_contiguous};
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::ops::{permute_nchw_to_nhwc, permute_nhwc_to_nchw};
use burn_cubecl::tensor::CubeTensor;

/// A feature map `[batch, channels, height, width]` whose memory is `batch·height·width` rows of channels.
pub(super) struct Rows {
    pub tensor: CubeTensor,
    /// Values from one row's begin to the next one's.
    pub pitch: usize,
}

impl Rows {
    /// As it is, or copied where its memory is something else.
    pub fn of(x: CubeTensor) -> Self {
        if let Some(pitch) = pitch(x.meta.shape(), x.meta.strides()) {
            return Self { tensor: x, pitch };
        }
        let tensor = permute_nhwc_to_nchw(into_contiguous(permute_nchw_to_nhwc(x)));
        let pitch = tensor.meta.shape()[1];
        Self { tensor, pitch }
    }

    /// Casts to another number format.
    pub fn stored_as(self, dtype: DType) -> Self {
        if self.tensor.dtype == dtype { self } else { Self::of(cast(self.tensor, dtype)) }
    }

    /// In the number format `dtype`, with channels of 0 behind the last up to a multiple of `size`, and rows that begin at multiples of
    /// it: as it is, or copied once.
    pub fn arranged(x: CubeTensor, dtype: DType, size: usize) -> Self {
        Self::arranged_where(x, dtype, size, |pitch, _| pitch.is_multiple_of(size))
    }

    /// Like [`arranged`](Self::arranged), but without gaps between rows: CUDA pads rows of tensors that come from the host.
    pub fn packed(x: CubeTensor, dtype: DType, size: usize) -> Self {
        Self::arranged_where(x, dtype, size, |pitch, channels| pitch == channels)
    }

    /// A map whose pitch does not fit, by its pitch and channels, is copied.
    fn arranged_where(x: CubeTensor, dtype: DType, size: usize, fits: impl Fn(usize, usize) -> bool) -> Self {
        let [batch, channels, height, width] = x.shape().dims::<4>();
        let (shape, strides) = (x.meta.shape(), x.meta.strides());
        if let Some(pitch) = pitch(shape, strides)
            && x.dtype == dtype
            && channels.is_multiple_of(size)
            && fits(pitch, channels)
        {
            return Self { tensor: x, pitch };
        }
        let [of_picture, of_channel, of_line, of_pixel] = [strides[0], strides[1], strides[2], strides[3]];
        let client = x.client.clone();
        let wide = Self::empty_of(&x, [batch, channels.next_multiple_of(size), height, width], dtype);
        let units = wide.number() * wide.pitch;
        let dim = CubeDim::new(&client, units);
        let stored = [x.dtype, dtype].map(dtype_to_storage_type);
        // SAFETY: units behind the last value return at once.
        unsafe {
            arrange::launch_unchecked(
                &client,
                calculate_cube_count_elemwise(&client, units, dim),
                dim,
                wide.tensor.required_address_type().max(x.required_address_type()),
                x.into_buffer_arg(),
                wide.arg(),
                units,
                channels,
                wide.pitch,
                height,
                width,
                of_picture,
                of_channel,
                of_line,
                of_pixel,
                stored,
            );
        }
        wide
    }

    /// An uninitialised map on the device of `like`, without gaps between rows.
    pub fn empty(like: &CubeTensor, dims: [usize; 4]) -> Self {
        Self::empty_of(like, dims, like.dtype)
    }

    fn empty_of(like: &CubeTensor, [batch, channels, height, width]: [usize; 4], dtype: DType) -> Self {
        let shape = Shape::new([batch, height, width, channels]);
        let tensor = empty_device_contiguous_dtype(like.client.clone(), like.device.clone(), shape, dtype);
        Self { tensor: permute_nhwc_to_nchw(tensor), pitch: channels }
    }

    /// `[batch, channels, height, width]`
    pub fn dims(&self) -> [usize; 4] {
        self.tensor.shape().dims::<4>()
    }

    /// Number of rows.
    pub fn number(&self) -> usize {
        let [batch, _, height, width] = self.dims();
        batch * height * width
    }

    pub fn arg(&self) -> BufferArg {
        self.tensor.clone().into_buffer_arg()
    }
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn arrange<F: Float, W: Float>(
    x: &[F],
    wide: &mut [W],
    units: usize,
    channels: usize,
    pitch: usize,
    height: usize,
    width: usize,
    of_picture: usize,
    of_channel: usize,
    of_line: usize,
    of_pixel: usize,
    #[define(F, W)] _stored: [ElemType; 2],
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let pixel = ABSOLUTE_POS / pitch;
    let channel = ABSOLUTE_POS - pixel * pitch;
    let line = pixel / width;
    let column = pixel - line * width;
    let picture = line / height;
    let row = line - picture * height;
    let mut value = W::from_int(0);
    if channel < channels {
        let at = picture * of_picture + channel * of_channel + row * of_line + column * of_pixel;
        value = W::cast_from(x[at]);
    }
    wide[ABSOLUTE_POS] = value;
}

/// Values from row to row, where memory is rows of channels. Strides of axes of length 1 say nothing.
fn pitch(shape: &[usize], strides: &[usize]) -> Option<usize> {
    let (channels, channel_stride) = (shape[1], strides[1]);
    if channels > 1 && channel_stride != 1 {
        return None;
    }
    let (mut pitch, mut rows) = (None, 1);
    for axis in [3, 2, 0] {
        if shape[axis] > 1 {
            let own = strides[axis] / rows;
            if strides[axis] % rows != 0 || *pitch.get_or_insert(own) != own {
                return None;
            }
        }
        rows *= shape[axis];
    }
    let pitch = pitch.unwrap_or(channels);
    (pitch >= channels).then_some(pitch)
}

/// Values that one unit reads at once: as many as all of these counts can be divided by.
pub(super) fn vector_size(client: &burn_cubecl::cubecl::client::Client, bytes: usize, counts: &[usize]) -> usize {
    client
        .io_optimized_vector_sizes(bytes)
        .filter(|size| *size <= 4 && counts.iter().all(|count| count.is_multiple_of(*size)))
        .max()
        .unwrap_or(1)
}

/// An uninitialised `[length]` in float32.
pub(super) fn floats(like: &CubeTensor, length: usize) -> CubeTensor {
    empty_device_contiguous_dtype(like.client.clone(), like.device.clone(), Shape::new([length]), DType::F32)
}

#[cfg(test)]
mod tests {
    use super::pitch;

    #[test]
    fn rows_of_channels_are_recognised() {
        assert_eq!(pitch(&[2, 6, 3, 4], &[72, 1, 24, 6]), Some(6));
        assert_eq!(pitch(&[2, 6, 3, 4], &[96, 1, 32, 8]), Some(8), "padded rows");
        assert_eq!(pitch(&[2, 6, 3, 4], &[72, 12, 4, 1]), None, "NCHW");
        assert_eq!(pitch(&[2, 6, 1, 1], &[6, 1, 1, 1]), Some(6));
        assert_eq!(pitch(&[1, 6, 1, 1], &[9, 1, 7, 5]), Some(6));
        assert_eq!(pitch(&[2, 1, 3, 4], &[12, 12, 4, 1]), Some(1));
        assert_eq!(pitch(&[2, 6, 3, 4], &[0, 1, 24, 6]), None, "expanded");
    }
}
