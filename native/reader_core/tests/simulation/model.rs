//! A model of a server, as far as a subscription can see it.
//!
//! It says what a real one says: the confirmation first, then events, checkpoints of a filter, and that it has caught up,
//! perhaps more than once; missing and deleted streams, truncation, tombstones and errors.

use fastrand::Rng;
use reader_core::{Answer, Failure, LARGEST, LogPosition, Place, Position, Start, Target};

/// The stream that is subscribed to; the others only share its log.
pub const OURS: u8 = 0;
const STREAMS: u8 = 3;
const PAGE: usize = 8;

/// What was written once. After a server lost some of its log, what follows is of another age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    pub id: u64,
    pub age: u64,
    pub stream: u8,
    pub place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deleted {
    No,
    Softly,
    ForGood,
}

/// A stream's own state.
#[derive(Debug, Clone, Copy)]
struct Stream {
    next: u64,
    /// Events before this revision cannot be read.
    truncated_before: u64,
    max_count: Option<u64>,
    deleted: Deleted,
}

const FRESH: Stream = Stream { next: 0, truncated_before: 0, max_count: None, deleted: Deleted::No };

#[derive(Debug)]
pub struct Server {
    pub log: Vec<Record>,
    streams: [Stream; STREAMS as usize],
    next_position: u64,
    next_id: u64,
    pub age: u64,
}

/// Something that a server sends.
#[derive(Debug, Clone, Copy)]
pub enum Message {
    Event(Record),
    Other(Answer),
}

impl Server {
    pub fn new() -> Self {
        Self { log: Vec::new(), streams: [FRESH; STREAMS as usize], next_position: 0, next_id: 0, age: 0 }
    }

    fn stream(&mut self, stream: u8) -> &mut Stream {
        &mut self.streams[usize::from(stream)]
    }

    fn ours(&self) -> Stream {
        self.streams[usize::from(OURS)]
    }

    pub fn append(&mut self, stream: u8, random: &mut Rng) -> Option<Record> {
        let it = *self.stream(stream);
        match it.deleted {
            Deleted::ForGood => return None,
            Deleted::Softly => self.stream(stream).truncated_before = it.next,
            Deleted::No => {}
        }
        self.stream(stream).deleted = Deleted::No;
        self.stream(stream).next = it.next + 1;
        Some(self.write(stream, it.next, random))
    }

    fn write(&mut self, stream: u8, revision: u64, random: &mut Rng) -> Record {
        self.next_position += random.u64(1..50);
        self.next_id += 1;
        let prepare = self.next_position;
        // what an old transaction wrote is committed later than it was prepared
        let commit = prepare + random.u64(0..2);
        self.next_position = commit;
        let place = Place { revision, log: LogPosition { commit, prepare } };
        let record = Record { id: self.next_id, age: self.age, stream, place };
        self.log.push(record);
        record
    }

    pub fn truncate(&mut self, random: &mut Rng) {
        let next = self.ours().next;
        if random.bool() {
            let before = random.u64(0..=next + 2);
            let it = self.stream(OURS);
            it.truncated_before = it.truncated_before.max(before);
        } else {
            self.stream(OURS).max_count = Some(random.u64(1..6));
        }
    }

    pub fn delete(&mut self) {
        let it = self.stream(OURS);
        if it.next > 0 && it.deleted == Deleted::No {
            it.deleted = Deleted::Softly;
        }
    }

    /// Answers the event that tells of it.
    pub fn tombstone(&mut self, random: &mut Rng) -> Option<Record> {
        if self.ours().deleted == Deleted::ForGood {
            return None;
        }
        self.stream(OURS).deleted = Deleted::ForGood;
        Some(self.write(OURS, LARGEST, random))
    }

    /// Comes back from an older backup, or empty.
    pub fn roll_back(&mut self, random: &mut Rng) {
        let length = if random.u8(0..3) == 0 { 0 } else { random.usize(0..=self.log.len()) };
        self.log.truncate(length);
        self.age += 1;
        self.next_position = self.log.last().map_or(0, |last| last.place.log.commit);
        for stream in 0..STREAMS {
            let last = self.log.iter().rev().find(|record| record.stream == stream);
            let next = last.map_or(0, |last| last.place.revision.saturating_add(1));
            let deleted = if next > LARGEST { Deleted::ForGood } else { Deleted::No };
            *self.stream(stream) = Stream { next, deleted, ..FRESH };
        }
    }

    pub fn is_tombstoned(&self) -> bool {
        self.ours().deleted == Deleted::ForGood
    }

    pub fn is_softly_deleted(&self) -> bool {
        self.ours().deleted == Deleted::Softly
    }

    /// Whether an event can be read from its own stream.
    pub fn is_readable(&self, record: &Record) -> bool {
        let it = self.streams[usize::from(record.stream)];
        let kept = it.max_count.map_or(0, |count| it.next.saturating_sub(count));
        it.deleted == Deleted::No && record.place.revision >= it.truncated_before.max(kept)
    }

    /// What a read backwards from the end says.
    pub fn end(&self, on_log: bool) -> Answer {
        if on_log {
            return Answer::Found(self.log.last().map(|last| Position::Log(last.place.log)));
        }
        let it = self.ours();
        match it.deleted {
            Deleted::ForGood => Answer::NotFound(Failure::Final),
            Deleted::Softly => Answer::Found(None),
            Deleted::No => Answer::Found(it.next.checked_sub(1).map(Position::Revision)),
        }
    }
}

/// A subscription at the server.
#[derive(Debug)]
pub struct Call {
    target: Target,
    /// The next record to be looked at, in the log.
    cursor: usize,
    /// The first revision to be sent.
    from: u64,
    confirmed: bool,
    live: bool,
    age: u64,
    /// The position of the last event or checkpoint sent, or where the client began.
    sent: Option<LogPosition>,
    checkpoint: Option<LogPosition>,
    considered: u64,
    appended: u64,
}

impl Call {
    /// Begins a call: what it is answered at once if it is refused.
    pub fn begin(server: &Server, target: Target) -> Result<Self, Failure> {
        let mut call = Self {
            target,
            cursor: 0,
            from: 0,
            confirmed: false,
            live: false,
            age: server.age,
            sent: None,
            checkpoint: None,
            considered: 0,
            appended: 0,
        };
        match &call.target {
            Target::Stream { .. } if server.is_tombstoned() => return Err(Failure::Final),
            Target::Stream { from, .. } => {
                call.from = match from {
                    Start::Beginning => 0,
                    Start::End => server.ours().next,
                    Start::After(revision) => revision + 1,
                }
            }
            Target::All { from, .. } => match *from {
                Start::Beginning => {}
                Start::End => call.cursor = server.log.len(),
                Start::After(position) => {
                    call.sent = Some(position);
                    call.cursor = server.log.iter().take_while(|it| it.place.log <= position).count();
                }
            },
        }
        Ok(call)
    }

    /// The next messages; an error ends the call after them.
    pub fn pull(&mut self, server: &Server, random: &mut Rng) -> (Vec<Message>, Option<Failure>) {
        if !self.confirmed {
            self.confirmed = true;
            let is_between = self.is_between_events(server);
            return (vec![Message::Other(Answer::Confirmed)], is_between.then_some(Failure::Final));
        }
        match &self.target {
            Target::Stream { .. } => self.pull_stream(server, random),
            Target::All { filter, .. } => {
                let window = filter.as_ref().map(|it| (it.window() as usize, u64::from(it.multiplier())));
                (self.pull_log(server, window), None)
            }
        }
    }

    fn is_between_events(&self, server: &Server) -> bool {
        let Target::All { from: Start::After(position), .. } = self.target else { return false };
        let is_ahead = server.log.last().is_none_or(|last| last.place.log < position);
        !is_ahead && !server.log.iter().any(|record| record.place.log == position)
    }

    fn pull_stream(&mut self, server: &Server, random: &mut Rng) -> (Vec<Message>, Option<Failure>) {
        let mut messages = Vec::new();
        let mut failure = None;
        for (at, record) in server.log.iter().enumerate().skip(self.cursor) {
            if messages.len() == random.usize(1..=PAGE) {
                return (messages, None);
            }
            self.cursor = at + 1;
            let is_wanted = record.stream == OURS && record.place.revision >= self.from;
            if record.place.revision == LARGEST {
                continue;
            }
            // what is live was there before any limit could be set to it
            if is_wanted && (self.live && random.bool() || server.is_readable(record)) {
                messages.push(Message::Event(*record));
            }
        }
        if server.is_tombstoned() {
            // the event that tells of it comes only sometimes
            let tombstone = server.log.iter().find(|record| record.place.revision == LARGEST);
            messages.extend(tombstone.filter(|_| random.bool()).map(|it| Message::Event(*it)));
            failure = Some(Failure::Final);
        } else if !self.live {
            self.live = true;
            messages.push(Message::Other(Answer::CaughtUp));
        }
        (messages, failure)
    }

    fn pull_log(&mut self, server: &Server, window: Option<(usize, u64)>) -> Vec<Message> {
        let page = window.map_or(PAGE, |(window, _)| window);
        let records: Vec<Record> = server.log.iter().skip(self.cursor).take(page).copied().collect();
        self.cursor += records.len();
        let mut messages = Vec::new();
        for record in &records {
            let fits = window.is_none() || record.stream == OURS;
            if fits {
                self.sent = Some(record.place.log);
                messages.push(Message::Event(*record));
            }
            if let (true, Some((window, multiplier))) = (self.live, window) {
                self.appended += 1;
                if self.appended.is_multiple_of(window as u64 * multiplier) {
                    self.mark(record.place.log, &mut messages);
                }
            }
        }
        if self.live {
            return messages;
        }
        if let (Some((window, multiplier)), Some(first)) = (window, records.first()) {
            self.considered += records.len() as u64;
            if self.considered >= window as u64 * multiplier {
                self.considered = 0;
                self.mark(self.sent.map_or(first.place.log, |sent| sent.max(first.place.log)), &mut messages);
            }
        }
        if self.cursor >= server.log.len() {
            if let (Some(_), Some(sent)) = (window, self.sent) {
                self.mark(sent, &mut messages);
            }
            self.live = true;
            messages.push(Message::Other(Answer::CaughtUp));
        }
        messages
    }

    fn mark(&mut self, position: LogPosition, messages: &mut Vec<Message>) {
        if self.checkpoint.is_none_or(|last| last < position) {
            self.checkpoint = Some(position);
            messages.push(Message::Other(Answer::Checkpoint(position)));
        }
    }

    pub fn is_of(&self, server: &Server) -> bool {
        self.age == server.age
    }

    /// It could not keep up, and catches up silently.
    pub fn fall_behind(&mut self) {
        self.live = false;
    }
}
