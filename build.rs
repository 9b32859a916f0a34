//! Builds the playground, to be embedded, if npm is there. Without it the service serves a page
//! that says how to get one.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

fn main() {
    let source = Path::new("playground");
    for input in ["index.html", "package-lock.json", "package.json", "src", "vite.config.js"] {
        println!("cargo::rerun-if-changed={}", source.join(input).display());
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("playground");
    if let Err(error) = build(source, &out) {
        println!("cargo::warning=The playground is not built: {error}.");
    }
}

fn build(source: &Path, out: &Path) -> Result<(), String> {
    // The embedding macro wants the folder, if only an empty one.
    std::fs::create_dir_all(out).map_err(|error| error.to_string())?;
    let out = out.to_str().ok_or("the build directory is not UTF-8")?;
    npm(source, &["ci", "--no-audit", "--no-fund"])?;
    npm(source, &["run", "build", "--", "--outDir", out, "--emptyOutDir"])
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
