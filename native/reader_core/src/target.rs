//! What is subscribed to.

use bytes::Bytes;

use crate::position::{LogPosition, Point};

/// Where a subscription begins. Positions are exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start<P = u64> {
    /// With the first event.
    Beginning,
    /// With the first event appended from now on.
    End,
    /// With the first event after this position.
    After(P),
}

impl<P> Start<P> {
    pub(crate) fn map<Q>(self, position: impl FnOnce(P) -> Q) -> Start<Q> {
        match self {
            Self::Beginning => Start::Beginning,
            Self::End => Start::End,
            Self::After(at) => Start::After(position(at)),
        }
    }
}

/// What is subscribed to, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// One stream.
    Stream {
        /// Its name.
        name: Bytes,
        /// Where to begin.
        from: Start<u64>,
    },
    /// The log of all streams.
    All {
        /// Where to begin.
        from: Start<LogPosition>,
        /// What of it; `None` for everything.
        filter: Option<Filter>,
    },
}

impl Target {
    /// The name under which errors speak of it.
    pub fn name(&self) -> String {
        match self {
            Self::Stream { name, .. } => String::from_utf8_lossy(name).into_owned(),
            Self::All { .. } => "$all".into(),
        }
    }

    pub(crate) fn is_log(&self) -> bool {
        matches!(self, Self::All { .. })
    }

    pub(crate) fn start(&self) -> Start<Point> {
        match self {
            Self::Stream { from, .. } => from.map(Point::of_revision),
            Self::All { from, .. } => from.map(Point::of_log),
        }
    }

    /// The same, from elsewhere.
    pub(crate) fn from(&self, start: Start<Point>) -> Self {
        match self {
            Self::Stream { name, .. } => {
                Self::Stream { name: name.clone(), from: start.map(Point::revision) }
            }
            Self::All { filter, .. } => Self::All { from: start.map(Point::log), filter: filter.clone() },
        }
    }
}

/// What a filter looks at. Of a link it is the link itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The name of the stream.
    Stream,
    /// The event's type.
    EventType,
}

/// What the subject has to be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// It begins with one of these.
    Prefixes(Vec<String>),
    /// It has a match of this expression, in the dialect of the server.
    Regex(String),
}

/// Which events of the log are wanted. The server judges them, and says now and then how far it has looked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    subject: Subject,
    pattern: Pattern,
    window: u32,
    multiplier: u32,
}

/// Why something is no filter: servers would take it for another one, or never answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFilter {
    /// Nothing would fit.
    #[error("filter: the list of prefixes is empty; it takes one at least")]
    NoPrefix,
    /// Servers take it for no expression at all.
    #[error("filter: the regular expression is empty; it takes a text")]
    EmptyRegex,
    /// A window of no events.
    #[error("filter: the window is 0; it takes an integer from 1 to 4294967295")]
    Window,
    /// A checkpoint after no window.
    #[error("filter: the checkpoint interval is 0; it takes an integer from 1 to 4294967295")]
    Multiplier,
}

impl Filter {
    /// A filter; the server looks at `window` events at once and says how far it is after every `multiplier` of those.
    ///
    /// # Errors
    /// For what no server would take as it is meant.
    pub fn new(
        subject: Subject,
        pattern: Pattern,
        window: u32,
        multiplier: u32,
    ) -> Result<Self, InvalidFilter> {
        match &pattern {
            Pattern::Prefixes(prefixes) if prefixes.is_empty() => return Err(InvalidFilter::NoPrefix),
            Pattern::Regex(regex) if regex.is_empty() => return Err(InvalidFilter::EmptyRegex),
            Pattern::Prefixes(_) | Pattern::Regex(_) => {}
        }
        if window == 0 {
            return Err(InvalidFilter::Window);
        }
        if multiplier == 0 {
            return Err(InvalidFilter::Multiplier);
        }
        Ok(Self { subject, pattern, window, multiplier })
    }

    /// What it looks at.
    pub fn subject(&self) -> Subject {
        self.subject
    }

    /// What that has to be like.
    pub fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// How many events the server looks at at once.
    pub fn window(&self) -> u32 {
        self.window
    }

    /// After how many windows it says how far it is.
    pub fn multiplier(&self) -> u32 {
        self.multiplier
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_server_takes_as_it_is_meant_is_refused_by_name() {
        let prefixes = |all: &[&str]| Pattern::Prefixes(all.iter().map(|&one| one.into()).collect());
        for (pattern, window, multiplier, error) in [
            (prefixes(&[]), 32, 1, "the list of prefixes is empty"),
            (Pattern::Regex(String::new()), 32, 1, "the regular expression is empty"),
            (prefixes(&["a"]), 0, 1, "the window is 0"),
            (prefixes(&["a"]), 32, 0, "the checkpoint interval is 0"),
        ] {
            let refused =
                Filter::new(Subject::Stream, pattern, window, multiplier).map_err(|it| it.to_string());
            assert!(refused.as_ref().is_err_and(|text| text.contains(error)), "{refused:?}");
        }
        assert!(Filter::new(Subject::EventType, prefixes(&[""]), 1, 1).is_ok());
    }
}
