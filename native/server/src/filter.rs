//! Filters of the log: by the type of an event or the name of its stream.

use fancy_regex::{Regex, RegexBuilder};
use store_core::{Pair, Record};
use tonic::Status;
use wire::proto::streams::read_req::options::FilterOptions;
use wire::proto::streams::read_req::options::filter_options::{Expression, Filter as Asked, Window};

use crate::fault;

/// How far a subscriber looks at once when the client leaves that open.
const WINDOW: u32 = 32;
/// How often an expression may go back and try again on one text: some milliseconds, and far more than an expression
/// needs that is meant for names.
const STEPS: usize = 200_000;
/// The longest expression, in bytes: what it becomes takes a multiple of it.
const MAX_EXPRESSION: usize = 16 * 1024;
/// So few prefixes are looked at on the spot.
const FEW: usize = 64;
/// How much of a text an error repeats.
const EXCERPT: usize = 200;

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
    /// The filter that is asked for. An expression is compiled where that holds nobody up.
    pub async fn new(options: FilterOptions) -> Result<Self, Status> {
        let compiling = tokio::task::spawn_blocking(move || Self::compiled(&options));
        compiling.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a filter failed");
            Err(fault::handler())
        })
    }

    fn compiled(options: &FilterOptions) -> Result<Self, Status> {
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

    /// Whether judging an event takes next to nothing, whatever the event.
    pub fn is_quick(&self) -> bool {
        matches!(&self.pattern, Pattern::Prefixes(prefixes) if prefixes.len() <= FEW)
    }

    /// Whether an event fits. Of a link, the link itself counts.
    ///
    /// # Errors
    /// When that takes more steps than it may: whether the event fits is then not known, and it must not be left out.
    pub fn fits(&self, pair: &Pair) -> Result<bool, Status> {
        let Some(record) = pair.link.as_ref().or(pair.event.as_ref()) else { return Ok(false) };
        let text = self.subject_of(record);
        match &self.pattern {
            Pattern::Prefixes(prefixes) => Ok(prefixes.iter().any(|prefix| text.starts_with(prefix))),
            Pattern::Regex(regex) => {
                regex.is_match(text).map_err(|_| self.too_many_steps(regex.as_str(), text, record.position))
            }
        }
    }

    fn subject_of<'a>(&self, record: &'a Record) -> &'a str {
        match self.subject {
            Subject::Stream => record.name(),
            Subject::Kind => record.kind(),
        }
    }

    fn too_many_steps(&self, expression: &str, text: &str, position: u64) -> Status {
        let subject = match self.subject {
            Subject::Stream => "stream name",
            Subject::Kind => "event type",
        };
        Status::invalid_argument(format!(
            "The regular expression {:?} takes too many steps on the {subject} {:?} at position {position}: \
             more than {STEPS}. Write it so that it goes back less.",
            excerpt(expression),
            excerpt(text),
        ))
    }
}

fn pattern(expression: &Expression) -> Result<Pattern, Status> {
    if expression.regex.is_empty() {
        return Ok(Pattern::Prefixes(expression.prefix.clone()));
    }
    if expression.regex.len() > MAX_EXPRESSION {
        return Err(Status::invalid_argument(format!(
            "The regular expression {:?} is longer than {MAX_EXPRESSION} bytes.",
            excerpt(&expression.regex)
        )));
    }
    let regex = RegexBuilder::new(&expression.regex).backtrack_limit(STEPS).build();
    Ok(Pattern::Regex(Box::new(regex.map_err(|_| fault::handler())?)))
}

fn excerpt(text: &str) -> String {
    match text.char_indices().nth(EXCERPT) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn invalid(what: &str, kind: &str) -> Status {
    let kind = format!("EventStore.Client.Streams.ReadReq+Types+Options+Types+{kind}");
    Status::invalid_argument(format!("'{what}' is not a valid {kind}"))
}
