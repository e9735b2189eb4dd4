//! Compiles the protos without a system `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = [
        "streams",
        "persistent",
        "gossip",
        "operations",
        "server_features",
        "users",
        "monitoring",
        "redaction",
    ]
    .map(|name| format!("{name}.proto"));
    let descriptors = protox::compile(files, ["proto"])?;
    tonic_prost_build::configure()
        .bytes(".")
        .btree_map(".")
        .compile_well_known_types(false)
        .include_file("protos.rs")
        .compile_fds(descriptors)?;
    Ok(())
}
