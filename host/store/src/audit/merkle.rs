//! The Merkle tree over the audit log: RFC 9162, section 2.1, with BLAKE3.

use stagewright_core::Digest;

/// The hash of a leaf.
pub fn leaf(entry: &[u8]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[0]).update(entry);
    Digest::from_bytes(*hasher.finalize().as_bytes())
}

/// The hash of a node.
pub fn node(left: &Digest, right: &Digest) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[1]).update(left.as_bytes()).update(right.as_bytes());
    Digest::from_bytes(*hasher.finalize().as_bytes())
}

/// The root of a tree without leaves.
pub fn empty_root() -> Digest {
    Digest::of(b"")
}

/// The largest power of two below `size`, for `size` of at least 2.
fn split(size: u64) -> u64 {
    size.next_power_of_two() / 2
}

/// The hash of the leaves `start..start + size`. `complete(level, index)` gives the hash of the complete subtree of
/// 2^level leaves that begins at leaf index · 2^level; `size` is at least 1.
///
/// # Errors
/// Those of `complete`.
pub fn subtree<E>(complete: &mut dyn FnMut(u8, u64) -> Result<Digest, E>, start: u64, size: u64) -> Result<Digest, E> {
    if size.is_power_of_two() && start.is_multiple_of(size) {
        let level = size.trailing_zeros() as u8;
        return complete(level, start >> level);
    }
    let left = split(size);
    let first = subtree(complete, start, left)?;
    let second = subtree(complete, start + left, size - left)?;
    Ok(node(&first, &second))
}

/// The root over the first `size` leaves.
///
/// # Errors
/// Those of `complete`.
pub fn root<E>(complete: &mut dyn FnMut(u8, u64) -> Result<Digest, E>, size: u64) -> Result<Digest, E> {
    if size == 0 { Ok(empty_root()) } else { subtree(complete, 0, size) }
}

/// The proof that leaf `index` is in the tree of `size` leaves.
///
/// # Errors
/// Those of `complete`.
pub fn inclusion<E>(
    complete: &mut dyn FnMut(u8, u64) -> Result<Digest, E>,
    index: u64,
    size: u64,
) -> Result<Vec<Digest>, E> {
    let (mut proof, mut start, mut size) = (Vec::new(), 0, size);
    while size > 1 {
        let left = split(size);
        if index - start < left {
            proof.push(subtree(complete, start + left, size - left)?);
            size = left;
        } else {
            proof.push(subtree(complete, start, left)?);
            start += left;
            size -= left;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// Whether a proof shows that a leaf of this hash stands at `index` in the tree of `size` leaves with this root.
pub fn includes(root: &Digest, size: u64, index: u64, leaf: &Digest, proof: &[Digest]) -> bool {
    if index >= size {
        return false;
    }
    let (mut path, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if path & 1 == 1 || path == last {
            hash = node(sibling, &hash);
            while path & 1 == 0 && path != 0 {
                path >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(&hash, sibling);
        }
        path >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// The proof that the tree of `size` leaves continues that of `first` leaves; 1 ≤ `first` ≤ `size`.
///
/// # Errors
/// Those of `complete`.
pub fn consistency<E>(
    complete: &mut dyn FnMut(u8, u64) -> Result<Digest, E>,
    first: u64,
    size: u64,
) -> Result<Vec<Digest>, E> {
    let (mut proof, mut first, mut start, mut size, mut whole) = (Vec::new(), first, 0, size, true);
    while first != size {
        let left = split(size);
        if first <= left {
            proof.push(subtree(complete, start + left, size - left)?);
            size = left;
        } else {
            proof.push(subtree(complete, start, left)?);
            (first, start, size, whole) = (first - left, start + left, size - left, false);
        }
    }
    if !whole {
        proof.push(subtree(complete, start, size)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Whether a proof shows that the tree of `second_size` leaves continues that of `first_size`.
pub fn continues(
    first_root: &Digest,
    first_size: u64,
    second_root: &Digest,
    second_size: u64,
    proof: &[Digest],
) -> bool {
    if first_size == second_size {
        return proof.is_empty() && first_root == second_root;
    }
    if first_size == 0 || first_size > second_size {
        return first_size == 0 && proof.is_empty();
    }
    let (start, rest) = match (first_size.is_power_of_two(), proof.split_first()) {
        (true, _) => (*first_root, proof),
        (false, Some((start, rest))) => (*start, rest),
        (false, None) => return false,
    };
    let (mut path, mut last) = (first_size - 1, second_size - 1);
    while path & 1 == 1 {
        path >>= 1;
        last >>= 1;
    }
    let (mut first, mut second) = (start, start);
    for sibling in rest {
        if last == 0 {
            return false;
        }
        if path & 1 == 1 || path == last {
            first = node(sibling, &first);
            second = node(sibling, &second);
            while path & 1 == 0 && path != 0 {
                path >>= 1;
                last >>= 1;
            }
        } else {
            second = node(&second, sibling);
        }
        path >>= 1;
        last >>= 1;
    }
    last == 0 && first == *first_root && second == *second_root
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(size: u64) -> Vec<Digest> {
        (0..size).map(|number| leaf(&number.to_be_bytes())).collect()
    }

    /// The definition of the tree, word for word.
    fn defined(leaves: &[Digest]) -> Digest {
        match leaves {
            [] => empty_root(),
            [only] => *only,
            _ => {
                let (left, right) = leaves.split_at(split(leaves.len() as u64) as usize);
                node(&defined(left), &defined(right))
            }
        }
    }

    fn complete(leaves: &[Digest]) -> impl FnMut(u8, u64) -> Result<Digest, ()> + '_ {
        |level, index| {
            let start = (index << level) as usize;
            Ok(defined(&leaves[start..start + (1 << level)]))
        }
    }

    #[test]
    fn every_leaf_of_every_small_tree_has_a_proof_that_fits_nothing_else() {
        for size in 1..=20 {
            let leaves = leaves(size);
            let root = root(&mut complete(&leaves), size).unwrap();
            assert_eq!(root, defined(&leaves));
            for index in 0..size {
                let proof = inclusion(&mut complete(&leaves), index, size).unwrap();
                assert!(includes(&root, size, index, &leaves[index as usize], &proof), "{index} of {size}");
                assert!(!includes(&root, size, (index + 1) % size, &leaves[index as usize], &proof) || size == 1);
                assert!(!includes(&root, size, index, &leaf(b"other"), &proof));
            }
        }
    }

    #[test]
    fn every_small_tree_continues_every_smaller_one_and_no_other() {
        for size in 1..=20 {
            let leaves = leaves(size);
            let second = defined(&leaves);
            for first_size in 1..=size {
                let first = defined(&leaves[..first_size as usize]);
                let proof = consistency(&mut complete(&leaves), first_size, size).unwrap();
                assert!(continues(&first, first_size, &second, size, &proof), "{first_size} to {size}");
                assert!(!continues(&leaf(b"other"), first_size, &second, size, &proof));
                assert!(first_size == size || !continues(&first, first_size, &leaf(b"other"), size, &proof));
            }
        }
    }
}
