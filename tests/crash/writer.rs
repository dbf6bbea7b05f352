//! One writing client and what it knows: for each of its documents the last acknowledged state
//! and, where a request broke off, the state that may or may not have been reached.
//! Each client writes documents of its own, one request at a time.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use serde_json::{Value, json};

use crate::couch::{CONTENT_TYPE, Couch};

const BULK_SIZES: std::ops::Range<usize> = 2..60;
/// How often a client looks for a document that it can change before it makes a new one.
const PICKS: usize = 8;
const ATTACHMENT_SIZES: std::ops::Range<usize> = 1..200_000;

/// What a document is to look like.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// The number in its body, and its attachment.
    Live {
        value: u64,
        attachment: Option<Attachment>,
    },
    Deleted,
}

/// An attachment as its stub describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Attachment {
    /// `md5-` and the MD5 of its bytes in base64.
    pub digest: String,
    pub length: usize,
    /// The generation of the revision that brought it.
    pub revpos: u64,
}

/// A state that the server acknowledged.
#[derive(Clone, Debug)]
pub struct Known {
    pub rev: String,
    pub content: Content,
}

/// What the client knows of one of its documents.
#[derive(Clone, Debug, Default)]
pub struct Document {
    pub acknowledged: Option<Known>,
    /// What the write that broke off would have made of it.
    pub attempted: Option<Content>,
}

/// A client that writes until its server is gone.
#[derive(Debug)]
pub struct Writer {
    client: u64,
    random: StdRng,
    made: u64,
    acknowledged: usize,
    pub documents: BTreeMap<String, Document>,
    /// The documents written, or perhaps written, since they were last checked.
    pub touched: BTreeSet<String>,
}

impl Writer {
    pub fn new(client: u64, seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed ^ (client + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Self {
            client,
            random,
            made: 0,
            acknowledged: 0,
            documents: BTreeMap::new(),
            touched: BTreeSet::new(),
        }
    }

    /// How many documents' writes were acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged
    }

    /// Writes one thing after the other until a request breaks off.
    pub async fn run_until_cut_off(mut self, couch: Couch) -> Self {
        while self.write_something(&couch).await.is_some() {}
        self
    }

    async fn write_something(&mut self, couch: &Couch) -> Option<()> {
        match self.random.random_range(0..10) {
            0..3 => self.put_new(couch).await,
            3..6 => self.update(couch).await,
            6..8 => self.bulk(couch).await,
            8 => self.attach(couch).await,
            _ => self.delete(couch).await,
        }
    }

    async fn put_new(&mut self, couch: &Couch) -> Option<()> {
        let (id, content) = (self.new_id(), self.new_content());
        let body = body(&content, None);
        self.attempt(&id, &content);
        let rev = couch.put(&id, &body).await?;
        self.confirm(&id, rev, content);
        Some(())
    }

    async fn update(&mut self, couch: &Couch) -> Option<()> {
        let Some((id, known)) = self.pick_live() else { return self.put_new(couch).await };
        let Content::Live { attachment, .. } = known.content else { return Some(()) };
        let content = Content::Live { value: self.random.random::<u32>().into(), attachment };
        let body = body(&content, Some(&known.rev));
        self.attempt(&id, &content);
        let rev = couch.put(&id, &body).await?;
        self.confirm(&id, rev, content);
        Some(())
    }

    async fn delete(&mut self, couch: &Couch) -> Option<()> {
        let Some((id, known)) = self.pick_live() else { return self.put_new(couch).await };
        self.attempt(&id, &Content::Deleted);
        let rev = couch.delete(&id, &known.rev).await?;
        self.confirm(&id, rev, Content::Deleted);
        Some(())
    }

    async fn bulk(&mut self, couch: &Couch) -> Option<()> {
        let count = self.random.random_range(BULK_SIZES);
        let new: Vec<(String, Content)> =
            (0..count).map(|_| (self.new_id(), self.new_content())).collect();
        let mut bodies = Vec::new();
        for (id, content) in &new {
            self.attempt(id, content);
            let mut body = body(content, None);
            body["_id"] = id.as_str().into();
            bodies.push(body);
        }
        let revs = couch.bulk(&bodies).await?;
        for ((id, content), rev) in new.into_iter().zip(revs) {
            self.confirm(&id, rev, content);
        }
        Some(())
    }

    /// An attachment on a document that is there.
    async fn attach(&mut self, couch: &Couch) -> Option<()> {
        let Some((id, known)) = self.pick_live() else { return self.put_new(couch).await };
        let Content::Live { value, .. } = known.content else { return Some(()) };
        let mut bytes = vec![0; self.random.random_range(ATTACHMENT_SIZES)];
        self.random.fill_bytes(&mut bytes);
        let (digest, length) = (digest(&bytes), bytes.len());
        let attachment = Attachment { digest, length, revpos: generation(&known.rev) + 1 };
        let content = Content::Live { value, attachment: Some(attachment) };
        self.attempt(&id, &content);
        let rev = couch.attach(&id, &known.rev, bytes).await?;
        self.confirm(&id, rev, content);
        Some(())
    }

    fn new_id(&mut self) -> String {
        self.made += 1;
        self.id(self.made)
    }

    fn id(&self, number: u64) -> String {
        format!("client-{}-{number:06}", self.client)
    }

    fn new_content(&mut self) -> Content {
        Content::Live { value: self.random.random::<u32>().into(), attachment: None }
    }

    /// Some document of this client that is there for certain.
    fn pick_live(&mut self) -> Option<(String, Known)> {
        (0..PICKS).find_map(|_| {
            let number = self.random.random_range(0..=self.made);
            let id = self.id(number);
            let known = self.documents.get(&id)?.acknowledged.clone()?;
            (known.content != Content::Deleted).then_some((id, known))
        })
    }

    fn attempt(&mut self, id: &str, content: &Content) {
        self.touched.insert(id.to_owned());
        self.documents.entry(id.to_owned()).or_default().attempted = Some(content.clone());
    }

    fn confirm(&mut self, id: &str, rev: String, content: Content) {
        self.acknowledged += 1;
        let document = self.documents.entry(id.to_owned()).or_default();
        *document = Document { acknowledged: Some(Known { rev, content }), attempted: None };
    }
}

/// The number before a revision's hash.
pub fn generation(rev: &str) -> u64 {
    let number = rev.split('-').next().and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("not a revision: {rev}"))
}

/// A digest as CouchDB writes it.
pub fn digest(bytes: &[u8]) -> String {
    format!("md5-{}", STANDARD.encode(Md5::digest(bytes)))
}

/// The text repeats the number: a document that is half of one write and half of another shows.
pub fn text(value: u64) -> String {
    format!("{value} ").repeat(20)
}

fn body(content: &Content, rev: Option<&str>) -> Value {
    let Content::Live { value, attachment } = content else { return json!({}) };
    let mut body = json!({"value": value, "text": text(*value)});
    if let Some(rev) = rev {
        body["_rev"] = rev.into();
    }
    if let Some(Attachment { digest, length, revpos }) = attachment {
        body["_attachments"] = json!({"file": {
            "stub": true,
            "content_type": CONTENT_TYPE,
            "digest": digest,
            "length": length,
            "revpos": revpos,
        }});
    }
    body
}
