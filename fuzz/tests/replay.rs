//! The inputs that were kept, once more: what was mended stays mended. This needs no libFuzzer.

use std::fs;
use std::path::Path;

use jackstay_fuzz::TARGETS;

/// One test for all, since a target that measures memory must be alone.
#[test]
fn no_input_of_the_corpora_breaks_a_promise() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let names = TARGETS.map(|(name, _)| name);
    for kept in fs::read_dir(&corpora).expect("fuzz/corpus") {
        let kept = kept.expect("an entry").file_name();
        assert!(
            names.iter().any(|name| *name == kept),
            "{kept:?}: no target"
        );
    }
    for (name, target) in TARGETS {
        let mut inputs = 0;
        for entry in fs::read_dir(corpora.join(name)).expect(name) {
            let path = entry.expect(name).path();
            let input = fs::read(&path).expect(name);
            // Its name, should it panic.
            println!("{}", path.display());
            target(&input);
            inputs += 1;
        }
        assert!(inputs > 0, "no inputs for {name}");
    }
}
