//! Damage of every file of a store that has sealed segments: the store is refused, or whole, or says of what it cannot
//! read that it cannot; and a refusal changes nothing.
//!
//! A trial is its seed: `PENSTOCK_SEED=17` repeats one, `PENSTOCK_SEEDS=100000` runs more, `PENSTOCK_FIRST_SEED` others.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use store_core::{AllRead, Command, Direction, Draft, Expected, Fault, Found, PageSize, Store, StreamRead};
use store_disk::{Options, check, open};
use support::{Ask, NAMES, OnDisk, SEED, event, seeds, whole};

/// The files of a folder; a folder in it has no content.
type Files = BTreeMap<String, Option<Vec<u8>>>;

const OPTIONS: Options = Options { fsync: store_disk::Fsync::Never, segment: 40_000, helper: false };

fn files(folder: &Path) -> Files {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).ok()))
        .collect()
}

fn restore(folder: &Path, files: &Files) {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir(folder).unwrap();
    for (name, content) in files {
        match content {
            Some(content) => std::fs::write(folder.join(name), content).unwrap(),
            None => std::fs::create_dir(folder.join(name)).unwrap(),
        }
    }
}

/// A store with a few sealed segments.
struct Made {
    files: Files,
    /// Everything there is to read.
    wanted: Vec<Result<String, Fault>>,
    /// Ids that streams have.
    ids: Vec<(usize, u128)>,
}

fn made(folder: &Path, seed: u64) -> Made {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut store = OnDisk::new(open(folder, SEED, OPTIONS).unwrap());
    let mut ids = Vec::new();
    for _ in 0..90 {
        let batch: Vec<_> = (0..random.usize(1..4)).map(|_| Ask::random(&mut random)).collect();
        for (ask, answer) in batch.iter().zip(store.commit(&batch)) {
            if let (Ask::Append { name, ids: new, expected: Expected::Any, .. }, Ok(_)) = (ask, answer)
                && let Some(id) = new.first()
            {
                ids.push((*name, *id));
            }
        }
    }
    let wanted = store.look(whole);
    // As if it had been killed.
    drop(store);
    Made { files: files(folder), wanted, ids }
}

/// Damages one file as chance has it; what was done.
fn damage(files: &mut Files, other: &Files, random: &mut fastrand::Rng) -> String {
    let names: Vec<String> = files.keys().cloned().collect();
    let name = names[random.usize(..names.len())].clone();
    let mut bytes = files[&name].clone().unwrap_or_default();
    let at = random.usize(..bytes.len());
    let some = random.usize(1..5_000);
    let end = (at + some).min(bytes.len());
    let what = match random.u8(..13) {
        0..=2 => {
            bytes[at] ^= 1 << random.u8(..8);
            format!("a bit at {at}")
        }
        3 => {
            bytes[at..end].fill(0);
            format!("zeros from {at} to {end}")
        }
        4 => {
            bytes[at..end].fill_with(|| random.u8(..));
            format!("noise from {at} to {end}")
        }
        5 => {
            bytes.truncate(at);
            format!("cut at {at}")
        }
        6 => {
            bytes.extend((0..some).map(|_| random.u8(..)));
            format!("{some} bytes at the end")
        }
        7 => {
            bytes.drain(at..end);
            format!("without {at} to {end}")
        }
        8 => {
            files.remove(&name);
            return format!("{name}: missing");
        }
        9 => {
            let with = names[random.usize(..names.len())].clone();
            let held = files[&with].clone();
            files.insert(with.clone(), files[&name].clone());
            files.insert(name.clone(), held);
            return format!("{name}: swapped with {with}");
        }
        10 => {
            let Some(theirs) = other.get(&name) else { return format!("{name}: nothing") };
            files.insert(name.clone(), theirs.clone());
            return format!("{name}: that of another store");
        }
        11 => return cut_with_its_witness(files, random),
        _ => {
            let stray = ["notes", "00000099.log", "00000001.log.bak", "keyspaces", "00000000.idx"];
            let stray = stray[random.usize(..stray.len())];
            files.insert(stray.to_owned(), random.bool().then(|| bytes[at..end].to_vec()));
            return format!("{stray}: stray");
        }
    };
    files.insert(name.clone(), Some(bytes));
    format!("{name}: {what}")
}

/// Two damages at once: the log loses its last frame, and `synced` the slot that says how far it went.
fn cut_with_its_witness(files: &mut Files, random: &mut fastrand::Rng) -> String {
    let log = files.keys().rfind(|name| name.ends_with(".log")).unwrap().clone();
    let (log_at, synced_at) = (last_byte(files, &log) - random.usize(..200), random.usize(..8192));
    for (name, at) in [(log.as_str(), log_at), ("synced", synced_at)] {
        files.get_mut(name).unwrap().as_mut().unwrap().truncate(at);
    }
    format!("{log}: cut at {log_at}, and synced: cut at {synced_at}")
}

fn last_byte(files: &Files, name: &str) -> usize {
    files[name].as_ref().unwrap().iter().rposition(|byte| *byte != 0).unwrap()
}

/// Every answer is what it was, or an error that names a file.
fn judge(store: &Store, wanted: &[Result<String, Fault>], ids: &[(usize, u128)], what: &str) -> bool {
    let found = whole(store);
    let failed = |answer: &Result<String, Fault>| matches!(answer, Err(Fault::Storage(_)));
    let mut all = found == wanted;
    if !all {
        assert!(found.iter().any(failed), "{what}: other answers, and no error");
        let known: std::collections::HashSet<_> = wanted.iter().map(|answer| format!("{answer:?}")).collect();
        for answer in &found {
            match answer {
                Err(Fault::Storage(error)) => {
                    let text = error.to_string();
                    assert!(text.contains(".log") || text.contains(".idx"), "{what}: {text}");
                }
                answer => assert!(known.contains(&format!("{answer:?}")), "{what}: {answer:?}"),
            }
        }
    }
    for (name, id) in ids {
        let stream = NAMES[*name].to_owned();
        let again = Command::Append { stream, expected: Expected::Any, events: vec![event(*id, 0)] };
        match Draft::new(store).decide(&again, 7) {
            Ok(decided) => {
                assert!(decided.write.is_none(), "{what}: {id} is written again to {}", NAMES[*name]);
            }
            Err(Fault::Storage(_)) => all = false,
            Err(_) => {}
        }
    }
    all
}

#[test]
fn a_damaged_store_is_refused_or_whole_and_a_refusal_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("store");
    let Made { files: whole_files, wanted, ids } = made(&folder, 1);
    let _ = std::fs::remove_dir_all(&folder);
    let other = made(&folder, 2).files;
    let indexes = whole_files.keys().filter(|name| name.ends_with(".idx")).count();
    assert!(indexes >= 3, "several segments are sealed: {:?}", whole_files.keys());
    let (mut refused, mut as_before, mut unreadable) = (0, 0, 0);
    for seed in seeds(1_000) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut damaged = whole_files.clone();
        let what = format!("PENSTOCK_SEED={seed}, {}", damage(&mut damaged, &other, &mut random));
        restore(&folder, &damaged);
        let checked = check(&folder);
        assert!(files(&folder) == damaged, "{what}: a check changed something");
        match open(&folder, SEED, OPTIONS) {
            Err(error) => {
                refused += 1;
                assert!(files(&folder) == damaged, "{what}: refused ({error}), and something changed");
                assert!(
                    checked.map_or(true, |found| !found.damaged.is_empty()),
                    "{what}: not seen by a check"
                );
            }
            Ok(opened) => {
                let store = OnDisk::new(opened);
                match store.look(|store| judge(store, &wanted, &ids, &what)) {
                    true => as_before += 1,
                    false => {
                        unreadable += 1;
                        assert!(!checked.unwrap().damaged.is_empty(), "{what}: not seen by a check");
                    }
                }
            }
        }
    }
    println!(
        "{refused} refused, {as_before} whole, {unreadable} with events that cannot be read, and say so"
    );
}

#[test]
fn a_synced_file_that_is_not_as_it_was_made_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("store");
    let whole_files = made(&folder, 1).files;
    let whole_synced = whole_files["synced"].clone().unwrap();
    for length in [0, 1, 63, 64, 1072, 4095, 4096, 4160, 8191, 8193, 20_000] {
        let mut damaged = whole_files.clone();
        let mut bytes = whole_synced.clone();
        bytes.resize(length, 0);
        damaged.insert("synced".to_owned(), Some(bytes));
        refused(&folder, &damaged, &format!("synced: it has {length} bytes, and is made with 8192"));
    }
    for at in [64, 4095, 4160, 8191] {
        let mut damaged = whole_files.clone();
        damaged.get_mut("synced").unwrap().as_mut().unwrap()[at] = 1;
        refused(&folder, &damaged, &format!("synced: there is something at byte {at}"));
    }
}

fn refused(folder: &Path, damaged: &Files, words: &str) {
    restore(folder, damaged);
    let error = open(folder, SEED, OPTIONS).err().unwrap().to_string();
    assert!(error.contains(words), "{error}");
    assert!(files(folder) == *damaged, "{words}: something changed");
    assert!(!check(folder).unwrap().damaged.is_empty(), "{words}: not seen by a check");
}

#[test]
fn a_folder_of_something_else_is_refused_untouched() {
    let noise = || Some(b"something else".to_vec());
    let foreign = [
        vec![("letter.txt", noise())],
        vec![("penstock", noise())],
        vec![("penstock.new", noise())],
        vec![("00000001.log", noise())],
        vec![("synced", noise())],
        vec![("penstock.new", noise()), ("00000001.log", noise()), ("synced", noise())],
        vec![("lock", noise()), ("0.jnl", noise()), ("keyspaces", None), ("version", noise())],
        vec![("keyspaces", None)],
    ];
    let folder = tempfile::tempdir().unwrap();
    for names in foreign {
        let before: Files = names.into_iter().map(|(name, content)| (name.to_owned(), content)).collect();
        let path = folder.path().join("foreign");
        restore(&path, &before);
        let error = open(&path, SEED, Options::default()).err().unwrap();
        assert!(error.to_string().contains("othing was changed"), "{:?}: {error}", before.keys());
        assert!(files(&path) == before, "{:?}: something changed", before.keys());
    }
}

#[test]
fn a_store_of_every_format_is_opened_with_all_that_is_in_it() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let folder = tempfile::tempdir().unwrap();
    for format in 1..=store_disk::FORMAT {
        let path = folder.path().join(format.to_string());
        restore(&path, &files(&fixtures.join(format!("format-{format}"))));
        let found = check(&path).unwrap();
        assert!(found.damaged.is_empty(), "{:?}", found.damaged);
        assert!(found.whole.iter().any(|line| line.ends_with(".idx: whole")), "{:?}", found.whole);
        let store = OnDisk::new(open(&path, SEED, OPTIONS).unwrap());
        let wanted = std::fs::read_to_string(fixtures.join(format!("format-{format}.txt"))).unwrap();
        assert!(store.look(listed) == wanted, "format {format} is read as it was written");
    }
}

/// A line for every event of the log, and how many events each stream is read with.
fn listed(store: &Store) -> String {
    let (direction, size) = (Direction::Forwards, PageSize::events(10_000));
    let log = store.read_all(&AllRead { from: 0, direction, size, resolve: false, fits: None }, 7).unwrap();
    let mut text = String::new();
    for record in log.events.iter().filter_map(|pair| pair.event.as_ref()) {
        let (name, kind, data) = (record.name(), record.kind(), String::from_utf8_lossy(record.data()));
        let (position, revision, id, created) = (record.position, record.revision, record.id, record.created);
        text += &format!("{position} {name:?} {revision} {id:x} {created} {kind} {data}\n");
    }
    for name in NAMES {
        let read = StreamRead { name, from: 0, direction, size, resolve: false, unlimited: false };
        let events = match store.read_stream(&read, 7) {
            Ok(Found::Stream(found)) => format!("{} events", found.page.events.len()),
            Ok(Found::Missing) => "missing".to_owned(),
            Err(fault) => fault.to_string(),
        };
        text += &format!("{name:?}: {events}\n");
    }
    text
}

/// Writes the fixture of the format that is written now; run it when a format is new, and never for an old one.
#[test]
#[ignore = "writes a fixture, which is kept"]
fn write_the_fixture_of_this_format() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let path = fixtures.join(format!("format-{}", store_disk::FORMAT));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    let options = Options { segment: 6_000, ..OPTIONS };
    let mut random = fastrand::Rng::with_seed(3);
    let mut store = OnDisk::new(open(&path, SEED, options).unwrap());
    for _ in 0..30 {
        store.commit(&[Ask::random(&mut random)]);
    }
    let text = store.look(listed);
    std::fs::write(fixtures.join(format!("format-{}.txt", store_disk::FORMAT)), text).unwrap();
    store.close();
}
