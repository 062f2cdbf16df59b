//! Framing: where does one record end and the next begin?
//!
//! A record is a line, or several where a quoted field holds line breaks.
//! Memory is bounded by [`RECORD_BYTES_MAX`], and one broken record costs one record: after a quote
//! that is never closed, reading goes on at the next line and not at the end of the file.

use std::io::{self, BufRead, Read};

use super::{RECORD_BYTES_MAX, RECORD_LINES_MAX, Record};

/// How a line falls into fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Not at all: the line is the only field.
    Line,
    /// At a delimiter; a field may stand in double quotes, a quote inside them is doubled.
    Quoted(u8),
    /// At a delimiter, where a quote is a letter like any other.
    Plain(u8),
    /// At white space, however much there is of it.
    Whitespace,
}

/// Why a record could not be read at all, in the words of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is longer than [`RECORD_BYTES_MAX`].
    TooLong,
    /// It is not UTF-8.
    NotUtf8,
    /// A quote is opened and not closed.
    OpenQuote,
}

impl Fault {
    /// The fault in a few plain words.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Fault::TooLong => "is longer than a record may be (1 MiB)",
            Fault::NotUtf8 => "is not UTF-8",
            Fault::OpenQuote => "opens a quote that is never closed",
        }
    }
}

/// The records of one stream.
pub(super) struct Frames<R> {
    from: R,
    split: Split,
    /// What has been read and not used: lines after an open quote, to be read again.
    ahead: Vec<u8>,
    /// How much of `ahead` has been used.
    ahead_used: usize,
    /// The bytes of the record under construction.
    bytes: Vec<u8>,
    /// The fields of the record, without their quotes.
    fields: Vec<u8>,
    /// How many lines have been used.
    lines: u64,
    /// How many bytes have been used.
    used: u64,
    /// Whether a last line without a line break is left for later: it may still be written.
    whole: bool,
    /// The parser of quoted fields, which keeps no more than its state.
    parser: csv_core::Reader,
}

/// What became of reading one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Got {
    Line,
    TooLong,
    End,
}

/// What became of an open quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    /// It was closed, or there was none.
    Closed,
    /// It never was.
    Open,
    /// It may still be.
    Torn,
}

impl<R: BufRead> Frames<R> {
    /// The records of `from`.
    pub(super) fn new(from: R, split: Split) -> Frames<R> {
        let delimiter = match split {
            Split::Quoted(delimiter) => delimiter,
            _ => b',',
        };
        Frames {
            from,
            split,
            ahead: Vec::new(),
            ahead_used: 0,
            bytes: Vec::new(),
            fields: Vec::new(),
            lines: 0,
            used: 0,
            whole: false,
            parser: csv_core::ReaderBuilder::new()
                .delimiter(delimiter)
                .terminator(csv_core::Terminator::Any(b'\n'))
                .build(),
        }
    }

    /// Leaves a last line without a line break, and a record that the end cuts off, for later.
    pub(super) fn leave_torn(mut self) -> Frames<R> {
        self.whole = true;
        self
    }

    /// The same records, of a stream that begins where `lines` lines of `used` bytes have been
    /// used before.
    pub(super) fn resumed(mut self, (used, lines): (u64, u64)) -> Frames<R> {
        (self.used, self.lines) = (used, lines);
        self
    }

    /// At the end: how many bytes and lines have been used, and how many bytes were there.
    pub(super) fn used(&self) -> (u64, u64, u64) {
        (self.used, self.lines, self.used + u64::try_from(self.bytes.len()).unwrap_or(0))
    }

    /// Notes that the bytes at hand have been used.
    fn use_bytes(&mut self) {
        self.used += u64::try_from(self.bytes.len()).unwrap_or(0);
    }

    /// Reads the next record into `record`; blank lines are passed over.
    ///
    /// `None` at the end of the stream. After a fault `record` says the line and holds no field.
    pub(super) fn next(&mut self, record: &mut Record) -> io::Result<Option<Result<(), Fault>>> {
        record.text.clear();
        record.ends.clear();
        loop {
            self.bytes.clear();
            let got = self.line()?;
            if self.lines == 1 && self.bytes.starts_with(BYTE_ORDER_MARK) {
                self.bytes.drain(..BYTE_ORDER_MARK.len());
                self.used += 3;
            }
            record.line = self.lines;
            match got {
                Got::End => return Ok(None),
                Got::TooLong => {
                    if self.bytes.last() != Some(&b'\n') {
                        let skipped = self.from.skip_until(b'\n')?;
                        self.used += u64::try_from(skipped).unwrap_or(0);
                    }
                    self.use_bytes();
                    return Ok(Some(Err(Fault::TooLong)));
                }
                Got::Line if content(&self.bytes).iter().all(u8::is_ascii_whitespace) => {
                    self.use_bytes();
                }
                Got::Line => break,
            }
        }
        if let Split::Quoted(delimiter) = self.split {
            match self.close_quotes(delimiter)? {
                Closing::Closed => {}
                Closing::Open => {
                    self.use_bytes();
                    return Ok(Some(Err(Fault::OpenQuote)));
                }
                Closing::Torn => return Ok(None),
            }
        }
        self.use_bytes();
        Ok(Some(self.split(record)))
    }

    /// Appends the next line to `bytes`, with its line break; of a line that is too long, a part.
    fn line(&mut self) -> io::Result<Got> {
        let start = self.bytes.len();
        let ahead = self.ahead.get(self.ahead_used..).unwrap_or_default();
        if !ahead.is_empty() {
            let end = ahead.iter().position(|byte| *byte == b'\n').map(|place| place + 1);
            let line = ahead.get(..end.unwrap_or(ahead.len())).unwrap_or_default();
            self.bytes.extend_from_slice(line);
            self.ahead_used += line.len();
            if end.is_some() {
                self.lines += 1;
                return Ok(Got::Line);
            }
        }
        let room = u64::try_from(RECORD_BYTES_MAX + 1).unwrap_or(u64::MAX);
        (&mut self.from).take(room).read_until(b'\n', &mut self.bytes)?;
        let line = self.bytes.get(start..).unwrap_or_default();
        if line.is_empty()
            || (self.whole && line.len() <= RECORD_BYTES_MAX && !line.ends_with(b"\n"))
        {
            return Ok(Got::End);
        }
        self.lines += 1;
        Ok(if line.len() <= RECORD_BYTES_MAX { Got::Line } else { Got::TooLong })
    }

    /// Appends lines while a quote is open; says what became of it.
    ///
    /// If it was not, the first line alone is used, and the others are read again.
    fn close_quotes(&mut self, delimiter: u8) -> io::Result<Closing> {
        let mut state = Quotes::Start;
        let mut scanned = 0;
        let first = self.bytes.len();
        let line = self.lines;
        loop {
            let fresh = self.bytes.get(scanned..).unwrap_or_default();
            if scanned == 0 && !fresh.contains(&b'"') {
                return Ok(Closing::Closed);
            }
            state = fresh.iter().fold(state, |state, byte| state.after(*byte, delimiter));
            scanned = self.bytes.len();
            if state != Quotes::Inside {
                return Ok(Closing::Closed);
            }
            let lines = self.lines - line + 1;
            if RECORD_BYTES_MAX < scanned || RECORD_LINES_MAX <= lines {
                break;
            }
            match self.line()? {
                Got::Line => {}
                Got::End if self.whole => {
                    // The lines before are read again when there is more.
                    self.lines = line - 1;
                    return Ok(Closing::Torn);
                }
                Got::End | Got::TooLong => break,
            }
        }
        let mut ahead = self.bytes.split_off(first);
        ahead.extend_from_slice(self.ahead.get(self.ahead_used..).unwrap_or_default());
        self.ahead = ahead;
        self.ahead_used = 0;
        self.lines = line;
        Ok(Closing::Open)
    }

    /// Splits `bytes` into the fields of `record`.
    fn split(&mut self, record: &mut Record) -> Result<(), Fault> {
        let bytes = match self.split {
            Split::Quoted(_) if self.bytes.contains(&b'"') => {
                return self.split_quoted(record);
            }
            _ => content(&self.bytes),
        };
        let text = std::str::from_utf8(bytes).map_err(|_| Fault::NotUtf8)?;
        let (all, ends) = (&mut record.text, &mut record.ends);
        match self.split {
            Split::Line => {
                all.push_str(text);
                ends.push(all.len());
            }
            Split::Quoted(delimiter) | Split::Plain(delimiter) => {
                for field in text.split(char::from(delimiter)) {
                    all.push_str(field);
                    ends.push(all.len());
                }
            }
            Split::Whitespace => {
                for field in text.split_ascii_whitespace() {
                    all.push_str(field);
                    ends.push(all.len());
                }
            }
        }
        Ok(())
    }

    /// Splits `bytes`, some fields of which are quoted, into the fields of `record`.
    fn split_quoted(&mut self, record: &mut Record) -> Result<(), Fault> {
        // Unquoting only takes bytes away, and no record has more fields than bytes.
        self.fields.resize(self.bytes.len(), 0);
        record.ends.resize(self.bytes.len() + 1, 0);
        self.parser.reset();
        let bytes = content(&self.bytes);
        let (fields, ends) = (&mut self.fields, &mut record.ends);
        let (_, _, wrote, ended) = self.parser.read_record(bytes, fields, ends);
        let rest = ends.get_mut(ended..).unwrap_or_default();
        // An empty input says that the record ends here, although no line break does.
        let output = fields.get_mut(wrote..).unwrap_or_default();
        let (_, _, more, last) = self.parser.read_record(&[], output, rest);
        let count = ended + last;
        record.ends.truncate(count);
        let text = self.fields.get(..wrote + more).unwrap_or_default();
        match std::str::from_utf8(text) {
            Ok(text) if record.ends.iter().all(|end| text.is_char_boundary(*end)) => {
                record.text.push_str(text);
                Ok(())
            }
            _ => {
                record.ends.clear();
                Err(Fault::NotUtf8)
            }
        }
    }
}

/// What some programs write before the first byte of a file.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A line without the line break at its end.
fn content(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Where in a record's quotes a byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quotes {
    /// At the start of a field.
    Start,
    /// In a field without quotes, or after its quotes.
    Outside,
    /// Between quotes.
    Inside,
    /// After a quote that closes, unless another follows.
    Closing,
}

impl Quotes {
    /// Where the byte after `byte` stands.
    fn after(self, byte: u8, delimiter: u8) -> Quotes {
        match (self, byte) {
            (Quotes::Start | Quotes::Closing, b'"') => Quotes::Inside,
            (Quotes::Inside, b'"') => Quotes::Closing,
            (Quotes::Inside, _) => Quotes::Inside,
            (_, byte) if byte == delimiter => Quotes::Start,
            _ => Quotes::Outside,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(bytes: &[u8], split: Split) -> Vec<(u64, Result<Vec<String>, Fault>)> {
        let mut frames = Frames::new(bytes, split);
        let mut record = Record::default();
        let mut all = Vec::new();
        while let Some(outcome) = frames.next(&mut record).unwrap() {
            let fields = record.iter().map(str::to_owned).collect();
            all.push((record.line, outcome.map(|()| fields)));
        }
        all
    }

    fn fields(line: u64, fields: &[&str]) -> (u64, Result<Vec<String>, Fault>) {
        (line, Ok(fields.iter().map(|field| (*field).to_owned()).collect()))
    }

    #[test]
    fn quoted_fields_hold_delimiters_quotes_and_line_breaks() {
        let text = b"\xef\xbb\xbfa,b\r\n\"x, \"\"y\"\"\nz\",2\n\n5\" nail,\n\"\",\"q\"";
        let expected = [
            fields(1, &["a", "b"]),
            fields(2, &["x, \"y\"\nz", "2"]),
            fields(5, &["5\" nail", ""]),
            fields(6, &["", "q"]),
        ];
        assert_eq!(frames(text, Split::Quoted(b',')), expected);
    }

    #[test]
    fn an_open_quote_costs_one_line() {
        let text = b"a,\"b\nc,d\ne,f";
        let expected = [(1, Err(Fault::OpenQuote)), fields(2, &["c", "d"]), fields(3, &["e", "f"])];
        assert_eq!(frames(text, Split::Quoted(b',')), expected);
    }

    #[test]
    fn a_line_of_bad_bytes_or_of_too_many_costs_one_line() {
        let mut text = b"ok\n\xff\n".to_vec();
        text.extend(std::iter::repeat_n(b'x', 3 * RECORD_BYTES_MAX));
        text.extend(b"\nok\n\"\xc3\",\"\xa9\"\n");
        let expected = [
            fields(1, &["ok"]),
            (2, Err(Fault::NotUtf8)),
            (3, Err(Fault::TooLong)),
            fields(4, &["ok"]),
            (5, Err(Fault::NotUtf8)),
        ];
        assert_eq!(frames(&text, Split::Quoted(b',')), expected);
    }

    #[test]
    fn other_splits_know_no_quotes() {
        assert_eq!(frames(b" 1  \"2 3\n", Split::Whitespace), [fields(1, &["1", "\"2", "3"])]);
        assert_eq!(frames(b"\"\t2", Split::Plain(b'\t')), [fields(1, &["\"", "2"])]);
        assert_eq!(frames(b"{\"a\": 1}\n", Split::Line), [fields(1, &["{\"a\": 1}"])]);
    }
}
