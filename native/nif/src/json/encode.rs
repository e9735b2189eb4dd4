//! Terms to JSON text.

use rustler::{Binary, MapIterator, Term, TermType};

use terms::integer;

/// As deep as a document that can be read.
const MAX_DEPTH: usize = 127;

/// Why nothing was written.
pub enum Stop {
    /// It is more than the budget allows.
    Large,
    /// Something has no form in JSON: which, and where.
    Unfit(String),
}

/// Writes a term, as long as its text and its parts stay within the budget.
pub fn encode(term: Term, budget: usize) -> Result<Vec<u8>, Stop> {
    let mut writer = Writer { out: Vec::with_capacity(128), path: Vec::new(), parts: 0, budget };
    writer.value(term)?;
    Ok(writer.out)
}

struct Writer {
    out: Vec<u8>,
    path: Vec<Step>,
    parts: usize,
    budget: usize,
}

/// A way into a map or list; a key is kept as its place in the text, so that nothing is allocated while all is well.
enum Step {
    Key { start: usize, end: usize },
    Item(usize),
}

impl Writer {
    fn value(&mut self, term: Term) -> Result<(), Stop> {
        self.parts += 1;
        if self.out.len().max(self.parts) > self.budget {
            return Err(Stop::Large);
        }
        if self.path.len() > MAX_DEPTH {
            return Err(Stop::Unfit(format!("the term is nested deeper than {MAX_DEPTH} levels")));
        }
        match term.get_type() {
            TermType::Binary => self.binary(term),
            TermType::Integer => self.integer(term),
            TermType::Map => self.map(term),
            TermType::List => self.list(term),
            TermType::Atom => self.atom(term),
            TermType::Float => self.float(term),
            TermType::Tuple => Err(self.unfit("a tuple")),
            TermType::Pid => Err(self.unfit("a pid")),
            TermType::Ref => Err(self.unfit("a reference")),
            TermType::Fun => Err(self.unfit("a function")),
            TermType::Port => Err(self.unfit("a port")),
            _ => Err(self.unfit("no data")),
        }
    }

    fn binary(&mut self, term: Term) -> Result<(), Stop> {
        let binary: Binary = term.decode().map_err(|_| self.unfit("a bitstring"))?;
        if binary.len() > self.budget {
            return Err(Stop::Large);
        }
        let text = std::str::from_utf8(&binary).map_err(|_| self.unfit("a binary that is not UTF-8"))?;
        self.string(text)
    }

    fn string(&mut self, text: &str) -> Result<(), Stop> {
        serde_json::to_writer(&mut self.out, text).map_err(|error| Stop::Unfit(error.to_string()))
    }

    fn integer(&mut self, term: Term) -> Result<(), Stop> {
        let digits = self.digits(term)?;
        self.out.extend_from_slice(digits.as_bytes());
        Ok(())
    }

    fn digits(&self, term: Term) -> Result<String, Stop> {
        if let Ok(value) = term.decode::<i64>() {
            return Ok(value.to_string());
        }
        large(term)
            .ok_or_else(|| self.unfit(&format!("an integer of more than {} digits", integer::MAX_DIGITS)))
    }

    fn float(&mut self, term: Term) -> Result<(), Stop> {
        let value: f64 = term.decode().map_err(|_| self.unfit("no finite float"))?;
        serde_json::to_writer(&mut self.out, &value).map_err(|error| Stop::Unfit(error.to_string()))
    }

    fn atom(&mut self, term: Term) -> Result<(), Stop> {
        match self.name(term)?.as_str() {
            "nil" | "null" => self.out.extend_from_slice(b"null"),
            // to some null, to others that there is nothing: whoever means the one or the other can say so
            "undefined" => return Err(self.unfit("the atom undefined (write null, or leave it out)")),
            word @ ("true" | "false") => self.out.extend_from_slice(word.as_bytes()),
            name => return self.string(name),
        }
        Ok(())
    }

    fn name(&self, term: Term) -> Result<String, Stop> {
        term.atom_to_string().map_err(|_| self.unfit("an atom that is not UTF-8"))
    }

    fn list(&mut self, term: Term) -> Result<(), Stop> {
        self.out.push(b'[');
        let (mut rest, mut place) = (term, 0);
        while let Ok((item, tail)) = rest.list_get_cell() {
            if place > 0 {
                self.out.push(b',');
            }
            self.path.push(Step::Item(place));
            self.value(item)?;
            self.path.pop();
            (rest, place) = (tail, place + 1);
        }
        if !rest.is_empty_list() {
            return Err(self.unfit("an improper list"));
        }
        self.out.push(b']');
        Ok(())
    }

    fn map(&mut self, term: Term) -> Result<(), Stop> {
        if let Ok(module) = term.map_get(super::atoms::__struct__()) {
            let name = module.atom_to_string().unwrap_or_default();
            let name = name.strip_prefix("Elixir.").unwrap_or(&name);
            return Err(self.unfit(&format!("a struct ({name})")));
        }
        let entries = MapIterator::new(term).ok_or_else(|| self.unfit("no map"))?;
        self.out.push(b'{');
        for (place, (key, value)) in entries.enumerate() {
            if place > 0 {
                self.out.push(b',');
            }
            let start = self.out.len();
            self.key(key)?;
            self.path.push(Step::Key { start, end: self.out.len() });
            self.out.push(b':');
            self.value(value)?;
            self.path.pop();
        }
        self.out.push(b'}');
        Ok(())
    }

    fn key(&mut self, key: Term) -> Result<(), Stop> {
        match key.get_type() {
            TermType::Binary => self.binary(key),
            TermType::Atom => {
                let name = self.name(key)?;
                self.string(&name)
            }
            TermType::Integer => {
                let digits = self.digits(key)?;
                self.string(&digits)
            }
            _ => Err(Stop::Unfit(format!(
                "a key of the map at {} is {}; keys of JSON are binaries, atoms and integers",
                self.place(),
                shown(key)
            ))),
        }
    }

    fn unfit(&self, what: &str) -> Stop {
        Stop::Unfit(format!(
            "{} is {what}; JSON takes maps, lists, UTF-8 binaries, numbers, atoms, true, false and nil",
            self.place()
        ))
    }

    /// Where in the term the writer is: `$` is the whole.
    fn place(&self) -> String {
        let mut text = String::from("$");
        for step in &self.path {
            match step {
                Step::Key { start, end } => {
                    let key = self.out.get(*start..*end).unwrap_or_default();
                    text.push_str(&format!("[{}]", String::from_utf8_lossy(key)));
                }
                Step::Item(place) => text.push_str(&format!("[{place}]")),
            }
        }
        text
    }
}

/// The digits of an integer that fits no 64 bits; `None` when they are too many.
fn large(term: Term) -> Option<String> {
    let external = term.to_binary();
    let (sign, bytes) = match external.as_slice() {
        [131, 110, _, sign, bytes @ ..] | [131, 111, _, _, _, _, sign, bytes @ ..] => (*sign, bytes),
        _ => return None,
    };
    let text = integer::digits(bytes)?;
    Some(if sign == 0 { text } else { format!("-{text}") })
}

/// Its kind, not its text: that may be larger than any memory.
fn shown(term: Term) -> &'static str {
    match term.get_type() {
        TermType::Tuple => "a tuple",
        TermType::List => "a list",
        TermType::Map => "a map",
        TermType::Float => "a float",
        TermType::Pid => "a pid",
        TermType::Ref => "a reference",
        TermType::Fun => "a function",
        TermType::Port => "a port",
        _ => "something else",
    }
}
