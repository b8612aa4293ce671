//! Where the network is cut.
//!
//! A cut behind block `i` ends a module with it; the next begins with block `i + 1`. Where the paper names cuts for
//! a network, they are in the [`Spec`] by name. Elsewhere networks for small images are cut into modules of the same number of blocks, as the
//! paper's are; of the others, and of all where `cuts` is `balanced`, the cuts minimise the largest module's activation
//! memory, which is the peak of a training step.

use super::config::Cuts;
use super::heads;
use super::pooled::Features;
use super::spec::Spec;
use crate::net::{FeatureShape, Network};
use crate::{Error, Result};
use std::ops::Range;

/// Blocks of each module, in order.
///
/// # Errors
/// K larger than the number of blocks, or `local.cuts` that name an unknown block, or not in order.
pub fn module_ranges(network: &Network, spec: &Spec) -> Result<Vec<Range<usize>>> {
    let names: Vec<&str> = network.blocks.iter().map(|block| block.name.as_str()).collect();
    let k = spec.local.num_modules;
    if k > names.len() {
        return Err(Error::usage(format!(
            "local.num_modules = {k}: this network has {} blocks ({} … {}) and each module needs one; \
             choose --local-k {} or less",
            names.len(),
            names[0],
            names[names.len() - 1],
            names.len()
        )));
    }
    let last_blocks = match &spec.local.cuts {
        Cuts::After(cuts) => named(cuts, &names)?,
        Cuts::Auto if spec.model.backbone.is_cifar() && k < names.len() => even(names.len() - 1, k),
        Cuts::Auto | Cuts::Balanced => balanced(&module_costs(network, spec), k),
    };
    Ok(ranges(&last_blocks, names.len()))
}

/// Like [`module_ranges`], for a network that is not built yet.
///
/// # Errors
/// See [`module_ranges`].
pub fn module_ranges_of(spec: &Spec, num_classes: usize) -> Result<Vec<Range<usize>>> {
    module_ranges(&spec.blank(num_classes), spec)
}

/// The cuts of a network of several modules by name: how they are chosen may change, a run's may not.
///
/// ```
/// use infoseg::config::{Cuts, DatasetKind, defaults_for};
/// use infoseg::local::cut::named_cuts;
///
/// let mut config = defaults_for(DatasetKind::Synthetic);
/// (config.local.num_modules, config.local.cuts) = (3, Cuts::Auto);
/// let cuts = named_cuts(&config.spec(), 19)?;
/// assert!(matches!(cuts, Cuts::After(blocks) if blocks.len() == 2));
/// # Ok::<(), infoseg::Error>(())
/// ```
///
/// # Errors
/// See [`module_ranges`].
pub fn named_cuts(spec: &Spec, num_classes: usize) -> Result<Cuts> {
    if spec.local.num_modules == 1 {
        return Ok(spec.local.cuts.clone());
    }
    let network = spec.blank(num_classes);
    let ranges = module_ranges(&network, spec)?;
    let last = |range: &Range<usize>| network.blocks[range.end - 1].name.clone();
    Ok(Cuts::After(ranges[..ranges.len() - 1].iter().map(last).collect()))
}

/// Blocks of each module, from the last blocks of all but the final one, of `n` blocks.
pub(super) fn ranges(last_blocks: &[usize], n: usize) -> Vec<Range<usize>> {
    let starts = std::iter::once(0).chain(last_blocks.iter().map(|&last| last + 1));
    let ends = last_blocks.iter().map(|&last| last + 1).chain([n]);
    starts.zip(ends).map(|(start, end)| start..end).collect()
}

/// Indices of the named blocks.
fn named(cuts: &[String], names: &[&str]) -> Result<Vec<usize>> {
    let mut indices = Vec::with_capacity(cuts.len());
    for cut in cuts {
        let Some(index) = names.iter().position(|name| name == cut) else {
            let nearest =
                names.iter().min_by_key(|name| strsim::damerau_levenshtein(name, cut)).expect("a network has blocks");
            return Err(Error::usage(format!(
                "local.cuts: there is no block `{cut}` in this network; the nearest is `{nearest}` (blocks: {})",
                names.join(", ")
            )));
        };
        if index + 1 == names.len() {
            return Err(Error::usage(format!("local.cuts: nothing comes after `{cut}`; cut behind an earlier block")));
        }
        if indices.last().is_some_and(|&before| before >= index) {
            return Err(Error::usage(format!(
                "local.cuts: `{cut}` does not come after the cut before it; name the blocks in network order"
            )));
        }
        indices.push(index);
    }
    Ok(indices)
}

/// What each block's output is like, the head's but for its shape aside.
pub fn features(network: &Network, picture: FeatureShape) -> Vec<Features> {
    let outputs = network.blocks.iter().scan(picture, |shape, named| {
        *shape = named.block.footprint(*shape).output;
        Some(*shape)
    });
    let shapes: Vec<FeatureShape> = outputs.collect();
    let before_head = &shapes[..shapes.len() - 1];
    let most_channels = before_head.iter().map(|shape| shape.channels).max().unwrap_or(1);
    let smallest = before_head.last().map_or(1, |shape| shape.height);
    let of = |shape: FeatureShape| Features { shape, gets_coarser: shape.height > smallest, most_channels };
    shapes.iter().copied().map(of).collect()
}

/// Float32 values that each module of a run keeps for its backward, for each image, its heads included.
///
/// # Errors
/// See [`module_ranges`].
pub fn kept_values(spec: &Spec, num_classes: usize) -> Result<Vec<usize>> {
    let network = spec.blank(num_classes);
    let (local, picture) = (&spec.local, spec.image());
    let (costs, features) = (module_costs(&network, spec), features(&network, picture));
    let kept = |(index, range): (usize, &Range<usize>)| {
        let kept = costs[range.start][range.end - 1];
        // Costs are of modules in general, which have a decoder; one whose own λ1 is 0 has none.
        let is_local = index + 1 < local.num_modules;
        let counted = is_local && local.may_reconstruct() && local.recon_weight_of(index, local.num_modules) == 0.0;
        kept - if counted { heads::decoder_footprint(local, features[range.end - 1].shape, picture).kept } else { 0 }
    };
    Ok(module_ranges(&network, spec)?.iter().enumerate().map(kept).collect())
}

/// Cost of every possible module: `costs[i][j]` is the number of values that one made of blocks `i..=j` keeps for its
/// backward, its heads included.
fn module_costs(network: &Network, spec: &Spec) -> Vec<Vec<usize>> {
    let picture = spec.image();
    let features = features(network, picture);
    let num_classes = features[features.len() - 1].shape.channels;
    let local = &spec.local;
    let reconstructs = local.may_reconstruct();
    let mut shape = picture;
    let (mut kept, mut behind) = (Vec::new(), Vec::new()); // of the block alone; of local heads behind it
    let (mut aux, mut aux_block) = (0, 0);
    for (named, features) in network.blocks.iter().zip(features) {
        let block = named.block.footprint(shape);
        shape = block.output;
        kept.push(block.kept);
        let decoder = if reconstructs { heads::decoder_footprint(local, shape, picture).kept } else { 0 };
        behind.push(heads::head_footprint(local, features, num_classes).kept + decoder);
        if let Some((head, after)) = &network.aux_head
            && *after == named.name
        {
            (aux, aux_block) = (head.footprint(shape).kept, kept.len() - 1);
        }
    }
    let last = kept.len() - 1;
    (0..kept.len())
        .map(|i| {
            (0..kept.len())
                .map(|j| match j {
                    _ if j < i => 0,
                    _ if j == last && i > aux_block => kept[i..=j].iter().sum(), // layer3 ends in an earlier module
                    _ if j == last => kept[i..=j].iter().sum::<usize>() + aux,
                    _ => kept[i..=j].iter().sum::<usize>() + behind[j],
                })
                .collect()
        })
        .collect()
}

/// The last blocks of all but the final one of `k` modules, of `n` blocks that are shared out evenly.
fn even(n: usize, k: usize) -> Vec<usize> {
    (1..k).map(|module| (module * n / k).max(module) - 1).collect()
}

/// The `k − 1` last blocks that make the most expensive module cheapest, by dynamic programming over block positions.
pub(super) fn balanced<Cost: Copy + Ord>(costs: &[Vec<Cost>], k: usize) -> Vec<usize> {
    let n = costs.len();
    // best[j]: (cost of the most expensive of the modules that cover blocks 0..=j, last blocks of all but the final one)
    let mut best: Vec<Option<(Cost, Vec<usize>)>> = (0..n).map(|j| Some((costs[0][j], Vec::new()))).collect();
    for _ in 1..k {
        best = (0..n)
            .map(|j| {
                (0..j)
                    .filter_map(|i| {
                        let (before, cuts) = best[i].as_ref()?;
                        Some(((*before).max(costs[i + 1][j]), cuts, i))
                    })
                    .min_by_key(|(cost, _, _)| *cost)
                    .map(|(cost, cuts, i)| (cost, [cuts.as_slice(), &[i]].concat()))
            })
            .collect();
    }
    best.pop().flatten().expect("the caller checked that K does not exceed the blocks").1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::defaults_for;
    use crate::data::config::DatasetKind;

    /// Costs of modules over blocks that cost `blocks`, without heads.
    fn sums(blocks: &[usize]) -> Vec<Vec<usize>> {
        let sum = |i: usize, j: usize| if j < i { 0 } else { blocks[i..=j].iter().sum() };
        (0..blocks.len()).map(|i| (0..blocks.len()).map(|j| sum(i, j)).collect()).collect()
    }

    #[test]
    fn balanced_cuts_minimise_the_dearest_module() {
        assert_eq!(balanced(&sums(&[4, 1, 1, 1, 1]), 2), [0]);
        assert_eq!(balanced(&sums(&[1, 1, 1, 1]), 2), [1]);
        assert_eq!(balanced(&sums(&[1, 2, 3, 4, 5]), 3), [2, 3]);
        assert_eq!(balanced(&sums(&[1, 1, 1]), 3), [0, 1]);
        assert!(balanced(&sums(&[1, 1, 1]), 1).is_empty());
    }

    #[test]
    fn a_module_without_reconstruction_keeps_nothing_of_a_decoder() {
        let mut config = defaults_for(DatasetKind::SyntheticDigits);
        (config.local.num_modules, config.local.recon_weight) = (3, [1.0, 0.0]);
        let falling = kept_values(&config.spec(), 10).unwrap();
        config.local.recon_weight = [1.0, 1.0];
        let with = kept_values(&config.spec(), 10).unwrap();
        assert_eq!((falling[0], falling[2]), (with[0], with[2]));
        // Twelve channels before and behind BatchNorm, three colors: of 32x32 pixels. Upsampled features are not kept.
        assert_eq!(with[1] - falling[1], (2 * 12 + 3) * 32 * 32);
    }

    #[test]
    fn even_cuts_are_the_paper_s_where_it_names_some() {
        // ResNet-110: stem and 54 blocks. Its cuts for K = 8 are layer1.4, 1.11, 2.0, 2.7, 2.14, 3.3, 3.10.
        assert_eq!(even(55, 8), [5, 12, 19, 26, 33, 40, 47]);
        assert_eq!(even(16, 4), [3, 7, 11], "ResNet-32: layer1.2, 2.1, 3.0");
        assert_eq!(even(3, 3), [0, 1]);
    }

    #[test]
    fn unknown_blocks_are_answered_with_the_nearest() {
        let names = ["stem", "layer1.0", "layer2.0", "head"];
        let error = named(&["layer1.O".into()], &names).unwrap_err().to_string();
        assert!(error.contains("nearest is `layer1.0`"), "{error}");
        let error = named(&["layer2.0".into(), "layer1.0".into()], &names).unwrap_err().to_string();
        assert!(error.contains("network order"), "{error}");
        let error = named(&["head".into()], &names).unwrap_err().to_string();
        assert!(error.contains("nothing comes after `head`"), "{error}");
    }
}
