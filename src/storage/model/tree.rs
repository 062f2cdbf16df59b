//! Tree: which names may a disk hold after the power was cut?
//!
//! A folder maps names to nodes. What is created, renamed, linked and removed is seen at once, and
//! kept until the folder is synced. When power is cut, each name has seen the first few of its
//! changes, and other names others; a rename is one change of two names.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};

use super::bytes::Bytes;
use super::dice::Dice;
use crate::storage::split;

/// The number of the root.
const ROOT: usize = 0;

/// The names in a folder.
type Names = BTreeMap<String, usize>;

/// A file or a folder.
#[derive(Debug)]
pub(super) enum Node {
    File(Bytes),
    /// What a reader sees, and what is surely on the disk.
    Dir(Names, Names),
}

/// What became of a name: in which folder, which name, and what it stands for from now on.
type Entry = (usize, String, Option<usize>);

/// A change of names that is not yet on the disk.
#[derive(Debug)]
struct Change {
    entries: Vec<Entry>,
    /// The folders that are still to be synced.
    waits: Vec<usize>,
}

/// All files and folders.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    pending: Vec<Change>,
}

impl Tree {
    /// No more than a root.
    pub(super) fn new() -> Tree {
        Tree { nodes: vec![Node::Dir(Names::new(), Names::new())], pending: Vec::new() }
    }

    /// The number of a file or folder.
    pub(super) fn find(&self, name: &str) -> io::Result<usize> {
        let parts = name.split('/').filter(|part| !part.is_empty());
        let mut at = ROOT;
        for part in parts {
            let Node::Dir(names, _) = &self.nodes[at] else { return Err(absent(name)) };
            at = *names.get(part).ok_or_else(|| absent(name))?;
        }
        Ok(at)
    }

    /// The bytes of a file.
    pub(super) fn file(&self, at: usize) -> io::Result<&Bytes> {
        match &self.nodes[at] {
            Node::File(bytes) => Ok(bytes),
            Node::Dir(..) => Err(ErrorKind::IsADirectory.into()),
        }
    }

    /// The bytes of a file, to be changed.
    pub(super) fn file_mut(&mut self, at: usize) -> io::Result<&mut Bytes> {
        match &mut self.nodes[at] {
            Node::File(bytes) => Ok(bytes),
            Node::Dir(..) => Err(ErrorKind::IsADirectory.into()),
        }
    }

    /// The names in a folder.
    pub(super) fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        match self.find(dir).map(|at| &self.nodes[at]) {
            Ok(Node::Dir(names, _)) => Ok(names.keys().cloned().collect()),
            Ok(Node::File(_)) => Err(ErrorKind::NotADirectory.into()),
            Err(_) => Ok(Vec::new()),
        }
    }

    /// The bytes of all files that have a name.
    pub(super) fn used(&self) -> u64 {
        let mut seen = BTreeSet::new();
        let mut dirs = vec![ROOT];
        let mut used = 0;
        while let Some(at) = dirs.pop() {
            let Node::Dir(names, _) = &self.nodes[at] else { continue };
            for at in names.values().copied().filter(|at| seen.insert(*at)) {
                match &self.nodes[at] {
                    Node::File(bytes) => used += bytes.cache.len(),
                    Node::Dir(..) => dirs.push(at),
                }
            }
        }
        u64::try_from(used).unwrap_or(u64::MAX)
    }

    /// Makes a file, and gives its number.
    pub(super) fn create(&mut self, name: &str) -> io::Result<usize> {
        self.add(name, Node::File(Bytes::default()))
    }

    /// Makes a folder and those above it.
    pub(super) fn make_dir(&mut self, dir: &str) -> io::Result<()> {
        let mut ends: Vec<usize> = dir.match_indices('/').map(|(end, _)| end).collect();
        ends.push(dir.len());
        for end in ends {
            match self.find(&dir[..end]).map(|at| &self.nodes[at]) {
                Ok(Node::Dir(..)) => {}
                Ok(Node::File(_)) => return Err(ErrorKind::AlreadyExists.into()),
                Err(_) => {
                    self.add(&dir[..end], Node::Dir(Names::new(), Names::new()))?;
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, name: &str, node: Node) -> io::Result<usize> {
        let (dir, last) = self.parent(name)?;
        if self.find(name).is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let at = self.nodes.len();
        self.nodes.push(node);
        self.change(vec![(dir, last, Some(at))]);
        Ok(at)
    }

    pub(super) fn link(&mut self, from: &str, to: &str) -> io::Result<()> {
        let at = self.find(from)?;
        self.file(at)?;
        let (dir, last) = self.parent(to)?;
        if self.find(to).is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.change(vec![(dir, last, Some(at))]);
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let at = self.find(from)?;
        let (old, new) = (self.parent(from)?, self.parent(to)?);
        if let Ok(there) = self.find(to)
            && (self.file(at).is_err() || self.file(there).is_err())
        {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.change(vec![(new.0, new.1, Some(at)), (old.0, old.1, None)]);
        Ok(())
    }

    pub(super) fn remove(&mut self, name: &str) -> io::Result<()> {
        let at = self.find(name)?;
        self.file(at)?;
        let (dir, last) = self.parent(name)?;
        self.change(vec![(dir, last, None)]);
        Ok(())
    }

    /// Removes a folder with all in it.
    pub(super) fn remove_dir_all(&mut self, dir: &str) -> io::Result<()> {
        let Ok(at) = self.find(dir) else { return Ok(()) };
        let Node::Dir(names, _) = &self.nodes[at] else {
            return Err(ErrorKind::NotADirectory.into());
        };
        let inside: Vec<(String, usize)> =
            names.iter().map(|(name, at)| (format!("{dir}/{name}"), *at)).collect();
        for (name, at) in inside {
            match self.nodes[at] {
                Node::File(_) => self.remove(&name)?,
                Node::Dir(..) => self.remove_dir_all(&name)?,
            }
        }
        let (dir, last) = self.parent(dir)?;
        self.change(vec![(dir, last, None)]);
        Ok(())
    }

    /// The folder of a name, and its last part.
    fn parent(&self, name: &str) -> io::Result<(usize, String)> {
        let (dir, last) = split(name);
        let dir = self.find(dir)?;
        match &self.nodes[dir] {
            Node::Dir(..) if !last.is_empty() => Ok((dir, last.to_owned())),
            _ => Err(ErrorKind::InvalidInput.into()),
        }
    }

    /// Notes a change that readers see at once.
    fn change(&mut self, entries: Vec<Entry>) {
        let mut waits = Vec::new();
        for (dir, name, to) in &entries {
            if let Node::Dir(names, _) = &mut self.nodes[*dir] {
                set(names, name, *to);
            }
            if !waits.contains(dir) {
                waits.push(*dir);
            }
        }
        self.pending.push(Change { entries, waits });
    }

    /// Takes to the disk all changes that wait for no other folder, with all of the same names that
    /// came before them.
    pub(super) fn sync_dir(&mut self, dir: &str) -> io::Result<()> {
        let dir = self.find(dir)?;
        let mut needed: BTreeSet<(usize, String)> = BTreeSet::new();
        let mut ready = Vec::new();
        for change in self.pending.iter_mut().rev() {
            change.waits.retain(|wait| *wait != dir);
            let names = || change.entries.iter().map(|(dir, name, _)| (*dir, name.clone()));
            let now = change.waits.is_empty() || names().any(|name| needed.contains(&name));
            if now {
                needed.extend(names());
            }
            ready.push(now);
        }
        for change in std::mem::take(&mut self.pending) {
            if ready.pop().unwrap_or(false) {
                self.settle(&change.entries);
            } else {
                self.pending.push(change);
            }
        }
        Ok(())
    }

    fn settle(&mut self, entries: &[Entry]) {
        for (dir, name, to) in entries {
            if let Node::Dir(_, disk) = &mut self.nodes[*dir] {
                set(disk, name, *to);
            }
        }
    }

    /// What is on the disk if power is cut now.
    pub(super) fn remains(&self, dice: &mut Dice) -> Tree {
        let mut disk: BTreeMap<usize, Names> = BTreeMap::new();
        for (at, node) in self.nodes.iter().enumerate() {
            if let Node::Dir(_, names) = node {
                disk.insert(at, names.clone());
            }
        }
        let odds = 1 + dice.below(4);
        let mut stopped: BTreeSet<(usize, &str)> = BTreeSet::new();
        for change in &self.pending {
            let names = || change.entries.iter().map(|(dir, name, _)| (*dir, name.as_str()));
            if names().any(|name| stopped.contains(&name)) || dice.once_in(odds) {
                stopped.extend(names());
                continue;
            }
            for (dir, name, to) in &change.entries {
                if let Some(names) = disk.get_mut(dir) {
                    set(names, name, *to);
                }
            }
        }
        let mut tree = Tree { nodes: Vec::new(), pending: Vec::new() };
        tree.copy(self, &disk, ROOT, &mut BTreeMap::new(), dice);
        tree
    }

    /// Copies a node of `old` with all below it; gives its new number.
    fn copy(
        &mut self,
        old: &Tree,
        disk: &BTreeMap<usize, Names>,
        at: usize,
        copied: &mut BTreeMap<usize, usize>,
        dice: &mut Dice,
    ) -> usize {
        if let Some(number) = copied.get(&at) {
            return *number;
        }
        let number = self.nodes.len();
        copied.insert(at, number);
        match &old.nodes[at] {
            Node::File(bytes) => {
                self.nodes.push(Node::File(Bytes::durable(bytes.remains(dice))));
            }
            Node::Dir(..) => {
                self.nodes.push(Node::Dir(Names::new(), Names::new()));
                let mut names = Names::new();
                for (name, at) in disk.get(&at).into_iter().flatten() {
                    names.insert(name.clone(), self.copy(old, disk, *at, copied, dice));
                }
                self.nodes[number] = Node::Dir(names.clone(), names);
            }
        }
        number
    }
}

fn set(names: &mut Names, name: &str, to: Option<usize>) {
    match to {
        Some(at) => names.insert(name.to_owned(), at),
        None => names.remove(name),
    };
}

fn absent(name: &str) -> io::Error {
    io::Error::new(ErrorKind::NotFound, format!("the model has no {name}"))
}
