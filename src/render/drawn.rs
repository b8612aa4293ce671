//! What decoders draw of images from the features behind each block: a sheet to look at.

use super::canvas::{Anchor, FAINT, INK, draw_on, text};
use super::mistakes::fit;
use crate::Result;
use image::imageops::overlay as paste;
use image::{Rgb, RgbImage};

/// Side of the square an image is fitted into.
const SIDE: u32 = 128;
const GAP: u32 = 8;
/// The line with a run's name, and the one with its blocks' names.
const LINE: u32 = 30;
/// Blocks that are shown at most; of more an even choice.
const MOST_BLOCKS: usize = 10;

/// One run.
#[derive(Debug, Clone)]
pub struct DrawnRun {
    /// Its name.
    pub name: String,
    /// Names of its blocks.
    pub blocks: Vec<String>,
    /// Images, each a [`tile`], and of each what is drawn of it behind each block.
    pub pictures: Vec<(RgbImage, Vec<RgbImage>)>,
}

/// A row an image: the image, then what is drawn of it from the first block to the last; run below run.
///
/// # Errors
/// Drawing fails.
pub fn drawn_sheet(runs: &[DrawnRun]) -> Result<RgbImage> {
    let columns = 1 + runs.iter().map(|run| shown(run.blocks.len()).len()).max().unwrap_or(0) as u32;
    let height =
        runs.iter().flat_map(|run| &run.pictures).map(|(picture, _)| picture.height()).max().unwrap_or(SIDE) + GAP;
    let of_run = |run: &DrawnRun| 2 * LINE + run.pictures.len() as u32 * height + GAP;
    let style = text(18.0, INK, Anchor::Start);
    let names = runs.iter().map(|run| style.width(&run.name) as u32 + 2 * GAP).max().unwrap_or(0);
    let width = (GAP + columns * (SIDE + GAP)).max(names);
    let mut sheet = RgbImage::from_pixel(width, runs.iter().map(of_run).sum::<u32>().max(1), Rgb([255; 3]));
    let mut top = 0;
    for run in runs {
        for (row, (picture, drawn)) in run.pictures.iter().enumerate() {
            let chosen = shown(drawn.len()).into_iter().map(|block| &drawn[block]);
            for (column, tile) in std::iter::once(picture).chain(chosen).enumerate() {
                let at = (GAP + column as u32 * (SIDE + GAP), top + 2 * LINE + row as u32 * height);
                paste(&mut sheet, tile, at.0.into(), at.1.into());
            }
        }
        top += of_run(run);
    }
    draw_on(sheet, |area| {
        let mut top = 0;
        for run in runs {
            style.draw(area, &run.name, (GAP as i32, (top + LINE / 2) as i32))?;
            let chosen = shown(run.blocks.len()).into_iter().map(|block| run.blocks[block].as_str());
            for (column, name) in std::iter::once("picture").chain(chosen).enumerate() {
                let x = GAP + column as u32 * (SIDE + GAP);
                let small = text(14.0, FAINT, Anchor::Start);
                small.draw(area, &small.fit(name, SIDE as i32), (x as i32, (top + LINE + LINE / 2) as i32))?;
            }
            top += of_run(run);
        }
        Ok(())
    })
}

/// An image as small as it is shown.
pub fn tile(picture: RgbImage) -> RgbImage {
    fit(picture, SIDE)
}

/// At most `most` of `count`, as evenly as can be, the first and the last among them.
pub fn evenly(count: usize, most: usize) -> Vec<usize> {
    let most = most.clamp(1, count.max(1));
    match most {
        1 => vec![count.saturating_sub(1)],
        _ => (0..most).map(|i| (i * (count - 1) + (most - 1) / 2) / (most - 1)).collect(),
    }
}

fn shown(blocks: usize) -> Vec<usize> {
    match blocks {
        0 => Vec::new(),
        _ => evenly(blocks, MOST_BLOCKS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_picture_has_a_row() {
        let picture = |value: u8| tile(RgbImage::from_pixel(32, 32, Rgb([value; 3])));
        let run = |blocks: usize| DrawnRun {
            name: "InfoPro".into(),
            blocks: (0..blocks).map(|i| i.to_string()).collect(),
            pictures: vec![(picture(9), (0..blocks).map(|i| picture(i as u8)).collect()); 2],
        };
        let sheet = drawn_sheet(&[run(3), run(20)]).unwrap();
        assert_eq!(sheet.dimensions(), (GAP + 11 * (SIDE + GAP), 2 * (2 * LINE + 2 * (SIDE + GAP) + GAP)));
        // The last of twenty blocks is in the last column.
        assert_eq!(sheet.get_pixel(GAP + 10 * (SIDE + GAP) + 5, sheet.height() - 2 * GAP - 5).0, [19; 3]);
        drawn_sheet(&[]).unwrap();
        drawn_sheet(&[run(0)]).unwrap();
    }

    #[test]
    fn the_first_and_the_last_block_are_among_the_evenly() {
        assert_eq!(evenly(5, 9), [0, 1, 2, 3, 4]);
        assert_eq!(evenly(10, 4), [0, 3, 6, 9]);
        assert_eq!(evenly(17, 3), [0, 8, 16]);
        assert_eq!(evenly(5, 1), [4]);
        assert_eq!(evenly(1, 8), [0]);
    }
}
