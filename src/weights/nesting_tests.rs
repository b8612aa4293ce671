use super::*;

/// A backbone's names and those of a head.
const DEEPLAB: [&str; 4] =
    ["backbone.conv1.weight", "backbone.bn1.weight", "backbone.layer1.0.conv1.weight", "decode_head.conv_seg.weight"];

fn under(keys: &[&str]) -> Vec<String> {
    keys.iter().flat_map(|key| DEEPLAB.iter().map(move |name| format!("{key}{name}"))).collect()
}

fn find(names: &[String]) -> (String, Vec<String>) {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (nesting, found) = Nesting::find(&names);
    (nesting.to_string(), found.into_values().collect())
}

fn sorted() -> Vec<String> {
    let mut names = DEEPLAB.map(String::from).to_vec();
    names.sort();
    names
}

#[test]
fn a_network_is_found_under_any_keys_and_wrappers() {
    for (key, root) in [
        ("", ""),
        ("module.", ""),
        ("_orig_mod.", ""),
        ("module._orig_mod.", ""),
        ("_orig_mod.module.", ""),
        ("_forward_module._fsdp_wrapped_module.", ""),
        ("model.", "model"),
        ("net.", "net"),
        ("network.", "network"),
        ("weights.", "weights"),
        ("model_state.", "model_state"),
        ("model_state_dict.", "model_state_dict"),
        ("state_dict.model._orig_mod.", "state_dict.model"),
        ("state_dict.module.net.", "state_dict.net"),
        ("checkpoint.0.segmentor.", "checkpoint.0.segmentor"),
    ] {
        let (said, found) = find(&under(&[key]));
        assert_eq!(found, sorted(), "{key}");
        let expected = if root.is_empty() { String::new() } else { format!("; taken from {root}") };
        assert_eq!(said, expected, "{key}");
    }
}

#[test]
fn wrappers_inside_a_path_are_no_part_of_a_name() {
    let names = [
        "model.backbone._orig_mod.conv1.weight",
        "model.backbone._orig_mod.bn1.weight",
        "model.backbone.layer1._orig_mod.0.conv1.weight",
        "model.decode_head.module.conv_seg.weight",
    ];
    assert_eq!(find(&names.map(String::from)).1, sorted());
}

#[test]
fn a_moving_average_is_left_beside_the_weights_and_taken_alone() {
    for (keys, words) in [
        (&["model.", "model_ema.module."][..], "; taken from model; not taken: model_ema (EMA)"),
        (&["state_dict.", "state_dict_ema."], "; taken from state_dict; not taken: state_dict_ema (EMA)"),
        (&["state_dict.", "ema_state_dict.module."], "; taken from state_dict; not taken: ema_state_dict (EMA)"),
        (&["ema.", "model."], "; taken from model; not taken: ema (EMA)"),
        (&["", "ema."], "; taken from the top of the file; not taken: ema (EMA)"),
        (
            &["state_dict.ema_model.", "state_dict.model."],
            "; taken from state_dict.model; not taken: state_dict.ema_model (EMA)",
        ),
        (
            &["state_dict.student.", "state_dict.teacher."],
            "; taken from state_dict.student; not taken: state_dict.teacher (averaged)",
        ),
        (&["modelEma."], "; taken from modelEma (EMA)"),
        (&["ema_state_dict.module."], "; taken from ema_state_dict (EMA)"),
        (&["swa_model.module."], "; taken from swa_model (averaged)"),
        (&["best_model.", "model."], "; taken from model; not taken: best_model"),
    ] {
        let (said, found) = find(&under(keys));
        assert_eq!((said.as_str(), found), (words, sorted()), "{keys:?}");
    }
    // Buffers beside the parameters, with the dots of their names gone.
    let mut names = under(&["state_dict."]);
    names.push("state_dict.ema_backbone_conv1_weight".into());
    let words = "; taken from state_dict; not taken: state_dict.ema_backbone_conv1_weight (EMA)";
    assert_eq!(find(&names), (words.to_string(), sorted()));
    // An average that is no network by its names is said all the same.
    let mut names = under(&["model."]);
    names.push("ema.shadow_params.0".into());
    assert_eq!(find(&names).0, "; taken from model; not taken: ema (EMA)");
}

#[test]
fn optimizers_are_passed_over_and_other_tensors_said() {
    let mut names = under(&["model."]);
    names.extend(["optimizer.state.0.exp_avg", "optimizer_state.layer1.0.conv1.weight"].map(String::from));
    assert_eq!(find(&names), ("; taken from model".to_string(), sorted()));
    names.push("criterion.weight".into());
    assert_eq!(find(&names).0, "; taken from model; not taken: criterion");
}

#[test]
fn names_that_would_become_one_stay_and_parts_of_networks_are_found() {
    let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
    let two = names(&["a.module.w", "a.w"]);
    assert_eq!(find(&two), (String::new(), two));
    let part = names(&["state_dict.module.bn1.weight", "state_dict.module.conv1.weight"]);
    assert_eq!(find(&part).1, ["bn1.weight", "conv1.weight"]);
    let blocks = names(&["blocks.0.bn1.weight", "blocks.0.conv1.weight"]);
    assert_eq!(find(&blocks).1, blocks);
    // The words before a dot are a key of their own.
    let glued = names(&["my_layer1.0.conv1.weight", "the_backbone.layer1.0.conv1.weight"]);
    assert_eq!(find(&glued).0, "; taken from the_backbone; not taken: my_layer1");
}
