//! Links libvpx into the program where that can be, and says loudly what OpenH264's own build only
//! whispers: that it goes without assembler.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

fn main() {
    link_libvpx();
    // On other architectures the C compiler builds its assembler, or it has none. Without the
    // feature there is no OpenH264.
    let needs_nasm = env::var_os("CARGO_FEATURE_H264").is_some()
        && env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64" || arch == "x86");
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

/// As an archive, if it is installed as one (Debian's and Ubuntu's libvpx-dev have it): then libvpx
/// takes its memory from us (`src/codec/vpx/memory.rs`), and the program runs where there is no
/// libvpx. Else `libvpx-native-sys` has named the shared library, and memory is all that is lost.
fn link_libvpx() {
    println!("cargo:rustc-check-cfg=cfg(libvpx_archive)");
    let elsewhere = ["VPX_LIB_DIR", "PKG_CONFIG_PATH", "PKG_CONFIG_LIBDIR"];
    elsewhere.iter().for_each(|name| println!("cargo:rerun-if-env-changed={name}"));
    // If somebody names a libvpx, use that one: the bindings are for it.
    if elsewhere.iter().any(|name| env::var_os(name).is_some()) {
        return;
    }
    let (Ok(target), Ok(host)) = (env::var("TARGET"), env::var("HOST")) else { return };
    // For another processor, Debian's compiler for that one, which is told where its libraries are:
    // aarch64-linux-gnu-gcc (scripts/cross.sh).
    let compiler = if target == host {
        "cc".to_owned()
    } else {
        format!("{}-gcc", target.replace("-unknown", ""))
    };
    // Not pkg-config: Debian's file names a folder where it is not.
    let asked = Command::new(compiler).arg("-print-file-name=libvpx.a").output();
    let answer = asked
        .map(|answer| String::from_utf8_lossy(&answer.stdout).trim().to_owned())
        .unwrap_or_default();
    // A name without a folder is one that was not found.
    let Some(archive) = Path::new(&answer).canonicalize().ok().filter(|_| answer.starts_with('/'))
    else {
        return;
    };
    let Some(folder) = archive.parent() else { return };
    if !folder.starts_with("/usr/lib") {
        return;
    }
    println!("cargo:rustc-cfg=libvpx_archive");
    // A system's upgrade brings another.
    println!("cargo:rerun-if-changed={}", archive.display());
    println!("cargo:rustc-link-search=native={}", folder.display());
    // Apart from our own objects, behind which it is searched.
    println!("cargo:rustc-link-lib=static:-bundle=vpx");
}
