//! Which partitions to claim, given who has which: greedy, as the Azure SDKs are.
//!
//! What is free is claimed at once, up to a fair share. When nothing is free and another has more than its share, one
//! partition of the one with the most is taken. Pure: no clock, no chance.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use super::store::Ownership;

/// A partition to be claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The partition.
    pub id: String,
    /// The version of its ownership that is to be overwritten; `None` when it has none.
    pub seen: Option<String>,
    /// Whether it is taken from another.
    pub steals: bool,
}

/// What `me` is to claim beside what it `has`.
pub fn claims(
    me: &str,
    has: &HashSet<&str>,
    ids: &[String],
    ownerships: &[Ownership],
    lease: Duration,
) -> Vec<Claim> {
    let known: BTreeMap<&str, &Ownership> =
        ownerships.iter().map(|known| (known.id.as_str(), known)).collect();
    let mut free: Vec<Claim> = Vec::new();
    let mut others: BTreeMap<&str, Vec<Claim>> = BTreeMap::new();
    let mut n_mine = 0;
    for id in ids {
        let ownership = known.get(id.to_lowercase().as_str());
        let claim = Claim { id: id.clone(), seen: ownership.map(|known| known.etag.clone()), steals: false };
        match ownership {
            _ if has.contains(id.as_str()) => n_mine += 1,
            Some(known) if known.age < lease && !known.owner.is_empty() => {
                others.entry(&known.owner).or_default().push(Claim { steals: true, ..claim });
            }
            _ => free.push(claim),
        }
    }
    // Each has an order of its own, so that two who look at the same time rarely want the same.
    let order = |claim: &Claim| {
        let mut hasher = DefaultHasher::new();
        (me, &claim.id).hash(&mut hasher);
        hasher.finish()
    };
    let n_owners = others.len() + 1;
    let (least, n_more) = (ids.len() / n_owners, ids.len() % n_owners);
    let n_above = others.values().filter(|claims| claims.len() > least).count();
    let share = least + usize::from(n_above < n_more);
    let n_wanted = share.saturating_sub(n_mine);
    if !free.is_empty() {
        free.sort_by_key(order);
        free.truncate(n_wanted);
        return free;
    }
    let most = others.into_values().max_by_key(Vec::len).unwrap_or_default();
    if n_wanted == 0 || most.len() <= n_mine + 1 {
        return Vec::new();
    }
    most.into_iter().min_by_key(order).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(60);

    /// `aab-` is four partitions: two of `a`, one of `b`, one that nobody has; a capital's lease is over.
    fn ownerships(owners: &str) -> (Vec<String>, Vec<Ownership>) {
        let ids: Vec<String> = (0..owners.len()).map(|n| n.to_string()).collect();
        let known =
            ids.iter().zip(owners.chars()).filter(|(_, owner)| *owner != '-').map(|(id, owner)| Ownership {
                id: id.clone(),
                owner: owner.to_lowercase().filter(|letter| *letter != '.').collect(),
                etag: format!("e{id}"),
                age: if owner.is_uppercase() { LEASE } else { Duration::ZERO },
            });
        let known = known.collect();
        (ids, known)
    }

    fn claims_of(me: &str, owners: &str) -> Vec<Claim> {
        let (ids, known) = ownerships(owners);
        let has = known.iter().filter(|known| known.owner == me && known.age < LEASE);
        claims(me, &has.map(|known| known.id.as_str()).collect(), &ids, &known, LEASE)
    }

    #[test]
    fn what_is_free_is_claimed_up_to_a_fair_share_and_else_one_is_taken_from_the_one_with_the_most() {
        let check = |owners: &str, n_free: usize, steals_from: &str| {
            let claims = claims_of("m", owners);
            assert_eq!(claims.iter().filter(|claim| !claim.steals).count(), n_free, "{owners}");
            let stolen = claims.iter().filter(|claim| claim.steals);
            let from: String =
                stolen.map(|claim| owners.chars().nth(claim.id.parse().unwrap()).unwrap()).collect();
            assert_eq!(from, steals_from, "{owners}");
        };
        check("----", 4, "");
        check("aaaa", 0, "a");
        check("aaam", 0, "a");
        check("aamm", 0, "");
        check("mmmm", 0, "");
        check("aa--", 2, "");
        check("aab-", 1, "");
        check("abm-", 1, "");
        check("aabm", 0, "");
        check("aabb", 0, "b");
        check("AA..", 4, "");
        check("aAm.", 1, "");
        check("aaabm", 0, "a");
        check("aaaabbmm", 0, "a");
        check("aaabbbmm", 0, "");
        check("ab", 0, "");
        check("aa", 0, "a");
        check("", 0, "");
    }

    #[test]
    fn instances_that_come_and_go_end_in_balance_and_stay_there() {
        let n_of = |owners: &str, name: char| owners.chars().filter(|owner| *owner == name).count();
        for (n_partitions, names) in [(4, "abc"), (32, "abcde"), (3, "abcd"), (7, "ab")] {
            let mut owners = "-".repeat(n_partitions);
            let mut n_quiet = 0;
            for name in names.chars().cycle().take(40 * names.len() * n_partitions) {
                let claims = claims_of(&name.to_string(), &owners);
                n_quiet = if claims.is_empty() { n_quiet + 1 } else { 0 };
                for claim in claims {
                    let at = claim.id.parse::<usize>().unwrap();
                    owners.replace_range(at..=at, &name.to_string());
                }
            }
            assert!(n_quiet >= names.len(), "{owners}");
            let counts: Vec<usize> = names.chars().map(|name| n_of(&owners, name)).collect();
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!(most - least <= 1, "{owners}");
        }
    }

    #[test]
    fn a_claim_names_the_version_it_was_made_over() {
        let claims = claims_of("m", "A-");
        let mut seen: Vec<_> = claims.into_iter().map(|claim| (claim.id, claim.seen)).collect();
        seen.sort();
        assert_eq!(seen, [("0".to_owned(), Some("e0".to_owned())), ("1".to_owned(), None)]);
    }
}
