//! A run as JUnit XML: a suite for each file, a failure for each case that came out otherwise, an error for what could not
//! be decided.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::pass::{Done, Otherwise, Outcome, Pass};
use crate::cases::Fault;
use crate::cli::printable::Printable;

/// What a file brought.
#[derive(Default)]
struct Suite<'p> {
    done: Vec<&'p Done>,
    faults: Vec<&'p Fault>,
}

pub(super) fn document(pass: &Pass) -> String {
    let mut suites: BTreeMap<&Path, Suite<'_>> = BTreeMap::new();
    for file in &pass.files {
        suites.entry(file).or_default();
    }
    pass.done.iter().for_each(|done| suites.entry(&done.case.place.file).or_default().done.push(done));
    pass.faults.iter().for_each(|fault| suites.entry(&fault.file).or_default().faults.push(fault));
    let mut bytes = Vec::new();
    // Writing to memory does not fail.
    let _ = write(&suites, &mut Writer::new_with_indent(&mut bytes, b' ', 2));
    bytes.push(b'\n');
    String::from_utf8_lossy(&bytes).into_owned()
}

fn write(suites: &BTreeMap<&Path, Suite<'_>>, xml: &mut Writer<&mut Vec<u8>>) -> io::Result<()> {
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    xml.create_element("testsuites")
        .with_attribute(("name", "tollgate"))
        .write_inner_content(|xml| suites.iter().try_for_each(|(file, suite)| suite.write(file, xml)))?;
    Ok(())
}

impl Suite<'_> {
    fn write(&self, file: &Path, xml: &mut Writer<&mut Vec<u8>>) -> io::Result<()> {
        let name = plain(&file.display().to_string());
        let count = |is: fn(&Outcome) -> bool| self.done.iter().filter(|done| is(&done.outcome)).count();
        let failed = count(|outcome| matches!(outcome, Outcome::Failed(_))).to_string();
        let errors = self.faults.len() + count(|outcome| matches!(outcome, Outcome::Undecided(_)));
        let tests = (self.done.len() + self.faults.len()).to_string();
        let took: f64 = self.done.iter().map(|done| done.took.as_secs_f64()).sum();
        let (errors, took) = (errors.to_string(), seconds(took));
        let suite = xml.create_element("testsuite").with_attributes([
            ("name", name.as_str()),
            ("tests", &tests),
            ("failures", &failed),
            ("errors", &errors),
            ("time", &took),
        ]);
        suite.write_inner_content(|xml| {
            self.done.iter().try_for_each(|done| case(done, &name, xml))?;
            self.faults.iter().try_for_each(|fault| self::fault(fault, &name, xml))
        })?;
        Ok(())
    }
}

fn case(done: &Done, file: &str, xml: &mut Writer<&mut Vec<u8>>) -> io::Result<()> {
    let (name, line) = (plain(&done.case.name), done.case.place.position.0.to_string());
    let took = seconds(done.took.as_secs_f64());
    let element = xml.create_element("testcase").with_attributes([
        ("classname", file),
        ("name", name.as_str()),
        ("file", file),
        ("line", &line),
        ("time", &took),
    ]);
    match &done.outcome {
        Outcome::Passed => element.write_empty()?,
        Outcome::Failed(otherwise) => element.write_inner_content(|xml| {
            let (short, whole) = told(otherwise);
            said("failure", &short, &whole, xml)
        })?,
        Outcome::Undecided(error) => element.write_inner_content(|xml| said("error", error, error, xml))?,
    };
    Ok(())
}

fn fault(fault: &Fault, file: &str, xml: &mut Writer<&mut Vec<u8>>) -> io::Result<()> {
    let line = fault.position.map_or(1, |(line, _)| line).to_string();
    let name = if fault.path.is_empty() { "the file".to_owned() } else { plain(&fault.path) };
    let element = xml.create_element("testcase").with_attributes([
        ("classname", file),
        ("name", name.as_str()),
        ("file", file),
        ("line", &line),
        ("time", "0"),
    ]);
    element.write_inner_content(|xml| said("error", &fault.message, &fault.to_string(), xml))?;
    Ok(())
}

fn said(element: &str, short: &str, whole: &str, xml: &mut Writer<&mut Vec<u8>>) -> io::Result<()> {
    let (short, whole) = (plain(short), Printable::lines(whole).to_string());
    xml.create_element(element)
        .with_attribute(("message", short.as_str()))
        .write_text_content(BytesText::new(&whole))?;
    Ok(())
}

/// What differs, in one line and in several.
fn told(otherwise: &Otherwise) -> (String, String) {
    let (mut short, mut whole) = (Vec::new(), String::new());
    for one in otherwise.compared.iter().filter(|one| !one.agrees()) {
        short.push(format!("{}: expected {}, got {}", one.what, one.expected, one.got));
    }
    for line in &short {
        let _ = writeln!(whole, "{line}");
    }
    for line in &otherwise.because {
        let _ = writeln!(whole, "because {line}");
    }
    (short.join("; "), whole)
}

/// XML 1.0 has no characters for most controls (§2.2), not even escaped: they are shown as elsewhere.
fn plain(text: &str) -> String {
    Printable::line(text).to_string()
}

fn seconds(seconds: f64) -> String {
    format!("{seconds:.6}")
}
