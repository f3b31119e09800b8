//! Seeded numbers that are the same on every machine and with every version of every crate.
//!
//! Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014): `SplitMix64`.

/// A stream of numbers.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    /// Starts the stream of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is far below 2^64: the bias is not felt.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("usize has at most 64 bits");
        usize::try_from(self.bits() % bound).expect("below a usize")
    }

    /// A number from 0 to below 1.
    #[expect(clippy::cast_precision_loss, reason = "24 bits fit a f32")]
    pub(crate) fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / 16_777_216.0
    }

    /// A number of the standard normal distribution (Box and Muller).
    pub(crate) fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f32::consts::TAU * self.unit()).cos()
    }

    /// `wanted` of the items (all, if there are fewer), in a random order (Fisher and Yates).
    pub(crate) fn sample<T>(&mut self, mut items: Vec<T>, wanted: usize) -> Vec<T> {
        let wanted = wanted.min(items.len());
        for at in 0..wanted {
            let other = at + self.below(items.len() - at);
            items.swap(at, other);
        }
        items.truncate(wanted);
        items
    }
}
