//! Documents, as far as tests hold them to the program.
#![allow(dead_code, reason = "each suite uses a part")]

use std::collections::BTreeMap;

/// The fenced blocks of a document, each with what stands behind its opening fence, without their indentation.
pub(crate) fn blocks(markdown: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String, String)> = None;
    for line in markdown.lines() {
        let inner = line.trim_start();
        match (&mut open, inner.strip_prefix("```")) {
            (None, Some(info)) => open = Some((line.len() - inner.len(), info.to_owned(), String::new())),
            (Some(_), Some("")) => found.extend(open.take().map(|(_, info, text)| (info, text))),
            (Some((indent, _, text)), _) => *text += &format!("{}\n", line.get(*indent..).unwrap_or_default()),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block that does not end");
    found
}

/// The lines that are in no fenced block.
pub(crate) fn running_text(markdown: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    markdown.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// The targets of links and pictures in running text.
pub(crate) fn links(markdown: &str) -> Vec<&str> {
    let targets = |line: &'_ str| -> Vec<std::ops::Range<usize>> {
        let begins = line.match_indices("](").map(|(at, _)| at + 2);
        begins.filter_map(|begin| Some(begin..begin + line.get(begin..)?.find(')')?)).collect()
    };
    running_text(markdown).flat_map(|line| targets(line).into_iter().filter_map(|range| line.get(range))).collect()
}

/// The anchors of a document's headings, as GitHub and mdBook make them.
pub(crate) fn anchors(markdown: &str) -> Vec<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let headings = running_text(markdown).filter(|line| line.starts_with('#'));
    headings
        .map(|heading| {
            let text = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = text.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
            let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
            let count = seen.entry(anchor.clone()).or_default();
            *count += 1;
            if *count == 1 { anchor } else { format!("{anchor}-{}", *count - 1) }
        })
        .collect()
}
