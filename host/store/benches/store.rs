//! The store against `cp` and fsync on the same disk in the same run. It prints ratios.
//!
//! `cargo bench -p stagewright-store [-- MEBIBYTES]`; where restic, borg or DVC are installed, they are measured too.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints, and fails by panicking")]

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use stagewright_store::{Access, Actor, ArtifactKind, Collection, Hooks, Repository, Store};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some((_, phase)) = PHASES.iter().find(|(name, _)| arguments.iter().any(|argument| argument == name)) {
        return phase(Path::new(arguments.last().unwrap()));
    }
    let mebibytes = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(1024);
    let temporary = tempfile::tempdir().unwrap();
    let root = temporary.path();
    println!("{mebibytes} MiB, on {}", root.display());
    blobs(root, mebibytes << 20);
    words(root, (mebibytes << 20) / 4);
    small(root);
    println!("peak memory of this process: {} MB (target 200)", peak_memory() / 1000);
    // What is in memory must not grow with what is stored.
    let many = root.join("many");
    for phase in ["--write", "--look", "--fsck", "--gc"] {
        beside(phase, &many);
    }
}

type Phase = fn(&Path);

/// Given to this program to do something to a repository in a process whose memory holds nothing else.
const PHASES: [(&str, Phase); 4] = [("--write", write), ("--look", look), ("--fsck", fsck), ("--gc", gc)];

fn beside(phase: &str, directory: &Path) {
    let program = std::env::current_exe().unwrap();
    assert!(Command::new(program).arg(phase).arg(directory).status().unwrap().success());
}

const MANY: u64 = 1_000_000;

fn write(directory: &Path) {
    Repository::create(directory, "data", &actor()).unwrap();
    let store = open(directory);
    let mut bytes = [0; 100];
    let ((), seconds) = timed(|| {
        for batch in 0..MANY / 1000 {
            let mut transaction = store.begin(&actor()).unwrap();
            let mut last = None;
            for number in 0..1000 {
                Noise((batch * 1000 + number) << 20, 100).read_exact(&mut bytes).unwrap();
                last = Some(transaction.put_bytes(&bytes).unwrap());
            }
            transaction.set_version(&"many".parse().unwrap(), last.unwrap(), ArtifactKind::Blob, None, "");
            let _ticket = transaction.commit_later().unwrap();
        }
        store.sync().unwrap();
    });
    println!("{MANY} artifacts of 100 bytes: {:.0}/s", MANY as f64 / seconds);
    println!("beside their writer:");
    beside("--look", directory);
    let ((), closed) = timed(|| drop(store));
    println!("closed in {closed:.1} s; peak memory {} MB (target 200); after it:", peak_memory() / 1000);
}

fn look(directory: &Path) {
    let (repository, seconds) = timed(|| {
        let repository = Repository::open(directory, Access::Read, Hooks::default()).unwrap();
        assert_eq!(repository.resolve(&"many@latest".parse().unwrap()).unwrap().number, MANY / 1000);
        repository
    });
    println!("  open for reading and a first look: {:.0} ms", seconds * 1e3);
    let ((), seconds) = timed(|| {
        for version in repository.log(&"many".parse().unwrap()).unwrap().iter().take(1000) {
            assert_eq!(repository.bytes(&version.digest).unwrap().len(), 100);
        }
    });
    println!(
        "  1,000 artifacts found and read: {:.0} ms; peak memory {} MB (target 200)",
        seconds * 1e3,
        peak_memory() / 1000
    );
}

fn fsck(directory: &Path) {
    let (store, opened) = timed(|| open(directory));
    println!("open for writing: {:.0} ms", opened * 1e3);
    let (checked, seconds) = timed(|| store.check(&actor()).unwrap());
    println!(
        "fsck of {} artifacts: {seconds:.1} s; peak memory {} MB (target 200)",
        checked.artifacts,
        peak_memory() / 1000
    );
    assert!(checked.is_clean(), "{:?}", checked.lost);
}

fn gc(directory: &Path) {
    let store = open(directory);
    // First what is found to be needed is most of it, then next to nothing.
    for (what, grace_ms) in [("young", 1_000), ("old", 0)] {
        let collection = Collection { grace_ms, ..Collection::default() };
        let (collected, seconds) = timed(|| store.gc(&actor(), &collection).unwrap());
        println!(
            "gc of {what} artifacts: {} removed in {seconds:.1} s; peak memory {} MB (target 200)",
            collected.artifacts,
            peak_memory() / 1000
        );
    }
}

fn actor() -> Actor {
    Actor { who: "bench".into(), at_ms: 1 }
}

fn repository(root: &Path, name: &str) -> Repository {
    Repository::create(&root.join(name), "data", &actor()).unwrap();
    open(&root.join(name))
}

fn open(directory: &Path) -> Repository {
    Repository::open(directory, Access::Write, Hooks::default()).unwrap()
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let done = work();
    (done, start.elapsed().as_secs_f64())
}

/// Incompressible bytes.
struct Noise(u64, u64);

impl Read for Noise {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer.len().min(usize::try_from(self.1).unwrap_or(usize::MAX));
        for eight in buffer[..len].chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let bytes = (mixed ^ (mixed >> 27)).to_le_bytes();
            eight.copy_from_slice(&bytes[..eight.len()]);
        }
        self.1 -= len as u64;
        Ok(len)
    }
}

fn stored(root: &Path, name: &str) -> u64 {
    let packs = fs::read_dir(root.join(name).join("packs")).unwrap();
    packs.map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

fn put_file(repository: &Repository, path: &Path) -> stagewright_core::Digest {
    let mut transaction = repository.begin(&actor()).unwrap();
    let (digest, _) = transaction.put_reader(File::open(path).unwrap()).unwrap();
    transaction.commit().unwrap();
    digest
}

fn copy_and_sync(from: &Path, to: &Path) -> f64 {
    let ((), seconds) = timed(|| {
        fs::copy(from, to).unwrap();
        File::open(to).unwrap().sync_all().unwrap();
    });
    fs::remove_file(to).unwrap();
    seconds
}

const ROUNDS: usize = 5;

/// Seconds, bytes and digests of one round.
struct Round {
    copy: f64,
    ingest: f64,
    again: f64,
    added: u64,
    digests: [stagewright_core::Digest; 2],
}

fn blobs(root: &Path, len: u64) {
    let (first, second) = (root.join("first"), root.join("second"));
    io::copy(&mut Noise(1, len), &mut File::create(&first).unwrap()).unwrap();
    {
        let mut file = File::create(&second).unwrap();
        let mut source = File::open(&first).unwrap();
        io::copy(&mut (&mut source).take(len / 3), &mut file).unwrap();
        file.write_all(b"!").unwrap();
        io::copy(&mut source, &mut file).unwrap();
    }
    let per_second = |seconds: f64| len as f64 / 1e6 / seconds;
    // A shared disk and processor change from second to second: the median of several rounds, each of which copies
    // before and after, so that neither is favoured.
    let rounds: Vec<Round> = (0..ROUNDS)
        .map(|round| {
            let before = copy_and_sync(&first, &root.join("copy"));
            let store = repository(root, "blobs");
            let (digest, ingest) = timed(|| put_file(&store, &first));
            let bytes = stored(root, "blobs");
            let (other, again) = timed(|| put_file(&store, &second));
            let added = stored(root, "blobs") - bytes;
            let after = copy_and_sync(&first, &root.join("copy"));
            drop(store);
            if round + 1 < ROUNDS {
                fs::remove_dir_all(root.join("blobs")).unwrap();
            }
            Round { copy: f64::midpoint(before, after), ingest, again, added, digests: [digest, other] }
        })
        .collect();
    let median = |figure: &dyn Fn(&Round) -> f64| {
        let mut all: Vec<f64> = rounds.iter().map(figure).collect();
        all.sort_by(f64::total_cmp);
        all[ROUNDS / 2]
    };
    let (copy, ingest) = (median(&|round| round.copy), median(&|round| round.ingest));
    println!("cp and fsync: {:.0} MB/s", per_second(copy));
    println!(
        "ingest: {:.0} MB/s, {:.2} x cp and fsync (target 0.6)",
        per_second(ingest),
        median(&|round| round.copy / round.ingest)
    );
    println!(
        "one byte inserted: {:.0} MB/s, {:.2} x the speed of the first (target 1.5), {:.4} % stored (target 0.1)",
        median(&|round| per_second(round.again)),
        median(&|round| round.ingest / round.again),
        100.0 * rounds[0].added as f64 / len as f64
    );
    let [digest, other] = rounds[ROUNDS - 1].digests;
    let (store, opened) = timed(|| {
        let store = open(&root.join("blobs"));
        store.contains(&digest).unwrap();
        store
    });
    println!("open and first look: {:.1} ms", opened * 1e3);
    for digest in [digest, other] {
        let (read, seconds) = timed(|| io::copy(&mut store.reader(&digest).unwrap(), &mut io::sink()).unwrap());
        println!("read back, verified: {:.2} GB/s (target 1)", read as f64 / 1e9 / seconds);
    }
    others(root, &first, &|name, seconds| {
        println!(
            "{name}: {:.0} MB/s, {:.2} x cp and fsync; the store is {:.1} x as fast",
            per_second(seconds),
            copy / seconds,
            seconds / ingest
        );
    });
    fs::remove_file(first).unwrap();
    fs::remove_file(second).unwrap();
    drop(store);
    fs::remove_dir_all(root.join("blobs")).unwrap();
}

/// A table as text, of the kind that people keep.
fn words(root: &Path, len: u64) {
    let path = root.join("table.csv");
    let mut file = io::BufWriter::new(File::create(&path).unwrap());
    let mut noise = Noise(5, u64::MAX);
    let (mut written, mut row) = (0, [0; 16]);
    let jobs = ["clerical", "sales", "craft-repair", "exec-managerial", "prof-specialty", "other-service"];
    while written < len {
        noise.read_exact(&mut row).unwrap();
        let line = format!(
            "{},{},{},{}.{},{}\n",
            17 + row[0] % 70,
            jobs[usize::from(row[1]) % jobs.len()],
            ["male", "female"][usize::from(row[2] & 1)],
            u16::from(row[3]) * 100,
            row[4] % 10,
            [">50K", "<=50K"][usize::from(row[5] & 1)]
        );
        file.write_all(line.as_bytes()).unwrap();
        written += line.len() as u64;
    }
    drop(file);
    let store = repository(root, "words");
    let (_, seconds) = timed(|| put_file(&store, &path));
    println!(
        "CSV: stored at {:.3} of its size (target 0.35), {:.0} MB/s",
        stored(root, "words") as f64 / written as f64,
        written as f64 / 1e6 / seconds
    );
    fs::remove_file(path).unwrap();
}

fn small(root: &Path) {
    let project = root.join("project");
    Store::create(&project, &actor()).unwrap();
    let (store, opened) = timed(|| Store::open(&project, Access::Write, Hooks::default()));
    let (_, looked) = timed(|| Store::fingerprint(&project).unwrap());
    println!("a new project: four repositories open in {:.2} ms, fingerprint in {:.2} ms", opened * 1e3, looked * 1e3);
    drop(store);
    let artifacts: Vec<Vec<u8>> = (0..10_000)
        .map(|seed| {
            let mut bytes = vec![0; 10_000];
            Noise(seed << 32, 10_000).read_exact(&mut bytes).unwrap();
            bytes
        })
        .collect();
    let store = repository(root, "batched");
    let ((), seconds) = timed(|| {
        for batch in artifacts.chunks(1000) {
            let mut transaction = store.begin(&actor()).unwrap();
            for bytes in batch {
                let _ = transaction.put_bytes(bytes).unwrap();
            }
            transaction.commit().unwrap();
        }
    });
    println!("10,000 artifacts of 10 kB in batches of 1,000: {:.0}/s (target 5,000)", 10_000.0 / seconds);
    let folder = root.join("folder");
    fs::create_dir(&folder).unwrap();
    for (number, bytes) in artifacts.iter().enumerate() {
        fs::write(folder.join(number.to_string()), bytes).unwrap();
    }
    others(root, &folder, &|name, theirs| {
        println!("the same as files, by {name}: {theirs:.2} s; the store is {:.1} x as fast", theirs / seconds);
    });
    fs::remove_dir_all(&folder).unwrap();
    let store = repository(root, "single");
    // Beside it, what two files cost that are each appended to and synced: the bytes, then the frame that speaks of
    // them. In turns, so that a busy disk does not favour either.
    let (mut bytes, mut frames) =
        (File::create(root.join("bytes")).unwrap(), File::create(root.join("frames")).unwrap());
    let (mut single, mut plain) = (0.0, 0.0);
    for artifact in &artifacts[..300] {
        let ((), seconds) = timed(|| {
            let mut transaction = store.begin(&actor()).unwrap();
            let _ = transaction.put_bytes(artifact).unwrap();
            transaction.commit().unwrap();
        });
        single += seconds;
        let ((), seconds) = timed(|| {
            bytes.write_all(artifact).unwrap();
            bytes.sync_data().unwrap();
            frames.write_all(&artifact[..1200]).unwrap();
            frames.sync_data().unwrap();
        });
        plain += seconds;
    }
    println!(
        "durable one by one: {:.0}/s, {:.2} x the time of its two syncs alone (target 1.3)",
        300.0 / single,
        single / plain
    );
    let store = repository(root, "threads");
    let ((), shared) = timed(|| {
        std::thread::scope(|scope| {
            for part in artifacts[..1200].chunks(150) {
                let store = &store;
                scope.spawn(move || {
                    for bytes in part {
                        let mut transaction = store.begin(&actor()).unwrap();
                        let _ = transaction.put_bytes(bytes).unwrap();
                        transaction.commit().unwrap();
                    }
                });
            }
        });
    });
    println!("durable one by one, from eight threads that share syncs: {:.0}/s", 1200.0 / shared);
}

/// Others on the same file or folder, where they are installed.
fn others(root: &Path, what: &Path, told: &dyn Fn(&str, f64)) {
    let at = root.join("others");
    let run = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).env("RESTIC_PASSWORD", "x").env("DVC_NO_ANALYTICS", "1").current_dir(root);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let (name, at, what) = (what.file_name().unwrap(), at.to_str().unwrap(), what.to_str().unwrap());
    if run("restic", &["-r", at, "init"]) {
        let (done, seconds) = timed(|| run("restic", &["-r", at, "backup", what]));
        assert!(done, "restic backs up");
        told("restic", seconds);
        fs::remove_dir_all(at).unwrap();
    }
    if run("borg", &["init", "-e", "none", at]) {
        let (done, seconds) = timed(|| run("borg", &["create", &format!("{at}::one"), what]));
        assert!(done, "borg backs up");
        told("borg", seconds);
        fs::remove_dir_all(at).unwrap();
    }
    let project = root.join("others");
    fs::create_dir_all(&project).unwrap();
    let here = project.to_str().unwrap();
    if run("dvc", &["--cd", here, "init", "--no-scm", "-q"]) {
        // What it tracks has to lie in its project. It links or copies it back, which is part of its work.
        let inside = project.join(name);
        fs::rename(what, &inside).unwrap();
        let (done, seconds) = timed(|| run("dvc", &["--cd", here, "add", "-q", inside.to_str().unwrap()]));
        assert!(done, "DVC adds");
        told("DVC", seconds);
        fs::rename(&inside, what).unwrap();
    }
    fs::remove_dir_all(&project).unwrap();
}

/// In kilobytes.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
