//! The committed code is what the `.proto` file says.

use std::path::Path;

/// Regenerates into a scratch folder and compares. `REFRAME_REGENERATE=1 cargo test -p
/// reframe-proto` writes instead.
#[test]
fn generated_code_matches_the_proto_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fds = protox::compile([root.join("proto/reframe/v1/worker.proto")], [root.join("proto")])
        .unwrap();
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gen");
    std::fs::create_dir_all(&scratch).unwrap();
    tonic_prost_build::configure()
        .build_transport(false)
        .bytes(".")
        .out_dir(&scratch)
        .compile_fds(fds)
        .unwrap();
    let fresh = std::fs::read_to_string(scratch.join("reframe.v1.rs")).unwrap();
    let committed = root.join("src/gen/reframe.v1.rs");
    if std::env::var_os("REFRAME_REGENERATE").is_some() {
        std::fs::write(&committed, &fresh).unwrap();
    }
    let current = std::fs::read_to_string(&committed).unwrap_or_default();
    assert!(
        current == fresh,
        "src/gen is stale: run `REFRAME_REGENERATE=1 cargo test -p reframe-proto`"
    );
}
