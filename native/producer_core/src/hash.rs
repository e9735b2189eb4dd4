/// A number that spreads evenly and stays the same over restarts and versions: FNV-1a of 64 bits, whose bits are mixed once
/// more, as it is weak in the low ones, of which a remainder is taken.
pub fn spread(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (fnv ^ (fnv >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn it_stays_the_same() {
        assert_eq!((spread(b""), spread(b"account-1")), (17058014651485797458, 8010339306334628639));
    }

    #[test]
    fn names_in_a_row_spread_evenly_over_any_number_of_partitions() {
        for count in [2, 3, 4, 7, 8, 100] {
            let mut hits = vec![0_u32; count];
            for n in 0..count * 1000 {
                hits[(spread(format!("account-{n}").as_bytes()) % count as u64) as usize] += 1;
            }
            assert!(hits.iter().all(|hit| (850..1150).contains(hit)), "{hits:?}");
        }
    }
}
