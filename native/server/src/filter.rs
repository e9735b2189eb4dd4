//! Filters of the log: by the type of an event or the name of its stream.

use fancy_regex::Regex;
use store_core::Record;
use tonic::Status;
use wire::proto::streams::read_req::options::FilterOptions;
use wire::proto::streams::read_req::options::filter_options::{Expression, Filter as Asked, Window};

use crate::fault;

/// How far a subscriber looks at once when the client leaves that open.
const WINDOW: u32 = 32;

/// Which events fit, and how often a subscriber is told how far it is.
#[derive(Debug)]
pub struct Filter {
    subject: Subject,
    pattern: Pattern,
    /// How many events are considered at once.
    pub window: u32,
    /// After how many of those a checkpoint is due.
    pub multiplier: u32,
}

#[derive(Clone, Copy, Debug)]
enum Subject {
    Stream,
    Kind,
}

#[derive(Debug)]
enum Pattern {
    Prefixes(Vec<String>),
    Regex(Box<Regex>),
}

impl Filter {
    /// The filter that is asked for.
    pub fn new(options: &FilterOptions) -> Result<Self, Status> {
        let (subject, expression) = match &options.filter {
            Some(Asked::StreamIdentifier(expression)) => (Subject::Stream, expression),
            Some(Asked::EventType(expression)) => (Subject::Kind, expression),
            None => return Err(invalid("its expression", "FilterOptions")),
        };
        let window = match options.window {
            Some(Window::Max(window)) => window,
            Some(Window::Count(_)) => WINDOW,
            None => return Err(invalid("None", "FilterOptions+WindowOneofCase")),
        };
        let multiplier = options.checkpoint_interval_multiplier;
        Ok(Self { subject, pattern: pattern(expression)?, window, multiplier })
    }

    /// Whether an event fits. Of a link, the link itself counts.
    pub fn fits(&self, record: &Record) -> bool {
        let text = match self.subject {
            Subject::Stream => record.name(),
            Subject::Kind => record.kind(),
        };
        match &self.pattern {
            Pattern::Prefixes(prefixes) => prefixes.iter().any(|prefix| text.starts_with(prefix)),
            // A pattern that gives up on a text does not fit it.
            Pattern::Regex(regex) => regex.is_match(text).unwrap_or(false),
        }
    }
}

fn pattern(expression: &Expression) -> Result<Pattern, Status> {
    if expression.regex.is_empty() {
        return Ok(Pattern::Prefixes(expression.prefix.clone()));
    }
    let regex = Regex::new(&expression.regex).map_err(|_| fault::handler())?;
    Ok(Pattern::Regex(Box::new(regex)))
}

fn invalid(what: &str, kind: &str) -> Status {
    let kind = format!("EventStore.Client.Streams.ReadReq+Types+Options+Types+{kind}");
    Status::invalid_argument(format!("'{what}' is not a valid {kind}"))
}
