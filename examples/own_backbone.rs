//! A backbone of your own, cut into local modules: `cargo run --release --example own_backbone`.
//!
//! A network is a list of named blocks. Where it can be cut, what a step will keep in memory and how it trains follow
//! from that list.

use burn::tensor::{Device, Distribution, Tensor};
use infoseg::config::{Cuts, DatasetKind, DecodeHead, defaults_for};
use infoseg::local::{LocalNetwork, Targets};
use infoseg::net::{AsppHead, Block, Init, NamedBlock, Network, Residual, resnet::Stem};

const NUM_CLASSES: usize = 4;

/// Stem, five narrow residual blocks of which the last is dilated, and an ASPP head.
fn network(init: &mut Init) -> Network {
    let mut blocks = vec![NamedBlock { name: "stem".into(), block: Block::Stem(Stem::torchvision(init, 16)) }];
    let plan = [([16, 16], 1, 1), ([16, 32], 2, 1), ([32, 32], 1, 1), ([32, 48], 1, 2), ([48, 48], 1, 4)];
    for (index, (channels, stride, dilation)) in plan.into_iter().enumerate() {
        let block = Block::Residual(Residual::basic(init, channels, stride, dilation));
        blocks.push(NamedBlock { name: format!("narrow.{index}"), block });
    }
    let head = AsppHead::new(init, [48, 32, NUM_CLASSES], &[1, 2, 4], DecodeHead::Torchvision, 0.1);
    blocks.push(NamedBlock { name: "head".into(), block: Block::Head(head) });
    Network { blocks, aux_head: None }
}

fn main() -> infoseg::Result<()> {
    let mut config = defaults_for(DatasetKind::Synthetic);
    config.local.num_modules = 3;
    config.local.cuts = Cuts::After(vec!["narrow.1".into(), "narrow.3".into()]);
    let device = Device::flex().autodiff();
    let mut init = Init::new(config.seed, &device);
    let network = network(&mut init);
    let mut network = LocalNetwork::of_blocks(&mut init, network, &config.spec(), NUM_CLASSES)?;

    let input = Tensor::<4>::random([2, 3, 64, 96], Distribution::Normal(0.0, 1.0), &device);
    let label = (0..2 * 64 * 96).map(|i| (i % 96 / 24) as u16).collect(); // four stripes
    let targets = Targets::new(&input, network.normalization, label, &device);
    for step in 0..5 {
        let losses = network.train_step(input.clone(), &targets, 0.05, step)?;
        for (module, losses) in network.modules.iter().zip(losses) {
            println!("step {}: {}: loss {:.3}", step + 1, module.block_names.join(" "), losses.total);
        }
    }
    Ok(())
}
