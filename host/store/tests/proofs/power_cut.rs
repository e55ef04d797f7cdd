//! Power cuts: every change of a file is recorded, and any prefix of them is replayed onto a disk that had only what was
//! synced - and of the rest whatever a seed says: dropped, whole, or torn.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use stagewright_core::Digest;
use stagewright_store::{Access, ArtifactKind, Change, Collection, Hooks, Observer, Repository, StoreError};

use crate::lab::{
    Dice, actor, audit_holds, files_below, fsck_is_clean, made, noise, numbers, put_version, scratch, seen,
};

/// What the disk, and the one who waits for it, saw.
#[derive(Clone, Debug)]
enum Event {
    Change(Change),
    /// Sled's files at a moment when they were durable.
    Sled(BTreeMap<String, Vec<u8>>),
    /// A version was acknowledged.
    Made(String, Digest),
    /// Somebody asked for a version to go.
    Deleting(String),
    /// And was told that it is gone.
    Deleted(String),
}

/// Whether this is the change before which a process is killed, told also of the change before it.
type Moment = fn(&Change, Option<&Change>) -> bool;

struct Recorder {
    directory: PathBuf,
    events: Mutex<Vec<Event>>,
    /// The process is killed just before a change that this holds for, or, if it is a write to the journal, in the middle
    /// of it. It does nothing from then on.
    killed_at: Mutex<Option<Moment>>,
    last: Mutex<Option<Change>>,
    dead: AtomicBool,
}

impl Recorder {
    fn push(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }
}

impl Observer for Recorder {
    fn before(&self, change: &Change) -> io::Result<()> {
        let last = self.last.lock().unwrap().replace(change.clone());
        let alive = !self.dead.load(Ordering::Relaxed);
        if alive && self.killed_at.lock().unwrap().is_some_and(|killed_at| killed_at(change, last.as_ref())) {
            self.dead.store(true, Ordering::Relaxed);
            if let Change::Write { path, offset, bytes } = change
                && path.starts_with("journal/")
            {
                let half = bytes[..bytes.len() / 2].to_vec();
                let mut file = fs::read(self.directory.join(path))?;
                write(&mut file, *offset, &half);
                fs::write(self.directory.join(path), file)?;
                self.push(Event::Change(Change::Write { path: path.clone(), offset: *offset, bytes: half }));
            }
        }
        if self.dead.load(Ordering::Relaxed) {
            return Err(io::Error::other("this process was killed"));
        }
        match change {
            Change::SyncDirectory { path } if path == "sled" => {
                let sled = self.directory.join("sled");
                let read = |name: &String| (name.clone(), fs::read(sled.join(name)).unwrap());
                self.push(Event::Sled(files_below(&sled).iter().map(read).collect()));
            }
            Change::Sync { path } if path.starts_with("sled/") => (),
            other => self.push(Event::Change(other.clone())),
        }
        Ok(())
    }
}

/// A file: what is durable of it, and what was written since.
#[derive(Clone, Default)]
struct Inode {
    durable: Vec<u8>,
    unsynced: Vec<(u64, Vec<u8>)>,
}

#[derive(Clone)]
enum NameChange {
    Link(String, usize),
    Unlink(String),
}

/// A disk. Names become durable with their directory, bytes with their file, and neither with the other.
#[derive(Clone, Default)]
struct Disk {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    unsynced_names: BTreeMap<String, Vec<NameChange>>,
    sled: BTreeMap<String, Vec<u8>>,
}

fn parent(path: &str) -> String {
    path.rsplit_once('/').map_or("", |(parent, _)| parent).to_owned()
}

impl Disk {
    fn holding(directory: &Path) -> Self {
        let mut disk = Self::default();
        for path in files_below(directory) {
            disk.inodes.push(Inode { durable: fs::read(directory.join(&path)).unwrap(), unsynced: Vec::new() });
            disk.names.insert(path.clone(), disk.inodes.len() - 1);
        }
        disk.durable_names = disk.names.clone();
        disk
    }

    fn change_name(&mut self, path: &str, change: NameChange) {
        match &change {
            NameChange::Link(name, inode) => drop(self.names.insert(name.clone(), *inode)),
            NameChange::Unlink(name) => drop(self.names.remove(name)),
        }
        self.unsynced_names.entry(parent(path)).or_default().push(change);
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Create { path } => {
                self.inodes.push(Inode::default());
                self.change_name(path, NameChange::Link(path.clone(), self.inodes.len() - 1));
            }
            Change::Write { path, offset, bytes } => {
                let inode = self.names[path];
                self.inodes[inode].unsynced.push((*offset, bytes.clone()));
            }
            Change::Sync { path } => {
                let inode = self.names[path];
                for (offset, bytes) in std::mem::take(&mut self.inodes[inode].unsynced) {
                    write(&mut self.inodes[inode].durable, offset, &bytes);
                }
            }
            Change::SyncDirectory { path } => {
                for change in self.unsynced_names.remove(path).unwrap_or_default() {
                    rename(&mut self.durable_names, change);
                }
            }
            Change::Rename { from, to } if !from.starts_with("sled") => {
                let inode = self.names[from];
                self.change_name(from, NameChange::Unlink(from.clone()));
                self.change_name(to, NameChange::Link(to.clone(), inode));
            }
            Change::Rename { .. } => (),
            Change::Remove { path } => self.change_name(path, NameChange::Unlink(path.clone())),
        }
    }

    /// What is on the disk after the cut.
    fn cut(&self, dice: &mut Dice, directory: &Path) {
        for made in ["packs", "journal"] {
            fs::create_dir_all(directory.join(made)).unwrap();
        }
        let mut names = self.durable_names.clone();
        for changes in self.unsynced_names.values() {
            let kept = dice.below(changes.len() as u64 + 1) as usize;
            changes[..kept].iter().for_each(|change| rename(&mut names, change.clone()));
        }
        for (path, inode) in names {
            let inode = &self.inodes[inode];
            let mut bytes = inode.durable.clone();
            for (offset, unsynced) in &inode.unsynced {
                tear(&mut bytes, *offset, unsynced, dice);
            }
            fs::write(directory.join(path), bytes).unwrap();
        }
        if !self.sled.is_empty() {
            fs::create_dir_all(directory.join("sled")).unwrap();
            for (name, bytes) in &self.sled {
                fs::write(directory.join("sled").join(name), bytes).unwrap();
            }
        }
    }
}

fn rename(names: &mut BTreeMap<String, usize>, change: NameChange) {
    match change {
        NameChange::Link(name, inode) => drop(names.insert(name, inode)),
        NameChange::Unlink(name) => drop(names.remove(&name)),
    }
}

fn write(file: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let end = offset as usize + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[offset as usize..end].copy_from_slice(bytes);
}

/// A write that was not synced: nothing, all, the beginning, some sectors, or the length without the bytes.
fn tear(file: &mut Vec<u8>, offset: u64, bytes: &[u8], dice: &mut Dice) {
    match dice.below(5) {
        0 => (),
        1 => write(file, offset, bytes),
        2 => write(file, offset, &bytes[..dice.below(bytes.len() as u64 + 1) as usize]),
        3 => {
            for (number, sector) in bytes.chunks(512).enumerate() {
                if dice.below(2) == 0 {
                    write(file, offset + number as u64 * 512, sector);
                }
            }
        }
        _ => write(file, offset, &vec![0; bytes.len()]),
    }
}

fn hooks(observer: &Arc<dyn Observer>) -> Hooks<'_> {
    Hooks { observer: Some(observer), fold_at: Some(6000), ..Hooks::default() }
}

/// A life's work: everything that changes a repository.
fn work(repository: &Repository, recorder: &Recorder, life: u64) -> Result<(), StoreError> {
    let made = |name: &str, number: u64, digest: Digest| {
        recorder.push(Event::Made(format!("{name}@{number}"), digest));
    };
    for step in 0..6 {
        let bytes = noise(life * 100 + step, 700 + 900 * step as usize);
        made("small", put_version(repository, "small", &bytes)?, Digest::of(&bytes));
    }
    let blob = noise(life, 700_000);
    made("blob", put_version(repository, "blob", &blob)?, Digest::of(&blob));
    // Two commits that share a sync.
    let mut first = repository.begin(&actor())?;
    let digest = first.put_bytes(&noise(life + 5000, 3000))?;
    first.set_version(&"later".parse().unwrap(), digest, ArtifactKind::Blob, None, "");
    let first = first.commit_later()?;
    let mut second = repository.begin(&actor())?;
    let (schema, batch) = numbers(0..3000 + life as i64);
    let mut writer = second.put_table(&schema);
    writer.write(&batch)?;
    let table = writer.finish()?;
    second.set_version(&"table".parse().unwrap(), table, ArtifactKind::Table, None, "");
    second.put_record("long", &life.to_be_bytes(), &noise(life + 9000, 5000))?;
    let number = second.commit()?[0].number;
    made("table", number, table);
    let number = first.wait()?[0].number;
    made("later", number, digest);
    // A deletion, and what it leaves to gc.
    let victim = repository.log(&"small".parse().unwrap())?[1].clone();
    let named = format!("small@{}", victim.number);
    recorder.push(Event::Deleting(named.clone()));
    let mut transaction = repository.begin(&actor())?;
    transaction.delete_version(&victim, "asked for");
    transaction.commit()?;
    recorder.push(Event::Deleted(named));
    // What needs what needs many, so that gc removes them by several commits.
    let mut transaction = repository.begin(&actor())?;
    let mut put = |seed: u64| transaction.put_bytes(&noise(life * 1000 + seed, 9));
    let parts: Vec<Digest> = (0..60).map(|seed| put(3000 + seed)).collect::<Result<_, _>>()?;
    let middle: Vec<Digest> = parts
        .chunks(3)
        .map(|parts| transaction.put_referencing(parts[0].to_string().as_bytes(), parts))
        .collect::<Result<_, _>>()?;
    let whole = transaction.put_referencing(format!("whole {life}").as_bytes(), &middle)?;
    transaction.set_version(&"whole".parse().unwrap(), whole, ArtifactKind::Blob, None, "");
    let whole = transaction.commit()?.remove(0);
    let named = format!("whole@{}", whole.number);
    made("whole", whole.number, whole.digest);
    recorder.push(Event::Deleting(named.clone()));
    let mut transaction = repository.begin(&actor())?;
    transaction.delete_version(&whole, "asked for");
    transaction.commit()?;
    recorder.push(Event::Deleted(named));
    if life == 1 {
        let blob = repository.log(&"blob".parse().unwrap())?[0].clone();
        let named = format!("blob@{}", blob.number);
        recorder.push(Event::Deleting(named.clone()));
        let mut transaction = repository.begin(&actor())?;
        transaction.delete_version(&blob, "asked for");
        transaction.commit()?;
        recorder.push(Event::Deleted(named));
    }
    let collection = Collection { newest: Some(12), ..Collection::default() };
    let planned = repository.gc_plan(&actor(), &collection)?.versions;
    planned.iter().for_each(|version| recorder.push(Event::Deleting(version.clone())));
    repository.gc(&actor(), &collection)?;
    planned.into_iter().for_each(|version| recorder.push(Event::Deleted(version)));
    let bytes = noise(life * 1000, 100);
    made("after-gc", put_version(repository, "after-gc", &bytes)?, Digest::of(&bytes));
    Ok(())
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the long mode is asked for in the environment")]
fn whatever_a_power_cut_leaves_holds_all_that_was_acknowledged_and_nothing_half() {
    let (_temporary, directory) = made();
    let base = Disk::holding(&directory);
    let recorder = Arc::new(Recorder {
        directory: directory.clone(),
        events: Mutex::default(),
        killed_at: Mutex::default(),
        last: Mutex::default(),
        dead: AtomicBool::new(false),
    });
    let observer: Arc<dyn Observer> = recorder.clone();
    // Lives that end in a kill, after which the next goes on with what is in the machine's memory, synced or not. The
    // worst moments to be killed at are around the first and the last frame of a journal file. The first of these leaves
    // a torn frame, so that the next two begin a file.
    const WRITTEN: Moment = |change, last| {
        matches!(change, Change::Sync { path } if path.starts_with("journal/"))
            && matches!(last, Some(Change::Write { path, .. }) if path.starts_with("journal/"))
    };
    const TORN: Moment = |change, _| matches!(change, Change::Write { path, .. } if path.starts_with("journal/"));
    const KILLS: [Moment; 6] = [
        TORN,
        |change, _| matches!(change, Change::Create { path } if path.starts_with("journal/")),
        |change, _| matches!(change, Change::SyncDirectory { path } if path == "journal"),
        |change, _| matches!(change, Change::Sync { path } if path.starts_with("journal/")),
        WRITTEN,
        |change, _| matches!(change, Change::Write { path, .. } if path.starts_with("packs/")),
    ];
    let start = || {
        recorder.dead.store(false, Ordering::Relaxed);
        *recorder.killed_at.lock().unwrap() = None;
        Repository::open(&directory, Access::Write, hooks(&observer)).unwrap()
    };
    for life in 0..3 {
        let repository = start();
        work(&repository, &recorder, life).unwrap();
        *recorder.killed_at.lock().unwrap() = Some([WRITTEN, TORN][life as usize % 2]);
        assert!(put_version(&repository, "unacknowledged", b"last words").is_err());
        drop(repository);
        for (nth, killed_at) in KILLS.into_iter().enumerate() {
            let repository = start();
            *recorder.killed_at.lock().unwrap() = Some(killed_at);
            let words = format!("first words, {life} {nth}");
            assert!(put_version(&repository, "unacknowledged", words.as_bytes()).is_err(), "kill {nth} of life {life}");
        }
    }
    let events = recorder.events.lock().unwrap().clone();
    // Every change a cut point, or, to keep the time short, about three hundred of them.
    let all = std::env::var_os("STAGEWRIGHT_LONG_TESTS").is_some();
    let seeds: u64 = if all { 20 } else { 1 };
    let stride = if all { 1 } else { events.len().div_ceil(300) };
    let mut cuts = 0;
    for seed in 0..seeds {
        for at in (seed as usize % stride..=events.len()).step_by(stride) {
            check_cut(base.clone(), &events[..at], seed);
            cuts += 1;
        }
    }
    println!("{cuts} cut points of {} events", events.len());
    assert!(cuts >= 100, "{cuts}");
}

fn check_cut(mut disk: Disk, events: &[Event], seed: u64) {
    let (mut acknowledged, mut deleting, mut deleted) = (BTreeMap::new(), Vec::new(), Vec::new());
    for event in events {
        match event {
            Event::Change(change) => disk.apply(change),
            Event::Sled(files) => disk.sled = files.clone(),
            Event::Made(version, digest) => drop(acknowledged.insert(version.clone(), *digest)),
            Event::Deleting(version) => deleting.push(version.clone()),
            Event::Deleted(version) => deleted.push(version.clone()),
        }
    }
    for version in &deleting {
        acknowledged.remove(version);
    }
    let scene = format!("cut at event {} of seed {seed}, behind {:?}", events.len(), events.last());
    let scene = scene.chars().take(300).collect::<String>();
    let temporary = scratch();
    let directory = temporary.path();
    disk.cut(&mut Dice(seed * 1_000_003 + events.len() as u64), directory);
    let opened = |life: &str| {
        let hooks = Hooks { fold_at: Some(6000), ..Hooks::default() };
        Repository::open(directory, Access::Write, hooks).unwrap_or_else(|error| panic!("{scene}: {life}: {error}"))
    };
    let repository = opened("the next life");
    let found = seen(&repository);
    for (version, digest) in &acknowledged {
        assert_eq!(found.get(version), Some(digest), "{scene}: {version} was acknowledged");
    }
    for version in &deleted {
        assert_eq!(found.get(version), None, "{scene}: {version} was deleted");
    }
    audit_holds(&repository);
    put_version(&repository, "next", b"next").unwrap_or_else(|error| panic!("{scene}: {error}"));
    drop(repository);
    let repository = opened("the life after");
    assert!(seen(&repository).contains_key("next@1"), "{scene}");
    drop(repository);
    fsck_is_clean(directory);
}
