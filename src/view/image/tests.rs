//! Tests: is every damage of an image an error?

use std::io;

use dataflows::session::Dwell;
use dataflows::view::{Datum, Visit};
use dataflows::{
    DWELL, Day, EventTime, Identifier, Item, Kind, Money, Tick, VIEWED_TOGETHER, View,
};
use proptest::prelude::*;

use super::write::{Encoded, Writer, tail};
use super::*;
use crate::view::Store;

const TICK: Tick = Tick(7);

/// The image of [`DWELL`] with rows whose bytes are all of one length.
fn image(rows: u64) -> Vec<u8> {
    let store = Store::new(false);
    let row = |n| ((Item((1 << 63) + n), Dwell { visits: 3, micros: 40 }), 1);
    store.table(DWELL).lock().unwrap().apply(TICK, (0..rows).map(row).collect());
    let mut file = Vec::new();
    let written = store.image("dwell", TICK, &mut file).unwrap();
    assert_eq!(Some(written.digest), store.digest("dwell"));
    assert_eq!((written.rows, written.bytes), (rows, file.size().unwrap()));
    file
}

fn open(file: Vec<u8>) -> Result<Image<Item, Dwell>, Error> {
    Image::open(DWELL, TICK, Box::new(file))
}

/// Opens an image and reads all of it.
fn read(file: Vec<u8>) -> Result<Vec<(Item, Dwell)>, Error> {
    let image = open(file)?;
    image.verify()?;
    image.range(..).collect()
}

/// Where blocks begin, and where the foot does.
fn offsets(file: &[u8]) -> Vec<usize> {
    let word = |at: usize| {
        let word = u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
        usize::try_from(word).unwrap()
    };
    let foot = file.len() - TAIL_BYTES - word(file.len() - TAIL_BYTES + 12);
    let mut offsets = vec![0];
    while *offsets.last().unwrap() < foot {
        let at = *offsets.last().unwrap();
        offsets.push(at + HEAD_BYTES + word(at));
    }
    assert_eq!(*offsets.last().unwrap(), foot);
    offsets
}

#[test]
fn every_flipped_bit_is_an_error() {
    let whole = image(20);
    assert_eq!(read(whole.clone()).unwrap().len(), 20);
    for bit in 0..8 * whole.len() {
        let mut file = whole.clone();
        file[bit / 8] ^= 1 << (bit % 8);
        let error = read(file).unwrap_err();
        assert!(matches!(error, Error::Damaged { view: "dwell", .. }), "bit {bit}: {error}");
    }
}

#[test]
fn a_flipped_bit_is_found_by_whoever_reads_its_block_and_named_with_it() {
    let whole = image(9_000);
    let offsets = offsets(&whole);
    assert!(4 < offsets.len(), "it has blocks");
    let foot = *offsets.last().unwrap();
    let heads = offsets.iter().flat_map(|at| 8 * at..8 * (at + HEAD_BYTES));
    let bits = heads.chain(8 * foot..8 * whole.len()).chain((0..8 * foot).step_by(1_001));
    for bit in bits {
        let mut file = whole.clone();
        file[bit / 8] ^= 1 << (bit % 8);
        let block = offsets.partition_point(|at| *at <= bit / 8) - 1;
        let error = match open(file) {
            Err(error) => error,
            Ok(image) => {
                // Other blocks can be read.
                let other = if block == 0 { 8_999 } else { 0 };
                assert!(image.get(&Item((1 << 63) + other)).unwrap().is_some());
                assert_eq!(image.range(..).filter(Result::is_err).count(), 1);
                image.verify().unwrap_err()
            }
        };
        let Error::Damaged { part, offset, .. } = error else { panic!("bit {bit}: {error}") };
        if bit / 8 < foot {
            let begins = u64::try_from(offsets[block]).unwrap();
            assert_eq!((part, offset), (Part::Block(block), begins), "bit {bit}");
        } else {
            assert_ne!(part, Part::Block(block));
        }
    }
}

#[test]
fn a_block_in_anothers_place_a_cut_and_another_view_are_errors() {
    let whole = image(9_000);
    let offsets = offsets(&whole);
    let blocks = [&whole[..offsets[1]], &whole[offsets[1]..offsets[2]], &whole[offsets[2]..]];
    assert_eq!(blocks[0].len(), blocks[1].len());
    let exchanged = [blocks[1], blocks[0], blocks[2]].concat();
    assert!(read(exchanged).unwrap_err().to_string().contains("begins with another row"));
    for len in (0..whole.len()).step_by(97).chain(whole.len() - 100..whole.len()) {
        read(whole[..len].to_vec()).unwrap_err();
    }
    let error = Image::open(dataflows::ITEMS, TICK, Box::new(whole.clone())).unwrap_err();
    assert!(matches!(error, Error::Other { .. }), "{error}");
    let error = Image::open(DWELL, Tick(8), Box::new(whole.clone())).unwrap_err();
    let says = "in place of the image of `dwell` at tick 8 there is that of `dwell` at tick 7";
    assert_eq!(error.to_string(), says);
    let mut newer = whole;
    let end = newer.len() - TAIL_BYTES;
    newer[end + 8] = 2;
    let sum = crc32c::crc32c(&newer[end..end + 20]);
    newer[end + 20..].copy_from_slice(&sum.to_le_bytes());
    assert!(matches!(open(newer).unwrap_err(), Error::Format { format: 2, .. }));
}

/// Counts what is read.
#[derive(Debug)]
struct Counting(Vec<u8>, std::sync::Arc<std::sync::Mutex<(usize, usize)>>);

impl ReadAt for Counting {
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut counts = self.1.lock().unwrap();
        *counts = (counts.0 + 1, counts.1 + out.len());
        self.0.read_at(offset, out)
    }
}

#[test]
fn opening_reads_tail_and_foot_and_a_look_up_one_block() {
    let whole = image(9_000);
    let offsets = offsets(&whole);
    let counts = std::sync::Arc::default();
    let file = Box::new(Counting(whole.clone(), std::sync::Arc::clone(&counts)));
    let image = Image::open(DWELL, TICK, file).unwrap();
    assert_eq!(*counts.lock().unwrap(), (2, whole.len() - offsets.last().unwrap()));
    for n in [1, 5_000, 8_998, 9_001] {
        *counts.lock().unwrap() = (0, 0);
        assert_eq!(image.get(&Item((1 << 63) + n)).unwrap().is_some(), n < 9_000);
        let (reads, bytes) = *counts.lock().unwrap();
        assert!(reads == 1 && bytes <= offsets[1], "{reads} reads, {bytes} bytes");
    }
    *counts.lock().unwrap() = (0, 0);
    assert_eq!(image.get(&Item(3)).unwrap(), None);
    assert_eq!(counts.lock().unwrap().0, 0, "the foot says that it is not there");
}

/// Names nothing.
#[derive(Debug)]
struct Nameless;

impl Names for Nameless {
    fn identifier(&self, _: Identifier) -> String {
        String::new()
    }

    fn kind(&self, _: Kind) -> String {
        String::new()
    }

    fn word(&self, _: u64) -> String {
        String::new()
    }

    fn money(&self, _: Money) -> String {
        String::new()
    }

    fn time(&self, _: EventTime) -> String {
        String::new()
    }

    fn day(&self, _: Day) -> String {
        String::new()
    }

    fn group(&self, _: u8) -> String {
        String::new()
    }
}

/// Asks a foreign image of every view everything.
struct Asking<'a>(&'a [u8], usize);

impl Asking<'_> {
    fn ask<K: Datum, V: Datum>(&mut self, image: Result<Image<K, V>, Error>) {
        let Ok(image) = image else { return };
        self.1 += 1;
        let all = |_: &[u8]| Some(Ordering::Equal);
        drop(image.each(&all, false, &Nameless, &mut |_| ()));
        drop(image.verify());
        for (key, _) in image.range(..).flatten() {
            drop(image.get(&key));
        }
    }
}

impl Visit for Asking<'_> {
    fn rows<K: Datum, V: Datum>(&mut self, view: View<K, V>) {
        let file = named(self.0, view.name, false);
        self.ask(Image::open(view, TICK, Box::new(file)));
    }

    fn pairs(&mut self, view: View<Items, i64>, roles: [Role; 2]) {
        let file = named(self.0, view.name, roles[0] == roles[1]);
        self.ask(Image::open_pairs(view, roles, TICK, Box::new(file)));
    }
}

/// The same bytes as an image of `view`, if they are an image.
fn named(file: &[u8], view: &str, mirrored: bool) -> Vec<u8> {
    let Ok(foreign) = open(file.to_vec()) else { return file.to_vec() };
    let foot = Foot { view: view.into(), mirrored, ..foreign.sorted.foot.clone() };
    let foot = postcard::to_stdvec(&foot).unwrap();
    [&file[..*offsets(file).last().unwrap()], &foot, &tail(&foot).unwrap()].concat()
}

/// Bytes that look like rows to somebody, or not.
fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![0..4_u8, any::<u8>(), Just(0xff)];
    proptest::collection::vec(byte, 0..most)
}

proptest! {
    /// No bytes make a reader panic: neither bare ones, nor those of blocks, a foot or a tail whose
    /// checksums are right.
    #[test]
    fn arbitrary_bytes_are_an_error(
        rows in proptest::collection::vec(bytes(60), 0..20),
        block in bytes(200),
        foot in bytes(200),
    ) {
        let mut asking = Asking(&block, 0);
        dataflows::views(&mut asking);
        prop_assert_eq!(asking.1, 0);
        let file = [&*block, &foot, &tail(&foot).unwrap()].concat();
        dataflows::views(&mut Asking(&file, 0));

        let mut file = Vec::new();
        let mut writer = Writer::new(&mut file);
        for row in &rows {
            writer.push(&Encoded { bytes: row, key: row.len() / 2, mirror: false }).unwrap();
        }
        writer.finish("dwell", TICK, false).unwrap();
        let mut asking = Asking(&file, 0);
        dataflows::views(&mut asking);
        prop_assert_eq!(asking.1, 21, "rows are not read when an image is opened");

        // A block that is no rows at all.
        let len = u32::try_from(block.len()).unwrap();
        let head = [len.to_le_bytes(), crc32c::crc32c(&block).to_le_bytes()].concat();
        let blocks = vec![Block { len, first: foot }];
        let (view, tick) = ("dwell".into(), TICK.0);
        let foot = Foot { view, tick, rows: 1, mirrored: false, digest: [0; 32], blocks };
        let foot = postcard::to_stdvec(&foot).unwrap();
        let file = [&*head, &block, &foot, &tail(&foot).unwrap()].concat();
        let mut asking = Asking(&file, 0);
        dataflows::views(&mut asking);
        prop_assert_eq!(asking.1, 21);
    }
}

#[test]
fn what_is_not_kept_is_empty() {
    let images = Images::open(TICK, |_| Ok(None)).unwrap();
    assert_eq!((images.names().len(), images.tick()), (0, TICK));
    assert_eq!(images.get(DWELL, &Item(1)).unwrap(), None);
    assert_eq!(images.range(VIEWED_TOGETHER, ..).count(), 0);
    let images = Images::open(TICK, |view| match view {
        "dwell" => Ok(Some(Box::new(image(3)))),
        "rfm" => Err(io::ErrorKind::PermissionDenied.into()),
        _ => Ok(None),
    });
    assert!(matches!(images.unwrap_err(), Error::Read { view: "rfm", .. }));
    let empty = open(image(0)).unwrap();
    assert!(empty.is_empty() && empty.verify().is_ok());
    assert_eq!(empty.range(..).count(), 0);
}
