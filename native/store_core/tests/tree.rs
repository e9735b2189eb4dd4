//! In every crate of the workspace the files form a tree of layers: none depends on one that depends on it, however many
//! lie between. What two files need of one another belongs into a third one below them.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A module by its names, from the root on.
type Module = Vec<String>;
type Graph = BTreeMap<Module, BTreeSet<Module>>;

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The module that a file is. The root is none: it only says what there is.
fn module(source: &Path, file: &Path) -> Option<Module> {
    let path = file.strip_prefix(source).unwrap().with_extension("");
    let mut names: Module = path.iter().map(|name| name.to_str().unwrap().to_owned()).collect();
    if names.last().is_some_and(|last| last == "mod") {
        names.pop();
    }
    let root = names.len() == 1 && ["lib", "main"].contains(&names[0].as_str());
    (!root).then_some(names)
}

/// Code without comments, and without the tests at its end, which may use whatever they like.
fn code(text: &str) -> String {
    let lines = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]"));
    lines.map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// Every path of names that begins with `crate` or `super`, also those of a tree of uses.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for start in ["crate", "super"] {
        for (at, _) in code.match_indices(&format!("{start}::")) {
            let before = code[..at].chars().next_back();
            if before.is_none_or(|before| !before.is_alphanumeric() && before != '_' && before != ':') {
                path(&code[at..], &mut Vec::new(), &mut found);
            }
        }
    }
    found
}

/// The paths that begin here, behind those names; where they end.
fn path(code: &str, before: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> usize {
    let length = before.len();
    let mut at = 0;
    loop {
        let name: String =
            code[at..].chars().take_while(|part| part.is_alphanumeric() || *part == '_').collect();
        at += name.len();
        before.push(name);
        if !code[at..].starts_with("::") {
            found.push(before.clone());
            break;
        }
        at += 2;
        if code[at..].starts_with('{') {
            at += 1;
            loop {
                at += code[at..].len() - code[at..].trim_start_matches([' ', '\n', ',']).len();
                if code[at..].is_empty() || code[at..].starts_with('}') {
                    at = (at + 1).min(code.len());
                    break;
                }
                let read = path(&code[at..], before, found);
                // What is no name, as `*`, is passed over.
                at += read.max(1);
            }
            break;
        }
    }
    before.truncate(length);
    at
}

/// Which file of a crate uses which others.
fn graph(source: &Path) -> Graph {
    let mut all = Vec::new();
    files(source, &mut all);
    let modules: BTreeMap<Module, PathBuf> =
        all.into_iter().filter_map(|file| Some((module(source, &file)?, file))).collect();
    let uses = |module: &Module, file: &PathBuf| {
        let text = std::fs::read_to_string(file).unwrap();
        let mut used = BTreeSet::new();
        for path in paths(&code(&text)) {
            let mut names: Module =
                if path[0] == "super" { module[..module.len() - 1].to_vec() } else { Vec::new() };
            for name in &path[1..] {
                if name == "super" {
                    names.pop();
                } else {
                    names.push(name.clone());
                }
            }
            while !names.is_empty() && !modules.contains_key(&names) {
                names.pop();
            }
            if !names.is_empty() && names != *module {
                used.insert(names);
            }
        }
        used
    };
    modules.iter().map(|(module, file)| (module.clone(), uses(module, file))).collect()
}

/// Files that depend on one another, in a circle; without one, nothing.
fn circle(graph: &Graph) -> Vec<String> {
    let mut left = graph.clone();
    // What depends on nothing that is left is no part of a circle, again and again.
    while let Some(leaf) = left.iter().find(|(_, used)| used.is_empty()).map(|(module, _)| module.clone()) {
        left.remove(&leaf);
        for used in left.values_mut() {
            used.remove(&leaf);
        }
    }
    let Some(mut module) = left.keys().next() else { return Vec::new() };
    let mut walked = vec![module];
    loop {
        module = left[module].first().unwrap();
        if let Some(start) = walked.iter().position(|other| *other == module) {
            return walked[start..].iter().chain([&module]).map(|module| module.join("::")).collect();
        }
        walked.push(module);
    }
}

#[test]
fn no_files_of_a_crate_depend_on_one_another_in_a_circle() {
    let native = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut looked_at = 0;
    for entry in std::fs::read_dir(native).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let source = folder.join("src");
        if !source.is_dir() {
            continue;
        }
        let circle = circle(&graph(&source));
        assert!(circle.is_empty(), "{name}: {}", circle.join(" uses "));
        looked_at += 1;
    }
    assert!(looked_at >= 10, "{looked_at} crates");
}

#[test]
fn a_circle_is_found_in_every_form_of_use_and_tests_and_comments_are_none() {
    let names = |text: &str| {
        let found = paths(&code(text)).into_iter().map(|path| path.join("::"));
        found.collect::<Vec<_>>()
    };
    assert_eq!(
        names("use crate::{\n    a::B,\n    c::{self, d::E},\n    f,\n};"),
        ["crate::a::B", "crate::c::self", "crate::c::d::E", "crate::f",]
    );
    assert_eq!(names("fn f() { crate::a::b(super::c::D) } // crate::x::y"), ["crate::a::b", "super::c::D"]);
    assert!(names("use std::io;\n#[cfg(test)]\nmod tests { use crate::a; }").is_empty());
    let graph = |uses: &[(&str, &[&str])]| -> Graph {
        let module = |name: &&str| vec![(*name).to_owned()];
        uses.iter().map(|(name, used)| (module(name), used.iter().map(module).collect())).collect()
    };
    assert!(circle(&graph(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &[])])).is_empty());
    assert_eq!(circle(&graph(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"])])), ["b", "c", "b"]);
}
