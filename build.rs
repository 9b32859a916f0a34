//! Refuses to build without the flags that the service needs. And builds the playground, to be embedded,
//! if npm is there: without it the service serves a page that says how to get one; where
//! COLOPHON_REQUIRE_PLAYGROUND is set, the build fails.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

const SOURCE: &str = "playground";
const INPUTS: [&str; 6] =
    ["admin.html", "index.html", "package-lock.json", "package.json", "src", "vite.config.js"];
const WITHOUT_FLAGS: &str = "The flag `--cfg tokio_unstable` is missing: RUSTFLAGS in the environment takes \
    the place of the flags in .cargo/config.toml. Unset it, or add them to it: \
    RUSTFLAGS=\"$RUSTFLAGS --cfg tokio_unstable -C force-frame-pointers=yes\".";
const REQUIRED: &str = "COLOPHON_REQUIRE_PLAYGROUND";

fn main() {
    if env::var_os("CARGO_CFG_TOKIO_UNSTABLE").is_none() {
        // Before tokio's own error, which does not say where the flag has gone.
        println!("cargo::error={WITHOUT_FLAGS}");
    }
    let is_linux = env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux");
    if is_linux && env::var("PROFILE").as_deref() == Ok("release") {
        // Two thirds of what line tables take. Readers of backtraces and profiles know it.
        println!("cargo::rustc-link-arg-bins=-Wl,--compress-debug-sections=zlib");
    }
    for input in INPUTS {
        println!("cargo::rerun-if-changed={SOURCE}/{input}");
    }
    println!("cargo::rerun-if-env-changed={REQUIRED}");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    if let Err(error) = build(&out.join("playground-source"), &out.join("playground")) {
        let kind = if env::var_os(REQUIRED).is_some() { "error" } else { "warning" };
        println!("cargo::{kind}=The playground is not built: {error}.");
    }
}

/// All below the build directory: the source may not be writable, or be shared by several builds.
fn build(workshop: &Path, out: &Path) -> Result<(), String> {
    // The embedding macro wants the folder, if only an empty one.
    fs::create_dir_all(out).map_err(|error| error.to_string())?;
    let copied = INPUTS.iter().try_for_each(|input| {
        let to = workshop.join(input);
        // What is gone from the source must not be left.
        if to.is_dir() {
            fs::remove_dir_all(&to)?;
        }
        copy(&Path::new(SOURCE).join(input), &to)
    });
    copied.map_err(|error| format!("its source cannot be copied ({error})"))?;
    let out = out.to_str().ok_or("the build directory is not UTF-8")?;
    // The scripts of packages could do anything, and none of them is needed.
    npm(workshop, &["ci", "--ignore-scripts", "--no-audit", "--no-fund"])?;
    npm(workshop, &["run", "build", "--", "--outDir", out, "--emptyOutDir"])
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        fs::create_dir_all(to.parent().unwrap_or(to))?;
        return fs::copy(from, to).map(|_| ());
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

fn npm(folder: &Path, arguments: &[&str]) -> Result<(), String> {
    let run = Command::new("npm").args(arguments).current_dir(folder).output();
    let output = run.map_err(|error| format!("npm cannot be run ({error})"))?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = complaint.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    Err(format!("npm {} failed: {last}", arguments[0]))
}
