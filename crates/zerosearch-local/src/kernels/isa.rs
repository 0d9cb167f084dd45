//! The instruction sets that kernels are compiled for, and the choice among them at run time.

use std::fmt;

/// An instruction set with its own compiled kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// AVX-512 with bf16 dot products.
    Avx512Bf16,
    /// AVX2 with fused multiply-add.
    Avx2,
    /// Whatever the target offers everywhere.
    Portable,
}

impl Isa {
    /// The fastest one that this machine has.
    pub fn detect() -> Self {
        Self::ALL.into_iter().find(|isa| isa.available()).unwrap_or(Self::Portable)
    }

    /// Fastest first.
    pub const ALL: [Self; 3] = [Self::Avx512Bf16, Self::Avx2, Self::Portable];

    /// Whether this machine can run it.
    pub fn available(self) -> bool {
        self.missing().is_empty()
    }

    /// The instructions that this machine would have to have besides its own to run it.
    pub fn missing(self) -> Vec<&'static str> {
        #[cfg(target_arch = "x86_64")]
        macro_rules! absent {
            ($($feature:tt)*) => {
                [$(($feature, is_x86_feature_detected!($feature))),*]
                    .into_iter()
                    .filter_map(|(feature, is_there)| (!is_there).then_some(feature))
                    .collect()
            };
        }
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16 => absent!("avx512f" "avx512bw" "avx512dq" "avx512vl" "avx512bf16" "fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => absent!("avx2" "fma"),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx512Bf16 | Self::Avx2 => vec!["x86-64"],
            Self::Portable => Vec::new(),
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Avx512Bf16 => "avx512-bf16",
            Self::Avx2 => "avx2",
            Self::Portable => "portable",
        })
    }
}

/// Compiles one body for every instruction set and picks among them by the first argument.
///
/// The body is an `#[inline(always)]` function with a `const FUSED: bool` parameter: whether `a * b + c` may be one
/// instruction there. (Without the instruction it would be a slow library call.)
macro_rules! for_each_isa {
    ($(#[$doc:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) = $body:ident;) => {
        $(#[$doc])*
        $visibility fn $name(isa: $crate::kernels::Isa, $($argument: $type),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,fma,f16c")]
            fn avx512($($argument: $type),*) { $body::<true>($($argument),*) }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($argument: $type),*) { $body::<true>($($argument),*) }
            match isa {
                // SAFETY: an `Isa` is only chosen after `Isa::available` found its instructions on this machine.
                #[cfg(target_arch = "x86_64")]
                $crate::kernels::Isa::Avx512Bf16 => unsafe { avx512($($argument),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::kernels::Isa::Avx2 => unsafe { avx2($($argument),*) },
                _ => $body::<false>($($argument),*),
            }
        }
    };
}
pub(super) use for_each_isa;

/// `a * b + c`, rounded once where `FUSED`.
#[inline(always)]
pub(super) fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}
