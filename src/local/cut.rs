//! Where the network is cut.
//!
//! A cut behind block `i` ends a module with it; the next begins with block `i + 1`. The paper names cuts for some
//! networks; elsewhere the cuts minimise the largest module's activation memory, which is the peak of a training step.

use super::heads;
use crate::config::{Backbone, Cuts, RunConfig};
use crate::net::{FeatureShape, Network};
use crate::{Error, Result};
use std::ops::Range;

/// The paper's cut of ResNet-101 for K = 2: after the 13th of layer3's 23 blocks.
const PAPER_RESNET101_K2: &str = "layer3.12";

/// Blocks of each module, in order.
///
/// # Errors
/// K larger than the number of blocks, or `local.cuts` that name an unknown block, or not in order.
pub fn module_ranges(network: &Network, config: &RunConfig) -> Result<Vec<Range<usize>>> {
    let names: Vec<&str> = network.blocks.iter().map(|block| block.name.as_str()).collect();
    let k = config.local.num_modules;
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
    let last_blocks = match &config.local.cuts {
        Cuts::After(cuts) => named(cuts, &names)?,
        Cuts::Auto if k == 2 && config.model.backbone == Backbone::Resnet101 => {
            named(&[PAPER_RESNET101_K2.to_string()], &names)?
        }
        Cuts::Auto => balanced(&module_costs(network, config), k),
    };
    let starts = std::iter::once(0).chain(last_blocks.iter().map(|&last| last + 1));
    let ends = last_blocks.iter().map(|&last| last + 1).chain([names.len()]);
    Ok(starts.zip(ends).map(|(start, end)| start..end).collect())
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

/// Cost of every possible module: `costs[i][j]` is the number of values that one made of blocks `i..=j` keeps for its
/// backward, its heads included.
fn module_costs(network: &Network, config: &RunConfig) -> Vec<Vec<usize>> {
    let picture =
        FeatureShape { channels: 3, height: config.train.resolution.height, width: config.train.resolution.width };
    let mut shape = picture;
    let (mut kept, mut behind) = (Vec::new(), Vec::new()); // of the block alone; of local heads behind it
    let (mut aux, mut aux_block) = (0, 0);
    for named in &network.blocks {
        let (output, values) = named.block.footprint(shape);
        shape = output;
        kept.push(values);
        behind.push(heads::footprint(&config.local, output, picture));
        if let Some((head, after)) = &network.aux_head
            && *after == named.name
        {
            (aux, aux_block) = (head.footprint(output).1, kept.len() - 1);
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

/// The `k − 1` last blocks that make the dearest module cheapest, by dynamic programming over block positions.
fn balanced(costs: &[Vec<usize>], k: usize) -> Vec<usize> {
    let n = costs.len();
    // best[j]: (cost of the dearest of the modules that cover blocks 0..=j, last blocks of all but the final one)
    let mut best: Vec<Option<(usize, Vec<usize>)>> = (0..n).map(|j| Some((costs[0][j], Vec::new()))).collect();
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
