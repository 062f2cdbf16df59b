//! Source: what does the code say, line by line, to a reader that is no compiler?
//!
//! It relies on the formatter: what is open is closed at its own indentation.

use std::path::Path;

/// A file of the repository.
pub(crate) struct File {
    /// Its path from the root of the repository, with `/` between folders.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    /// The module of `src` or `dataflows` that it belongs to.
    pub(crate) fn module(&self) -> &str {
        let inside = self.path.split_once('/').map_or("", |(_, inside)| inside);
        inside.split(['/', '.']).next().unwrap_or_default()
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(place, line)| (place + 1, line))
    }
}

/// All text files below `folder` of the repository whose names end in one of `endings`.
pub(crate) fn files(folder: &str, endings: &[&str]) -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join(folder)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if path.is_dir() {
                if name != "target" && (!name.starts_with('.') || name == ".ci") {
                    folders.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                let inside = path.strip_prefix(root).expect("it was found there");
                let inside = inside.to_string_lossy().replace('\\', "/");
                let text = std::fs::read(&path).expect("what is listed can be read");
                let text = String::from_utf8_lossy(&text).into_owned();
                found.push(File { path: inside, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(folder != "." || !found.is_empty(), "the repository has files");
    found
}

/// A function: its line, its name with what follows, its signature, and how many lines it has.
pub(crate) struct Function<'a> {
    pub(crate) line: usize,
    pub(crate) head: &'a str,
    pub(crate) public: bool,
    pub(crate) lines: usize,
}

impl<'a> Function<'a> {
    pub(crate) fn name(&self) -> &'a str {
        self.head.split(['(', '<']).next().unwrap_or_default()
    }
}

/// The functions of a file, which is formatted: the end of one has the indentation of its start.
pub(crate) fn functions(text: &str) -> Vec<Function<'_>> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (place, line) in lines.iter().enumerate() {
        let bare = line.trim_start();
        let (before, head) = match bare.split_once("fn ") {
            Some((before, head)) if !bare.starts_with("//") => (before, head),
            _ => continue,
        };
        let modifiers = ["pub", "pub(crate)", "pub(super)", "const", "unsafe", "async"];
        if !before.split_whitespace().all(|word| modifiers.contains(&word)) {
            continue;
        }
        let indent = &line[..line.len() - bare.len()];
        let rest = lines[place..].iter();
        let end = match rest.clone().position(|line| line.ends_with([';', '{', '}'])) {
            Some(ends) if lines[place + ends].ends_with('{') => {
                let closes = |line: &&str| line.strip_prefix(indent) == Some("}");
                rest.clone().position(closes).unwrap_or(ends)
            }
            Some(ends) => ends,
            None => continue,
        };
        let public = before.starts_with("pub");
        found.push(Function { line: place + 1, head, public, lines: end + 1 });
    }
    found
}

/// Splits what stands between braces at its commas, and puts `prefix` before each part.
fn expand(prefix: &str, tree: &str, into: &mut Vec<String>) {
    let tree = tree.trim();
    let Some((head, inner)) = tree.split_once('{') else {
        if !tree.is_empty() {
            let (path, _) = tree.split_once(" as ").unwrap_or((tree, ""));
            into.push(format!("{prefix}{path}"));
        }
        return;
    };
    let inner = inner.strip_suffix('}').unwrap_or(inner);
    let (mut depth, mut start) = (0, 0);
    for (place, letter) in inner.char_indices().chain([(inner.len(), ',')]) {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&format!("{prefix}{head}"), &inner[start..place], into);
                start = place + 1;
            }
            _ => {}
        }
    }
}

/// The paths that `text` imports or names from its crate's root, each with its line.
pub(crate) fn paths(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (place, line) in text.lines().enumerate() {
        let bare = line.trim_start();
        if bare.starts_with("//") {
            continue;
        }
        let used = bare.split_once("use ").filter(|(before, _)| {
            before.is_empty()
                || (before.starts_with("pub") && !before.contains(' '))
                || before.trim_end() == "pub"
                || before.trim_end().ends_with(')')
        });
        match (&mut open, used) {
            (None, Some((_, tree))) => open = Some((place + 1, tree.to_owned())),
            (Some((_, tree)), _) => tree.push_str(bare),
            (None, None) => {
                for after in bare.split("crate::").skip(1) {
                    let end = after.find(|c: char| !(c.is_alphanumeric() || "_:".contains(c)));
                    let path = after.get(..end.unwrap_or(after.len())).unwrap_or_default();
                    found.push((place + 1, format!("crate::{}", path.trim_end_matches(':'))));
                }
            }
        }
        if let Some((line, tree)) = open.take_if(|(_, tree)| tree.ends_with(';')) {
            let mut all = Vec::new();
            expand("", tree.trim_end_matches(';'), &mut all);
            found.extend(all.into_iter().map(|path| (line, path)));
        }
    }
    found
}

/// The batch twin of a dataflow, and all else that stands in its file.
pub(crate) fn twin(text: &str) -> Option<(usize, &str, String)> {
    let start = text.find("\nmod batch {\n")? + 1;
    let length = text[start..].find("\n}\n")? + 3;
    let others = format!("{}{}", &text[..start], &text[start + length..]);
    Some((text[..start].lines().count(), &text[start..start + length], others))
}
