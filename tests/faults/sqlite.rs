//! A file with many writers, on a full disk, read-only, or damaged.

use std::{
    fs,
    io::{Seek, SeekFrom, Write},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::json;
use testing::{Db, allowed, full, probe::percentile, stderr};

use super::{CREATE, MACHINE, READ, ask};

#[tokio::test(flavor = "multi_thread")]
async fn serializes_many_writers() {
    let _machine = MACHINE.lock().await;
    let service = Db::sqlite().serve().await;
    let long = Duration::from_secs(if full() { 60 } else { 8 });
    let began = Instant::now();
    let writers: Vec<_> = (0..32)
        .map(|writer| {
            let (client, url) = (service.client.clone(), service.url.clone());
            tokio::runtime::Handle::current().spawn(async move {
                let mut took = Vec::new();
                while began.elapsed() < long {
                    let title = json!({ "t": format!("{writer}-{}", took.len()) });
                    let answer = ask(&client, &url, CREATE, title).await;
                    assert!(answer.is_good(), "{answer:?}");
                    took.push(answer.took);
                }
                took
            })
        })
        .collect();
    let mut took = Vec::new();
    for writer in writers {
        took.extend(writer.await.unwrap());
    }
    let (count, p99) = (took.len(), percentile(took, 99));
    println!("{count} writes in {long:?}, p99 {p99:?}");
    assert!(p99 < allowed(Duration::from_millis(500)), "{p99:?}");
}

/// A disk of eight megabytes.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new() -> Self {
        let folder = tempfile::TempDir::new().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(folder.path());
        assert!(mount.status().unwrap().success(), "mounting takes root and CAP_SYS_ADMIN");
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the service may have its files open still.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn resumes_writing_when_a_full_disk_has_space() {
    let disk = SmallDisk::new();
    let mut db = Db::sqlite();
    db.url = format!("sqlite://{}?mode=rwc", disk.path().join("books.db").display());
    let service = db.serve_with(&["--sample"]).await;
    let ballast = disk.path().join("ballast");
    // To the last byte.
    let mut file = fs::File::create(&ballast).unwrap();
    while file.write_all(&[0; 8 * 1024]).is_ok() {}
    drop(file);
    let long = "x".repeat(400);
    let mut refused = None;
    for number in 0..2_000 {
        let title = json!({ "t": format!("{number} {long}") });
        let answer = ask(&service.client, &service.url, CREATE, title).await;
        answer.assert_good_or_unavailable();
        if !answer.is_good() {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("the disk is full");
    println!("full: {} {} after {:?}", refused.status, refused.code(), refused.took);
    for _ in 0..50 {
        let answer = ask(&service.client, &service.url, READ, json!({})).await;
        assert!(answer.is_good(), "reading goes on: {answer:?}");
        let title = json!({ "t": format!("more {long}") });
        ask(&service.client, &service.url, CREATE, title).await.assert_good_or_unavailable();
    }
    fs::remove_file(&ballast).unwrap();
    let freed = Instant::now();
    while !ask(&service.client, &service.url, CREATE, json!({ "t": "Again" })).await.is_good() {
        assert!(freed.elapsed() < allowed(Duration::from_secs(2)), "writing does not go on");
    }
    assert_eq!(service.readyz().await, 200);
}

#[test]
fn rejects_an_unwritable_file_at_start() {
    let db = Db::sqlite();
    assert!(db.run(&["migrate", "up"]).status.success());
    // Root may write whatever the mode says; a read-only mount binds everybody.
    let folder = db.dir.path();
    let mount = |arguments: &[&str]| {
        assert!(Command::new("mount").args(arguments).arg(folder).status().unwrap().success());
    };
    mount(&["--bind", folder.to_str().unwrap()]);
    mount(&["-o", "remount,bind,ro"]);
    let output = db.run(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    assert!(Command::new("umount").arg("-l").arg(folder).status().unwrap().success());
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("books.db") && told.to_lowercase().contains("read"), "{told}");
}

#[test]
fn rejects_a_damaged_file_at_start() {
    let db = Db::sqlite();
    assert!(db.run(&["migrate", "up"]).status.success());
    let rows: Vec<_> = (0..3_000).map(|n| format!("Book number {n},Author {n}")).collect();
    let csv = db.file("books.csv", format!("title,authors\n{}\n", rows.join("\n")));
    assert!(db.run(&["import", csv.to_str().unwrap()]).status.success());
    let path = db.dir.path().join("books.db");
    let length = fs::metadata(&path).unwrap().len();
    let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(length / 8192 * 4096)).unwrap();
    file.write_all(&[0xa5; 3 * 4096]).unwrap();
    drop(file);
    let output = db.run(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("books.db") && told.contains("damaged"), "{told}");
}
