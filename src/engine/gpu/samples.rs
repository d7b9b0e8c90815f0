//! Where kernels read the samples of a cube: in a buffer, or in a texture.

use super::Binding;
use super::run::Buffers;
use super::upload::CubePlan;
use crate::Result;
use crate::kernels::stack::wgsl::Block;

/// The samples of a cube.
#[derive(Clone)]
pub(super) enum Samples {
    Buffer(wgpu::Buffer),
    Texture { texture: wgpu::Texture, view: wgpu::TextureView },
}

impl From<wgpu::Buffer> for Samples {
    fn from(buffer: wgpu::Buffer) -> Self {
        Samples::Buffer(buffer)
    }
}

impl Samples {
    /// A texture for the stored numbers of a cube that lie in [blocks](Block). One without planes is never read.
    pub(super) fn texture(cube: &CubePlan, pixels: usize, buffers: &mut Buffers<'_>) -> Result<Self> {
        let format = match cube.as_read().stored.size() {
            1 => wgpu::TextureFormat::R32Uint,
            2 => wgpu::TextureFormat::Rg32Uint,
            _ => wgpu::TextureFormat::Rgba32Uint,
        };
        let texture = buffers.texture("raw", Block::ROW, rows(cube, pixels).max(1), format)?;
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        Ok(Samples::Texture { texture, view })
    }

    /// Takes what lies in the staging memory of the cube.
    pub(super) fn take(&self, encoder: &mut wgpu::CommandEncoder, cube: &CubePlan, staging: &wgpu::Buffer) {
        match self {
            Samples::Buffer(buffer) => encoder.copy_buffer_to_buffer(staging, 0, buffer, 0, staging.size()),
            Samples::Texture { .. } if cube.room == 0 => {}
            Samples::Texture { texture, .. } => {
                let row = (Block::ROW * TEXEL * cube.width) as u32;
                let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(row), rows_per_image: None };
                let from = wgpu::TexelCopyBufferInfo { buffer: staging, layout };
                encoder.copy_buffer_to_texture(from, texture.as_image_copy(), texture.size());
            }
        }
    }

    pub(super) fn binding(&self) -> Binding {
        match self {
            Samples::Buffer(_) => Binding::Read,
            Samples::Texture { texture, .. } => Binding::Texture(texture.format()),
        }
    }

    pub(super) fn resource(&self) -> wgpu::BindingResource<'_> {
        match self {
            Samples::Buffer(buffer) => buffer.as_entire_binding(),
            Samples::Texture { view, .. } => wgpu::BindingResource::TextureView(view),
        }
    }
}

/// Numbers of a texel.
const TEXEL: usize = 4;

/// Rows of the texture of a cube.
fn rows(cube: &CubePlan, pixels: usize) -> usize {
    (cube.room * pixels).div_ceil(TEXEL * Block::ROW)
}

/// Bytes of what a texture takes: whole rows.
pub(super) fn texture_bytes(cube: &CubePlan, pixels: usize) -> u64 {
    (rows(cube, pixels) * Block::ROW * TEXEL * cube.width) as u64
}

/// Most pixels of a tile whose cubes are no larger than a texture.
pub(super) fn texture_pixels(cubes: &[CubePlan], limits: &wgpu::Limits) -> u64 {
    let room = cubes.iter().map(|cube| cube.room).max().unwrap_or(0).max(1);
    u64::from(limits.max_texture_dimension_2d) * (Block::ROW * TEXEL) as u64 / room as u64
}
