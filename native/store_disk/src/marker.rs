//! The file that makes a folder a store: text that a person can read.

/// Its name.
pub const MARKER: &str = "penstock";
/// Its name while the store is being made.
pub const MARKER_NEW: &str = "penstock.new";
/// Its name while the store is being removed.
pub const MARKER_GONE: &str = "penstock.gone";
/// The version of everything that is written here.
pub const FORMAT: u32 = 1;

const FIRST_LINE: &str = "penstock event store";

/// What it says.
pub fn render(id: u128) -> String {
    let text = format!("{FIRST_LINE}\nformat {FORMAT}\nid {id:032x}\n");
    let crc = crc32fast::hash(text.as_bytes());
    format!("{text}checksum {crc:08x}\n")
}

/// The folder's id.
///
/// # Errors
/// What is wrong with the text.
pub fn parse(bytes: &[u8]) -> Result<u128, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is damaged".to_owned())?;
    let mut lines = text.lines();
    if lines.next() != Some(FIRST_LINE) {
        return Err("it is not what this server writes there".to_owned());
    }
    let format = lines.next().and_then(|line| line.strip_prefix("format ")).ok_or("it is damaged")?;
    if format.parse::<u32>().is_ok_and(|format| format > FORMAT) {
        return Err(format!("format {format} is newer than {FORMAT}, the newest that this server knows"));
    }
    let id = lines.next().and_then(|line| line.strip_prefix("id ")).ok_or("it is damaged")?;
    let id = u128::from_str_radix(id, 16).map_err(|_| "it is damaged".to_owned())?;
    match text == render(id) {
        true => Ok(id),
        false => Err("it is damaged".to_owned()),
    }
}

/// Whether a file is, or was going to be, such a text.
pub fn begins(bytes: &[u8]) -> bool {
    let known = FIRST_LINE.as_bytes();
    bytes.iter().all(|byte| *byte == 0)
        || bytes.iter().zip(known).all(|(one, other)| one == other) && bytes.len() < 200
}
