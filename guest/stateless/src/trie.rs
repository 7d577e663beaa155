//! Merkle Patricia tries: a sparse one over witness nodes with 32-byte keys, and the root of an ordered list.
//!
//! The sparse trie holds only what the witness gives. A node is found by the keccak256 of its own bytes, decoded when
//! first walked over, and encoded again only if something below it changed. Whatever is walked into and absent is an
//! error.
//!
//! Every leaf and extension keeps its key's nibbles from the root, not from its own place: moving a node up or down
//! never rewrites a path. Depth never exceeds 64 nibbles, which bounds every recursion here.
//!
//! Source: Yellow Paper, appendix D.

use crate::rlp::{self, Item, Reader};
use alloc::boxed::Box;
use alloc::vec::Vec;
use revm::primitives::{b256, keccak256, map::B256Map, B256};

/// Root of the trie without entries: keccak256 of the RLP of the empty string.
pub const EMPTY_ROOT: B256 = b256!("0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421");

const KEY_NIBBLES: usize = 64;

/// A trie that cannot be walked further; the hash names the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrieError {
    Missing(B256),
    Malformed(B256),
    /// `get` of a value that `insert` wrote: whoever writes keeps what was written.
    Written,
}

/// A link to a node.
#[derive(Clone, Copy, Debug)]
pub enum Link<'a> {
    Empty,
    /// Known by hash only, so far.
    Hash(&'a [u8; 32]),
    /// Index into the arena.
    Node(u32),
}

/// A leaf's value: from the witness, or written by the block.
#[derive(Clone, Debug)]
enum Value<'a> {
    Given(&'a [u8]),
    Written(Box<[u8]>),
}

impl Value<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Given(bytes) => bytes,
            Self::Written(bytes) => bytes,
        }
    }
}

#[derive(Clone, Debug)]
enum Node<'a> {
    /// The whole key; the leaf's path is its nibbles from the leaf's depth on.
    Leaf {
        key: [u8; 32],
        value: Value<'a>,
    },
    /// The nibbles of `key` from the node's depth to `end` lead to the child; those from `end` on mean nothing.
    Extension {
        key: [u8; 32],
        end: u8,
        child: Link<'a>,
    },
    Branch {
        children: Box<[Link<'a>; 16]>,
    },
}

/// How a parent refers to a node: the RLP of the node if below 32 bytes, else its hash.
#[derive(Clone, Copy, Debug)]
enum Reference<'a> {
    /// Changed since it was last encoded.
    Dirty,
    /// As it stands in the witness: 32 bytes are a hash, fewer the node itself.
    Given(&'a [u8]),
    Hash(B256),
    Inline {
        bytes: [u8; 31],
        length: u8,
    },
}

struct Slot<'a> {
    node: Node<'a>,
    reference: Reference<'a>,
}

#[inline]
fn nibble(key: &[u8; 32], index: usize) -> usize {
    let byte = key[index / 2];
    usize::from(if index % 2 == 0 { byte >> 4 } else { byte & 15 })
}

fn set_nibble(key: &mut [u8; 32], index: usize, value: u8) {
    let byte = &mut key[index / 2];
    *byte = if index % 2 == 0 { *byte & 0x0f | value << 4 } else { *byte & 0xf0 | value };
}

/// The first nibble index from `start` on, at most `end`, where the keys differ.
fn common_end(left: &[u8; 32], right: &[u8; 32], start: usize, end: usize) -> usize {
    (start..end).find(|&index| nibble(left, index) != nibble(right, index)).unwrap_or(end)
}

/// Appends the hex-prefix encoding of the nibbles of `key` from `start` to `end` as an RLP string.
fn put_path(out: &mut Vec<u8>, key: &[u8; 32], start: usize, end: usize, leaf: bool) {
    let mut path = [0; 33];
    let odd = (end - start) % 2 == 1;
    let flag = if leaf { 0x20 } else { 0 };
    let mut index = start;
    path[0] = if odd {
        index += 1;
        flag | 0x10 | nibble(key, start) as u8
    } else {
        flag
    };
    let mut length = 1;
    if index % 2 == 0 && end % 2 == 0 {
        let bytes = &key[index / 2..end / 2];
        path[1..1 + bytes.len()].copy_from_slice(bytes);
        length += bytes.len();
    } else {
        while index < end {
            path[length] = (nibble(key, index) << 4 | nibble(key, index + 1)) as u8;
            length += 1;
            index += 2;
        }
    }
    rlp::put_bytes(out, &path[..length]);
}

/// Witness nodes by hash, and the nodes decoded so far of every trie over them.
pub struct Nodes<'a> {
    given: B256Map<&'a [u8]>,
    arena: Vec<Slot<'a>>,
}

impl<'a> Nodes<'a> {
    /// Hashes every node once.
    pub fn new(nodes: &[&'a [u8]]) -> Self {
        let mut given = B256Map::with_capacity_and_hasher(nodes.len(), Default::default());
        for bytes in nodes {
            given.insert(keccak256(bytes), *bytes);
        }
        Self { given, arena: Vec::with_capacity(2 * nodes.len()) }
    }

    /// The link to the trie with this root.
    pub fn trie(root: &'a [u8; 32]) -> Link<'a> {
        if *root == EMPTY_ROOT.0 {
            Link::Empty
        } else {
            Link::Hash(root)
        }
    }

    fn push(&mut self, node: Node<'a>, reference: Reference<'a>) -> Link<'a> {
        self.arena.push(Slot { node, reference });
        Link::Node((self.arena.len() - 1) as u32)
    }

    /// The arena index of a link that is not empty; decodes the node on the first visit. `key` gives the nibbles above
    /// `depth`.
    fn resolve(&mut self, link: Link<'a>, key: &[u8; 32], depth: usize) -> Result<Option<u32>, TrieError> {
        match link {
            Link::Empty => Ok(None),
            Link::Node(index) => Ok(Some(index)),
            Link::Hash(hash) => {
                let name = B256::from(hash);
                let bytes = *self.given.get(&name).ok_or(TrieError::Missing(name))?;
                let link = self.decode(bytes, key, depth, Reference::Given(hash)).ok_or(TrieError::Malformed(name))?;
                match link {
                    Link::Node(index) => Ok(Some(index)),
                    _ => Err(TrieError::Malformed(name)),
                }
            }
        }
    }

    /// Decodes a node at `depth`, and the nodes inlined in it. `None`: not a canonical node.
    fn decode(&mut self, bytes: &'a [u8], key: &[u8; 32], depth: usize, reference: Reference<'a>) -> Option<Link<'a>> {
        let mut fields = Reader::list_exact(bytes).ok()?;
        let first = fields.item().ok()?;
        let second = fields.item().ok()?;
        if fields.is_empty() {
            return self.decode_short(first, second, key, depth, reference);
        }
        if depth >= KEY_NIBBLES {
            return None;
        }
        let mut children = Box::new([Link::Empty; 16]);
        let mut below = *key;
        let mut used = 0;
        for index in 0..16 {
            let item = match index {
                0 => first,
                1 => second,
                _ => fields.item().ok()?,
            };
            if item.is_list {
                set_nibble(&mut below, depth, index as u8);
            }
            children[index] = self.child(item, &below, depth + 1)?;
            used += usize::from(!matches!(children[index], Link::Empty));
        }
        // Keys all have 64 nibbles: none ends at a branch. A branch with fewer than two children is not canonical.
        let value = fields.item().ok()?;
        if value.is_list || !value.payload.is_empty() || !fields.is_empty() || used < 2 {
            return None;
        }
        Some(self.push(Node::Branch { children }, reference))
    }

    fn child(&mut self, item: Item<'a>, key: &[u8; 32], depth: usize) -> Option<Link<'a>> {
        if item.is_list {
            // A node is inlined only where its encoding is below 32 bytes: nesting ends after a few.
            if item.encoded.len() >= 32 {
                return None;
            }
            return self.decode(item.encoded, key, depth, Reference::Given(item.encoded));
        }
        match item.payload.len() {
            0 => Some(Link::Empty),
            32 => item.payload.try_into().ok().map(Link::Hash),
            _ => None,
        }
    }

    fn decode_short(
        &mut self,
        path: Item<'a>,
        content: Item<'a>,
        above: &[u8; 32],
        depth: usize,
        reference: Reference<'a>,
    ) -> Option<Link<'a>> {
        let (&flags, packed) = path.payload.split_first()?;
        let odd = flags & 0x10 != 0;
        if path.is_list || flags > 0x3f || (!odd && flags & 0x0f != 0) {
            return None;
        }
        let length = 2 * packed.len() + usize::from(odd);
        let end = depth + length;
        if end > KEY_NIBBLES {
            return None;
        }
        let mut key = *above;
        let mut at = depth;
        if odd {
            set_nibble(&mut key, at, flags & 0x0f);
            at += 1;
        }
        if at % 2 == 0 {
            key[at / 2..at / 2 + packed.len()].copy_from_slice(packed);
        } else {
            for byte in packed {
                set_nibble(&mut key, at, byte >> 4);
                set_nibble(&mut key, at + 1, byte & 0x0f);
                at += 2;
            }
        }
        if flags & 0x20 != 0 {
            if content.is_list || content.payload.is_empty() || end != KEY_NIBBLES {
                return None;
            }
            return Some(self.push(Node::Leaf { key, value: Value::Given(content.payload) }, reference));
        }
        if length == 0 || end == KEY_NIBBLES {
            return None;
        }
        let child = self.child(content, &key, end)?;
        if matches!(child, Link::Empty) {
            return None;
        }
        Some(self.push(Node::Extension { key, end: end as u8, child }, reference))
    }

    /// The value of `key` as the witness gives it, or `None` where the trie proves that there is none.
    pub fn get(&mut self, root: &mut Link<'a>, key: &[u8; 32]) -> Result<Option<&'a [u8]>, TrieError> {
        let mut depth = 0;
        let mut parent = None;
        let mut link = *root;
        let leaf = loop {
            let Some(index) = self.resolve(link, key, depth)? else {
                return Ok(None);
            };
            if !matches!(link, Link::Node(_)) {
                match parent {
                    None => *root = Link::Node(index),
                    Some(parent) => self.replace_child(parent, key, depth, Link::Node(index)),
                }
            }
            match &self.arena[index as usize].node {
                Node::Leaf { key: found, .. } => {
                    if found != key {
                        return Ok(None);
                    }
                    break index;
                }
                Node::Extension { key: path, end, child } => {
                    let end = usize::from(*end);
                    if common_end(path, key, depth, end) < end {
                        return Ok(None);
                    }
                    (link, depth) = (*child, end);
                }
                Node::Branch { children } => {
                    link = children[nibble(key, depth)];
                    depth += 1;
                }
            }
            parent = Some(index);
        };
        match &self.arena[leaf as usize].node {
            Node::Leaf { value: Value::Given(bytes), .. } => Ok(Some(bytes)),
            _ => Err(TrieError::Written),
        }
    }

    /// Points the child of `parent` on the way to `key` (at `depth`) to a decoded node.
    fn replace_child(&mut self, parent: u32, key: &[u8; 32], depth: usize, link: Link<'a>) {
        match &mut self.arena[parent as usize].node {
            Node::Branch { children } => children[nibble(key, depth - 1)] = link,
            Node::Extension { child, .. } => *child = link,
            Node::Leaf { .. } => {}
        }
    }

    /// Sets the value of `key` (not empty).
    pub fn insert(&mut self, root: &mut Link<'a>, key: &[u8; 32], value: Box<[u8]>) -> Result<(), TrieError> {
        *root = self.insert_at(*root, key, 0, value)?;
        Ok(())
    }

    fn insert_at(
        &mut self,
        link: Link<'a>,
        key: &[u8; 32],
        depth: usize,
        value: Box<[u8]>,
    ) -> Result<Link<'a>, TrieError> {
        let Some(index) = self.resolve(link, key, depth)? else {
            return Ok(self.push(Node::Leaf { key: *key, value: Value::Written(value) }, Reference::Dirty));
        };
        let slot = &mut self.arena[index as usize];
        slot.reference = Reference::Dirty;
        match &mut slot.node {
            Node::Branch { children } => {
                let at = nibble(key, depth);
                let child = children[at];
                let child = self.insert_at(child, key, depth + 1, value)?;
                self.replace_child(index, key, depth + 1, child);
                Ok(Link::Node(index))
            }
            Node::Leaf { key: found, value: old } => {
                if found == key {
                    *old = Value::Written(value);
                    return Ok(Link::Node(index));
                }
                let found = *found;
                let split = common_end(&found, key, depth, KEY_NIBBLES);
                let leaf = self.push(Node::Leaf { key: *key, value: Value::Written(value) }, Reference::Dirty);
                Ok(self.fork(key, depth, split, (nibble(&found, split), Link::Node(index)), leaf))
            }
            Node::Extension { key: path, end, child } => {
                let (path, end, child) = (*path, usize::from(*end), *child);
                let split = common_end(&path, key, depth, end);
                if split == end {
                    let child = self.insert_at(child, key, end, value)?;
                    self.replace_child(index, key, end, child);
                    return Ok(Link::Node(index));
                }
                // What is left of the extension below the fork: nothing if the fork takes its last nibble.
                let rest = if split + 1 == end { child } else { Link::Node(index) };
                let leaf = self.push(Node::Leaf { key: *key, value: Value::Written(value) }, Reference::Dirty);
                Ok(self.fork(key, depth, split, (nibble(&path, split), rest), leaf))
            }
        }
    }

    /// A branch at `split` over an old node and a new leaf for `key`, behind an extension where `split` is below
    /// `depth`.
    fn fork(&mut self, key: &[u8; 32], depth: usize, split: usize, old: (usize, Link<'a>), leaf: Link<'a>) -> Link<'a> {
        let mut children = Box::new([Link::Empty; 16]);
        children[old.0] = old.1;
        children[nibble(key, split)] = leaf;
        let branch = self.push(Node::Branch { children }, Reference::Dirty);
        if split == depth {
            return branch;
        }
        self.push(Node::Extension { key: *key, end: split as u8, child: branch }, Reference::Dirty)
    }

    /// Removes `key`; no change where it is absent. A branch left with one child needs that child's node.
    pub fn remove(&mut self, root: &mut Link<'a>, key: &[u8; 32]) -> Result<(), TrieError> {
        if let Some(link) = self.remove_at(*root, key, 0)? {
            *root = link;
        }
        Ok(())
    }

    /// The link that takes the place of this one, or `None` where nothing changed.
    fn remove_at(&mut self, link: Link<'a>, key: &[u8; 32], depth: usize) -> Result<Option<Link<'a>>, TrieError> {
        let Some(index) = self.resolve(link, key, depth)? else {
            return Ok(None);
        };
        match &self.arena[index as usize].node {
            Node::Leaf { key: found, .. } => Ok((found == key).then_some(Link::Empty)),
            Node::Extension { key: path, end, child } => {
                let (path, end, child) = (*path, usize::from(*end), *child);
                if common_end(&path, key, depth, end) < end {
                    return Ok(None);
                }
                let Some(child) = self.remove_at(child, key, end)? else {
                    return Ok(None);
                };
                Ok(Some(self.extend(&path, end, child, Some(index))))
            }
            Node::Branch { children } => {
                let at = nibble(key, depth);
                let child = children[at];
                let Some(child) = self.remove_at(child, key, depth + 1)? else {
                    return Ok(None);
                };
                self.replace_child(index, key, depth + 1, child);
                self.arena[index as usize].reference = Reference::Dirty;
                let Node::Branch { children } = &self.arena[index as usize].node else {
                    return Ok(None);
                };
                let mut left = (0..16).filter(|&at| !matches!(children[at], Link::Empty));
                let (first, second) = (left.next(), left.next());
                match (first, second) {
                    (None, _) => Ok(Some(Link::Empty)),
                    (Some(_), Some(_)) => Ok(Some(Link::Node(index))),
                    (Some(at), None) => {
                        let survivor = children[at];
                        let mut path = *key;
                        set_nibble(&mut path, depth, at as u8);
                        let resolved = self.resolve(survivor, &path, depth + 1)?;
                        let survivor = resolved.map_or(Link::Empty, Link::Node);
                        Ok(Some(self.extend(&path, depth + 1, survivor, None)))
                    }
                }
            }
        }
    }

    /// The node that the nibbles of `path` up to `end` and then `child` make, merged with the child where that is a
    /// leaf or an extension. `child` is decoded. Where an extension remains, it takes the place of `reuse`.
    fn extend(&mut self, path: &[u8; 32], end: usize, child: Link<'a>, reuse: Option<u32>) -> Link<'a> {
        let Link::Node(index) = child else {
            return Link::Empty;
        };
        if let Node::Leaf { .. } | Node::Extension { .. } = self.arena[index as usize].node {
            // Its key already holds the nibbles from the root; only its depth is less now.
            self.arena[index as usize].reference = Reference::Dirty;
            return child;
        }
        let node = Node::Extension { key: *path, end: end as u8, child };
        match reuse {
            Some(reuse) => {
                self.arena[reuse as usize] = Slot { node, reference: Reference::Dirty };
                Link::Node(reuse)
            }
            None => self.push(node, Reference::Dirty),
        }
    }

    /// The root hash of the trie.
    pub fn root(&mut self, root: Link<'a>) -> B256 {
        match root {
            Link::Empty => EMPTY_ROOT,
            Link::Hash(hash) => B256::from(hash),
            Link::Node(index) => match self.reference(index, 0) {
                Reference::Given(bytes) if bytes.len() == 32 => B256::from_slice(bytes),
                Reference::Hash(hash) => hash,
                Reference::Given(bytes) => keccak256(bytes),
                Reference::Inline { bytes, length } => keccak256(&bytes[..usize::from(length)]),
                Reference::Dirty => EMPTY_ROOT, // `reference` never returns it
            },
        }
    }

    /// Encodes what changed at and below a node, bottom up.
    fn reference(&mut self, index: u32, depth: usize) -> Reference<'a> {
        let slot = &self.arena[index as usize];
        if !matches!(slot.reference, Reference::Dirty) {
            return slot.reference;
        }
        let encoded = self.encode(index, depth);
        let reference = if encoded.len() < 32 {
            let mut bytes = [0; 31];
            bytes[..encoded.len()].copy_from_slice(&encoded);
            Reference::Inline { bytes, length: encoded.len() as u8 }
        } else {
            Reference::Hash(keccak256(&encoded))
        };
        self.arena[index as usize].reference = reference;
        reference
    }

    /// The RLP of a node; encodes what changed below it first.
    fn encode(&mut self, index: u32, depth: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(544);
        match &self.arena[index as usize].node {
            Node::Leaf { key, value } => {
                put_path(&mut out, key, depth, KEY_NIBBLES, true);
                rlp::put_bytes(&mut out, value.bytes());
            }
            Node::Extension { key, end, child } => {
                let (child, end) = (*child, usize::from(*end));
                put_path(&mut out, key, depth, end, false);
                self.put_link(&mut out, child, end);
            }
            Node::Branch { children } => {
                let children = **children;
                for child in children {
                    self.put_link(&mut out, child, depth + 1);
                }
                out.push(0x80);
            }
        }
        let mut encoded = Vec::with_capacity(out.len() + 4);
        rlp::put_list_prefix(&mut encoded, out.len());
        encoded.extend_from_slice(&out);
        encoded
    }

    /// Visits the RLP of every node at and below `root` that was hashed anew. `root` has been asked for its hash.
    pub fn visit_new(&mut self, root: Link<'a>, visit: &mut dyn FnMut(&[u8])) {
        self.visit_new_at(root, 0, visit);
    }

    fn visit_new_at(&mut self, link: Link<'a>, depth: usize, visit: &mut dyn FnMut(&[u8])) {
        let Link::Node(index) = link else { return };
        match self.arena[index as usize].reference {
            Reference::Hash(_) => visit(&self.encode(index, depth)),
            // Stands in its parent, has no child that is hashed, and is hashed itself only as a root.
            Reference::Inline { bytes, length } => {
                if depth == 0 {
                    visit(&bytes[..usize::from(length)]);
                }
                return;
            }
            Reference::Given(_) | Reference::Dirty => return,
        }
        match self.arena[index as usize].node {
            Node::Leaf { .. } => {}
            Node::Extension { end, child, .. } => self.visit_new_at(child, usize::from(end), visit),
            Node::Branch { ref children } => {
                for child in **children {
                    self.visit_new_at(child, depth + 1, visit);
                }
            }
        }
    }

    fn put_link(&mut self, out: &mut Vec<u8>, link: Link<'a>, depth: usize) {
        match link {
            Link::Empty => out.push(0x80),
            Link::Hash(hash) => rlp::put_bytes(out, hash),
            Link::Node(index) => match self.reference(index, depth) {
                Reference::Given(bytes) if bytes.len() == 32 => rlp::put_bytes(out, bytes),
                Reference::Hash(hash) => rlp::put_bytes(out, &hash[..]),
                Reference::Given(bytes) => out.extend_from_slice(bytes),
                Reference::Inline { bytes, length } => out.extend_from_slice(&bytes[..usize::from(length)]),
                Reference::Dirty => {}
            },
        }
    }
}

/// The root of the trie that maps the RLP of each index to the value there.
pub fn ordered_root<T: AsRef<[u8]>>(values: &[T]) -> B256 {
    if values.is_empty() {
        return EMPTY_ROOT;
    }
    // Keys as unpacked nibbles (RLP of an index below 2^32: at most five bytes), sorted. No key is a prefix of another.
    let mut entries: Vec<(Key, &[u8])> =
        values.iter().enumerate().map(|(index, value)| (Key::new(index as u64), value.as_ref())).collect();
    entries.sort_unstable_by(|left, right| left.0.nibbles().cmp(right.0.nibbles()));
    keccak256(encode_ordered(&entries, 0))
}

#[derive(Clone, Copy)]
struct Key {
    nibbles: [u8; 18],
    length: u8,
}

impl Key {
    fn new(index: u64) -> Self {
        let mut encoded = Vec::with_capacity(9);
        rlp::put_u64(&mut encoded, index);
        let mut nibbles = [0; 18];
        for (at, byte) in encoded.iter().enumerate() {
            (nibbles[2 * at], nibbles[2 * at + 1]) = (byte >> 4, byte & 15);
        }
        Self { nibbles, length: 2 * encoded.len() as u8 }
    }

    fn nibbles(&self) -> &[u8] {
        &self.nibbles[..usize::from(self.length)]
    }
}

fn put_nibbles(out: &mut Vec<u8>, nibbles: &[u8], leaf: bool) {
    let mut path = Vec::with_capacity(10);
    let odd = nibbles.len() % 2;
    let flag = if leaf { 0x20 } else { 0 };
    path.push(if odd == 1 { flag | 0x10 | nibbles[0] } else { flag });
    path.extend(nibbles[odd..].chunks(2).map(|pair| pair[0] << 4 | pair[1]));
    rlp::put_bytes(out, &path);
}

/// The RLP of the node over sorted entries that agree on their first `depth` nibbles.
fn encode_ordered(entries: &[(Key, &[u8])], depth: usize) -> Vec<u8> {
    let (first, last) = (&entries[0], &entries[entries.len() - 1]);
    let mut out = Vec::with_capacity(544);
    if entries.len() == 1 {
        put_nibbles(&mut out, &first.0.nibbles()[depth..], true);
        rlp::put_bytes(&mut out, first.1);
        return rlp::list(&out);
    }
    let common = first.0.nibbles().iter().zip(last.0.nibbles()).take_while(|(left, right)| left == right).count();
    if common > depth {
        put_nibbles(&mut out, &first.0.nibbles()[depth..common], false);
        put_reference(&mut out, &encode_ordered(entries, common));
        return rlp::list(&out);
    }
    let mut rest = entries;
    for branch in 0..16 {
        let count = rest.iter().take_while(|(key, _)| key.nibbles()[depth] == branch).count();
        if count == 0 {
            out.push(0x80);
        } else {
            let (here, after) = rest.split_at(count);
            put_reference(&mut out, &encode_ordered(here, depth + 1));
            rest = after;
        }
    }
    out.push(0x80);
    rlp::list(&out)
}

fn put_reference(out: &mut Vec<u8>, node: &[u8]) {
    if node.len() < 32 {
        out.extend_from_slice(node);
    } else {
        rlp::put_bytes(out, &keccak256(node)[..]);
    }
}
