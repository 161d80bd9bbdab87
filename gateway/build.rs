//! Says loudly what OpenH264's own build only whispers: that it goes without assembler.

use std::env;
use std::process::{Command, Stdio};

fn main() {
    // Elsewhere its assembler is for the C compiler, or there is none to miss.
    let needs_nasm = env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64" || arch == "x86");
    let nasm = Command::new("nasm").arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !needs_nasm || nasm.is_ok_and(|status| status.success()) {
        println!("cargo:rerun-if-changed=build.rs");
        return;
    }
    // A file that is not there: looked at again, and said again, by every build.
    println!("cargo:rerun-if-changed=nasm-is-missing");
    println!(
        "cargo:warning=nasm is missing: H.264 will take 2.6 times the CPU. Install the package nasm, then run `cargo clean -p \
         openh264-sys2` and build again."
    );
}
