//! Images: do the files of views say what the views say?
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::collections::BTreeMap;
use std::path::Path;

use affluent::config::Shop;
use affluent::fixture::Story;
use affluent::names::Dictionary;
use affluent::run::{Input, Plan, about, run};
use affluent::show::{Pictures, Question, answer, show};
use affluent::view::image::{Images, ReadAt, file_name};
use affluent::view::{Store, snapshot};
use affluent::worker::Layout;
use dataflows::related::{Basket, Items, Role};
use dataflows::score::Score;
use dataflows::view::{Datum, Visit};
use dataflows::{
    BASKET_ITEMS, BASKETS, CENTROIDS, IDENTITY, ITEMS, Item, Names, Tick, VIEWED_THEN_BOUGHT, View,
};

/// The tick that all images here show.
const TICK: Tick = Tick(5);

/// The shop of the shipped slice.
fn shop() -> Shop {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/online-retail-slice");
    let text = std::fs::read_to_string(folder.join("shop.toml")).unwrap();
    Shop::parse(&text, "shop.toml", &folder, &|_| None).unwrap()
}

/// The views of the shipped slice, and what their hashes stand for.
fn ran(workers: usize) -> (Store, Dictionary) {
    let shop = shop();
    let plan = Plan { layout: Layout::threads(workers), ..Plan::default() };
    let done = run(&shop, Some(Input::open(&shop).unwrap()), plan, |_| ()).unwrap().unwrap();
    (done.store, done.names)
}

/// The images of all views by the names of their files.
fn images(store: &Store) -> BTreeMap<String, Vec<u8>> {
    let of = |view| {
        let mut file = Vec::new();
        let written = store.image(view, TICK, &mut file).unwrap();
        assert_eq!(Some(written.digest), store.digest(view));
        assert_eq!(usize::try_from(written.rows).unwrap(), store.len(view));
        (file_name(view), file)
    };
    store.names().into_iter().map(of).collect()
}

/// The images in files.
fn opened(files: &BTreeMap<String, Vec<u8>>) -> Images {
    let folder = tempfile::tempdir().unwrap();
    let open = |view| {
        let Some(bytes) = files.get(&file_name(view)) else { return Ok(None) };
        let path = folder.path().join(file_name(view));
        std::fs::write(&path, bytes)?;
        let file: Box<dyn ReadAt> = Box::new(std::fs::File::open(path)?);
        Ok(Some(file))
    };
    Images::open(TICK, open).unwrap()
}

/// Compares every view with its image.
struct Compared<'a> {
    store: &'a Store,
    names: &'a Dictionary,
    images: &'a Images,
    rows: usize,
}

impl Compared<'_> {
    fn compare<K: Datum, V: Datum>(&mut self, view: View<K, V>, rows: &BTreeMap<K, V>) {
        let (name, images, store) = (view.name, self.images, self.store);
        let Some(image) = images.image(view) else {
            return assert!(rows.is_empty(), "{name} is kept");
        };
        assert_eq!((image.len(), images.len(name), image.name()), (rows.len(), rows.len(), name));
        assert_eq!(images.digest(name), store.digest(name));
        assert_eq!(images.columns(name), store.columns(name));
        images.verify(name).unwrap();
        let read = images.range(view, ..).map(Result::unwrap);
        assert!(read.eq(rows.iter().map(|(key, row)| (key.clone(), row.clone()))), "{name}");
        // A look-up reads a block: of the largest views every few rows must do.
        for (key, row) in rows.iter().step_by(rows.len() / 20_000 + 1) {
            assert_eq!(images.get(view, key).unwrap().as_ref(), Some(row), "{name}: {key:?}");
        }
        let keys: Vec<&K> = rows.keys().step_by(rows.len() / 20 + 1).collect();
        for (from, to) in keys.iter().zip(keys.iter().skip(1)) {
            let (from, to) = ((*from).clone(), (*to).clone());
            let of = |row: (&K, &V)| (row.0.clone(), row.1.clone());
            let wanted = rows.range(from.clone()..to.clone()).map(of);
            let found = images.range(view, from.clone()..to.clone()).map(Result::unwrap);
            assert!(wanted.eq(found), "{name}");
            let wanted = rows.range(to.clone()..).take(3).map(of);
            let found = images.range(view, to.clone()..).take(3).map(Result::unwrap);
            assert!(wanted.eq(found), "{name}");
            let wanted = rows.range(..=from.clone()).map(of);
            assert!(wanted.eq(images.range(view, ..=from).map(Result::unwrap)), "{name}");
        }
        let (mut wanted, mut found) = (Vec::new(), Vec::new());
        store.each(name, self.names, &mut |row| wanted.push(row.to_vec()));
        let told = images.each(name, self.names, &mut |row| found.push(row.to_vec()));
        told.unwrap();
        assert_eq!(wanted.len(), rows.len());
        assert!(wanted == found, "{name}");
        self.rows += rows.len();
    }

    /// Compares what goes with every item.
    fn compare_top(&self, view: View<Items, i64>, basket: Basket) {
        let total = self.store.get(BASKETS, &basket).unwrap_or(0);
        let total = u64::try_from(total).unwrap();
        let tables = self.store.with_pairs(view, <[_]>::to_vec).unwrap_or_default();
        if tables.is_empty() {
            return;
        }
        let items: Vec<_> = tables[0].lock().unwrap().items().collect();
        for item in items {
            let of = |table: &std::sync::Arc<std::sync::Mutex<affluent::view::pairs::Pairs>>| {
                table.lock().unwrap().top(item, Score::Cosine, 2, total, 10)
            };
            let wanted: Vec<_> = tables.iter().flat_map(of).collect();
            assert_eq!(self.images.top(view, item, Score::Cosine, 2, total, 10).unwrap(), wanted);
        }
    }
}

impl Visit for Compared<'_> {
    fn rows<K: Datum, V: Datum>(&mut self, view: View<K, V>) {
        self.compare(view, &self.store.rows(view));
    }

    fn pairs(&mut self, view: View<Items, i64>, roles: [Role; 2]) {
        self.compare(view, &self.store.pair_rows(view));
        let basket = match roles[0] {
            Role::Bought => Basket::Order,
            Role::Viewed => Basket::Session,
            Role::ViewedBefore | Role::BoughtAfter => Basket::OrderedSession,
        };
        self.compare_top(view, basket);
    }
}

/// Compares all views with `images`; how many rows they have.
fn compared(store: &Store, names: &Dictionary, images: &Images) -> usize {
    let mut compared = Compared { store, names, images, rows: 0 };
    dataflows::views(&mut compared);
    assert_eq!(images.names(), store.names());
    compared.rows
}

#[test]
fn an_image_says_what_its_view_says_and_is_the_same_at_any_number_of_workers() {
    let (store, names) = ran(1);
    let files = images(&store);
    let of_one = opened(&files);
    assert!(10_000 < compared(&store, &names, &of_one));
    assert!(4 < asked(&store, &names, &of_one, 1_500));
    for workers in [2, 4] {
        assert!(images(&ran(workers).0) == files, "{workers} workers");
    }
}

/// Every question has one answer, from a snapshot and from images; how many were answered.
fn asked(store: &Store, names: &Dictionary, images: &Images, step: usize) -> usize {
    let (folder, about) = (tempfile::tempdir().unwrap(), about(&shop()));
    let path = folder.path().join("views");
    snapshot::write(store, names, TICK, &about, &path).unwrap();
    let pictures = Pictures { images, names, shop: &about };
    let mut questions = vec![Question::Item("nothing".into()), Question::Segment("99".into())];
    for text in ["user:nobody", "stranger:1", "1", "USER:17850", "user:ffffffffffffffff"] {
        questions.push(Question::Profile(text.into()));
    }
    let nth = |n: usize| n.is_multiple_of(step);
    for (n, identifier) in store.rows(IDENTITY).into_keys().enumerate() {
        questions.extend(nth(n).then(|| Question::Profile(names.identifier(identifier))));
    }
    let mut items: Vec<Item> = store.rows(BASKET_ITEMS).into_keys().map(|item| item.1).collect();
    items.extend(store.rows(ITEMS).into_keys());
    for (n, item) in items.into_iter().enumerate() {
        questions.extend(nth(n).then(|| Question::Item(names.word(item.0))));
    }
    for segment in store.rows(CENTROIDS).into_keys() {
        questions.push(Question::Segment(segment.0.to_string()));
    }
    let answered = questions.iter().filter(|question| {
        let told = answer(&pictures, question).map_err(|error| error.to_string());
        assert_eq!(told, show(&path, question).map_err(|error| error.to_string()), "{question:?}");
        told.is_ok()
    });
    answered.count()
}

#[test]
fn the_views_of_every_story_come_back() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let folders = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let (mut rows, mut answered) = (BTreeMap::<&str, usize>::new(), 0);
    for folder in folders.filter(|folder| folder.join("story.md").exists()) {
        let played = Story::read(&folder).unwrap().play(2, None).unwrap();
        let images = opened(&images(&played.store));
        compared(&played.store, &played.names, &images);
        answered += asked(&played.store, &played.names, &images, 1);
        for view in images.names() {
            *rows.entry(view).or_default() += images.len(view);
        }
    }
    assert!(100 < answered);
    // Items are told of by the slice, and directed pairs by the test below.
    rows.retain(|_, rows| *rows == 0);
    let empty: Vec<&str> = rows.into_keys().collect();
    assert_eq!(empty, ["items", "viewed_then_bought"]);
}

#[test]
fn a_pair_that_has_a_direction_is_in_one_place() {
    let of = |workers: u64| {
        let store = Store::new(false);
        for worker in 0..workers {
            let table = store.pairs_table(VIEWED_THEN_BOUGHT, true);
            let mut table = table.lock().unwrap();
            for n in (0..5_000).filter(|n| n % 70 % workers == worker) {
                table.pair(Items(Item(n % 70), Item(n * n % 50)), [true, false], 1);
            }
            table.settle(TICK);
        }
        store
    };
    let store = of(1);
    let (files, rows) = (images(&store), store.pair_rows(VIEWED_THEN_BOUGHT));
    assert!(images(&of(3)) == files);
    let images = opened(&files);
    let found: BTreeMap<_, _> = images.range(VIEWED_THEN_BOUGHT, ..).map(Result::unwrap).collect();
    assert!(rows.keys().any(|pair| pair.0 == pair.1) && rows.keys().any(|pair| pair.1 < pair.0));
    assert_eq!((found.len(), found), (images.len("viewed_then_bought"), rows));
    images.verify("viewed_then_bought").unwrap();
}
