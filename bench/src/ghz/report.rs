//! ghz writes one format a run. The page is what is kept; the summary is read from it.

use std::fmt;
use std::path::Path;

use anyhow::{Context as _, ensure};

/// What ghz says in its page.
pub(super) struct Report {
    /// Name and value as ghz wrote them.
    summary: Vec<(String, String)>,
    /// Percentile and time.
    latencies: Vec<(String, String)>,
    /// gRPC status and count.
    statuses: Vec<(String, u64)>,
    /// Error and count.
    errors: Vec<(String, String)>,
    count: u64,
}

impl Report {
    pub(super) fn read(page: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(page).with_context(|| format!("`{}`", page.display()))?;
        Self::parse(&text).with_context(|| format!("`{}` is not the page of a ghz that this knows", page.display()))
    }

    /// Requests that ghz counted.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Those that were answered with the gRPC status OK.
    pub(super) fn answered(&self) -> u64 {
        self.statuses.iter().filter(|(status, _)| status == "OK").map(|(_, count)| count).sum()
    }

    fn parse(page: &str) -> anyhow::Result<Self> {
        let summary = pairs(cells(section(page, "<h3>Summary</h3>")?));
        let latencies = section(page, "<h3>Latency distribution</h3>")?;
        let (names, times) = latencies.split_once("<tbody>").context("no latencies")?;
        let latencies = cells(names).into_iter().zip(cells(times)).collect();
        let statuses = section(page, "<h3>Status distribution</h3>")?;
        let statuses = rows(statuses)
            .map(|row| Ok((row.0, row.1.parse().with_context(|| format!("`{}` is no count", row.1))?)))
            .collect::<anyhow::Result<Vec<(String, u64)>>>()?;
        let errors = section(page, "<h3>Errors</h3>").map(|table| rows(table).collect()).unwrap_or_default();
        let count = summary.iter().find(|(name, _)| name == "Count").context("no count")?.1.parse()?;
        ensure!(statuses.iter().map(|(_, count)| count).sum::<u64>() == count, "the statuses are not those of {count}");
        Ok(Self { summary, latencies, statuses, errors, count })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Summary:")?;
        for (name, value) in &self.summary {
            writeln!(f, "  {:<16}{value}", format!("{name}:"))?;
        }
        writeln!(f, "Latency distribution:")?;
        for (percentile, time) in &self.latencies {
            writeln!(f, "  {percentile} in {time}")?;
        }
        writeln!(f, "Status code distribution:")?;
        for (status, count) in &self.statuses {
            writeln!(f, "  [{status}]   {count} responses")?;
        }
        for (error, count) in &self.errors {
            writeln!(f, "Error: [{count}]   {error}")?;
        }
        Ok(())
    }
}

/// The first table after `heading`.
fn section<'a>(page: &'a str, heading: &str) -> anyhow::Result<&'a str> {
    let after = page.split_once(heading).with_context(|| format!("no `{heading}`"))?.1;
    Ok(after.split_once("</table>").context("no table")?.0)
}

/// The texts of the cells, those of the head included.
fn cells(table: &str) -> Vec<String> {
    let cells = table.split("<t").filter(|part| part.starts_with("h>") || part.starts_with("d>"));
    cells.filter_map(|cell| Some(cell.get(2..)?.split_once("</t")?.0.trim().to_owned())).collect()
}

fn pairs(cells: Vec<String>) -> Vec<(String, String)> {
    let mut cells = cells.into_iter();
    std::iter::from_fn(|| Some((cells.next()?, cells.next()?))).collect()
}

/// The first two cells of each row of the body.
fn rows(table: &str) -> impl Iterator<Item = (String, String)> {
    let body = table.split_once("<tbody>").map_or("", |(_, body)| body);
    body.split("<tr>").filter_map(|row| pairs(cells(row)).into_iter().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "<h3>Summary</h3></a><table class=\"table\"><tbody>
        <tr><th>Count</th><td>12</td></tr><tr>\n<th>Requests / sec</th>\n<td>1084.75</td></tr></tbody></table>
        <h3>Latency distribution</h3><table><thead><tr>\n<th>50 %</th>\n\n<th>99 %</th></tr></thead>
        <tbody><tr><td>0.15 ms</td><td>3.00 ms</td></tr></tbody></table>
        <h3>Status distribution</h3><table><thead><tr><th>Status</th><th>Count</th><th>% of Total</th></tr></thead>
        <tbody>\n<tr><td>OK</td>\n<td>11</td><td>91.67 %</td></tr>
        <tr><td>Unavailable</td><td>1</td><td>8.33 %</td></tr></tbody></table>";

    #[test]
    fn the_page_is_read_as_it_says() {
        let report = Report::parse(PAGE).unwrap();
        assert_eq!((report.count(), report.answered()), (12, 11));
        let text = report.to_string();
        for line in ["  Requests / sec: 1084.75\n", "  99 % in 3.00 ms\n", "  [Unavailable]   1 responses\n"] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }

    #[test]
    fn another_page_is_refused() {
        assert!(Report::parse("<html></html>").is_err());
        assert!(Report::parse(&PAGE.replace("<td>12</td>", "<td>13</td>")).is_err());
    }
}
